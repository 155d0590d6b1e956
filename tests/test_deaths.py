"""Ranks that are killed or stopped, or leave a step out: what was acknowledged arrives, nobody hangs."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from conftest import run
from formula import CONNECTION, TIMEOUT, Simulation, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as one:
        yield one


@pytest.fixture
def simulate(cluster, built):
    """simulate(world, arrays, ...): a Simulation on the cluster, which is clean again afterwards."""
    made: list[Simulation] = []

    def make(world: int, arrays: list[list[int]], **options: object) -> Simulation:
        program = built / "bin" / "formula"
        made.append(Simulation(program, cluster.environment, world, arrays, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()
    cluster.wait_until_clean()


def test_data_outlive_the_simulation(cluster, simulate, tmp_path):
    """All ranks are killed after their last send, before a chunk is read: every chunk is read, and the
    analytics end."""
    gate = tmp_path / "gate"
    one = simulate(4, [[0, 1, 2, 3], [2, 3]], steps=10, hold=tmp_path / "never")
    analytics = one.start_analytics(gate=str(gate))
    one.start_ranks()
    one.wait_ready()
    until(lambda: all(rank.told().held for rank in one.ranks), "the last sends to return")
    for rank in one.ranks:
        rank.kill()
    assert analytics.arrays == []
    gate.touch()
    analytics.finish()
    one.check_order_and_values()
    assert analytics.read == {(name, t) for name in ("a0", "a1") for t in range(10)}
    assert cluster.logged("bridge 0 died without closing")


def test_a_stopped_rank_delays_its_neighbours_and_loses_nothing(simulate, tmp_path):
    one = simulate(3, [[0, 1, 2]], steps=30, pace=0.05, variables={"DEISA_SEND_TIMEOUT": "1"})
    analytics = one.start_analytics()
    ranks = one.start_ranks()
    one.wait_ready()
    until(lambda: len(ranks[1].told().sent) >= 5, "some steps")
    ranks[1].signal(signal.SIGSTOP)
    try:
        # The others go on, and are told whom they wait for.
        late = until(
            lambda: [r for n in (0, 2) for r in ranks[n].told().reports if "rank 1" in r.text], "a report"
        )
    finally:
        ranks[1].signal(signal.SIGCONT)
    assert all(report.status == TIMEOUT and "kept" in report.text for report in late), late
    assert all(report.chunk[1] == report.timestep for report in late)
    analytics.finish()
    one.check_order_and_values()
    assert [a["t"] for a in analytics.arrays] == list(range(30))
    one.wait_ranks_closed()


@pytest.mark.parametrize("step", [0, 1], ids=["sends", "steps"])
def test_a_skipped_step_is_reported_by_rank_and_step(simulate, step):
    one = simulate(3, [[0, 1, 2], [0, 2]], steps=12, step=step)
    analytics = one.start_analytics()
    ranks = [one.start_rank(number, **({"skip": 7} if number == 1 else {})) for number in range(3)]
    one.wait_ready()
    analytics.finish()
    one.check_order_and_values()
    every = {("a0", t) for t in range(12) if t != 7} | {("a1", t) for t in range(12)}
    assert analytics.read == every
    one.wait_ranks_closed()
    for number in (0, 2):
        (report,) = ranks[number].told().reports
        assert (report.status, report.rank, report.chunk) == (CONNECTION, number, ("a0", 7))
        assert "rank 1 skipped timestep 7" in report.text
    assert ranks[1].told().reports == []


@pytest.mark.parametrize("victim", ["A", "B"], ids=["of_bridge_0", "of_others"])
def test_a_dead_node_actor_is_reported_by_every_bridge(cluster, simulate, tmp_path, victim):
    """Its bridges see it at once, those of the other node hear of it; all go on, and the analytics end."""
    end = tmp_path / "end"
    nodes = {0: "A", 1: "B", 2: "A", 3: "B"}
    # Not faster: Ray takes a second to see that a chunk is lost, so the analytics fall behind.
    one = simulate(4, [[0, 1, 2, 3]], steps=100000, pace=0.3, until=end, nodes=nodes)
    analytics = one.start_analytics()
    one.run_until_read()
    cluster.kill(f"sched-{victim}")
    words = {rank: "the node actor is gone" if node == victim else "has died" for rank, node in nodes.items()}
    one.wait_for_reports(words)
    assert all(rank.child.status() is None for rank in one.ranks), one.lines()
    assert not list(Path(cluster.folder).rglob("deisa-*.sock"))
    end.touch()
    analytics.finish()
    one.check_order_and_values(lost=True)
    one.wait_ranks_closed()
    for rank in one.ranks:
        assert all(r.status in (CONNECTION, TIMEOUT) and r.rank == rank.number for r in rank.told().reports)


def test_the_only_node_actor_dies(cluster, simulate, tmp_path):
    """Each rank is told which timesteps are lost, and runs to its end; the analytics are told theirs
    meanwhile, by the leader, and end with what they have."""
    end = tmp_path / "end"
    one = simulate(3, [[0, 1, 2]], steps=100000, pace=0.1, until=end)
    analytics = one.start_analytics()
    one.run_until_read()
    # So that the others' next timesteps stay incomplete.
    one.ranks[1].signal(signal.SIGSTOP)
    ahead = max(t for _, t in one.ranks[1].told().sent) + 3
    until(lambda: all(("a0", ahead) in one.ranks[n].told().sent for n in (0, 2)), "the others to go on")
    (node,) = (name for name in cluster.actors() if name.startswith("sched-"))
    cluster.kill(node)
    one.ranks[1].signal(signal.SIGCONT)
    words = "the node actor is gone"
    one.wait_for_reports(dict.fromkeys(range(3), words))
    analytics.finish()
    assert len(analytics.read) >= 3
    assert all(rank.child.status() is None for rank in one.ranks), one.lines()
    end.touch()
    one.check_order_and_values(lost=True)
    one.wait_ranks_closed()
    for rank in one.ranks:
        reports = rank.told().reports
        assert all(r.status == CONNECTION and r.rank == rank.number for r in reports), reports
        told = [report.text for report in reports if words in report.text]
        if rank.number != 1:
            lost = re.search(r"Lost with it: array 'a0', timesteps? (\d+)(?: to (\d+))?", told[0])
            assert lost and int(lost[1]) <= ahead <= int(lost[2]), told


def test_a_dead_head_actor_is_reported_by_every_bridge(cluster, simulate, tmp_path):
    """The simulation goes on without analytics, which is over for them too."""
    end = tmp_path / "end"
    one = simulate(3, [[0, 1, 2]], steps=100000, pace=0.02, until=end, nodes={0: "A", 1: "B", 2: "A"})
    one.start_analytics()
    one.run_until_read()
    cluster.kill("simulation_head")
    one.wait_for_reports(dict.fromkeys(range(3), "the head actor of the analytics has died"))
    assert all(rank.child.status() is None for rank in one.ranks), one.lines()
    end.touch()
    one.wait_ranks_closed()


def test_killed_analytics_are_reported_by_every_bridge(cluster, simulate, tmp_path):
    end = tmp_path / "end"
    one = simulate(3, [[0, 1, 2]], steps=100000, pace=0.02, step=1, until=end)
    analytics = one.start_analytics(gate=str(tmp_path / "never"))
    one.start_ranks()
    one.wait_ready()
    until(lambda: all(rank.told().sent for rank in one.ranks), "the first step")
    os.kill(analytics.child.pid, signal.SIGKILL)
    one.wait_for_reports(dict.fromkeys(range(3), "the analytics have ended"))
    assert all(rank.child.status() is None for rank in one.ranks), one.lines()
    end.touch()
    one.wait_ranks_closed()


def test_the_program_removes_what_killed_analytics_have_left(cluster, simulate, built):
    """`deisa-info --clean` leaves alone what somebody alive owns, and the next analytics start afterwards."""
    clean = [str(built / "bin" / "deisa-info"), "--clean"]
    killed = simulate(1, [[0]]).start_analytics()
    killed.wait_started()
    alive = run(clean, cluster.environment)
    assert alive.returncode == 1, alive.stdout
    assert "left alone: simulation_head: its analytics (process " in alive.stdout
    assert f"process {killed.child.pid} on " in alive.stdout and "wait for a simulation" in alive.stdout
    os.kill(killed.child.pid, signal.SIGKILL)
    until(lambda: cluster.driver_has_ended(killed.child.pid), "Ray to see that the analytics have ended")
    assert cluster.actors() == ["simulation_head"]
    dead = run(clean, cluster.environment)
    assert dead.returncode == 0 and "removed simulation_head, whose analytics (" in dead.stdout, dead.stdout
    cluster.wait_until_clean()
    one = simulate(1, [[0]], steps=2)
    analytics = one.start_analytics()
    one.start_ranks()
    assert len(analytics.finish()) == 2
    one.wait_ranks_closed()


def test_a_second_simulation_at_the_same_time_is_refused(simulate, tmp_path):
    """On another node, so that the node actors do not know each other: the head actor knows."""
    hold = tmp_path / "hold"
    one = simulate(2, [[0, 1]], steps=4, nodes={0: "A", 1: "A"}, hold=hold)
    analytics = one.start_analytics()
    one.start_ranks()
    one.wait_ready()
    other = simulate(2, [[0, 1]], steps=4, nodes={0: "B", 1: "B"})
    for rank in other.start_ranks():
        until(lambda rank=rank: rank.child.status() is not None, "the second simulation to give up")
        rank.child.wait_output()
        assert rank.told().failed.startswith("failed ready -2 "), other.lines()
        assert "another simulation, whose ranks 0, 1 are connected at node A" in rank.told().failed
    hold.touch()
    analytics.finish()
    one.check_order_and_values()
    assert analytics.read == {("a0", t) for t in range(4)}
    one.wait_ranks_closed()
