"""The gate: which timesteps may begin, without Ray."""

from __future__ import annotations

import random
from collections import deque

import pytest

from deisa_bridge.node.gate import LOOK, Gate, Limits, Neighbour, Usage, Word

MIB = 2**20


def make_gate(ranks: int = 2, step: int = 4 * MIB, in_flight: int = 2, capacity: int = 100 * MIB, **limits):
    """A gate of ranks that send `step` bytes per timestep each, with an empty store."""
    gate = Gate()
    for bridge in range(ranks):
        gate.add_rank(bridge, step, in_flight)
    gate.begin(Limits(**({"threshold": 0.8} | limits)))
    gate.measured(Usage(0, capacity), gate.mark(), 0.0)
    gate.settle()
    return gate


def fill(gate: Gate, used: int, now: float, capacity: int = 100 * MIB) -> None:
    gate.measured(Usage(used, capacity), gate.mark(), now)
    gate.settle()


def test_it_is_open_while_there_is_room_for_all_that_may_be_in_flight():
    gate = make_gate()  # 16 MiB may be in flight, 80 are allowed
    assert gate.open and gate.admits(10**9) and gate.words(0.0) == []
    fill(gate, 64 * MIB, 1.0)
    assert gate.open
    fill(gate, 64 * MIB + 1, 2.0)
    assert not gate.open and gate.newest is None and not gate.admits(-5)
    assert gate.words(2.0) == [Word(0, 0), Word(1, 0)] and gate.words(2.0) == []
    assert "64 % full (64.0 MiB of 100.0 MiB)" in gate.reason() or gate.reason()
    fill(gate, 57 * MIB, 3.0)
    assert not gate.open, "it needs room for one timestep more to open again"
    fill(gate, 56 * MIB, 4.0)
    assert gate.open and gate.words(4.0) == [Word(0, 0), Word(1, 0)]


def test_what_has_begun_on_one_rank_is_admitted_on_all():
    gate = make_gate()
    gate.received(0, 7, 4 * MIB)
    fill(gate, 79 * MIB, 1.0)
    assert not gate.open and gate.admits(7) and not gate.admits(8)
    gate.words(1.0)
    gate.received(1, 8, 4 * MIB)  # it began before it heard
    gate.settle()
    assert gate.admits(8) and {word.bridge for word in gate.words(1.1)} == {0, 1}


def test_one_timestep_is_admitted_at_a_time_when_it_fits():
    gate = make_gate()
    fill(gate, 66 * MIB, 1.0)
    gate.words(1.0)
    gate.ask(0, 5, 3, waits=True, now=2.0)
    gate.settle()
    assert gate.admits(3) and not gate.admits(4), "8 MiB fit"
    assert gate.words(2.0) == [Word(1, 0), Word(0, 5)]
    gate.ask(1, 9, 3, waits=True, now=2.1)
    gate.settle()
    assert gate.words(2.1) == [Word(1, 9)]
    # The second is admitted only when the first, of which nothing has come yet, fits beside it.
    gate.received(0, 3, 4 * MIB)
    gate.stored(4 * MIB)
    gate.ask(0, 6, 4, waits=True, now=2.2)
    gate.settle()
    assert not gate.admits(4)
    fill(gate, 64 * MIB, 2.3)  # with those 4 MiB; rank 1's are to come
    assert gate.admits(4)


def test_a_question_is_answered_after_a_look_at_the_store():
    gate = make_gate()
    fill(gate, 79 * MIB, 1.0)
    gate.words(1.0)
    gate.ask(0, 5, 3, waits=False, now=2.0)
    gate.settle()
    assert gate.words(2.0) == [] and gate.wants_store(2.0), "what is known is older than the question"
    fill(gate, 79 * MIB, 2.1)
    assert gate.words(2.1) == [Word(0, 5)] and not gate.admits(3)
    assert gate.words(9.0) == [] and not gate.wants_store(9.0), "nobody waits"
    for part in ("79 % full (79.0 MiB of 100.0 MiB)", "next timestep has 8.0 MiB", "store_threshold is 0.8"):
        assert part in gate.reason()


