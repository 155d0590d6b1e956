"""What reaches the analytics, in which order and when a send returns, with the real node actor."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import ray as ray_api
from processes import kill_tree
from simulation import (
    COMMUNICATOR,
    CONNECTION,
    CONTRACT,
    NAMESPACE,
    OK,
    REPORTED,
    Rank,
    Simulation,
    actor_entry,
    succeed,
    task_events,
    together,
    until,
)

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

ROWS, COLUMNS = [6, 4], [4, 3]
"""Extents per grid line: 10 x 7 points over 2 x 2 ranks."""


def array(shape: list[int], grid: list[int], position: list[int]) -> dict:
    return {
        "chunk_shape": shape,
        "nb_chunks_per_dim": grid,
        "chunk_position": position,
        "dtype": "float64",
    }


def define(rank: Rank, **arrays: dict) -> None:
    rank.ok("define " + json.dumps(arrays))


def check_node_actor(simulation: Simulation) -> bytes:
    """Reads the node actor's options back from Ray. Its id."""
    (name,) = simulation.node_actors()
    node = ray_api.nodes()[0]["NodeID"]
    assert name == f"sched-{node}"
    entry = actor_entry(name)
    assert entry.is_detached and entry.ray_namespace == NAMESPACE
    assert entry.required_resources.get("CPU", 0.0) == 0.0
    assert entry.node_id.hex() == node
    handle = ray_api.get_actor(name, NAMESPACE)
    assert handle._ray_enable_task_events is False

    def inside(_actor) -> tuple[int, bool]:
        core = ray_api._private.worker.global_worker.core_worker
        return core.current_actor_max_concurrency(), core.current_actor_is_asyncio()

    concurrency, asynchronous = ray_api.get(handle.__ray_call__.remote(inside))
    assert concurrency >= 1_000_000 and asynchronous
    return entry.actor_id


def check_task_events(actor_id: bytes) -> None:
    # Events arrive within seconds: once those of a later task are there, the actor's would be.
    probe = ray_api.remote(num_cpus=0)(lambda: 7)
    assert ray_api.get(probe.options(name="probe").remote()) == 7
    until(lambda: "probe" in dict(task_events()), "the events of a task")
    # But for the one call of the start that comes from Java, whose API cannot switch them off.
    names = {name for name, actor in task_events() if actor == actor_id}
    assert names <= {"NodeActor.deisa_finalise"}


def test_uneven_chunks_orders_and_violations(simulation: Simulation):
    """Four ranks on a node, which is read back from Ray first."""
    watch = simulation.analytics("field", "line", "sometimes")
    ranks = simulation.start(4)
    places = [(i, j) for i in range(2) for j in range(2)]
    for i, rank in enumerate(ranks):
        row, column = places[i]
        define(
            rank,
            field={
                "chunk_shape": [ROWS[row], COLUMNS[column]],
                "global_shape": [sum(ROWS), sum(COLUMNS)],
                "start": [sum(ROWS[:row]), sum(COLUMNS[:column])],
                "dtype": "float64",
            },
            line=array([[3, 3, 2, 2][i]], [4], [i]),
            sometimes=array([1], [4], [i]),
        )
    succeed(simulation.ready(ranks))
    actor_id = check_node_actor(simulation)

    def send_all(rank: int, t: int) -> list[str]:
        row, column = places[rank]
        calls = [
            f"send field {t} {ROWS[row] * COLUMNS[column]} {1000 * t + 100 * rank}",
            f"send line {t} {[3, 3, 2, 2][rank]} {1000 * t + 100 * rank}",
        ]
        # All leave `sometimes` out of the odd timesteps.
        return calls + ([f"send sometimes {t} 1 {rank}"] if t % 2 == 0 else [])

    def refused(rank: Rank, call: str, words: str) -> None:
        result = rank.call(call)
        assert result["status"] == CONTRACT and words in result["message"], result

    # Rank 0 is two timesteps ahead of the others, who send their arrays in other orders.
    for t in range(2):
        ranks[0].ok(*send_all(0, t))
    refused(ranks[0], "send field 1 24 0", "timestep 1 was sent before")
    refused(ranks[0], "send field 0 24 0", "is older than the last one")
    refused(ranks[0], "send sometimes 0 1 0", "was sent before")
    refused(ranks[0], "send pressure 2 1 0", "unknown array 'pressure'")
    refused(ranks[0], "put line 3 0", "outside a step")
    refused(ranks[0], "close 0", "at least the newest timestep")
    for t in range(2):
        for i in (3, 1, 2):
            calls = send_all(i, t)
            ranks[i].ok(*(calls if i == 1 else reversed(calls)))
    # Timestep 2 as steps; the ranks put their arrays in opposite orders.
    for i, rank in enumerate(ranks):
        puts = [re.sub(r"send (\w+) 2 ", r"put \1 ", call) for call in send_all(i, 2)]
        rank.ok("begin 2", *(puts if i % 2 else reversed(puts)), "end")
        refused(rank, "begin 2", "older than expected")
    # Timestep 3 is empty on all ranks; timestep 7 follows 4.
    for rank in ranks:
        rank.ok("begin 3", "end")
    for t in (4, 7):
        for i, rank in enumerate(ranks):
            rank.ok(*send_all(i, t))
    check_task_events(actor_id)
    succeed(together(ranks, "close 8"))

    seen = watch.finish()
    assert sorted(seen["field"]) == sorted(seen["line"]) == [0, 1, 2, 4, 7]
    assert sorted(seen["sometimes"]) == [0, 2, 4]
    steps = [one["t"] for one in watch.of("step")]
    assert steps == sorted(steps), "every array of a timestep before any of the next"
    for t, one in seen["field"].items():
        blocks = [
            [(1000 * t + 100 * (2 * i + j) + np.arange(r * c)).reshape(r, c) for j, c in enumerate(COLUMNS)]
            for i, r in enumerate(ROWS)
        ]
        assert one["shape"] == [10, 7] and one["chunks"] == [ROWS, COLUMNS]
        assert one["values"] == np.block(blocks).tolist()
        assert seen["line"][t]["chunks"] == [[3, 3, 2, 2]]
        line = [1000 * t + 100 * i + k for i, n in enumerate([3, 3, 2, 2]) for k in range(n)]
        assert seen["line"][t]["values"] == line


