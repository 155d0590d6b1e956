"""How ranks in Python meet: each kind of communicator, with files in the place of Ray."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, mpirun, run
from ports import free_port
from processes import Child

RANKS = 2
PROGRAM = [sys.executable, str(ROOT / "tests" / "programs" / "python_meeting.py")]


@pytest.fixture
def environment(built: Path, tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": f"{ROOT / 'python'}:{ROOT / 'tests' / 'programs'}",
        "DEISA_LIBRARY": str(built / "lib" / "libdeisa.so"),
        "DEISA_BACKEND": "file",
        "DEISA_FILE_FOLDER": str(tmp_path / "files"),
        "PORT": str(free_port()),
    }


def check(folder: Path, output: str) -> None:
    said = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert sorted(one["rank"] for one in said) == [0, 1], output
    assert all(one["id"] == one["rank"] and one["absent"] == "none" for one in said)
    for timestep in range(3):
        values = np.load(folder / "files" / "t" / f"{timestep:09d}.npy")
        np.testing.assert_array_equal(values, 10.0 * timestep + np.array([0, 0, 1, 1]))


@pytest.mark.parametrize("way", ["mpi", "mpi4py", "older"])
def test_with_mpi(environment: dict[str, str], tmp_path: Path, way: str):
    done = run(mpirun(RANKS, *PROGRAM, way, "all"), environment)
    assert done.returncode == 0, done.stdout
    check(tmp_path, done.stdout)


def test_with_a_communicator_of_the_program(
    environment: dict[str, str], tmp_path: Path, start: Callable[..., Child]
):
    ranks = [
        start(f"rank {i}", [*PROGRAM, "own", "all"], environment | {"RANK": str(i)}) for i in range(RANKS)
    ]
    output = []
    for rank in ranks:
        assert rank.wait(60) == 0, rank.lines
        rank.wait_output()
        output += rank.lines
    check(tmp_path, "\n".join(output))


@pytest.mark.parametrize("way", ["mpi", "mpi4py"])
def test_a_rank_that_does_not_come(environment: dict[str, str], way: str):
    done = run(mpirun(RANKS, *PROGRAM, way, "late"), environment)
    (said,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert "0.5 s" in said["error"] or "rank(s) 1" in said["error"], said
