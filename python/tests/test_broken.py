"""Sets that can never be complete: what a node finds, what it does with what others found, who tells whom."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from deisa_bridge.head import ActorGone
from deisa_bridge.node.broken import Broken, BrokenSets
from deisa_bridge.node.gather import ANYTHING, NEVER, Gather
from deisa_bridge.node.holes import Holes, _reader, _remover
from deisa_bridge.node.spread import Spread
from deisa_bridge.status import BridgeError


def gather_of(bridges: dict[int, str]) -> Gather:
    gather = Gather("B")
    gather.on_node = " on node B"
    for bridge, arrays in bridges.items():
        gather.add_bridge(bridge, arrays, 10.0)
    return gather


def send(gather: Gather, bridge: int, timestep: int, *arrays: str) -> None:
    for array, _ in gather.step(bridge, timestep, [(a, None) for a in arrays], False, 0.0):
        gather.stored(bridge, array, timestep, "object")


def announce_all(gather: Gather) -> list[bool]:
    known = []
    while (one := gather.next_ready()) is not None:
        known.append(gather.announced(one))
    return known


def of_another(array: str, first: int, last: int, text: str = "rank 9 died", death: bool = False) -> Broken:
    return Broken(text, ((array, first, last),), "A", death)


def test_a_death_breaks_all_that_the_rank_owes_from_then_on():
    gather = gather_of({1: "XY", 3: "XZ"})
    send(gather, 1, 5, "X", "Y")
    send(gather, 3, 5, "X")
    announce_all(gather)
    gather.gone(3, "died")
    (one,) = gather.take_broken()
    assert one.arrays == (("X", 6, NEVER), ("Z", ANYTHING, NEVER)) and one.death and one.node == "B"
    assert one.text == (
        "rank 3 died after it sent timestep 5 on node B: arrays 'X' from timestep 6 on, 'Z' can never be "
        "complete again"
    )
    # The same words for each chunk, so that they are reported once; no other array is concerned.
    send(gather, 1, 6, "X", "Y")
    send(gather, 1, 7, "X")
    assert [f.text for f in gather.take_failures()] == [one.text] * 2
    assert announce_all(gather) == [True]
    assert gather.take_broken() == []


def test_nothing_is_found_of_a_rank_that_closes():
    gather = gather_of({1: "X", 3: "X"})
    for bridge in (1, 3):
        gather.progress(bridge, NEVER)
        gather.gone(bridge, "closed")
    assert gather.take_broken() == []


def test_what_a_rank_leaves_out_in_a_row_has_one_cause():
    gather = gather_of({1: "XY", 3: "XY"})
    texts = []
    for t in range(6):
        send(gather, 1, t, "X", "Y")
        send(gather, 3, t, *("Y" if t in (1, 2, 4) else "XY"))
        texts += [one.text for one in gather.take_broken()]
        announce_all(gather)
    send(gather, 3, 6, "X", "Y")
    assert len(texts) == 3 and len(set(texts)) == 2
    assert "array 'X', timestep 1 was not announced: rank 3 skipped timestep 1 on node B" in texts[0]
    assert "rank 3 skipped timestep 4" in texts[2]


def test_what_another_node_found_is_given_up():
    gather = gather_of({1: "X", 3: "X"})
    for t in (1, 2):
        send(gather, 1, t, "X")
    assert gather.give_up(of_another("X", 2, NEVER)) == []
    assert gather.give_up(of_another("X", 2, NEVER)) is None, "no news"
    assert [(f.timestep, f.text, f.frees_slot) for f in gather.take_failures()] == [(2, "rank 9 died", False)]
    send(gather, 3, 1, "X")
    assert announce_all(gather) == [True]
    assert gather.is_broken("X", 3) and not gather.is_broken("X", 1)
    assert gather.step(3, 3, [("X", None)], False, 0.0) == []
    assert [(f.timestep, f.frees_slot) for f in gather.take_failures()] == [(3, True)]
    assert gather.idle and gather.take_broken() == [], "others know already"


def test_news_that_comes_during_a_put_is_told_after_it():
    gather = gather_of({1: "X"})
    gather.step(1, 4, [("X", "tag")], False, 0.0)
    gather.give_up(of_another("X", 4, 4))
    assert gather.take_failures() == [] and not gather.idle
    gather.stored(1, "X", 4, "object")
    assert [f.tag for f in gather.take_failures()] == ["tag"]
    assert gather.idle


def test_news_that_comes_while_a_set_is_announced_breaks_it_afterwards():
    gather = gather_of({1: "X"})
    send(gather, 1, 4, "X")
    one = gather.next_ready()
    assert gather.give_up(of_another("X", 4, 4)) == []
    assert gather.take_failures() == []
    assert gather.announced(one) is False
    assert [f.text for f in gather.take_failures()] == ["rank 9 died"]
    assert gather.idle


def test_news_of_what_was_announced_names_those_who_sent_it():
    gather = gather_of({1: "X", 3: "XY", 5: "Y"})
    for bridge in (1, 3):
        send(gather, bridge, 4, "X")
    gather.gone(5, "closed")
    announce_all(gather)
    assert gather.give_up(of_another("X", 4, 4)) == [1, 3]
    assert gather.give_up(of_another("Y", 4, 4)) == []


def test_a_node_lacks_what_all_its_ranks_went_past():
    gather = gather_of({1: "XY", 3: "XY"})
    for bridge in (1, 3):
        send(gather, bridge, 1, "X")
    assert gather.lacks("X", 1) is None, "it is about to be announced"
    announce_all(gather)
    send(gather, 1, 2, "Y")
    assert gather.lacks("X", 2) is None, "rank 3 may still send it"
    for bridge in (1, 3):
        gather.progress(bridge, 3)
    gather.take_failures()
    one = gather.lacks("X", 2)
    assert one.arrays == (("X", 2, 2),) and one.node == "B"
    assert "rank 1 skipped timestep 2" in one.text and "rank 3 skipped timestep 2" in one.text
    assert gather.lacks("Q", 2) is None, "an array of other nodes"


def test_a_node_says_the_same_whenever_it_is_asked():
    gather = gather_of({1: "XY"})
    for t in range(9):
        send(gather, 1, t, *("Y" if t in (2, 5, 6, 7, 8) else "XY"))
        announce_all(gather)
    gather.progress(1, 9)
    assert {gather.lacks("X", t).text for t in (5, 2, 6, 2, 7, 8)} == {
        gather.lacks("X", 2).text,
        gather.lacks("X", 5).text,
    }


def test_what_nobody_can_send_any_more_is_forgotten():
    broken = BrokenSets()
    assert broken.add(of_another("X", 4, 6)) and broken.add(of_another("X", 7, NEVER, "for ever"))
    assert [broken.why("X", t) for t in (3, 4, 6, 9)] == ["", "rank 9 died", "rank 9 died", "for ever"]
    broken.forget(7)
    assert [broken.why("X", t) for t in (4, 6, 9)] == ["", "", "for ever"]


def test_it_survives_the_journey():
    one = of_another("X", ANYTHING, NEVER, death=True)
    assert Broken.parse(one.to_json()) == one


class Nodes:
    """Peers of several nodes; `answers` are taken one by one, an exception is raised."""

    def __init__(self, node: str, answers=()) -> None:
        self.node, self.master, self.nodes = node, "A", ["A", "B", "C"]
        self.is_master = node == "A"
        self.others = [one for one in self.nodes if one != node]
        self.calls, self.answers = [], list(answers)

    async def call(self, node, method, request, seconds):
        self.calls.append((node, method, [one["text"] for one in request["broken"]]))
        await asyncio.sleep(0)
        if self.answers and isinstance(answer := self.answers.pop(0), Exception):
            raise answer
        return {}

    @staticmethod
    def has_died(error):
        return isinstance(error, ActorGone)


def spread_of(nodes: Nodes) -> Spread:
    return Spread(SimpleNamespace(peers=nodes, spawn=asyncio.ensure_future))


async def idle(spread: Spread) -> None:
    while spread._outboxes:
        await asyncio.sleep(0.01)


def test_a_node_tells_the_master_and_the_master_all_others(monkeypatch):
    monkeypatch.setattr("deisa_bridge.node.spread.RETRY", 0.01)

    async def work():
        nodes = Nodes("B", answers=[BridgeError("not registered", "contract")])
        spread = spread_of(nodes)
        spread._tell([of_another("X", 1, 1, "one")])
        await asyncio.sleep(0)
        spread._tell([of_another("X", 2, 2, "two")])
        await idle(spread)
        assert nodes.calls[0] == ("A", "deisa_broken", ["one"])
        assert nodes.calls[-1] == ("A", "deisa_broken", ["one", "two"]), "again, after a failure"

        nodes = Nodes("A")
        spread = spread_of(nodes)
        spread._tell([of_another("X", 1, 1, "one")], but="B")
        await idle(spread)
        assert nodes.calls == [("C", "deisa_broken", ["one"])]

        nodes = Nodes("A", answers=[ActorGone("dead"), None])
        spread = spread_of(nodes)
        spread._tell([of_another("X", 1, 1, "one")])
        await idle(spread)
        assert sorted(node for node, _, _ in nodes.calls) == ["B", "C"], "nobody waits for the dead"

    asyncio.run(asyncio.wait_for(work(), 20))


class Head:
    """deisa-ray's head actor, as far as the functions that run in it look at it."""

    def __init__(self) -> None:
        positions = {(0,): "A", (1,): "A", (2,): "B"}
        self.registered_arrays = {
            "X": SimpleNamespace(
                position_to_node_actorID=positions,
                chunk_refs={3: ["a"], 4: ["b"], 5: "a future", 6: ["a", "b"]},
                pos_to_ref_by_timestep={3: [((0,), 1), ((1,), 2)], 4: [((2,), 3)], 6: []},
                dtype_by_timestep={3: "d", 4: "d", 5: "d"},
            )
        }


