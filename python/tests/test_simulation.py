"""From fake ranks through the node actor to deisa-ray's analytics as published, on a real Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import NAMESPACE, PACKAGE_ROOT, clean_environment, until
from fake_rank import Chunk

pytestmark = pytest.mark.ray


def rows(name: str, count: int, dtype: str = "float64", shape: tuple[int, ...] = (3, 4)) -> list[Chunk]:
    """An array cut along its first dimension, one chunk per rank."""
    return [Chunk(name, shape, (count, 1), (i, 0), dtype) for i in range(count)]


def start(simulation, arrays: list[list[Chunk]], **analytics) -> list:
    """One node, rank i has arrays[i]; registered with running analytics."""
    names = {chunk.name: 1 for chunks in arrays for chunk in chunks}
    simulation.start_analytics(**({"arrays": names} | analytics))
    reply = simulation.prepare()
    assert "error" not in reply, reply
    ranks = [simulation.rank(i, chunks, world_size=len(arrays)) for i, chunks in enumerate(arrays)]
    assert simulation.finalise() == [{}]
    return ranks


def test_chunks_reach_the_analytics_as_views_of_the_object_store(simulation):
    chunks = rows("temperature", 2, shape=(300, 400))
    ranks = start(simulation, [[chunks[0]], [chunks[1]]])
    for t in range(4):
        for i, rank in enumerate(ranks):
            rank.step(t, {"temperature": np.full((300, 400), 10.0 * t + i)}, last=True)
    ranks[1].close()
    ranks[0].close(4)
    steps = simulation.analytics.finish()
    assert [one["t"] for one in steps] == [0, 1, 2, 3]
    for one in steps:
        seen = one["seen"]["temperature"]
        assert seen["shape"] == [600, 400]
        assert seen["sum"] == 120000 * (20.0 * one["t"] + 1)
        for block in seen["blocks"]:
            assert block["dtype"] == "float64" and not block["writeable"]
            assert "plasma" in block["where"], block


def test_chunks_differ_in_extent_and_every_dtype_arrives(simulation):
    dtypes = ["bool", "int8", "uint64", "float16", "complex128"]
    first = [Chunk(d, (3, 2), (2, 1), (0, 0), d) for d in dtypes]
    second = [Chunk(d, (2, 2), (2, 1), (1, 0), d) for d in dtypes]
    ranks = start(simulation, [first, second])
    data = [{d: np.ones(c.shape) for d, c in zip(dtypes, chunks, strict=True)} for chunks in (first, second)]
    # The two ranks send their arrays in opposite order, and alone: no deadlock.
    for name in dtypes:
        ranks[0].step(7, {name: data[0][name]})
    for name in reversed(dtypes):
        ranks[1].step(7, {name: data[1][name]})
    ranks[1].close()
    ranks[0].close(8)
    (one,) = simulation.analytics.finish()
    for name in dtypes:
        seen = one["seen"][name]
        assert seen["shape"] == [5, 2] and seen["sum"] == 10.0 and seen["blocks"][0]["dtype"] == name


def test_what_was_received_survives_the_simulation(simulation):
    """All ranks die right after the last send, while the analytics are slow: nothing is lost, and they
    end."""
    chunks = rows("field", 2)
    ranks = start(simulation, [[chunks[0]], [chunks[1]]], delay=0.2)
    for t in range(5):
        for i, rank in enumerate(ranks):
            rank.step(t, {"field": np.full((3, 4), t + i)}, last=True)
    for rank in ranks:
        rank.die()
    steps = simulation.analytics.finish()
    assert [(one["t"], one["seen"]["field"]["sum"]) for one in steps] == [
        (t, 12.0 * (2 * t + 1)) for t in range(5)
    ]


def test_a_rank_that_dies_in_a_step_is_named_to_its_neighbours(simulation):
    chunks, other = rows("field", 2), Chunk("mine", (2,), (1,), (0,))
    ranks = start(simulation, [[chunks[0], other], [chunks[1]]], when="OR")
    for rank in ranks:
        rank.step(0, {"field": np.zeros((3, 4))})
    ranks[0].step(0, {"mine": np.zeros(2)})
    sequence = ranks[0].step(1, {"field": np.ones((3, 4)), "mine": np.ones(2)}, last=True)
    ranks[1].die()
    failure = ranks[0].wait_failed(sequence)
    for word in ("rank 1", "died", "'field'", "timestep 1"):
        assert word in failure.text
    assert failure.timestep == 1 and failure.status < 0
    # What the dead rank does not owe goes on.
    ranks[0].wait_announced(ranks[0].step(2, {"mine": np.ones(2)}))
    ranks[0].close(3)
    steps = simulation.analytics.finish()
    assert [one["t"] for one in steps] == [0, 1, 2]
    assert steps[-1]["seen"]["field"]["t"] == 0


def test_abandon_by_bridge_0_ends_the_analytics_after_what_was_received(simulation):
    chunks = rows("field", 2)
    ranks = start(simulation, [[chunks[0]], [chunks[1]]])
    for t in range(2):
        for rank in ranks:
            rank.step(t, {"field": np.full((3, 4), t)}, last=True)
    ranks[0].step(2, {"field": np.full((3, 4), 2)}, last=True)
    ranks[0].bye(closed=False)
    ranks[1].step(2, {"field": np.full((3, 4), 2)}, last=True)
    ranks[1].bye(closed=False)
    assert [one["t"] for one in simulation.analytics.finish()] == [0, 1, 2]


def test_values_that_the_analytics_set_are_read_and_hidden(simulation):
    (chunk,) = rows("field", 1)
    (rank,) = start(simulation, [[chunk]], set={"dt": 0.5, "what": {"a": [1, None]}})
    assert rank.get("dt") == (2, "")
    rank.step(0, {"field": np.zeros((3, 4))}, last=True)
    rank.step(1, {"field": np.zeros((3, 4))}, last=True)
    until(lambda: rank.get("newest")[0] == 0, 30.0, "a value")
    assert rank.get("dt") == (0, 0.5)
    assert rank.get("what") == (0, {"a": [1, None]})
    status, array = rank.get("dt.array")
    assert status == 0 and array.shape == (30000,) and (array == 2.5).all()
    assert rank.get("dt", timestep=0) == (0, 0.5)
    assert rank.get("dt", timestep=99)[0] == 2
    until(lambda: rank.get("newest") == (0, 1), 30.0, "the newest value")
    rank.delete("newest")
    rank.delete("there is no such key")
    assert rank.get("newest")[0] == 2
    rank.step(2, {"field": np.zeros((3, 4))}, last=True)
    until(lambda: rank.get("newest") == (0, 2), 30.0, "a newer value")
    rank.close(3)
    simulation.analytics.finish()


def start_two_nodes(simulation, a: Chunk, b: Chunk, uniform: bool) -> list:
    """Rank 0 with chunk `a` on node "a"; rank 1 with `b` on node "b", whose actor announces slowly."""
    simulation.start_analytics(arrays={a.name: 1, b.name: 1})
    for node in ("a", "b"):
        reply = simulation.prepare(node, announce_delay=0.3 if node == "b" else 0.0)
        assert reply["actor"] == f"sched-{node}" and reply["node_id"] == node, reply
    ranks = [simulation.rank(0, [a], node="a", world_size=2), simulation.rank(1, [b], node="b", world_size=2)]
    assert simulation.finalise(uniform=uniform) == [{}, {}]
    return ranks


def test_the_end_marker_does_not_overtake_a_slow_node(simulation):
    chunks = rows("field", 2)
    ranks = start_two_nodes(simulation, *chunks, uniform=True)
    for t in range(3):
        for rank in ranks:
            rank.step(t, {"field": np.full((3, 4), t)}, last=True)
    # As deisa_close does if a flush fails: the marker is asked for while node b still announces.
    ranks[1].close()
    ranks[0].close(3)
    assert [one["t"] for one in simulation.analytics.finish()] == [0, 1, 2]


def test_arrays_on_different_nodes_are_announced_in_order(simulation):
    x, y = Chunk("x", (4,), (1,), (0,)), Chunk("y", (4,), (1,), (0,))
    ranks = start_two_nodes(simulation, x, y, uniform=False)
    for t in range(4):
        ranks[0].step(t, {"x": np.full(4, t)}, last=True)
        ranks[1].step(t, {"y": np.full(4, 10 * t)}, last=True)
    ranks[1].close()
    ranks[0].close(4)
    steps = simulation.analytics.finish()
    assert [one["t"] for one in steps] == [0, 1, 2, 3]
    for one in steps:
        assert one["seen"]["x"]["sum"] == 4 * one["t"] and one["seen"]["y"]["sum"] == 40 * one["t"]


def test_bridge_0_dies_while_a_slow_node_announces(simulation):
    chunks = rows("field", 2)
    ranks = start_two_nodes(simulation, *chunks, uniform=True)
    for t in range(3):
        for rank in ranks:
            rank.step(t, {"field": np.full((3, 4), t)}, last=True)
    for rank in ranks:
        rank.die()
    assert [one["t"] for one in simulation.analytics.finish()] == [0, 1, 2]


def test_the_next_simulation_finds_the_cluster_as_new(simulation):
    """When the analytics have gone, so have the head actor and the node actor; the same cluster serves
    again."""
    import ray

    (chunk,) = rows("field", 1)
    for run in range(2):
        simulation.session = f"session {run}"
        (rank,) = start(simulation, [[chunk]])
        rank.step(0, {"field": np.full((3, 4), run)}, last=True)
        rank.close(1)
        (one,) = simulation.analytics.finish()
        assert one["seen"]["field"]["sum"] == 12.0 * run
    names = lambda: ray.util.list_named_actors(all_namespaces=True)  # noqa: E731
    until(lambda: not [a for a in names() if a["namespace"] == NAMESPACE], 30.0, "the actors to end")
    assert os.listdir(simulation.folder) == []


def test_without_analytics_the_error_says_so(simulation):
    simulation.prepare()
    (chunk,) = rows("field", 1)
    simulation.rank(0, [chunk])
    begun = time.monotonic()
    (reply,) = simulation.finalise(deadline=3.0)
    assert time.monotonic() - begun < 8.0
    assert reply["kind"] == "timeout" and "simulation_head" in reply["error"] and "start" in reply["error"]


def test_registering_again_changes_nothing(simulation):
    """A first attempt that comes before the analytics, one that succeeds, and a repetition of it."""
    import ray

    chunks = rows("field", 2)
    simulation.prepare()
    ranks = [simulation.rank(i, [chunks[i]], world_size=2) for i in range(2)]
    (reply,) = simulation.finalise(deadline=1.0)
    assert reply["kind"] == "timeout"
    simulation.start_analytics(arrays={"field": 1})
    assert simulation.finalise() == [{}]

    def registered(head):
        data = head.registered_arrays["field"]
        return data.nb_chunks, data.chunks_size, data.position_to_bridgeID, data.position_to_node_actorID

    head = ray.get_actor("simulation_head", NAMESPACE)
    before = ray.get(head.__ray_call__.remote(registered))
    assert before[:3] == (2, [[3, 3], [4]], {(0, 0): 0, (1, 0): 1})
    assert simulation.finalise() == [{}]
    assert ray.get(head.__ray_call__.remote(registered)) == before
    for i, rank in enumerate(ranks):
        rank.step(0, {"field": np.full((3, 4), i)}, last=True)
    ranks[1].close()
    ranks[0].close(1)
    (one,) = simulation.analytics.finish()
    assert one["seen"]["field"]["sum"] == 12.0


def test_the_node_actor_is_bound_to_its_node(simulation):
    """A node that is not there: the actor is placed nowhere else, and the attempts are counted."""
    node = "a" * 56
    reply = simulation.prepare(ray_node_id=node, init_retries=2)
    assert reply["kind"] == "connection"
    assert f"Failed to create/ready scheduling actor for node {node}: attempt 2 of 2 failed" in reply["error"]
    assert "NodeAffinitySchedulingStrategy" in reply["error"]
    # Without affinity the same machine would do.
    assert "error" not in simulation.prepare("named", ray_node_id=node)


def test_a_second_simulation_is_refused_by_name_and_the_first_goes_on(simulation):
    (chunk,) = rows("field", 1)
    (rank,) = start(simulation, [[chunk]])
    again = simulation.prepare()
    assert "error" not in again, "the same session gets the same socket"
    first, socket = simulation.session, simulation.nodes[""]
    reply = simulation.prepare(session="another", deadline=5.0)
    assert reply["kind"] == "contract" and first in reply["error"] and str(os.getpid()) in reply["error"]
    simulation.nodes[""] = socket
    # All its ranks are connected: there is no socket for others any more.
    assert not os.path.exists(socket["socket"])
    with pytest.raises(FileNotFoundError):
        simulation.rank(0, [chunk])
    rank.wait_announced(rank.step(0, {"field": np.zeros((3, 4))}))
    rank.close(1)
    simulation.analytics.finish()


def test_a_rank_that_is_there_already_is_refused(simulation):
    simulation.prepare()
    (chunk,) = rows("field", 1)
    simulation.rank(0, [chunk])
    with pytest.raises(ConnectionRefusedError, match="connected already"):
        simulation.rank(0, [chunk])


STARTING = """
import json, os, sys, ray
from ray.job_config import JobConfig
from deisa_bridge.preparing import prepare
address, root, request = json.loads(sys.argv[1])
ray.init(address=address, job_config=JobConfig(code_search_path=[root]), log_to_driver=False)
request["process"] = os.getpid()
print(ray.get(ray.remote(num_cpus=0)(prepare).remote(json.dumps(request))), flush=True)
sys.stdin.read()
"""
"""A simulation that has asked for its node actor, and whose ranks are not connected yet."""


def test_a_simulation_that_is_starting_is_in_the_way_of_another_while_it_lives(simulation):
    request = simulation.request() | {"session": "the first"}
    arguments = json.dumps([simulation.address, PACKAGE_ROOT, request])
    first = subprocess.Popen(
        [sys.executable, "-P", "-c", STARTING, arguments],
        env=clean_environment() | {"PYTHONPATH": PACKAGE_ROOT},
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        old = json.loads(first.stdout.readline())["socket"]
        reply = simulation.prepare(session="the second", deadline=6.0)
        assert reply["kind"] == "contract", reply
        assert (
            f"serves session the first of another simulation, which is starting: process {first.pid}"
            in (reply["error"])
        )
        assert os.path.exists(old), "its ranks find their socket"
    finally:
        first.communicate()
    new = simulation.prepare()
    assert "error" not in new and new["socket"] != old and not os.path.exists(old)


def test_deisa_rays_own_actor_is_told_apart(simulation):
    import ray
    from deisa.ray.scheduling_actor import SchedulingActor

    from deisa_bridge.preparing import actor_options

    SchedulingActor.options(**actor_options("theirs")).remote(actor_id="theirs")
    reply = simulation.prepare("theirs")
    assert reply["kind"] == "contract" and "sched-theirs" in reply["error"] and "no socket" in reply["error"]
    ray.kill(ray.get_actor("sched-theirs", NAMESPACE))


def test_status_says_what_is_waited_for(simulation):
    chunks = rows("field", 2)
    ranks = start(simulation, [[chunks[0]], [chunks[1]]])
    ranks[0].step(0, {"field": np.zeros((3, 4))})
    status = until(
        lambda: (s := simulation.call("deisa_status"))["chunks_stored"] == 1 and s,
        10.0,
        "a chunk to be stored",
    )
    assert status["live"] == [0, 1] and "rank 1" in status["waits_for"] and json.dumps(status)


def test_a_late_neighbour_is_reported_and_waited_for(simulation):
    chunks = rows("field", 2)
    simulation.start_analytics(arrays={"field": 1})
    simulation.prepare()
    ranks = [simulation.rank(i, [chunks[i]], step_timeout=1.0) for i in range(2)]
    simulation.finalise()
    sequence = ranks[0].step(0, {"field": np.zeros((3, 4))}, last=True)
    failure = ranks[0].wait_failed(sequence)
    assert failure.status == -3 and "rank 1" in failure.text and failure.slot == 0xFFFFFFFF
    ranks[0].failures.clear()
    ranks[1].step(0, {"field": np.zeros((3, 4))}, last=True)
    ranks[0].wait_announced(sequence)
    ranks[1].close()
    ranks[0].close(1)
    assert [one["t"] for one in simulation.analytics.finish()] == [0]
