"""The documentation's site is built from nothing but the sources, and its links lead somewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT, run

LINKS = [sys.executable, str(ROOT / "dev/docs/links.py")]
COMMENTS = [sys.executable, str(ROOT / "dev/docs/comments.py")]


@pytest.mark.timeout(900)
def test_the_site_is_built_and_no_link_is_broken():
    """With Doxygen, javadoc, FORD and MkDocs; these are installed the first time."""
    done = run([str(ROOT / "dev/site")], timeout=880)
    assert done.returncode == 0, done.stdout
    site = ROOT / "build/site"
    for page in (
        "index.html",
        "fortran.html",
        "CONTRIBUTING.html",
        "reference/index.html",
        "reference/python.html",
    ):
        assert (site / page).exists(), page
    for page, shown in {
        "reference/c/deisa_8h.html": "deisa_open",
        "reference/c/classdeisa_1_1v0_1_1Bridge.html": "begin_step",
        "reference/fortran/type/deisa_bridge.html": "send_real64_2_int32",
        "reference/java/io/deisa/bridge/Bridge.html": "beginStep",
        "reference/python.html": "deisa_bridge.node_actor",
    }.items():
        assert shown in (site / page).read_text(), page
    assert done.stdout.count(" 0 broken links") == 2


def test_broken_links_are_named(tmp_path):
    (tmp_path / "other.html").write_text('<p id="there">text</p>')
    (tmp_path / "index.html").write_text(
        '<a href="other.html#there">good</a> <a href="https://example.org/">elsewhere</a>\n'
        '<a href="other.html#gone">bad</a>\n<img src="gone.png">'
    )
    done = run([*LINKS, str(tmp_path)])
    assert done.returncode == 1
    assert "index.html:2: other.html#gone: other.html has no anchor 'gone'" in done.stdout
    assert "index.html:3: gone.png: there is no " in done.stdout
    assert done.stdout.endswith("2 files, 2 broken links\n")


HEADER = """/* a.h - a header. */
#define A 1 /* a number */

/* Opens it. */
int a_open(void);
int a_close(void);

int a_none(void);
"""


def test_comments_are_marked_for_doxygen(tmp_path):
    """A comment is that of the declarations in its paragraph."""
    (tmp_path / "a.h").write_text(HEADER)
    done = subprocess.run([*COMMENTS, str(tmp_path / "a.h")], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "/** @file a.h @brief a header. */",
        "#define A 1 /**< a number */",
        "",
        "/** Opens it. */",
        "int a_open(void);",
        "/** Opens it. */ int a_close(void);",
        "",
        "int a_none(void);",
    ]
