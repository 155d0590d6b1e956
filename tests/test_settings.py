"""docs/settings.md is the table that the code reads, and the table is complete."""

from __future__ import annotations

import re

from conftest import ROOT, run

DOCUMENT = (ROOT / "docs" / "settings.md").read_text()
TABLE = re.compile(r"<!-- deisa-info --settings -->\n(.*?)<!-- end -->", re.DOTALL)


def variables_of_the_code() -> set[str]:
    """Environment variables that the libraries read, from where they are read."""
    found: set[str] = set()
    readers = r'(?:getenv|variable|environment|place|variable_of)\(\s*"'
    for path in (ROOT / "native").rglob("*.cc"):
        if "test" not in path.name and "testing" not in path.parts:
            found |= set(re.findall(rf"{readers}(DEISA_\w+)", path.read_text()))
    return found


def rows() -> list[list[str]]:
    """The cells of the tables' rows."""
    table = TABLE.search(DOCUMENT)
    assert table
    lines = [line for line in table[1].splitlines() if line.startswith("| ") and "in the file" not in line]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_document_is_the_codes_table(built):
    """After a change: build/bin/deisa-info --settings prints what is to stand there."""
    printed = run([str(built / "bin" / "deisa-info"), "--settings"])
    assert printed.returncode == 0
    table = TABLE.search(DOCUMENT)
    assert table and table[1].strip() == printed.stdout.strip()


def test_every_variable_that_is_read_is_in_the_table():
    documented = {row[1].strip("`") for row in rows()}
    assert len(documented) > 20
    assert variables_of_the_code() <= documented


def test_every_option_of_the_header_is_in_the_table():
    header = (ROOT / "include" / "deisa" / "deisa.h").read_text()
    struct = header[header.index("typedef struct deisa_options {") : header.index("} deisa_options;")]
    fields = set(re.findall(r"\b(\w+);", re.sub(r"/\*.*?\*/", "", struct, flags=re.DOTALL)))
    not_settings = {"struct_size", "communicator", "error_handler", "error_handler_data"}
    options = DOCUMENT[DOCUMENT.index("### Options of a bridge") : DOCUMENT.index("### From outside")]
    assert set(re.findall(r"^\| `(\w+)` \|", options, re.MULTILINE)) == fields - not_settings
