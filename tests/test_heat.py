"""The heat example's own parts, without Ray: solver, comparison, options."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import mpirun, run
from serial import Fields, solve
from verify import compare


def read_blocks(folder: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What programs/heat_blocks.c wrote, as whole fields."""
    temperature = np.full((size, size), np.nan)
    flux = np.full((size, size), np.nan, np.float32)
    for path in folder.glob("block-*"):
        data = path.read_bytes()
        row, rows, column, columns = np.frombuffer(data, np.int64, 4)
        block = np.s_[row : row + rows, column : column + columns]
        cells = int(rows * columns)
        temperature[block] = np.frombuffer(data, np.float64, cells, 32).reshape(rows, columns)
        flux[block] = np.frombuffer(data, np.float32, cells, 32 + 8 * cells).reshape(rows, columns)
    return temperature, flux


@pytest.mark.parametrize(
    ("ranks", "size", "steps", "off"),
    [(1, 7, 2, 0), (4, 64, 3, 2), (3, 10, 4, -1), (6, 41, 3, 1)],
    ids=["one rank, source off", "even", "3 uneven parts", "3 x 2 uneven parts"],
)
def test_ranks_compute_what_one_process_computes(built, tmp_path, ranks, size, steps, off):
    program = str(built / "bin" / "heat_blocks")
    done = run(mpirun(ranks, program, str(size), str(steps), str(off), str(tmp_path)))
    assert done.returncode == 0, done.stdout
    *_, last = solve(size, steps, off)
    temperature, flux = read_blocks(tmp_path, size)
    assert temperature.tobytes() == last.temperature.tobytes()
    assert flux.tobytes() == last.flux.tobytes()


def store(folder: Path, fields: Fields) -> None:
    mean = fields.temperature.mean()
    np.savez(
        folder / f"{fields.timestep:06d}.npz", mean=mean, temperature=fields.temperature, flux=fields.flux
    )


NAMES = ("temperature", "flux")


def test_comparison_accepts_the_right_values(tmp_path):
    for fields in solve(8, 3, 1):
        store(tmp_path, fields)
    result = compare(tmp_path, 8, 3, 1, NAMES)
    assert (result.analysed, result.matching, result.problems) == (3, 3, [])
    assert sorted(result.pictures) == [0, 1, 2] == sorted(result.means)


def wrong_bit(fields: Fields) -> Fields:
    temperature = fields.temperature.copy()
    temperature[3, 4] = np.nextafter(temperature[3, 4], np.inf)
    return Fields(fields.timestep, temperature, fields.flux)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (wrong_bit, r"timestep 1, temperature: 1 of 64 values differ, the first at \(3, 4\)"),
        (lambda f: Fields(1, f.temperature.T.copy(), f.flux), "timestep 1, temperature: .* differ"),
        (lambda f: Fields(1, f.temperature, f.flux.astype(float)), "timestep 1, flux: float64"),
        (lambda f: Fields(5, f.temperature, f.flux), "timestep 5 was analysed, but never simulated"),
        (lambda f: Fields(5, f.temperature, f.flux), "timestep 1 was not analysed"),
    ],
)
def test_comparison_finds(tmp_path, damage, message):
    for fields in solve(8, 3):
        store(tmp_path, damage(fields) if fields.timestep == 1 else fields)
    result = compare(tmp_path, 8, 3, -1, NAMES)
    assert result.matching == 2
    assert any(re.search(message, problem) for problem in result.problems), result.problems


def test_comparison_needs_the_right_step_of_the_feedback(tmp_path):
    for fields in solve(8, 4, 2):
        store(tmp_path, fields)
    assert compare(tmp_path, 8, 4, 3, NAMES).matching == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "0"], "'0' is no value for --size"),
        (["--steps", "x"], "'x' is no value for --steps"),
        (["--pace"], "'' is no value for --pace"),
        (["--pace", "nan"], "'nan' is no value for --pace"),
        (["--comm", "udp"], "'udp' is no value for --comm"),
        (["--colour", "red"], "unknown option --colour"),
    ],
)
def test_wrong_options_are_named(built, options, message):
    done = run([str(built / "bin" / "heat"), *options])
    assert done.returncode == 1
    assert message in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ranks", "0"], "--ranks 0: expected at least 1"),
        (["--slow-analytics", "-1"], "--slow-analytics -1.0: expected seconds"),
        (["--nodes", "5"], "--nodes 5: expected at most one per rank"),
        (["--language", "perl"], "invalid choice"),
    ],
)
def test_wrong_options_of_run_are_named(root, options, message):
    done = run([sys.executable, str(root / "dev" / "drive.py"), *options])
    assert done.returncode == 2
    assert message in done.stdout