def hold_event_loop(simulation: Simulation) -> None:
    """The node actor's Python stands still until the file `go` exists. Its native receiver does not."""
    (name,) = simulation.node_actors()
    go, held = str(simulation.folder / "go"), simulation.folder / "held"

    def hold(actor) -> None:
        import os
        import time

        def stand_still() -> None:
            open(held, "w").close()
            while not os.path.exists(go):
                time.sleep(0.01)

        actor._deisa_host._service._loop.call_soon_threadsafe(stand_still)

    ray_api.get_actor(name, NAMESPACE).__ray_call__.remote(hold)
    until(held.exists, "the event loop to be held")


def test_what_each_level_of_acknowledgement_promises(simulation: Simulation):
    """Rank 0 waits for `announced`, rank 1 for `stored`, rank 2 for `received`."""
    watch = simulation.analytics("shared", "mine")
    levels = ["announced", "stored", "received"]
    ranks = simulation.start(3, lambda rank: {"ACKNOWLEDGE": levels[rank], "COMM_TIMEOUT": "60"})
    for i, rank in enumerate(ranks[:2]):
        define(rank, shared=array([2], [2], [i]))
    define(ranks[2], mine=array([2], [1], [0]))
    succeed(simulation.ready(ranks))

    # announced: not before the neighbour's chunk is there too, no rank can send anything older, and the head
    # actor knows it.
    ranks[0].ask("send shared 0 2 10")
    status = until(
        lambda: (s := simulation.node_status())["chunks_stored"] == 1 and s, "the chunk to be stored"
    )
    assert "rank 1" in status["waits_for"]
    assert not ranks[0].has_answered and status["sets_announced"] == 0
    # stored: an object in the store when the call returns, whatever others do.
    ranks[1].ok("send shared 0 2 20")
    until(
        lambda: "until rank 2 reaches timestep 0" in simulation.node_status()["waits_for"],
        "the node actor to wait for rank 2",
    )
    assert not ranks[0].has_answered
    ranks[2].ok("send mine 0 2 29")
    assert ranks[0].answer()["status"] == OK
    status = simulation.node_status()
    assert status["chunks_stored"] == 3 and status["sets_announced"] >= 1

    # received: the node actor holds the bytes, before any of its Python has run; and the sender may die.
    hold_event_loop(simulation)
    ranks[1].ask("send shared 1 2 21")
    ranks[2].ok("send mine 1 2 30")
    ranks[2].kill()
    assert not ranks[1].has_answered, "nothing is stored while the node actor stands still"
    (simulation.folder / "go").touch()
    # The death is told to all: by this call or by the next.
    assert ranks[1].answer()["status"] in (OK, REPORTED)
    until(lambda: simulation.node_status()["chunks_stored"] == 5, "all chunks to be stored")
    until(lambda: 2 not in simulation.node_status()["live"], "the death to be seen")

    # A failure after the return is reported by the next call: rank 0 never sends timestep 1 of `shared`. What
    # `begin` returns is about the step alone, which has begun.
    told = ranks[0].call("begin 2")
    assert told["status"] == OK and "rank 2 died after it sent timestep 1" in told["message"], told
    said = "rank 2 died after it sent timestep 1"
    until(lambda: any(said in line for line in list(ranks[0].errors)), "the handler's line")
    ranks[0].ok("end")
    until(lambda: simulation.node_status()["chunks_failed"] == 1, "the incomplete timestep to fail")
    ranks[1].ask("send shared 2 2 22")
    late = ranks[1].answer()
    assert late["status"] == REPORTED, late
    report = "rank 1, array 'shared', timestep 1: connection failure: an earlier call failed: "
    report += "array 'shared', timestep 1 was not announced: rank 0 skipped timestep 1. Nor is what follows"
    until(lambda: any(report in line for line in ranks[1].errors), "the report")
    assert any("rank 2 died" in line for line in ranks[1].errors)
    # The call that reported it has done its own work: rank 0 skipped timestep 2 before, so that fails too,
    # for the same cause, which is not said again.
    failed = until(lambda: (r := ranks[1].call("flush"))["status"] != OK and r, "timestep 2 to fail")
    assert failed["timestep"] == 2 and "rank 0 skipped timestep 1. Nor is" in failed["message"]
    assert sum("skipped" in line for line in ranks[1].errors) == 1

    # close with a barrier that fails: rank 2 is dead. The error is reported, the analytics end.
    for result in together(ranks[:2], "close 3"):
        assert result["status"] == REPORTED and result["message"], result
    seen = watch.finish()
    assert seen["shared"][0]["values"] == [10.0, 11.0, 20.0, 21.0]
    assert seen["mine"][1]["values"] == [30.0, 31.0], "what was received survives its sender"
    assert sorted(seen["shared"]) == [0]


