"""How a simulation starts on a real Ray: its node actors, their classes, and all that can be missing."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import ray as ray_api
from simulation import (
    CONNECTION,
    CONTRACT,
    NAMESPACE,
    OK,
    PROGRAMS,
    TIMEOUT,
    Rank,
    Simulation,
    Watch,
    succeed,
    together,
    until,
)

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

ONE_CHUNK = (
    '{"%s": {"chunk_shape": [4], "nb_chunks_per_dim": [1], "dtype": "float64", "chunk_position": [0]}}'
)


def custom_class(simulation: Simulation) -> str:
    """A folder that Ray's workers import from, with this package and programs/node_actors.py."""
    package = Path(__file__).resolve().parents[2] / "python" / "deisa_bridge"
    (simulation.folder / "deisa_bridge").symlink_to(package)
    shutil.copy(PROGRAMS / "node_actors.py", simulation.folder)
    return str(simulation.folder)


def test_two_nodes_another_class_and_two_bridges_one_after_the_other(simulation: Simulation):
    """Some arrays live on one node only, and node b announces slowly: order across the nodes must hold all
    the same. Then the same processes do it again, with a new bridge each and new analytics."""
    path = custom_class(simulation)
    watch = simulation.analytics("on_a", "on_b", "shared")
    ranks = simulation.start(
        2,
        lambda rank: {
            "NODE_ID": "ab"[rank],
            "CONTROL": ["java", "python"][rank],
            "NODE_ACTOR": "node_actors:Recorder",
            "PYTHON_PATH": path,
            "ANNOUNCE_DELAY": "0" if rank == 0 else "0.2",
        },
    )
    run_on_two_nodes(simulation, ranks, watch)
    for rank in ranks:
        rank.ok("open")
    run_on_two_nodes(simulation, ranks, simulation.analytics("on_a", "on_b", "shared"))
    for rank in ranks:
        result = rank.call("send shared 5 2 0")
        assert result["status"] == CONTRACT and "closed" in result["message"], "a send after close"
        assert rank.call("close 9")["status"] == OK, "close is idempotent"
        assert rank.end() == 0


def run_on_two_nodes(simulation: Simulation, ranks: list[Rank], watch: Watch) -> None:
    for i, rank in enumerate(ranks):
        rank.ok(
            "define " + ONE_CHUNK % f"on_{'ab'[i]}",
            'define {"shared": {"chunk_shape": [2], "nb_chunks_per_dim": [2], "dtype": "float64", '
            f'"chunk_position": [{i}]}}}}',
        )
    succeed(simulation.ready(ranks))
    assert simulation.node_actors() == ["sched-a", "sched-b"]
    # Rank 0 is ahead, rank 1 leaves its own array out of timestep 1.
    for t in range(3):
        ranks[0].ok(f"send on_a {t} 4 {t}", f"send shared {t} 2 {t}")
    for t in range(3):
        ranks[1].ok(f"send shared {t} 2 {10 + t}", *([f"send on_b {t} 4 {t}"] if t != 1 else []))
    recorder = ray_api.get_actor("sched-b", NAMESPACE)
    succeed(together(ranks, "close 3"))
    assert sorted(map(tuple, ray_api.get(recorder.recorded.remote()))) == [
        (1, "on_b", 0),
        (1, "on_b", 2),
        *((1, "shared", t) for t in range(3)),
    ]
    seen = watch.finish()
    assert sorted(seen["on_a"]) == [0, 1, 2] and sorted(seen["on_b"]) == [0, 2]
    assert [seen["shared"][t]["values"] for t in range(3)] == [[t, t + 1, t + 10, t + 11] for t in range(3)]
    steps = [one["t"] for one in watch.of("step")]
    assert steps == sorted(steps), "every array of a timestep before any of the next"


