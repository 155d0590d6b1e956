"""The 3-D diffusion in C++: ghost cells, blocks of different sizes, lent memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import ROOT, mpirun, run

EXAMPLE = ROOT / "examples" / "diffusion3d"


def drive(built: Path, *options: str):
    """What examples/diffusion3d/run does when all is prepared."""
    command = [sys.executable, str(EXAMPLE / "drive.py"), "--build", str(built), "--timeout", "160"]
    return run([*command, *options], timeout=180)


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_analytics_see_what_one_process_computes(built):
    done = drive(built, "--ranks", "6", "--steps", "4", "--cells", "7", "5", "3")
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.splitlines()[-1] == "4 of 4 timesteps match the serial computation"
    # Uneven in two dimensions: 7 cells over 3 ranks, 5 over 2.
    assert "timestep 3: chunks (3, 2, 2) x (3, 2) x (3,), right: True" in done.stdout


def test_simulation_runs_without_analytics(built, bare_environment):
    program = mpirun(3, "--mca", "plm", "isolated", str(built / "bin" / "diffusion"), "5", "4", "3", "2")
    done = run(program, bare_environment | {"DEISA_DISABLE": "1"})
    assert (done.returncode, done.stdout) == (0, "2 timesteps sent\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1", "2"], "usage: diffusion"),
        (["1", "2", "3", "x"], "usage: diffusion"),
        (["1", "1", "1", "1"], "too few cells"),
    ],
)
def test_wrong_arguments_are_named(built, arguments, message):
    done = run(mpirun(2, str(built / "bin" / "diffusion"), *arguments))
    assert done.returncode != 0
    assert message in done.stdout


def test_wrong_options_are_named(built):
    done = drive(built, "--steps", "0")
    assert done.returncode == 2
    assert "at least 1" in done.stdout