def test_the_head_actor_is_asked_for_what_it_has_in_part_and_forgets_it():
    head = Head()
    missing = _reader()(head, "__end", 10)
    assert missing == [("X", 3, "B"), ("X", 4, "A"), ("X", 6, "A"), ("X", 6, "B")]
    assert len(_reader()(head, "__end", 2)) == 2 and _reader()(head, "X", 10) == []
    assert _remover()(head, [("X", ANYTHING, 4), ("none", 1, 2)]) == 2
    array = head.registered_arrays["X"]
    assert sorted(array.chunk_refs) == [5, 6] and sorted(array.pos_to_ref_by_timestep) == [6]
    assert sorted(array.dtype_by_timestep) == [5], "what has just begun is its node's to remove"


@pytest.mark.parametrize("still", [True, False])
def test_a_part_that_came_between_two_looks_is_not_taken_for_a_hole(still):
    lacks = Broken("rank 1 skipped timestep 3", (("X", 3, 3),), "B")
    heard = []

    async def call(node, method, request, seconds):
        assert (node, method, request) == ("B", "deisa_lacking", {"sets": [["X", 3]]})
        return {"broken": [lacks.to_json()]}

    peers = SimpleNamespace(node="A", nodes=["A", "B"], call=call)
    session = SimpleNamespace(peers=peers, head=None)
    holes = Holes(session, heard.append)
    looks = [[("X", 3, "B")], [("X", 3, "B")] if still else []]

    async def read():
        return looks.pop(0)

    holes._read = read
    assert asyncio.run(holes.look()) is still
    assert heard == ([[lacks]] if still else [])
