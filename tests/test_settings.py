"""docs/settings.md is the table that the code reads, and the table is complete. A settings file chooses what
the analytics see."""

from __future__ import annotations

import re
import sys
from argparse import Namespace

import numpy as np
import pytest
import serial
from conftest import ROOT, run
from launch import mpi_command, place_ranks

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
    not_settings = {"struct_size", "communicator", "error_handler", "error_handler_data", "settings"}
    options = DOCUMENT[DOCUMENT.index("### Options of a bridge") : DOCUMENT.index("### From outside")]
    assert set(re.findall(r"^\| `(\w+)` \|", options, re.MULTILINE)) == fields - not_settings


RANKS, SIZE, STEPS = 4, 16, 21


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_the_analytics_see_every_tenth_timestep(built, ray, start, tmp_path):
    """Without recompiling: a file that names two of the arrays. The other one is known, and never comes."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("arrays:\n  temperature: {every: 10}\n  flux: {send: false}\n")
    script = str(ROOT / "tests" / "programs" / "store_arrays.py")
    command = [sys.executable, script, str(tmp_path), "temperature", "flux"]
    analytics = start("analytics", command, ray.environment)
    arguments = Namespace(
        language="c", comm="mpi", size=SIZE, steps=STEPS, pace=0.0, ranks=RANKS, nodes=1, delay_node=0.0
    )
    environment = ray.environment | {"DEISA_CONFIG": str(settings), "DEISA_STATUS": "1"}
    done = run(mpi_command(arguments, place_ranks(arguments), tmp_path / "report"), environment, timeout=150)
    assert done.returncode == 0, done.stdout
    assert analytics.wait(60) == 0, analytics.lines
    seen = {int(path.stem.split("-")[1]): np.load(path) for path in tmp_path.glob("temperature-*.npy")}
    assert sorted(seen) == [0, 10, 20]
    assert not list(tmp_path.glob("flux-*.npy"))
    for fields in serial.solve(SIZE, STEPS):
        if fields.timestep in seen:
            np.testing.assert_array_equal(seen[fields.timestep], fields.temperature)
    left_out = 2 * STEPS - 3
    counted = "3 sent, 3 stored, 3 announced, 0 failed, 0 lost, 0 in flight, "
    counted += f"{left_out} filtered"
    assert done.stdout.count(counted) == RANKS
