"""What dead simulations and analytics leave, and who removes it: on a real Ray."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import ray
from conftest import NAMESPACE, until
from fake_rank import Chunk

from deisa_bridge import control
from deisa_bridge.status import HEAD_ACTOR

pytestmark = pytest.mark.ray

SHAPE = (3, 4)


def run(function: str, **request: object) -> dict:
    """As the control process in Java does."""
    task = ray.remote(num_cpus=0)(control.run)
    return json.loads(ray.get(task.remote(function, json.dumps({"deadline": 60.0} | request)), timeout=90))


def has_head() -> bool:
    names = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True)]
    return HEAD_ACTOR in names


def killed_analytics(simulation) -> None:
    """They leave their head actor."""
    simulation.start_analytics(arrays={"field": 1})
    simulation.analytics.wait_for(lambda one: one.of("started"), 60.0, "the analytics to start")
    simulation.analytics.kill()
    until(has_head, 10.0, "the head actor")


def test_clean_removes_a_stale_head_and_nothing_else(simulation):
    assert run("clean") == {"done": [], "kept": []}
    simulation.start_analytics(arrays={"field": 1})
    simulation.analytics.wait_for(lambda one: one.of("started"), 60.0, "the analytics to start")
    reply = run("clean")
    assert reply["done"] == [] and "wait for a simulation" in reply["kept"][0], reply
    assert f"process {simulation.analytics.process.pid} on " in reply["kept"][0]
    simulation.analytics.kill()
    reply = until(lambda: (one := run("clean"))["done"] and one, 20.0, "Ray to see that they have ended")
    assert "removed simulation_head" in reply["done"][0] and not reply["kept"], reply
    until(lambda: not has_head(), 10.0, "the head actor to go")


def test_the_start_of_a_simulation_removes_a_stale_head(simulation):
    killed_analytics(simulation)
    until(lambda: control_sees_them_gone(), 20.0, "Ray to see that they have ended")
    assert "error" not in simulation.prepare()
    until(lambda: not has_head(), 5.0, "the head actor to go")


def control_sees_them_gone() -> bool:
    from deisa_bridge.versions import driver_is_gone

    return driver_is_gone(ray.get_actor(HEAD_ACTOR, NAMESPACE))


@pytest.mark.parametrize("by", ["end_session", "clean"])
def test_analytics_end_though_every_node_actor_has_died(simulation, by):
    """The rank that is left asks for it; or somebody does by hand, when no rank is left."""
    simulation.start_analytics(arrays={"field": 1}, light=True)
    assert "error" not in simulation.prepare()
    rank = simulation.rank(0, [Chunk("field", SHAPE, (1, 1), (0, 0))])
    assert simulation.finalise() == [{}]
    for t in range(3):
        rank.wait_announced(rank.step(t, {"field": np.full(SHAPE, t)}, last=True))
    simulation.analytics.wait_for(lambda one: len(one.of("step")) >= 3, 60.0, "the analytics to read")
    (node,) = [reply["node_id"] for reply in simulation.nodes.values()]
    session = {"session": simulation.session, "nodes": [node], "node_id": "", "newest": 2}
    assert run("end_session", **session) == {"ended": False}, "its node actor lives"
    kept = run("clean")
    assert not kept["done"] and "ranks 0 of session" in kept["kept"][0], kept
    os.kill(simulation.call("deisa_status")["pid"], signal.SIGKILL)
    if by == "end_session":
        assert run("end_session", **session) == {"ended": True}
        assert run("end_session", **session) == {"ended": False}, "they have it already"
    else:
        assert "sent the end marker" in run("clean")["done"][0]
    seen = [one["t"] for one in simulation.analytics.finish()]
    assert seen == [0, 1, 2]
    until(lambda: not ray.util.list_named_actors(all_namespaces=True), 20.0, "all of them to go")
