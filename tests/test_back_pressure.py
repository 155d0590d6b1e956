"""Back-pressure: C ranks, the real node actor, a small object store, and analytics that a test holds."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deisa_bridge.node.store import Store
from local_ray import LocalRay
from processes import Child
from simulation import (
    CONTRACT,
    OK,
    PATIENCE,
    PROGRAMS,
    TIMEOUT,
    Rank,
    Simulation,
    Watch,
    joined,
    succeed,
    together,
    until,
)

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

SKIPPED, RESOURCE = 1, -6
STORE = 80 << 20
"""Bytes; Ray wants 75 MiB at least."""
COUNT = 1 << 17
"""Elements of a chunk, 1 MiB."""
MIB = 1 << 20
ALL = 10**9


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    reports = {"RAY_debug_dump_period_milliseconds": "500"}
    with joined(STORE, reports) as local:
        yield local


@pytest.fixture
def simulation(cluster: LocalRay, built: Path) -> Iterator[Simulation]:
    one = Simulation(cluster, built)
    try:
        before = cluster.spills()
        yield one
        assert cluster.spills() == before
    finally:
        one.end()


class Paced(Watch):
    """programs/paced.py, which takes as many timesteps as `allow` says."""

    def __init__(self, simulation: Simulation, window: int = 1, seconds: float = 0.0) -> None:
        self._file = simulation.folder / "allowed"
        self.allow(0)
        command = [sys.executable, "-P", str(PROGRAMS / "paced.py"), "field", str(self._file)]
        command += [str(window), str(seconds)]
        self.child = Child("analytics", command, simulation.cluster.environment, show=False)
        simulation.watches.append(self)

    def allow(self, timesteps: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(timesteps))
        new.rename(self._file)

    def finish(self) -> list[int]:
        """The timesteps that were analysed, all with the right values."""
        seen = super().finish()["field"]
        assert all(one["right"] for one in seen.values()), seen
        return sorted(seen)


def start(
    simulation: Simulation,
    size: int = 2,
    window: int = 1,
    nodes: str = "",
    seconds: float = 0.0,
    **options: object,
) -> tuple[Paced, list[Rank]]:
    analytics = Paced(simulation, window, seconds)
    given = {"ERRORS": "return", "WINDOW": str(window)} | {
        key.upper(): str(value) for key, value in options.items()
    }
    ranks = simulation.start(size, lambda rank: given | ({"NODE_ID": nodes[rank]} if nodes else {}))
    for i, rank in enumerate(ranks):
        field = {
            "chunk_shape": [COUNT],
            "nb_chunks_per_dim": [size],
            "chunk_position": [i],
            "dtype": "float64",
        }
        rank.ok("define " + json.dumps({"field": field}))
    return analytics, ranks


def fill(ranks: list[Rank], t: int) -> None:
    """What is put into the step that has begun; it is over."""
    for i, rank in enumerate(ranks):
        rank.ok(f"put field {COUNT} {1000 * t + i}", "end")


def begin(ranks: list[Rank], t: int) -> set[int]:
    return {one["status"] for one in together(ranks, f"begin {t}")}


def threshold(mib: float) -> float:
    return mib * MIB / STORE


def test_block(simulation: Simulation):
    """Both ranks are held while the store is full, then go on; the store stays below the threshold."""
    analytics, ranks = start(simulation, store_threshold=threshold(16), block_timeout=PATIENCE)
    succeed(simulation.ready(ranks))
    store, begun, used = Store(), 0, []
    while True:
        for rank in ranks:
            rank.ask(f"begin {begun}")
        held = until(
            lambda: (
                all(rank.has_answered for rank in ranks)
                or (simulation.node_status()["waiting_at_gate"] == [0, 1] and "held")
            ),
            "the ranks to be admitted, or to be held",
        )
        if held == "held":
            break
        assert all(rank.answer()["status"] == OK for rank in ranks)
        fill(ranks, begun)
        begun += 1
        used.append(store.read().used)
        assert begun < 8, "16 MiB were allowed, and a timestep has 2 MiB"
    assert begun >= 4
    assert "% full" in simulation.node_status()["gate"]
    analytics.allow(ALL)
    for t in range(begun, 40):
        if t > begun:
            for rank in ranks:
                rank.ask(f"begin {t}")
        assert all(rank.answer()["status"] == OK for rank in ranks)
        fill(ranks, t)
        used.append(store.read().used)
    succeed(together(ranks, "close 40"))
    assert analytics.finish() == list(range(40))
    assert max(used) <= 16 * MIB


def test_block_ends_at_its_time_out_and_a_dead_analytics_ends_the_wait(simulation: Simulation):
    analytics, ranks = start(simulation, size=1, store_threshold=threshold(8), block_timeout=0.5)
    succeed(simulation.ready(ranks))
    (rank,) = ranks
    t = 0
    while (result := rank.call(f"send field {t} {COUNT} {1000 * t}"))["status"] == OK:
        t += 1
        assert t <= 8
    assert result["status"] == TIMEOUT and result["timestep"] == t, result
    for text in (f"timestep {t} may not begin: the object store of this node is", "% full", "block_timeout"):
        assert text in result["message"]
    assert 0.4 < result["seconds"] < PATIENCE
    # Nobody will ever make room again.
    analytics.child.end(grace=0.0)
    until(
        lambda: rank.call(f"send field {t} {COUNT} 0")["status"] not in (TIMEOUT, RESOURCE),
        "the rank to go on",
    )


def test_nothing_is_spilled_with_default_settings(simulation: Simulation):
    """The analytics compute whole arrays, whose copies lie in the object store until they are collected. With
    store_threshold = 0.8, Ray spills."""
    analytics, ranks = start(simulation, size=4, seconds=0.1)
    analytics.allow(ALL)
    succeed(simulation.ready(ranks))
    for t in range(40):
        succeed(together(ranks, f"begin {t}"))
        fill(ranks, t)
    succeed(together(ranks, "close 40"))
    assert analytics.finish() == list(range(40))


@pytest.mark.parametrize("nodes", ["", "ab"], ids=["one node", "two nodes"])
def test_skip(simulation: Simulation, nodes: str):
    """The steps that were skipped were so on both ranks, and the analytics saw exactly the others."""
    # `stored`: what is in flight is no reason to skip.
    options = {"when_full": "skip", "acknowledge": "stored", "store_threshold": threshold(24)}
    analytics, ranks = start(simulation, window=3, nodes=nodes, **options)
    succeed(simulation.ready(ranks))
    sent, skipped = [], []
    # The analytics get going when three timesteps have been skipped.
    for t in range(60):
        results = begin(ranks, t)
        assert len(results) == 1, f"timestep {t}: {results}"
        if results == {OK}:
            fill(ranks, t)
            sent.append(t)
            continue
        assert results == {SKIPPED}
        skipped.append(t)
        if len(skipped) % 2:  # puts and end may be called all the same
            fill(ranks, t)
        if len(skipped) >= 3:
            analytics.allow(len(sent))
            until(lambda: len(analytics.of("step")) >= len(sent), "the analytics to catch up")
    assert len(sent) >= 8 and skipped[0] >= 4
    for rank in ranks:
        assert rank.call("statistics")["message"].startswith(f"{len(sent)} sent, {len(skipped)} skipped")
    analytics.allow(ALL)
    succeed(together(ranks, "close 60"))
    assert analytics.finish() == sent
    gap = next(t for t in sent if t > skipped[0])
    window = next(one["window"] for one in analytics.of("step") if one["t"] == gap)
    assert window == sent[sent.index(gap) - 2 : sent.index(gap) + 1], "the window spans the gap"


def test_fail(simulation: Simulation):
    options = {"when_full": "fail", "acknowledge": "stored", "store_threshold": threshold(8)}
    analytics, ranks = start(simulation, size=1, **options)
    succeed(simulation.ready(ranks))
    (rank,) = ranks
    t = 0
    while (result := rank.call(f"begin {t}"))["status"] == OK:
        fill(ranks, t)
        t += 1
        assert t <= 8
    assert result["status"] == RESOURCE and result["timestep"] == t, result
    assert "% full" in result["message"] and "when_full is fail" in result["message"]
    assert t >= 4
    analytics.allow(ALL)
    until(lambda: rank.call(f"begin {t}")["status"] == OK, "room again")
    fill(ranks, t)
    succeed(together(ranks, f"close {t + 1}"))
    assert analytics.finish() == list(range(t + 1))


def test_max_ahead(simulation: Simulation):
    """Two timesteps may wait for the analytics, while one is at work."""
    options = {"when_full": "fail", "acknowledge": "stored", "max_ahead": 2}
    _, ranks = start(simulation, **options)
    succeed(simulation.ready(ranks))

    def refused() -> dict | None:
        nonlocal t
        results = together(ranks, f"begin {t}")
        if {one["status"] for one in results} == {OK}:
            fill(ranks, t)
            t += 1
            assert t <= 6, "it ran too far ahead"
            return None
        return next(one for one in results if one["status"] != OK)

    t = 0
    result = until(refused, "the ranks to be refused")
    assert result["status"] == RESOURCE and "max_ahead is 2" in result["message"], result
    assert 2 <= t <= 4


def test_a_late_rank_completes_what_has_begun(simulation: Simulation):
    """The store has room for nothing but the late rank's chunks of the timesteps that the other has sent."""
    analytics, ranks = start(simulation, store_threshold=threshold(8), block_timeout=PATIENCE)
    analytics.allow(ALL)
    succeed(simulation.ready(ranks))
    fast, late = ranks
    t = 0
    while True:
        fast.ask(f"begin {t}")
        until(
            lambda: fast.has_answered or simulation.node_status()["waiting_at_gate"] == [0],
            "the fast rank to be admitted, or to be held",
        )
        if not fast.has_answered:
            break
        assert fast.answer()["status"] == OK
        fill([fast], t)
        t += 1
        assert t <= 4
    for late_t in range(t):
        late.ok(f"begin {late_t}", f"put field {COUNT} {1000 * late_t + 1}", "end")
    assert fast.answer()["status"] == OK, "it goes on by itself"
    fill([fast], t)
    late.ok(f"begin {t}", f"put field {COUNT} {1000 * t + 1}", "end")
    succeed(together(ranks, f"close {t + 1}"))
    assert analytics.finish() == list(range(t + 1))