def test_a_rank_that_dies_in_a_step_is_named_to_its_neighbours(simulation: Simulation):
    watch = simulation.analytics("field")
    ranks = simulation.start(
        3, lambda _: {"ACKNOWLEDGE": "announced", "ERRORS": "return", "COMM_TIMEOUT": "30"}
    )
    for i, rank in enumerate(ranks):
        define(rank, field=array([1], [3], [i]))
    succeed(simulation.ready(ranks))
    for i, rank in enumerate(ranks):
        rank.ask(f"send field 0 1 {i}")
    succeed([rank.answer() for rank in ranks])
    for i in (0, 1):
        ranks[i].ask(f"send field 1 1 {i}")
    until(lambda: simulation.node_status()["chunks_stored"] == 5, "both chunks to be stored")
    ranks[2].kill()
    for i in (0, 1):
        result = ranks[i].answer()
        assert result["status"] == CONNECTION, result
        assert (result["rank"], result["array"], result["timestep"]) == (i, "field", 1)
        assert "rank 2 died after it sent timestep 0" in result["message"]
    for result in together(ranks[:2], "close 2"):
        assert result["status"] == COMMUNICATOR, result
    assert sorted(watch.finish()["field"]) == [0]


def test_a_killed_node_actor_is_reported_and_the_simulation_goes_on(simulation: Simulation):
    """The default exception handler: rank, array, timestep and what is lost on stderr, once; then a count."""
    simulation.analytics("a")
    (rank,) = simulation.start(1, lambda _: {"ACKNOWLEDGE": "stored", "SEND_TIMEOUT": "60"})
    define(rank, a=array([2], [1], [0]))
    rank.ok("ready", "send a 0 2 0")
    kill_tree([simulation.node_status()["pid"]])
    for t in range(1, 4):
        result = rank.call(f"send a {t} 2 0")
        assert result["status"] == REPORTED and result["message"], result
    assert rank.call("close 4")["status"] == REPORTED
    assert rank.end() == 0
    errors = "\n".join(rank.errors)
    assert "deisa: rank 0, array 'a', timestep 1: connection failure: the node actor is gone" in errors
    assert re.search(r"\. See its log, /.+/worker-\S+\.err\n", errors), errors
    assert errors.count("connection failure") == 2 and "called from" not in errors, errors
    assert re.search(r"\d more failures were counted and not reported", errors), errors
