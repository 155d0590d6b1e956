"""Ten simulations one after the other on one cluster, some of which are killed, or their analytics: nothing
stands in the way of the next, and nothing is left of any."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from formula import LONG, Simulation, until
from leftovers import Leftovers

NODES = {0: "A", 1: "B", 2: "A", 3: "B"}

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    with Cluster(scratch=tmp_path_factory.mktemp("tmp")) as one:
        yield one


def closes(one: Simulation, cluster: Cluster, scratch: Path) -> None:
    analytics = one.start_analytics()
    one.start_ranks()
    analytics.finish()
    one.check_order_and_values()
    one.wait_ranks_closed()
    steps = int(one.options["steps"])
    assert analytics.read == {(name, t) for name in one.arrays for t in range(steps)}


def all_ranks_are_killed(one: Simulation, cluster: Cluster, scratch: Path) -> None:
    one.options["hold"] = scratch / "never"
    analytics = one.start_analytics()
    one.start_ranks()
    one.wait_ready()
    until(lambda: all(rank.told().held for rank in one.ranks), "the last sends to return")
    for rank in one.ranks:
        rank.kill()
    analytics.finish()
    one.check_order_and_values()
    one.check_nothing_lost()


def bridge_0_is_killed(one: Simulation, cluster: Cluster, scratch: Path) -> None:
    one.options |= {"steps": 1000, "pace": 0.02, "stop": 1}
    analytics = one.start_analytics()
    one.run_until_read()
    one.ranks[0].kill()
    analytics.finish()
    until(lambda: all(rank.child.status() is not None for rank in one.ranks), "the others to leave", LONG)
    for rank in one.ranks:
        rank.child.wait_output()
    one.check_order_and_values()
    one.check_nothing_lost()


def the_analytics_are_killed(one: Simulation, cluster: Cluster, scratch: Path) -> None:
    end = scratch / "end"
    one.options |= {"steps": 100000, "pace": 0.02, "until": end}
    analytics = one.start_analytics()
    one.run_until_read()
    analytics.child.end(grace=0.0)
    one.wait_for_reports(dict.fromkeys(range(one.world), "the analytics have ended"))
    end.touch()
    one.wait_ranks_closed()


def all_are_killed(one: Simulation, cluster: Cluster, scratch: Path) -> None:
    one.options |= {"steps": 100000, "pace": 0.02}
    analytics = one.start_analytics()
    one.run_until_read()
    analytics.child.end(grace=0.0)
    for rank in one.ranks:
        rank.kill()


def the_start_is_killed(one: Simulation, cluster: Cluster, scratch: Path) -> None:
    """While the ranks wait for the analytics, which never come."""
    one.start_ranks()
    until(lambda: cluster.actors(), "a node actor")
    for rank in one.ranks:
        rank.kill()


def the_analytics_are_killed_at_the_start(one: Simulation, cluster: Cluster, scratch: Path) -> None:
    """Other analytics come instead, and the simulation is content with them."""
    one.start_ranks()
    first = one.start_analytics(begin=str(scratch / "never"))
    first.wait_started()  # there is a head actor now
    first.child.end(grace=0.0)
    until(lambda: "simulation_head" not in cluster.actors(), "the head actor to be removed")
    analytics = one.start_analytics()
    analytics.finish()
    one.check_order_and_values()
    one.wait_ranks_closed()


SESSIONS = [
    (closes, 1, [[0]], {}),
    (closes, 4, [[0, 1, 2, 3], [2, 3]], {"step": 1}),
    (all_ranks_are_killed, 3, [[2, 0, 1], [1]], {}),
    (the_analytics_are_killed, 2, [[0, 1]], {}),
    (bridge_0_is_killed, 3, [[0, 1, 2]], {"cells": 4096}),
    (the_start_is_killed, 2, [[0, 1]], {}),
    (the_analytics_are_killed_at_the_start, 2, [[1, 0], [0]], {"nodes": {0: "A", 1: "A"}}),
    (closes, 4, [[0, 1, 2, 3], [1, 3]], {"nodes": NODES}),
    (all_are_killed, 4, [[0, 1, 2, 3]], {"nodes": NODES}),
    (closes, 2, [[0], [0, 1], [1]], {"cells": 30000}),
]


def test_ten_sessions_leave_nothing(cluster, built, tmp_path):
    before = Leftovers.of(cluster)
    program = built / "bin" / "formula"
    for number, (play, world, arrays, options) in enumerate(SESSIONS, 1):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        one = Simulation(program, cluster.environment, world, arrays, **({"steps": 5} | options))
        try:
            play(one, cluster, scratch)
            seconds = cluster.wait_until_clean()
            wait_until_as(before, cluster)
        except BaseException:
            print(f"session {number}: {play.__name__}\n{one.lines()}")
            raise
        finally:
            one.end()
        print(f"session {number}: {play.__name__}, {world} ranks, clean after {seconds:.1f} s")


def wait_until_as(before: Leftovers, cluster: Cluster) -> None:
    """Ray takes a moment to end processes and to free objects."""
    end = time.monotonic() + LONG
    while more := Leftovers.of(cluster).more_than(before):
        assert time.monotonic() < end, f"left after {LONG:.0f} s: {more}"
        time.sleep(0.1)
