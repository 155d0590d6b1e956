"""docs/languages.md: each row runs in each language that has it, and sends the same bytes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, java_program, run

PROGRAMS = ROOT / "tests" / "programs" / "languages"
CHUNK = np.array([[0, 1, 2], [10, 11, 12]], np.float64)
ROWS = {"start", "aggregate", "halo", "order", "strides", "loan", "asynchronous", "steps"}
BINARIES = {"C": "rows_c", "C++": "rows_cpp", "Fortran": "rows_fortran"}
LANGUAGES = ("C", "C++", "Fortran", "Java", "Python")
REFUSED = 66  # the timestep of which the node actor refuses the chunks


def table() -> dict[str, dict[str, bool]]:
    """Row -> language -> whether it has it."""
    lines = (ROOT / "docs" / "languages.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert tuple(cells[0][1:]) == LANGUAGES
    return {
        row[0]: {name: cell != "no" for name, cell in zip(LANGUAGES, row[1:], strict=True)}
        for row in cells[2:]
    }


@pytest.fixture
def command(built: Path, tmp_path: Path):
    def of(language: str) -> list[str]:
        if language == "Python":
            return [sys.executable, str(PROGRAMS / "rows.py")]
        if language != "Java":
            return [str(built / "bin" / BINARIES[language])]
        options = [
            "-Dslf4j.internal.verbosity=ERROR",
            f"-Dorg.bytedeco.javacpp.cachedir={tmp_path / 'cache'}",
        ]
        return java_program(PROGRAMS / "Rows.java", built / "lib" / "fake", *options)

    return of


@pytest.mark.timeout(180)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_row_runs(language: str, command, built: Path, tmp_path: Path):
    chunks = tmp_path / "chunks"
    chunks.mkdir()
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(built / "lib" / "fake"),
        "DEISA_FAKE_OUTPUT": str(chunks),
        "DEISA_FAKE_FAIL": str(REFUSED),
        "PYTHONPATH": str(ROOT / "python"),
    }
    done = run(command(language), environment, timeout=120)
    assert done.returncode == 0, done.stdout
    ran = {line.removeprefix("row ") for line in done.stdout.splitlines() if line.startswith("row ")}
    assert ran == {row for row, has in table().items() if has[language]}
    expected = {f"{row}-{int(row == 'steps')}": CHUNK for row in ROWS & ran}
    expected["unsigned-0"] = (65500 + CHUNK).astype(np.uint16)
    if "Arrow in" in ran:
        expected["arrow-0"] = CHUNK
    for name, values in expected.items():
        sent = np.frombuffer((chunks / f"written-{name}").read_bytes(), values.dtype)
        np.testing.assert_array_equal(sent.reshape(2, 3), values, err_msg=name)
    others = {path.name for path in chunks.iterdir()} - {f"written-{name}" for name in expected}
    assert others == {f"written-steps-{REFUSED}"}, "the abandoned step was not handed over"