def test_a_stopped_node_actor_is_named(simulation: Simulation):
    """As the reason for each wait; when it goes on, everything arrives."""
    analytics, ranks = start(simulation, size=1, acknowledge="stored", send_timeout=1, block_timeout=1)
    analytics.allow(ALL)
    succeed(simulation.ready(ranks))
    (rank,) = ranks
    pid = simulation.node_status()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        # Two are in flight, and the third may not begin.
        results = [rank.call(f"send field {t} {COUNT} {1000 * t}") for t in range(3)]
    finally:
        os.kill(pid, signal.SIGCONT)
    for result in results:
        assert result["status"] == TIMEOUT, result
        assert f"the node actor (process {pid}) is stopped (state T in /proc/{pid}/stat)" in result["message"]
        assert "object-store-memory" not in result["message"]
    rank.ok("begin 2")
    fill([rank], 2)
    rank.ok("close 3")
    assert analytics.finish() == [0, 1, 2]


def test_a_window_that_cannot_fit_is_refused(simulation: Simulation):
    _, ranks = start(simulation, window=50)
    for result in simulation.ready(ranks):
        assert result["status"] == CONTRACT, result
        for text in (
            "a timestep of this node has 2.0 MiB",
            "window = 50",
            "102.0 MiB are needed",
            "which has 80.0 MiB",
            "--object-store-memory",
        ):
            assert text in result["message"]
