""".ci/count.py: what ./test's last line is made of."""

from __future__ import annotations

import pytest
from count import main

CTEST = """<testsuite>
  <testcase name="pack_test" status="run"><system-out>[ RUN      ] Pack.One
[       OK ] Pack.One (0 ms)
[       OK ] Kinds/Pack.Two/0 (0 ms)
[  SKIPPED ] Pack.Three (0 ms)
</system-out></testcase>
  <testcase name="symbols" status="run"><system-out>clean</system-out></testcase>
  {more}
</testsuite>"""
JUNIT = """<testsuites><testsuite>
  <testcase classname="a.B" name="one"/>
  <testcase classname="a.B" name="two">{inside}</testcase>
</testsuite></testsuites>"""
FOUR_RANKS = "[       OK ] Comm.Meets (1 ms)\n" * 3 + "[  FAILED  ] Comm.Meets (1 ms)\n"


def last_line(capsys) -> str:
    return capsys.readouterr().out.splitlines()[-1]


@pytest.fixture
def ctest(tmp_path):
    def write(more: str = "") -> str:
        path = tmp_path / "ctest.xml"
        path.write_text(CTEST.format(more=more))
        return f"ctest:{path}"

    return write


def test_counts_the_tests_inside_a_program(ctest, capsys):
    assert main([ctest()]) == 0
    assert last_line(capsys) == "3 passed, 0 failed, 1 skipped"


@pytest.mark.parametrize(
    ("case", "passed"),
    [
        ('<testcase name="x" status="fail"><failure/><system-out>boom</system-out></testcase>', 3),
        ('<testcase name="x" status="notrun"><skipped/></testcase>', 3),
        (
            '<testcase name="x" status="fail"><failure/><system-out>'
            "[       OK ] A.B (0 ms)\n[  FAILED  ] A.C (0 ms)\n</system-out></testcase>",
            4,
        ),
        (
            '<testcase name="x" status="fail"><failure/><system-out>'
            "[       OK ] A.B (0 ms)</system-out></testcase>",
            4,
        ),
        (f'<testcase name="x" status="fail"><failure/><system-out>{FOUR_RANKS}</system-out></testcase>', 3),
    ],
    ids=["crash without tests", "not run", "one of two", "crash after a test", "one of four ranks"],
)
def test_counts_a_failure_once(ctest, capsys, case, passed):
    assert main([ctest(case)]) == 1
    assert last_line(capsys) == f"{passed} passed, 1 failed, 1 skipped"


@pytest.mark.parametrize(
    ("inside", "line", "status"),
    [
        ("", "2 passed, 0 failed, 0 skipped", 0),
        ("<failure/>", "1 passed, 1 failed, 0 skipped", 1),
        ("<error/>", "1 passed, 1 failed, 0 skipped", 1),
        ("<skipped/>", "1 passed, 0 failed, 1 skipped", 0),
    ],
)
def test_reads_junit(tmp_path, capsys, inside, line, status):
    (tmp_path / "TEST-a.xml").write_text(JUNIT.format(inside=inside))
    assert main([f"java:{tmp_path}"]) == status
    assert last_line(capsys) == line


def test_a_suite_that_did_not_run_is_a_failure(tmp_path, capsys):
    (tmp_path / "empty.xml").write_text("<testsuites/>")
    for argument in (f"python:{tmp_path}/missing.xml", f"java:{tmp_path}", f"tests:{tmp_path}/empty.xml"):
        assert main([argument]) == 1
        assert last_line(capsys) == "0 passed, 1 failed, 0 skipped"