def test_those_who_wait_are_told_why_and_then_that_they_may():
    gate = make_gate()
    fill(gate, 79 * MIB, 1.0)
    gate.words(1.0)
    gate.ask(0, 5, 3, waits=True, now=2.0)
    fill(gate, 79 * MIB, 2.1)
    assert gate.words(2.1) == [Word(0, 5)]
    assert gate.words(2.2) == [] and gate.words(3.2) == [Word(0, 5)], "now and then, with what is so by then"
    assert gate.wants_store(3.3) and gate.next_look(3.3) <= LOOK
    fill(gate, 72 * MIB, 3.4)
    assert gate.admits(3) and Word(0, 5) in gate.words(3.4)


def test_the_store_is_read_while_data_flow_and_not_else():
    gate = make_gate()
    assert not gate.wants_store(100.0) and gate.next_look(100.0) is None
    gate.received(0, 0, MIB)
    assert not gate.wants_store(LOOK / 2) and gate.wants_store(LOOK)
    gate.stored(MIB)
    fill(gate, MIB, 1.0)
    assert not gate.wants_store(9.0)
    gate.received(0, 1, 40 * MIB)
    gate.stored(40 * MIB)
    assert gate.wants_store(1.02), "half of what was free is used up"


def test_a_look_waits_unless_a_rank_or_the_store_does_not():
    gate = make_gate()
    fill(gate, MIB, 1.0)
    gate.received(0, 0, MIB)
    gate.stored(MIB)
    assert gate.wants_store(2.0) and not gate.hurries
    gate.ask(0, 5, 1, waits=False, now=2.0)
    assert gate.hurries, "a rank waits for the answer"
    gate.progress(0, 2)
    assert not gate.hurries
    gate.received(0, 2, 40 * MIB)
    gate.stored(40 * MIB)
    assert gate.hurries, "half of what was free is used up"


def test_a_store_that_cannot_be_read_is_no_limit():
    gate = make_gate()
    fill(gate, 79 * MIB, 1.0)
    assert not gate.open
    gate.measured(None, gate.mark(), 2.0)
    gate.settle()
    assert gate.open and not gate.wants_store(99.0)


def test_the_simulation_stays_max_ahead_timesteps_ahead():
    gate = make_gate(max_ahead=2, in_flight=1)
    gate.looked_ahead([], 0.0)
    gate.settle()
    for t in range(2):
        assert gate.open
        for bridge in range(2):
            gate.received(bridge, t, 4 * MIB)
            gate.progress(bridge, t + 1)
        gate.settle()
    gate.announced(0)
    gate.settle()
    assert not gate.open and gate.newest == 1
    gate.ask(0, 5, 2, waits=True, now=1.0)
    gate.settle()
    assert not gate.admits(2) and gate.reason() == "2 timesteps wait for the analytics, and max_ahead is 2"
    assert gate.wants_look_ahead(1.0)
    gate.before_look()
    gate.announced(1)  # meanwhile
    gate.looked_ahead([0], 1.5)
    gate.settle()
    assert not gate.admits(2)
    gate.before_look()
    gate.looked_ahead([1], 2.0)
    gate.settle()
    assert gate.admits(2) and not gate.admits(3)


def test_other_nodes_may_be_further_ahead():
    gate = make_gate(max_ahead=1)
    gate.looked_ahead([], 0.0)
    gate.settle()
    gate.words(0.0)
    for t in range(3):
        gate.ask(0, t + 1, t, waits=True, now=t + 0.1)
        gate.before_look()
        gate.looked_ahead([t, t + 1], t + 0.2)  # of the other node, which waits for this one
        gate.settle()
        assert gate.admits(t) and not gate.admits(t + 1)
        gate.words(t + 0.3)
        for bridge in range(2):
            gate.received(bridge, t, MIB)
            gate.progress(bridge, t + 1)
        gate.announced(t)