def test_a_class_that_fails_is_tried_init_retries_times(simulation: Simulation):
    path = custom_class(simulation)
    simulation.analytics("a").wait_started()
    ranks = simulation.start(
        2,
        lambda _: {
            "NODE_ID": "x",
            "CONTROL": "java",
            "NODE_ACTOR": "node_actors:Broken",
            "PYTHON_PATH": path,
            "INIT_RETRIES": "2",
        },
    )
    ranks[1].ok("define " + ONE_CHUNK % "a")
    first, second = simulation.ready(ranks)
    assert first["status"] == second["status"] == CONNECTION
    assert first["message"] == second["message"]
    assert "Failed to create/ready scheduling actor for node x" in first["message"]
    assert "attempt 2 of 2" in first["message"]
    assert "RuntimeError: this node has no room for an actor" in first["message"]
    assert (simulation.folder / "attempts").read_text() == "x\nx\n"
    # A class that is not there at all.
    (rank,) = simulation.start(1, lambda _: {"NODE_ID": "y", "NODE_ACTOR": "node_actors:Nothing"})
    result = rank.call("ready")
    assert result["status"] == CONTRACT
    assert "Failed to create/ready scheduling actor for node y" in result["message"]
    assert "'node_actors:Nothing' cannot be loaded" in result["message"]


def test_without_analytics_every_rank_says_so_at_the_time_out(simulation: Simulation):
    """The least ready_timeout counts, and the node actor answers while it waits for the head actor."""
    # Long enough for a JVM and two node actors on a machine that does other things.
    limit = 30.0
    least = {"READY_TIMEOUT": str(limit), "WAIT_NOTICE": "5"}
    ranks = simulation.start(
        3, lambda rank: {"NODE_ID": "aab"[rank]} | (least if rank == 1 else least | {"READY_TIMEOUT": "600"})
    )
    ranks[0].ok("define " + ONE_CHUNK % "a")
    for rank in ranks:
        rank.ask("ready")

    def connected(actor: str) -> dict | None:
        if actor not in simulation.node_actors():
            return None
        status = simulation.call(actor, "deisa_status")
        return status if status.get("live") else None

    first = until(lambda: connected("sched-a"), "the ranks to connect to their node actor")
    session = first["session"]
    assert first["live"] and not first["finalised"]
    # It waits for the head actor now; each call is answered meanwhile.
    longest = 0.0
    for _ in range(20):
        begun = time.monotonic()
        assert simulation.call("sched-a", "deisa_status")["session"] == session
        longest = max(longest, time.monotonic() - begun)
    assert not any(rank.has_answered for rank in ranks), "they still wait"
    assert longest < 5.0

    results = [rank.answer() for rank in ranks]
    for result in results:
        assert result["status"] == TIMEOUT
        assert result["message"] == results[0]["message"]
        assert limit - 5.0 < result["seconds"] < limit + 25.0
    line = next(line for line in ranks[0].errors if "for the analytics to start" in line)
    assert line.startswith("deisa: rank 0 has waited 5 s") and "Start the Python program" in line
    assert not any("has waited" in line for rank in ranks[1:] for line in rank.errors), "rank 0 only"
    for words in ("Failed to create/ready scheduling actor", "'simulation_head'", "start", "deisa.ray.Deisa"):
        assert words in results[0]["message"]
    assert ranks[0].call("send a 0 4 0")["status"] == CONTRACT


def test_children_of_ranks_end_nothing_and_hide_nothing(simulation: Simulation):
    """One of the leader's that leaves at once, and one that outlives its rank."""
    watch = simulation.analytics("a")
    ranks = simulation.start(2)
    for i, rank in enumerate(ranks):
        rank.ok(
            'define {"a": {"chunk_shape": [2], "nb_chunks_per_dim": [2], "dtype": "float64", '
            f'"chunk_position": [{i}]}}}}'
        )
    succeed(simulation.ready(ranks))
    result = ranks[0].call("fork")
    assert result["status"] == OK and result["seconds"] < 4.0, result
    for i, rank in enumerate(ranks):
        rank.ok(f"send a 0 2 {i}")
    child = int(ranks[1].call("fork_and_stay")["message"])
    try:
        ranks[1].process.kill()
        until(lambda: simulation.node_status()["live"] == [0], "the node actor to see that rank 1 died", 30.0)
    finally:
        os.kill(child, signal.SIGKILL)
    ranks[0].call("close 1")
    assert set(watch.finish()["a"]) == {0}


def test_a_communicator_of_the_programs_own(simulation: Simulation):
    import subprocess

    watch = simulation.analytics("rows")
    program = simulation.build / "bin" / "own_communicator"
    done = subprocess.run(
        [str(program), "3"],
        env=simulation.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), [done.stdout, done.stderr, sys.platform]
    seen = watch.finish()["rows"]
    for t in range(3):
        assert seen[t]["values"] == [[100.0 * t + 10.0 * rank + i for i in range(5)] for rank in range(3)]
