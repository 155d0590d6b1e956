"""The order in which sets are announced, and what happens to sets that break."""

from __future__ import annotations

import itertools
import random

import pytest

from deisa_bridge.node.gather import ANYTHING, NEVER, Gather
from deisa_bridge.status import Status


def gather_of(bridges: dict[int, str], step_timeout: float = 10.0) -> Gather:
    """A gather with bridges and the arrays that each has, one letter per array."""
    gather = Gather()
    for bridge, arrays in bridges.items():
        gather.add_bridge(bridge, arrays, step_timeout)
    return gather


def send(
    gather: Gather, bridge: int, timestep: int, arrays: str, last: bool = False, now: float = 0.0
) -> None:
    """A step whose chunks are stored at once."""
    for array, _ in gather.step(bridge, timestep, [(array, None) for array in arrays], last, now):
        gather.stored(bridge, array, timestep, f"{bridge}{array}{timestep}")


def announce_all(gather: Gather, watermark: int = NEVER) -> list[tuple[str, int]]:
    done = []
    while (one := gather.next_ready(watermark)) is not None:
        gather.announced(one)
        done.append((one.array, one.timestep))
    return done


def test_a_set_is_announced_when_every_chunk_is_stored():
    gather = gather_of({0: "X", 1: "X"})
    gather.step(0, 5, [("X", "a")], False, 0.0)
    gather.step(1, 5, [("X", "b")], False, 0.0)
    assert gather.next_ready() is None
    gather.stored(0, "X", 5, "ref0")
    assert gather.next_ready() is None
    gather.stored(1, "X", 5, "ref1")
    one = gather.next_ready()
    assert one is not None
    assert {bridge: chunk.payload for bridge, chunk in one.chunks.items()} == {0: "ref0", 1: "ref1"}
    assert gather.next_ready() is None, "a set is announced once"
    assert not gather.idle
    gather.announced(one)
    assert gather.idle and gather.newest == 5


def test_a_set_waits_for_a_slower_bridge_of_another_array():
    gather = gather_of({0: "X", 1: "Y"})
    send(gather, 0, 1, "X")
    assert announce_all(gather) == []
    assert "rank 1" in gather.explain()
    gather.progress(1, 1)
    assert announce_all(gather) == [("X", 1)]


def test_the_last_of_a_step_lets_the_next_timestep_pass():
    gather = gather_of({0: "X", 1: "Y"})
    send(gather, 1, 1, "Y", last=True)
    send(gather, 0, 1, "X", last=True)
    send(gather, 0, 2, "X")
    assert sorted(announce_all(gather)) == [("X", 1), ("X", 2), ("Y", 1)]


def test_an_older_set_holds_a_complete_later_one():
    gather = gather_of({0: "XY", 1: "X"})
    gather.step(0, 1, [("X", None)], False, 0.0)
    send(gather, 0, 2, "Y")
    send(gather, 1, 2, "")
    # Rank 1 went past X@1, so that broke; nothing is left to hold Y@2.
    assert announce_all(gather) == [("Y", 2)]
    gather.stored(0, "X", 1, "ref")
    (failure,) = gather.take_failures()
    assert (failure.bridge, failure.array, failure.timestep) == (0, "X", 1)
    assert "rank 1" in failure.text and "timestep 1" in failure.text and "'X'" in failure.text


def test_different_orders_of_arrays_do_not_deadlock():
    gather = gather_of({0: "XY", 1: "XY"})
    send(gather, 0, 1, "X")
    send(gather, 1, 1, "Y")
    send(gather, 0, 1, "Y")
    send(gather, 1, 1, "X")
    assert sorted(announce_all(gather)) == [("X", 1), ("Y", 1)]


@pytest.mark.parametrize("how", ["died", "closed", "was abandoned"])
def test_a_bridge_that_goes_breaks_what_it_owes(how):
    gather = gather_of({0: "X", 1: "X", 2: "X"})
    send(gather, 0, 4, "X")
    gather.step(1, 4, [("X", "tag")], False, 0.0)
    gather.gone(2, how)
    (failure,) = gather.take_failures()
    assert failure.bridge == 0 and not failure.frees_slot and failure.status == Status.CONNECTION
    assert "rank 2" in failure.text and how in failure.text
    assert not gather.idle, "rank 1's chunk is still being put"
    gather.stored(1, "X", 4, "ref")
    (failure,) = gather.take_failures()
    assert failure.bridge == 1 and failure.tag == "tag" and not failure.frees_slot
    assert gather.idle and announce_all(gather) == []