def test_timesteps_that_are_never_announced_do_not_count_as_ahead():
    gate = make_gate(max_ahead=1)
    gate.looked_ahead([], 0.0)
    gate.settle()
    assert not gate.open, "both ranks may have two timesteps in flight"
    for t, leave in enumerate(["skip", "break", "ask"]):
        gate.ask(0, 2 * t + 1, t, waits=False, now=t + 0.0)
        gate.settle()
        assert gate.admits(t), (t, gate.reason())
        gate.words(t + 0.1)
        if leave == "break":
            gate.received(0, t, 4 * MIB)
            gate.broken(t)
        for bridge in range(2):
            gate.progress(bridge, t + 1)


def test_a_rank_that_goes_takes_what_it_would_have_sent():
    gate = make_gate(in_flight=1)
    gate.received(0, 0, 4 * MIB)
    gate.stored(4 * MIB)
    fill(gate, 72 * MIB, 1.0)
    gate.ask(0, 5, 1, waits=True, now=2.0)
    gate.settle()
    assert not gate.admits(1), "4 MiB of timestep 0 are to come from rank 1"
    gate.gone(1)
    gate.settle()
    assert gate.admits(1)


def test_release_opens_for_good():
    gate = make_gate()
    fill(gate, 99 * MIB, 1.0)
    gate.words(1.0)
    gate.ask(0, 5, 3, waits=True, now=2.0)
    gate.release()
    fill(gate, 99 * MIB, 3.0)
    assert gate.open and Word(0, 5) in gate.words(3.0)


def test_a_window_that_can_never_fit_is_told():
    gate = make_gate(step=10 * MIB)
    assert gate.misfit(Limits(0.8, window=3), Usage(0, 100 * MIB)) == ""
    text = gate.misfit(Limits(0.8, window=4), Usage(0, 100 * MIB))
    for part in ("20.0 MiB", "window = 4", "100.0 MiB are needed", "80.0 MiB", "--object-store-memory"):
        assert part in text


@pytest.mark.parametrize(
    "given", [{"threshold": 0}, {"threshold": 1.5}, {"max_ahead": -1}, {"window": 0}, {"window": "x"}]
)
def test_limits_are_checked(given):
    with pytest.raises(ValueError):
        Limits.parse(given)
    assert Limits.parse({"max_ahead": 3, "other": 1}) == Limits(max_ahead=3)


