"""Ranks in C, Fortran and Java are one simulation: they meet by Gloo, and the analytics see one array. And
where Ray's log of a Java rank goes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, java_program
from ports import free_port

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
ROWS, COLUMNS, STEPS = 3, 4, 3  # of programs/mixed
NAMES = {"c": "C", "fortran": "Fortran", "java": "Java"}


def command(built: Path, language: str) -> list[str]:
    if language != "java":
        return [str(built / "bin" / f"mixed_{language}")]
    return java_program(ROOT / "tests" / "programs" / "mixed" / "Mixed.java", built / "lib")


def expected(step: int, ranks: int) -> dict[str, np.ndarray]:
    i, j = np.ogrid[: ranks * ROWS, :COLUMNS]
    return {
        "field": 1000 * step + 10 * i + j + 0.25,
        "number": np.arange(100 * step, 100 * step + ranks, dtype=np.int32),
    }


# Two node actors: ranks 0 and 1 are on one, 2 and 3 on the other. The lowest one of each joins Ray.
@pytest.mark.parametrize("languages", ["c java java fortran", "java fortran fortran c"])
def test_one_simulation(built, tmp_path, ray, start, languages):
    ranks = languages.split()
    script = str(ROOT / "tests" / "programs" / "store_arrays.py")
    analytics = start("analytics", [sys.executable, script, str(tmp_path), *expected(0, 1)], ray.environment)
    common = ray.environment | {"DEISA_CONTROL": "java", "DEISA_MASTER_PORT": str(free_port())}
    children = []
    for number, language in enumerate(ranks):
        # Only the second rank of a node may leave it out: it never joins Ray.
        log = {"DEISA_CONTROL_LOG": str(tmp_path / f"{number}.log")} if languages.startswith("java") else {}
        own = {"DEISA_NODE_ID": f"mixed-{number // 2}"} | log
        one = [*command(built, language), str(number), str(len(ranks))]
        children.append(start(f"rank {number}", one, common | own))
    for child in children:
        assert child.wait(120) == 0, (child.name, child.lines)
    assert analytics.wait(60) == 0, analytics.lines
    for step in range(STEPS):
        for name, values in expected(step, len(ranks)).items():
            seen = np.load(tmp_path / f"{name}-{step}.npy")
            assert seen.dtype == values.dtype
            np.testing.assert_array_equal(seen, values, err_msg=f"{name}, timestep {step}")
    # Nothing of Ray or Java is in a rank's output, with a log file or without.
    for number, (language, child) in enumerate(zip(ranks, children, strict=True)):
        assert child.lines == [f"rank {number} in {NAMES[language]} is done"]
    # Those whose children joined Ray.
    logs = sorted(path.stem for path in tmp_path.glob("*.log"))
    assert logs == (["0", "2"] if languages.startswith("java") else [])