def test_what_a_dead_bridge_had_sent_is_announced():
    gather = gather_of({0: "X", 1: "X"})
    send(gather, 0, 4, "X")
    gather.gone(0, "died")
    send(gather, 1, 4, "X")
    assert announce_all(gather) == [("X", 4)]
    send(gather, 1, 5, "X")
    assert announce_all(gather) == []
    (failure,) = gather.take_failures()
    assert failure.bridge == 1 and "rank 0 died" in failure.text


def test_a_failed_put_breaks_the_set():
    gather = gather_of({0: "X", 1: "X"})
    send(gather, 0, 1, "X")
    gather.step(1, 1, [("X", "tag")], False, 0.0)
    gather.put_failed(1, "X", 1, Status.RESOURCE, "the store is full")
    mine, other = gather.take_failures()
    assert mine.bridge == 1 and mine.frees_slot and mine.status == Status.RESOURCE
    assert other.bridge == 0 and not other.frees_slot and "rank 1" in other.text
    assert gather.idle


def test_a_put_that_fails_after_its_set_broke_frees_its_slot():
    gather = gather_of({0: "X", 1: "X"})
    gather.step(0, 1, [("X", "tag")], False, 0.0)
    gather.gone(1, "died")
    assert gather.take_failures() == []
    gather.put_failed(0, "X", 1, Status.RESOURCE, "full")
    (failure,) = gather.take_failures()
    assert failure.frees_slot and "rank 1 died" in failure.text


def test_late_chunks_are_reported_once_and_kept():
    gather = gather_of({0: "X", 1: "X"}, step_timeout=3.0)
    send(gather, 0, 1, "X", now=10.0)
    gather.report_late(12.9)
    assert gather.take_failures() == []
    gather.report_late(13.1)
    (failure,) = gather.take_failures()
    assert failure.status == Status.TIMEOUT and not failure.frees_slot
    assert "rank 1" in failure.text and "timestep 1" in failure.text
    gather.report_late(99.0)
    assert gather.take_failures() == []
    send(gather, 1, 1, "X", now=99.0)
    assert announce_all(gather) == [("X", 1)]


@pytest.mark.parametrize(
    ("array", "timestep", "words"),
    [("X", 4, "older"), ("X", 5, "before"), ("Z", 6, "not defined"), ("Y", 4, "older")],
)
def test_contract_violations_are_refused_with_their_slot(array, timestep, words):
    gather = gather_of({0: "XY"})
    send(gather, 0, 5, "X")
    assert gather.step(0, timestep, [(array, "tag")], False, 0.0) == []
    (failure,) = gather.take_failures()
    assert failure.status == Status.CONTRACT and failure.frees_slot and failure.tag == "tag"
    assert words in failure.text or "expected a later one" in failure.text
    assert announce_all(gather) == [("X", 5)]


def test_a_bridge_without_arrays_holds_nobody():
    gather = gather_of({0: "", 1: "X"})
    send(gather, 1, 1, "X")
    assert announce_all(gather) == [("X", 1)]


def test_the_watermark_holds_a_set():
    gather = gather_of({0: "X"})
    send(gather, 0, 3, "X")
    assert announce_all(gather, watermark=2) == []
    assert announce_all(gather, watermark=3) == [("X", 3)]


def test_the_bound_is_the_oldest_that_may_still_be_announced():
    gather = gather_of({0: "X", 1: "X"})
    assert gather.bound == ANYTHING
    gather.step(0, 3, [("X", None)], True, 0.0)
    gather.step(1, 3, [("X", None)], True, 0.0)
    assert gather.bound == 3, "a chunk that is being put may still be announced"
    gather.stored(0, "X", 3, None)
    gather.stored(1, "X", 3, None)
    announce_all(gather)
    assert gather.bound == 4
    gather.gone(0, "closed")
    gather.gone(1, "closed")
    assert gather.bound == NEVER