class Model:
    """Ranks, put threads, a store and analytics, with messages that take their time in both directions."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ranks = self.random.randint(1, 4)
        self.in_flight = self.random.randint(1, 3)
        self.window = self.random.randint(1, 3)
        self.size = [self.random.randint(1, 5) for _ in range(self.ranks)]
        self.steps = 25
        # From "a window and one more just fit" to plenty.
        least = sum(self.size) * (self.window + 1)
        self.capacity = -(-least * 10 // 8) + self.random.choice([0, 1, least, 5 * least])
        self.gate = make_gate(0, capacity=self.capacity, window=self.window)
        for bridge, size in enumerate(self.size):
            self.gate.add_rank(bridge, size, self.in_flight)
        assert self.gate.misfit(Limits(0.8, window=self.window), Usage(0, self.capacity)) == ""
        self.to_actor = [deque() for _ in range(self.ranks)]
        self.to_rank = [deque() for _ in range(self.ranks)]
        self.view = [(True, None)] * self.ranks
        self.asked = [False] * self.ranks
        self.at = [0] * self.ranks  # the next timestep of each rank
        self.unstored = [0] * self.ranks
        self.slots: list[tuple[int, int]] = []  # chunks to be stored: rank, timestep
        self.store: dict[int, list[int]] = {}  # timestep -> chunks
        self.kept: deque[int] = deque()  # what the analytics keep
        self.analysed = 0
        self.now = 1.0
        self.settle()
        for r in range(self.ranks):  # what is told before the end of deisa_ready is heard in time
            self.hear(r)

    def used(self) -> int:
        return sum(sum(sizes) for sizes in self.store.values())

    def rank(self, r: int) -> None:
        if self.at[r] == self.steps or self.unstored[r] >= self.in_flight:
            return
        is_open, newest = self.view[r]
        if is_open or (newest is not None and self.at[r] <= newest):
            self.to_actor[r].append(("step", self.at[r]))
            self.unstored[r] += 1
            self.at[r] += 1
            self.asked[r] = False
        elif not self.asked[r]:
            self.to_actor[r].append(("ask", self.at[r]))
            self.asked[r] = True

    def actor(self, r: int) -> None:
        if not self.to_actor[r]:
            return
        kind, t = self.to_actor[r].popleft()
        if kind == "ask":
            self.gate.ask(r, 1, t, waits=True, now=self.now)
        else:
            self.gate.received(r, t, self.size[r])
            self.gate.progress(r, t + 1)
            self.slots.append((r, t))

    def put(self) -> None:
        if self.slots:
            r, t = self.slots.pop(self.random.randrange(len(self.slots)))
            self.store.setdefault(t, []).append(self.size[r])
            self.gate.stored(self.size[r])
            self.to_rank[r].append("stored")

    def analyse(self) -> None:
        if len(self.store.get(self.analysed, [])) == self.ranks:
            self.kept.append(self.analysed)
            self.analysed += 1
            if len(self.kept) > self.window:
                del self.store[self.kept.popleft()]

    def settle(self) -> None:
        if self.gate.wants_store(self.now):
            self.gate.measured(Usage(self.used(), self.capacity), self.gate.mark(), self.now)
        self.gate.settle()
        for word in self.gate.words(self.now):
            self.to_rank[word.bridge].append((self.gate.open, self.gate.newest))

    def hear(self, r: int) -> None:
        if self.to_rank[r]:
            message = self.to_rank[r].popleft()
            if message == "stored":
                self.unstored[r] -= 1
            else:
                self.view[r] = message

    def run(self) -> None:
        for _ in range(40000):
            r = self.random.randrange(self.ranks)
            action = self.random.choice([self.rank, self.actor, self.hear, self.put, self.analyse])
            action(r) if action in (self.rank, self.actor, self.hear) else action()
            self.settle()
            assert self.used() <= 0.8 * self.capacity, "the threshold was passed"
            self.now += self.random.choice([0.0, 0.001, 0.2])
            if self.analysed == self.steps:
                return
        raise AssertionError(f"stuck: ranks at {self.at}, analysed {self.analysed}; {self.gate.status()}")


@pytest.mark.parametrize("seed", range(60))
def test_no_schedule_fills_the_store_or_gets_stuck(seed):
    Model(seed).run()


def neighbour(begun: tuple[int, ...] = (), on_the_way: int = 0, step_bytes: int = 0) -> Neighbour:
    return Neighbour(begun, on_the_way * MIB, step_bytes * MIB)


def test_what_has_begun_on_a_neighbour_is_admitted_though_the_store_is_full():
    gate = make_gate(ranks=1, step=10 * MIB)
    fill(gate, 80 * MIB, 1.0)
    gate.ask(0, 7, 4, waits=True, now=1.0)
    gate.settle()
    assert not gate.admits(4)
    gate.heard([neighbour(begun=(4, 5, 6), step_bytes=10)])
    gate.settle()
    assert gate.admits(4) and gate.admits(6) and not gate.admits(7)
    assert gate.words(1.0)[-1] == Word(0, 7)
    assert gate.neighbour() == Neighbour((4, 5, 6), 30 * MIB, 10 * MIB), "it owes all three"


@pytest.mark.parametrize(
    ("others", "used", "admitted"), [(0, 70, True), (20, 70, False), (20, 50, True), (20, 51, False)]
)
def test_the_first_that_begins_a_timestep_needs_room_for_the_neighbours_parts(others, used, admitted):
    gate = make_gate(ranks=1, step=10 * MIB)
    gate.heard([neighbour(step_bytes=others)])
    fill(gate, used * MIB, 1.0)
    assert not gate.open
    gate.ask(0, 7, 5, waits=True, now=1.0)
    gate.settle()
    assert gate.admits(5) is admitted


def test_what_a_neighbour_has_on_the_way_has_its_room():
    gate = make_gate(ranks=1, step=10 * MIB)
    gate.heard([neighbour(on_the_way=20)])
    fill(gate, 51 * MIB, 1.0)
    gate.ask(0, 7, 5, waits=True, now=1.0)
    gate.settle()
    assert not gate.admits(5)
