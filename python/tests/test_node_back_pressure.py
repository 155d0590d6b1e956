"""Back-pressure on a real Ray: fake ranks, the node actor, deisa-ray's analytics.

The cluster's store has 300 MB; the threshold is so low that a few chunks reach it.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import ray
from conftest import until
from fake_rank import Chunk

from deisa_bridge.node.gate import Usage
from deisa_bridge.node.store import Store

pytestmark = pytest.mark.ray

SHAPE = (256, 1024)  # 2 MiB
STEP = 2 * 2**20
CAPACITY = 300_000_000


def start(
    simulation, ranks: int = 1, nodes: tuple[str, ...] = ("",), analytics: dict | None = None, **limits
) -> list:
    """Ranks with a chunk of 2 MiB each, on the nodes in turn; one timestep in flight each."""
    simulation.start_analytics(**({"arrays": {"field": 1}, "light": True} | (analytics or {})))
    for node in nodes:
        reply = simulation.prepare(node)
        assert "error" not in reply, reply
    chunks = [Chunk("field", SHAPE, (ranks, 1), (i, 0)) for i in range(ranks)]
    started = [
        simulation.rank(i, [c], node=nodes[i % len(nodes)], world_size=ranks, slots=1)
        for i, c in enumerate(chunks)
    ]
    replies = simulation.finalise(limits=limits)
    assert replies == [{}] * len(nodes), replies
    for rank in started:
        rank.poll(0.01)
    return started


def data(t: int) -> dict:
    return {"field": np.full(SHAPE, t)}


def threshold(mib: float) -> float:
    """For so much of the store."""
    return mib * 2**20 / CAPACITY


def test_the_store_is_read_on_this_node(ray_address):
    store = Store()
    before = store.read()
    assert store.sees_everything and abs(before.capacity - CAPACITY) < 1000
    reference = store.put(np.ones(STEP, np.uint8), STEP)
    assert store.read().used - before.used == pytest.approx(STEP, abs=4096)
    other = ray.put(np.ones(STEP, np.uint8))
    assert store.read().used - before.used == pytest.approx(2 * STEP, abs=8192), "what others put counts too"
    del reference, other
    until(lambda: store.read().used <= before.used + 4096, 10.0, "the objects to go")


def test_where_ray_reports_no_usage_own_objects_are_counted(ray_address):
    store = Store()
    own = Store()
    own._counts_own = True
    references = [own.put(np.ones(STEP, np.uint8), STEP)]
    outer = ray.put(references)
    references.clear()
    assert own.read() == Usage(STEP, store.read().capacity), "another object refers to it"
    del outer
    until(lambda: own.read().used == 0, 10.0, "the object to go")


def test_a_window_that_can_never_fit_is_refused_before_the_analytics_are_waited_for(simulation):
    simulation.prepare()
    simulation.rank(0, [Chunk("field", SHAPE, (1, 1), (0, 0))])
    begun = time.monotonic()
    (reply,) = simulation.finalise(limits={"threshold": threshold(5.5), "window": 2})
    assert time.monotonic() - begun < 20.0 and reply["kind"] == "contract"
    for part in ("2.0 MiB", "window = 2", "6.0 MiB are needed", "5.5 MiB"):
        assert part in reply["error"], reply["error"]


def test_a_slow_analysis_holds_the_simulation_and_nothing_is_lost(simulation):
    (rank,) = start(simulation, analytics={"delay": 0.1}, threshold=threshold(9.0))
    highest, held = 0, 0
    for t in range(30):
        held += not rank.admitted(t)
        rank.wait_admitted(t)
        rank.step(t, data(t), last=True)
        status = simulation.call("deisa_status")
        highest = max(highest, status["store_used"] or 0)
    assert held > 10 and "store" in rank.held_by
    assert highest <= 9.0 * 2**20
    rank.close(30)
    assert [one["t"] for one in simulation.analytics.finish()] == list(range(30))


def test_a_late_rank_is_admitted_to_what_has_begun(simulation):
    """The store is as full as it may be, with chunks whose timesteps only the late rank can complete."""
    fast, late = start(simulation, ranks=2, threshold=threshold(13.0))
    begun = []
    while fast.ask(len(begun)):
        begun.append(fast.step(len(begun), data(0), last=True))
        assert len(begun) < 10
    # 12 MiB: at most three chunks in the store, and room for three of the late rank's.
    assert 2 <= len(begun) <= 3
    for text in ("% full", "are on the way", "next timestep has 4.0 MiB"):
        assert text in fast.held_by, fast.held_by
    for t in range(len(begun)):
        late.wait_admitted(t, timeout=5.0)
        late.step(t, data(0), last=True)
    for t in range(len(begun), 12):
        for rank in (fast, late):
            rank.wait_admitted(t)
            rank.step(t, data(0), last=True)
    late.close()
    fast.close(12)
    assert [one["t"] for one in simulation.analytics.finish()] == list(range(12))


def test_garbage_of_the_analytics_does_not_hold_the_simulation_for_ever(simulation):
    (rank,) = start(simulation, analytics={"garbage": True}, threshold=threshold(9.0))
    for t in range(6):
        rank.wait_admitted(t)
        rank.step(t, data(t), last=True)
    rank.close(6)
    assert len(simulation.analytics.finish()) == 6


def test_max_ahead_holds_the_simulation_near_the_analytics(simulation, tmp_path):
    go = tmp_path / "go"
    ranks = start(simulation, ranks=2, nodes=("a", "b"), analytics={"go": str(go)}, max_ahead=2)
    begun = 0
    while all([rank.ask(begun) for rank in ranks]):
        for rank in ranks:
            rank.step(begun, data(begun), last=True)
        begun += 1
    # Two may wait, one is at work, one was just begun.
    assert 2 <= begun <= 4
    assert "wait for the analytics, and max_ahead is 2" in ranks[0].held_by + ranks[1].held_by
    go.touch()
    for t in range(begun, 12):
        for rank in ranks:
            rank.wait_admitted(t)
            rank.step(t, data(t), last=True)
    ranks[1].close()
    ranks[0].close(12)
    assert [one["t"] for one in simulation.analytics.finish()] == list(range(12))


def test_what_ray_has_spilled_counts_as_used(ray_address, tmp_path):
    """The file stands for those that Ray writes; the object, for one of them that somebody needs."""
    store = Store()
    (folder,) = store._spill_folders
    assert folder.startswith(ray._private.worker.global_worker.node.get_session_dir_path())
    reference = store.put(np.ones(STEP, np.uint8), STEP)
    assert store.read().spilled == 0
    store._spill_folders = [str(tmp_path)]
    (tmp_path / "objects").write_bytes(bytes(1000))
    real, store._report = (
        store._report,
        lambda: store._logger.warning("(global lru) capacity: 300\n- bytes in use: 7\n"),
    )
    assert real is not None
    assert store.read() == Usage(STEP, 300, 1000)
    del reference
    until(lambda: store.read() == Usage(7, 300, 1000), 10.0, "the object to go")
