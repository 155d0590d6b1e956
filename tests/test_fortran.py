"""The Fortran module: what the analytics see of Fortran's arrays, and what an error does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, mpirun, run

RANKS, NX, NY, NZ, STEPS = 2, 4, 3, 2, 2  # of programs/sections.f90
# Bytes that one rank copies in a timestep: 12 elements of each but "lent", 24 complex ones, one scalar.
STEP_BYTES = 12 * (8 + 4 + 8 + 1) + 24 * 16 + 4


def expected(step: int) -> dict[str, np.ndarray]:
    """What the formulas of sections.f90 give, by NumPy's indices."""
    i, j = np.ogrid[: RANKS * NX, :NY]
    number = 1000 * step + 100 * i + j
    i3, j3, k3 = np.ogrid[: RANKS * NX, :NY, :NZ]
    return {
        "ghosts": number + 0.25,
        "lent": number + 0.75,
        "pointer": (number + 0.25).astype(np.float32),
        "backwards": number.astype(np.int64),
        "mask": (i + 2 * j + step) % 3 == 0,
        "spectrum": (1000 * step + 100 * i3 + 10 * j3) + 1j * k3,
        "scalar": np.array([10 * step + rank for rank in range(RANKS)], np.int32),
    }


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_the_analytics_see_fortrans_arrays(built: Path, tmp_path: Path, ray, start) -> None:
    names = list(expected(0))
    script = str(ROOT / "tests" / "programs" / "store_arrays.py")
    analytics = start("analytics", [sys.executable, script, str(tmp_path), *names], ray.environment)
    done = run(mpirun(RANKS, str(built / "bin" / "sections")), ray.environment, timeout=150)
    assert done.returncode == 0, done.stdout
    assert analytics.wait(90) == 0, analytics.lines
    for step in range(STEPS):
        for name, values in expected(step).items():
            seen = np.load(tmp_path / f"{name}-{step}.npy")
            assert seen.dtype == values.dtype, name
            np.testing.assert_array_equal(seen, values, err_msg=f"{name}, timestep {step}")
    # One copy, and none of the array that was computed in lent memory: the bytes that the library moved.
    for rank in range(RANKS):
        assert f"rank {rank}: chunks {7 * STEPS}, copied {STEPS * STEP_BYTES}" in done.stdout


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("unopened", "deisa: contract violation: the bridge is not open"),
        ("options", "world_size = 0"),
        ("copy", "a bridge cannot be copied"),
    ],
)
def test_an_error_stops_the_program_with_its_message(built: Path, mode: str, message: str) -> None:
    done = run([str(built / "bin" / "fortran_stops"), mode])
    assert done.returncode != 0
    assert message in done.stdout
    assert "went on" not in done.stdout


def test_a_program_that_asks_for_stat_goes_on(built: Path) -> None:
    done = run([str(built / "bin" / "fortran_stops"), "asked"])
    assert done.returncode == 0
    assert "error T contract violation: the bridge is not open" in done.stdout
    assert done.stdout.endswith("went on\n")


def test_every_call_is_a_success_when_disabled(built: Path, bare_environment: dict[str, str]) -> None:
    done = run([str(built / "bin" / "fortran_stops"), "disabled"], bare_environment | {"DEISA_DISABLE": "1"})
    assert done.returncode == 0, done.stdout
    assert done.stdout == "went on\n"


def test_the_installed_sources_build_without_the_module_files(built: Path, tmp_path: Path) -> None:
    """What users of another compiler do, by the commands of docs/fortran.md."""
    prefix = tmp_path / "prefix"
    done = run(["cmake", "--install", str(built), "--prefix", str(prefix)])
    assert done.returncode == 0, done.stdout
    sources = prefix / "share" / "deisa" / "fortran"
    names = "deisa_c.f90 deisa_support.f90 deisa_feedback.f90 deisa.F90 descriptor.c loan.c glue.c"
    assert names in (ROOT / "docs" / "fortran.md").read_text()
    (library,) = prefix.glob("**/libdeisa.so")
    command = ["gfortran", "-O0", f"-I{prefix / 'include'}", f"-J{tmp_path}"]
    command += [str(sources / name) for name in names.split()]
    command += [str(ROOT / "tests" / "programs" / "fortran_stops.f90"), "-o", str(tmp_path / "program")]
    done = run(
        [*command, f"-L{library.parent}", f"-Wl,-rpath,{library.parent}", "-ldeisa", "-ldl"], timeout=100
    )
    assert done.returncode == 0, done.stdout
    done = run([str(tmp_path / "program"), "disabled"], {"DEISA_DISABLE": "1"})
    assert (done.returncode, done.stdout) == (0, "went on\n")
