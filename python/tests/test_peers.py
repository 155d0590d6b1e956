"""The watermark that the master keeps."""

from __future__ import annotations

import asyncio

import pytest

from deisa_bridge.head import ActorGone
from deisa_bridge.node.gather import ANYTHING, NEVER
from deisa_bridge.node.peers import Peers
from deisa_bridge.status import BridgeError


def master(bound, moved=lambda: None, nodes=("a", "b"), uniform=False) -> Peers:
    return Peers("s", "a", {"nodes": list(nodes), "master_node": "a", "uniform": uniform}, bound, moved)


def report(peers: Peers, bound: int, known: int, wait: float = 0.0, node: str = "b"):
    return peers.answer_watermark({"node": node, "bound": bound, "known": known, "wait": wait})


def run(work):
    return asyncio.run(asyncio.wait_for(work(), 20))


def test_uniform_simulations_and_single_nodes_need_no_watermark():
    async def work():
        assert master(lambda: 0, uniform=True).watermark == NEVER
        assert master(lambda: 0, nodes=("a",)).watermark == NEVER

    run(work)


def test_the_watermark_is_the_least_bound_and_never_falls():
    async def work():
        bound, moves = [3], []
        peers = master(lambda: bound[0], lambda: moves.append(1))
        assert peers.watermark == ANYTHING
        peers.bound_changed()
        waiting = asyncio.ensure_future(report(peers, 5, ANYTHING, wait=10.0))
        assert await waiting == {"watermark": 3}
        assert await report(peers, 4, NEVER) == {"watermark": 3}
        bound[0] = 9
        peers.bound_changed()
        assert await report(peers, 5, 3, wait=10.0) == {"watermark": 5}
        assert len(moves) == 2
        peers.stop()

    run(work)


def test_a_call_waits_until_the_watermark_moves():
    async def work():
        peers = master(lambda: 7)
        waiting = asyncio.ensure_future(report(peers, 1, 1, wait=10.0))
        peers.bound_changed()
        await asyncio.sleep(0.05)
        assert not waiting.done() and peers.watermark == 1
        await report(peers, 2, NEVER)
        assert await waiting == {"watermark": 2}
        peers.stop()

    run(work)


def test_a_silent_node_is_waited_for_and_a_dead_one_is_not():
    async def work():
        peers = master(lambda: 6)
        peers.bound_changed()
        await report(peers, 1, NEVER)
        await asyncio.sleep(0.05)
        assert peers.watermark == 1
        peers.gone("b")
        assert peers.watermark == 6
        peers.stop()

    run(work)


def all_die_at_the_end(peers: Peers) -> None:
    async def call(node: str, method: str, request: dict, seconds: float) -> dict:
        if method == "deisa_drain":
            raise ActorGone(f"{node} is gone")
        await asyncio.sleep(0.01)
        return {"watermark": ANYTHING}

    peers.call = call


def test_the_end_marker_is_not_older_than_what_a_dead_node_has_announced():
    async def work():
        peers = master(lambda: 6, nodes=("a", "b", "c", "d"))
        all_die_at_the_end(peers)
        await report(peers, 3, NEVER)
        await report(peers, 27, NEVER)
        await report(peers, NEVER, NEVER)  # it had announced up to 27 then
        await report(peers, 4, NEVER, node="c")
        assert sorted(await peers.drain_others("the end")) == [4, 27]
        peers.stop()

    run(work)


@pytest.mark.parametrize(("bounds", "at_most"), [([], []), ([5, 9], [9]), ([5, NEVER], [NEVER])])
def test_nobody_can_have_announced_more_than_this_node_allowed(bounds, at_most):
    async def work():
        now = [ANYTHING]
        nodes = {"nodes": ["a", "b"], "master_node": "b", "uniform": False}
        peers = Peers("s", "a", nodes, lambda: now[0], lambda: None)
        all_die_at_the_end(peers)
        for bound in bounds:
            now[0] = bound
            peers.bound_changed()
            await asyncio.sleep(0.05)
        assert await peers.drain_others("the end") == at_most
        peers.stop()

    run(work)


def test_a_stranger_is_refused():
    async def work():
        peers = master(lambda: 0)
        with pytest.raises(BridgeError, match="not part"):
            await report(peers, 1, 1, node="c")
        peers.stop()

    run(work)