def test_the_end_announces_what_is_complete_and_refuses_the_rest():
    gather = gather_of({0: "X", 1: "XY"})
    send(gather, 1, 1, "Y")
    send(gather, 1, 1, "X")
    gather.gone(0, "died")
    gather.take_failures()
    send(gather, 1, 2, "Y")
    gather.end("the simulation ended")
    assert announce_all(gather) == [("Y", 1), ("Y", 2)]
    assert gather.step(1, 3, [("Y", None)], False, 0.0) == []
    (failure,) = gather.take_failures()
    assert "the simulation ended" in failure.text and failure.frees_slot
    assert gather.idle and gather.bound == NEVER


def scripts(seed: int) -> dict[int, list[tuple]]:
    """What each of three ranks does: X on all, Y on two; some skip or die."""
    rng = random.Random(seed)
    result = {}
    for bridge, arrays in {0: "XY", 1: "XY", 2: "X"}.items():
        events: list[tuple] = []
        for timestep in range(rng.randint(2, 5)):
            if rng.random() < 0.15:
                continue
            chosen = [a for a in arrays if rng.random() < 0.9]
            rng.shuffle(chosen)
            if rng.random() < 0.5:
                events.append(("step", timestep, chosen, True))
            else:
                events.extend(("step", timestep, [a], False) for a in chosen)
        events.append(("gone", rng.choice(["died", "closed"])))
        result[bridge] = events
    return result


@pytest.mark.parametrize("seed", range(300))
def test_any_interleaving_keeps_the_order_and_loses_nothing(seed):
    """Whatever the order of steps, puts, announcements and deaths: timesteps never go back, every set that is
    complete is announced, and every chunk ends in exactly one way."""
    rng = random.Random(seed)
    script = scripts(seed)
    gather = gather_of({0: "XY", 1: "XY", 2: "X"})
    sent: set[tuple[int, str, int]] = set()
    putting: list[tuple[int, str, int]] = []
    announcing: list = []
    order: list[int] = []
    fate: dict[tuple[int, str, int], str] = {}

    def settle(key, what):
        assert key not in fate, f"{key} was {fate.get(key)} and then {what}"
        fate[key] = what

    while any(script.values()) or putting or announcing:
        choice = rng.choice(
            [b for b in script if script[b]] + ["put"] * bool(putting) + ["told"] * bool(announcing)
        )
        if choice == "put":
            key = putting.pop(rng.randrange(len(putting)))
            gather.stored(*key, payload=key)
        elif choice == "told":
            one = announcing.pop(rng.randrange(len(announcing)))
            gather.announced(one)
            for bridge in one.chunks:
                settle((bridge, one.array, one.timestep), "announced")
        else:
            event = script[choice].pop(0)
            if event[0] == "gone":
                gather.gone(choice, event[1])
            else:
                _, timestep, arrays, last = event
                accepted = gather.step(choice, timestep, [(a, None) for a in arrays], last, 0.0)
                sent |= {(choice, a, timestep) for a in arrays}
                putting += [(choice, a, timestep) for a, _ in accepted]
        bound = gather.bound
        if (one := gather.next_ready()) is not None:
            assert one.timestep == bound
            order.append(one.timestep)
            announcing.append(one)
        for failure in gather.take_failures():
            settle((failure.bridge, failure.array, failure.timestep), "failed")
    assert order == sorted(order)
    assert gather.idle
    assert fate.keys() == sent
    owners = {"X": {0, 1, 2}, "Y": {0, 1}}
    for array, timestep in {(a, t) for _, a, t in sent}:
        there = {b for b, a, t in sent if (a, t) == (array, timestep)}
        expected = "announced" if there == owners[array] else "failed"
        assert {fate[(b, array, timestep)] for b in there} == {expected}


def test_every_interleaving_of_two_ranks():
    """All 70 orders of two ranks' four sends: the same two timesteps, in order."""
    for first in itertools.combinations(range(8), 4):
        gather = gather_of({0: "XY", 1: "XY"})
        todo = {0: [(1, "X"), (1, "Y"), (2, "X"), (2, "Y")], 1: [(1, "Y"), (1, "X"), (2, "Y"), (2, "X")]}
        done = []
        for position in range(8):
            bridge = 0 if position in first else 1
            timestep, array = todo[bridge].pop(0)
            send(gather, bridge, timestep, array)
            done += announce_all(gather)
        assert [t for _, t in done] == [1, 1, 2, 2]
        assert gather.take_failures() == []
