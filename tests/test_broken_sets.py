"""Sets of chunks that can never be complete, because a rank of another node has died or gone on without its
chunk: every rank is told, every node gives them up, and all else goes on. Several node actors on one Ray
node, and so with one object store."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import pytest
from cluster import NAMESPACE, Cluster
from formula import CONNECTION, Simulation, until

COMMUNICATOR = -4

pytestmark = [pytest.mark.ray, pytest.mark.timeout(100)]

CELLS = 65536
STORE = 100 << 20
STEPS = 120
"""More timesteps than the store holds, if nothing is ever freed."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(object_store_bytes=STORE) as one:
        yield one


@pytest.fixture
def simulate(cluster, built):
    """simulate(nodes, arrays, ...): a Simulation with a rank for each node id."""
    made: list[Simulation] = []

    def make(nodes: str, arrays: list[list[int]], **options: object) -> Simulation:
        program = built / "bin" / "formula"
        at = dict(enumerate(nodes))
        made.append(
            Simulation(program, cluster.environment, len(nodes), arrays, cells=CELLS, nodes=at, **options)
        )
        return made[-1]

    yield make
    for one in made:
        one.end()
    cluster.wait_until_clean()


def at_the_head() -> dict[str, list[int]]:
    """What the head actor has in part: array -> timesteps."""
    import ray

    def parts(head):
        return {
            name: sorted(one.chunk_refs) for name, one in head.registered_arrays.items() if one.chunk_refs
        }

    head = ray.get_actor("simulation_head", NAMESPACE)
    return ray.get(head.__ray_call__.remote(parts), timeout=60)


def status(node: str) -> dict:
    import ray

    return json.loads(ray.get(ray.get_actor(f"sched-{node}", NAMESPACE).deisa_status.remote(), timeout=60))


def sent(one: Simulation, rank: int, array: str) -> set[int]:
    return {t for name, t in one.ranks[rank].told().sent if name == array}


def reports(one: Simulation, rank: int, words: str) -> list[str]:
    """What a rank was told before it closed that has the words."""
    mine = [report for report in one.ranks[rank].told().reports if report.status != COMMUNICATOR]
    assert all(report.status == CONNECTION and report.rank == rank for report in mine), mine
    return [report.text for report in mine if re.search(words, report.text)]


def finish(one: Simulation, hold) -> None:
    """All have sent all they send; nothing is kept of what can never be complete. Then the end."""
    alive = [rank for rank in one.ranks if rank.killed_at is None]

    def held() -> bool:
        assert all(rank.child.status() is None for rank in alive), one.lines()
        return all(rank.told().held for rank in alive)

    until(held, "the last sends")
    # The last timestep is over only when the ranks close.
    over = one.options["steps"] - 1
    until(
        lambda: not [t for timesteps in at_the_head().values() for t in timesteps if t < over],
        "the head actor to forget what is broken",
    )
    for node in sorted(set(one.nodes.values())):
        until(lambda node=node: status(node)["pending"] == 0, "what is broken to be given up")
    hold.touch()
    one.analytics.finish()
    one.check_order_and_values()
    one.check_nothing_lost()


@pytest.mark.parametrize("nodes", ["ABAB", "ABC"], ids=["two_nodes", "three_nodes"])
def test_a_death_is_known_on_every_node(simulate, tmp_path, nodes):
    """The last rank dies. Of a0, which is on all ranks, no timestep can be complete any more; a1, which is on
    the others only, goes on, with more than the store holds."""
    end = tmp_path / "end"
    victim = len(nodes) - 1
    others = list(range(victim))
    one = simulate(nodes, [[*others, victim], others], steps=100000, pace=0.01, until=end)
    analytics = one.start_analytics()
    one.run_until_read()
    one.ranks[victim].kill()
    one.wait_for_reports(dict.fromkeys(others, f"rank {victim} died"))
    died = max(sent(one, victim, "a0"))
    until(
        lambda: all(max(sent(one, rank, "a1")) > died + STEPS for rank in others),
        "the others to go on",
    )
    until(lambda: "a0" not in at_the_head(), "the head actor to forget what is broken")
    end.touch()
    analytics.finish()
    one.check_order_and_values()
    one.check_nothing_lost()
    for rank in others:
        (text,) = reports(one, rank, "died")
        assert re.search(rf"rank {victim} died after it sent timestep \d+ on node {nodes[victim]}: ", text)
        assert re.search(r"array 'a0' from timestep \d+ on can never be complete", text)
        closing = [r.text for r in one.ranks[rank].told().reports if r.status == COMMUNICATOR]
        assert len(closing) == 1 and f"the connection to rank(s) {victim} ended" in closing[0], closing
    # The end comes to the ranks between two timesteps, and not to all between the same.
    last = min(max(sent(one, rank, "a1")) for rank in others)
    assert {t for name, t in analytics.read if name == "a1"} == set(range(last + 1))
    complete = {t for name, t in analytics.read if name == "a0"}
    assert complete == set(range(len(complete))) and died <= max(complete) <= died + 1


@pytest.mark.parametrize("options", [{}, {"step": 1}], ids=["sends", "skip"])
def test_a_rank_that_leaves_an_array_out_is_known_on_every_node(simulate, tmp_path, options):
    """Rank 1, alone on its node, leaves a0 out of timestep 7, and of all from 20 on."""
    hold = tmp_path / "hold"
    variables = {"DEISA_WHEN_FULL": "skip", "DEISA_BLOCK_TIMEOUT": "60"} if options else {}
    one = simulate("ABA", [[0, 1, 2], [1, 2]], steps=STEPS, hold=hold, variables=variables, **options)
    one.start_analytics()
    one.start_rank(0)
    one.start_rank(1, omit=["0,7,7", "0,20,200"])
    one.start_rank(2)
    one.wait_ready()
    finish(one, hold)
    assert one.analytics.read == {("a1", t) for t in range(STEPS)} | {("a0", t) for t in range(20) if t != 7}
    for rank in (0, 2):
        assert sent(one, rank, "a0") == set(range(STEPS))
        first, second = reports(one, rank, "array 'a0'")
        assert "timestep 7 was not announced: rank 1 skipped timestep 7 on node B" in first
        assert re.search(r"rank 1 skipped timestep \d+ on node B. Nor is what follows", second)
    assert reports(one, 1, "") == []


def test_nodes_on_one_full_store_do_not_hold_each_other_up(simulate, tmp_path):
    """Rank 0 fills the store with parts of timesteps that rank 1 has still to send: there is room for
    those."""
    hold = tmp_path / "hold"
    one = simulate("AB", [[0, 1]] * 4, steps=60, hold=hold, variables={"DEISA_SEND_TIMEOUT": "100"})
    one.start_analytics()
    one.start_ranks()
    one.wait_ready()
    one.ranks[1].signal(signal.SIGSTOP)
    try:
        until(lambda: status("A").get("waiting_at_gate") == [0], "rank 0 to wait for room")
    finally:
        one.ranks[1].signal(signal.SIGCONT)
    finish(one, hold)
    assert one.analytics.read == {(f"a{i}", t) for i in range(4) for t in range(60)}
    assert reports(one, 0, "") == reports(one, 1, "") == []
