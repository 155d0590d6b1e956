"""The bridge of simulations in Python, in the place of deisa-ray's own: on a real Ray, with its unmodified
analytics."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, mpirun
from local_ray import LocalRay
from ports import free_port
from processes import Child
from programs.python_simulation import DTYPES, OBJECTS, STEPS, chunk_of, text_of
from simulation import PROGRAMS, Simulation, joined, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

RANKS = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    with joined(256 << 20) as local:
        yield local


def finish(child: Child) -> list[str]:
    until(lambda: child.status() is not None, f"the {child.name} to end")
    child.wait_output()
    assert child.status() == 0, "\n".join(child.lines)
    return list(child.lines)


def program(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(PROGRAMS / name), *map(str, arguments)]


def environment_of(simulation: Simulation) -> dict[str, str]:
    python = f"{ROOT / 'python'}:{ROOT / 'dev'}"
    return simulation.environment | {"PYTHONPATH": python, "DEISA_LIBRARY": str(library(simulation))}


def library(simulation: Simulation) -> Path:
    return next((simulation.build / "lib").glob("libdeisa.so.?.?"))


def objects(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.parametrize("module", ["deisa.ray.bridge", "deisa_bridge"])
def test_the_same_script_with_either_bridge(simulation: Simulation, start, tmp_path: Path, module: str):
    end = tmp_path / "end"
    analytics = start("analytics", program("python_analytics.py"), simulation.cluster.environment)
    ranks = start(
        "simulation",
        mpirun(RANKS, *program("python_simulation.py", module, end)),
        environment_of(simulation) | {"OMPI_MCA_btl_base_warn_component_unused": "0"},
    )
    seen = {(one["array"], one["t"]): one for one in objects(finish(analytics))}
    end.touch()
    said = objects(finish(ranks))
    for dtype in DTYPES.split():
        for timestep in range(STEPS):
            expected = np.concatenate([chunk_of(dtype, rank, timestep) for rank in range(RANKS)])
            one = seen.pop((dtype, timestep))
            assert (one["dtype"], one["shape"]) == (dtype, list(expected.shape))
            assert one["sha256"] == hashlib.sha256(expected.tobytes()).hexdigest(), (dtype, timestep)
    assert not seen
    read = [text_of(one) for one in (*OBJECTS, "default", list(enumerate(OBJECTS)), None)]
    assert [one["read"] for one in said] == [read] * RANKS
    assert [one["is_bridge"] for one in said] == [True] * RANKS
    if module == "deisa_bridge":
        assert [one["loaded"] for one in said] == [[]] * RANKS, "neither Ray nor deisa-ray in the rank"


def test_the_older_keyword_form_and_a_dtype_that_differs(simulation: Simulation, start, tmp_path: Path):
    analytics = simulation.analytics("known", "late")
    port, sent = free_port(), tmp_path / "sent"
    ranks = [
        start(f"rank {rank}", program("python_older.py", rank, port, sent), environment_of(simulation))
        for rank in range(2)
    ]
    lines = [finish(rank) for rank in ranks]
    seen = analytics.finish()
    (refused,) = [line for line in lines[1] if line.startswith("refused")]
    assert "array 'late': dtype = float32 on rank 1, but float64 on rank 0" in refused
    late = np.concatenate([np.arange(3.0), np.arange(4.0)])
    for timestep in range(3):
        assert seen["known"][timestep]["values"] == [timestep] * 6
        assert seen["late"][timestep]["values"] == (late + timestep).tolist()
        assert seen["late"][timestep]["dtype"] == "float64"
