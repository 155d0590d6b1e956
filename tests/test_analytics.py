"""docs/analytics.md: its program runs with a real simulation, and what it says of deisa-ray is so."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np
import pytest
import serial
import zarr
from conftest import ROOT, run
from launch import mpi_command, place_ranks
from local_ray import LocalRay
from processes import Child
from simulation import PROGRAMS, Simulation, joined, succeed, together, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
DOCUMENT = (ROOT / "docs" / "analytics.md").read_text()
PROGRAM = ROOT / "examples" / "analytics" / "steering.py"
RANKS, SIZE, STEPS = 2, 16, 40


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    with joined(128 << 20) as local:
        yield local


def test_the_program_is_the_one_on_the_page():
    assert f"```python\n{PROGRAM.read_text()}```" in DOCUMENT


def test_the_program_analyses_and_steers_the_heat_example(built, cluster, start, tmp_path):
    analytics = start("analytics", [sys.executable, "-P", str(PROGRAM)], cluster.environment)
    arguments = Namespace(
        language="c", comm="mpi", size=SIZE, steps=STEPS, pace=0.0, ranks=RANKS, nodes=1, delay_node=0.0
    )
    command = mpi_command(arguments, place_ranks(arguments), tmp_path / "report")
    done = run(command, cluster.environment, timeout=200)
    assert done.returncode == 0, done.stdout
    assert analytics.wait(60) == 0, analytics.lines
    assert analytics.lines[-1] == f"{STEPS} timesteps analysed"
    off = [line for line in analytics.lines if line.endswith("source off")]
    assert len(off) == 1
    for fields in serial.solve(SIZE, int(off[0].split()[1].strip(":")) + 1):
        mean, rows = fields.temperature.mean(), fields.temperature.mean(axis=1)
        begins = f"timestep {fields.timestep}: mean {mean:.6f}, warmest row {rows.max():.6f}, "
        (line,) = [line for line in analytics.lines if line.startswith(begins)]
        assert f"in {min(fields.timestep + 1, 3)} timesteps" in line
        assert line.endswith(f"largest flux {fields.flux.max():.6f}")


def see(simulation: Simulation, start, case: str, steps: int) -> Child:
    """The analytics of a case, after a simulation of two ranks that has closed."""
    command = [sys.executable, "-P", str(PROGRAMS / "analytics_facts.py"), case]
    return after(simulation, start("analytics", command, simulation.cluster.environment), steps)


def after(simulation: Simulation, child: Child, steps: int, every: int = 1, nodes: int = 1) -> Child:
    """The analytics, after a simulation of two ranks that has closed. `every`: of `other`, the timesteps that
    this number divides."""
    ranks = simulation.start(2, lambda rank: {"NODE_ID": f"node{rank}"} if nodes == 2 else {})
    for i, rank in enumerate(ranks):
        chunk = {
            "chunk_shape": [2, 3],
            "nb_chunks_per_dim": [2, 1],
            "chunk_position": [i, 0],
            "dtype": "float64",
        }
        rank.ok("define " + json.dumps({"field": chunk, "other": chunk}))
    succeed(simulation.ready(ranks))
    for t in range(steps):
        for i, rank in enumerate(ranks):
            rank.ok(f"begin {t}", f"put field 6 {10 * t + i}")
            if t % every == 0:
                rank.ok(f"put other 6 {t}")
        together(ranks, "end")
    together(ranks, f"close {steps}")
    until(lambda: child.status() is not None, "the analytics to end")
    child.wait_output()
    return child


def said(child: Child) -> list[dict]:
    return [json.loads(line) for line in child.lines if line.startswith("{")]


@pytest.fixture
def simulation(cluster, built) -> Iterator[Simulation]:
    one = Simulation(cluster, built)
    yield one
    one.end()


def test_how_often_callbacks_are_called(simulation, start):
    child = see(simulation, start, "calls", 4)
    calls: dict[str, list] = {}
    for one in said(child):
        if "callback" in one:
            calls.setdefault(one["callback"], []).append(one["t"])
    # Again for each array of the timestep that comes later: how often depends on when they come.
    distinct = {name: [one for one, _ in groupby(seen)] for name, seen in calls.items()}
    assert distinct["alone"] == distinct["second"] == [[t] for t in range(4)]
    assert max(calls["alone"].count([t]) + calls["second"].count([t]) for t in range(4)) <= 4
    assert distinct["both"] == [[t, t] for t in range(4)]
    assert distinct["either"][-1] == [3, 3] and distinct["either"] == sorted(distinct["either"])
    assert all(abs(field - other) <= 1 for field, other in distinct["either"])
    assert distinct["window"] == [[0], [0, 1], [0, 1, 2], [1, 2, 3]]
    assert "absent" not in calls


def test_what_becomes_of_exceptions(simulation, start):
    child = see(simulation, start, "errors", 5)
    assert child.wait(20) == 0, child.lines
    handled = [(one["handled"], one["text"]) for one in said(child) if "handled" in one]
    handled = [one for one, _ in groupby(handled)]  # a callback may be called again for a timestep
    kinds = [kinds for kinds, _ in handled]
    assert [kinds[0][0], kinds[2][0], kinds[3][0]] == ["TypeError", "KeyboardInterrupt", "SystemExit"]
    assert "ValueError" in kinds[1] and "has already been set" in handled[1][1]
    assert "the text and nothing else" in child.lines
    assert not any("Traceback" in line for line in child.lines if not line.startswith("{"))


def test_what_the_arrays_are(simulation, start):
    child = see(simulation, start, "data", 2)
    first, second = [one for one in said(child) if "chunks" in one]
    assert first["chunks"] == [[2, 2], [3]] and first["dtype"] == "float64"
    assert not first["here"] and not first["writeable"]
    assert second["t"] == 1 and second["most"] > first["most"]
    assert len(first["mean"]) == 3


def test_an_assertion_ends_the_analytics(simulation, start):
    child = see(simulation, start, "fails", 3)
    assert child.wait(20) != 0
    assert not any("handled" in one for one in said(child))
    assert any("AssertionError: an assertion" in line for line in child.lines)


def test_a_process_has_one_session(simulation, start):
    child = see(simulation, start, "again", 1)
    (refused,) = [one for one in said(child) if "handled" in one]
    assert "ActorAlreadyExistsError" in refused["handled"]


def field_of(t: int) -> np.ndarray:
    """As rank.c fills a chunk: from the first value on."""
    return np.concatenate([10.0 * t + i + np.arange(6.0).reshape(2, 3) for i in range(2)])


def other_of(t: int) -> np.ndarray:
    return np.concatenate([t + np.arange(6.0).reshape(2, 3)] * 2)


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("distributed", ["0", "1"])
def test_what_deisa_ray_documents_works_with_either_scheduler(
    simulation, start, tmp_path, distributed, nodes
):
    """Several windows, `when="OR"`, results that stay in Ray, Zarr and HDF5; tasks placed by Ray, and by the
    node actors. The array `other` comes every second timestep."""
    steps = 6
    command = [sys.executable, "-P", str(PROGRAMS / "analytics_stores.py"), str(tmp_path)]
    variables = {**simulation.cluster.environment, "DEISA_DISTRIBUTED_SCHEDULING": distributed}
    child = after(simulation, start("analytics", command, variables), steps, every=2, nodes=nodes)
    lines = said(child)
    assert child.status() == 0 and lines[-1].get("event") == "ended", child.lines
    assert len(lines[-1]["jobs"]) == nodes
    if distributed == "1":  # else Ray would end the workers of these tasks after each compute
        assert set(lines[-1]["jobs"].values()) == {lines[-1]["own"]}

    windows = {one["fields"][-1]: one for one in lines if one.get("callback") == "windows"}
    assert list(windows) == [0, 2, 4]  # both arrays
    for t, one in windows.items():
        fields = list(range(max(0, t - 2), t + 1))
        assert (one["fields"], one["others"]) == (fields, fields[::2][-2:])
        assert one["mean"] == np.mean([field_of(step) for step in fields])
        assert one["product"] == (field_of(t) @ other_of(t).T).sum()
        assert one["rows"] == [10.0 * (t - fields[0])] * 4
        assert one["kept"] == (field_of(t) + 1.0).sum()

    either = [one for one in lines if one.get("callback") == "either"]
    assert {one["t"][0] for one in either} >= set(range(1, steps))
    for one in either:
        assert one["field"] == field_of(one["t"][0]).sum() and one["other"] == other_of(one["t"][1]).sum()
        assert one["t"][1] % 2 == 0

    for t in windows:
        assert_stored(tmp_path, t)


def assert_stored(folder: Path, t: int) -> None:
    assert np.array_equal(zarr.open(folder / f"field-{t}.zarr", mode="r")[:], field_of(t))
    with h5py.File(folder / f"{t}.h5") as both, h5py.File(folder / f"other-{t}.h5") as other:
        assert np.array_equal(both["field"][:], field_of(t))
        assert np.array_equal(both["other"][:], other_of(t))
        assert np.array_equal(other["other"][:], other_of(t))
