"""A simulation on two nodes as a state machine, to be walked through in every order of events.

Gather and Watermark are the real ones. Around them stand, as docs/state-machines.md describes them: ranks
that send, flush, meet at the barrier and leave; node actors that announce, tell each other what is broken,
and drain; the head actor; and deaths. Time is not modelled: what a time-out does may happen as soon as it is
armed.

A state is a tuple of small numbers and sets. Each event leads to a later state, never back, so walking
through all states ends; a state without events is an end, and everything must have come to its end there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deisa_bridge.node.broken import Broken
from deisa_bridge.node.gather import ANYTHING, NEVER, Gather
from deisa_bridge.node.watermark import Watermark
from deisa_bridge.status import Status

MASTER, OTHER = 0, 1
SENDING, FLUSHING, MET, LEFT, DEAD = range(5)  # phases of a rank


class Violation(AssertionError):
    """Something that must never happen."""


@dataclass(frozen=True)
class World:
    """Who is where and does what. `arrays`: name -> its ranks. Bridge 0 must be on node 0."""

    arrays: dict[str, tuple[int, ...]]
    nodes: tuple[tuple[int, ...], ...] = ((0, 2), (1, 3))
    steps: int = 3
    skips: frozenset[tuple[int, int]] = frozenset()  # (rank, timestep)
    in_steps: bool = False  # the arrays of a timestep in one message
    slow_puts: bool = False  # storing a chunk is an event of its own
    aggregate: bool = False  # all chunks that a node has of an array are stored together, or not at all
    announced: bool = False  # a send waits until its chunks are announced
    deaths: int = 0  # of ranks
    actor_deaths: int = 0
    uniform: bool = True

    @property
    def ranks(self) -> list[int]:
        return sorted(rank for node in self.nodes for rank in node)

    def node_of(self, rank: int) -> int:
        return next(i for i, node in enumerate(self.nodes) if rank in node)

    def owners(self, array: str) -> list[int]:
        """The nodes that announce a part of the array."""
        return [i for i, node in enumerate(self.nodes) if set(node) & set(self.arrays[array])]

    def program(self, rank: int) -> list[tuple[int, tuple[str, ...], bool]]:
        """What a rank sends: (timestep, arrays, last of its step)."""
        sends = []
        for t in range(self.steps):
            if (rank, t) in self.skips:
                continue
            mine = tuple(name for name, ranks in self.arrays.items() if rank in ranks)
            sends += [(t, mine, True)] if self.in_steps else [(t, (name,), False) for name in mine]
        return sends


class Node(NamedTuple):
    """A node actor beside its Gather, which is a number: see Gathers."""

    gather: int
    batch: frozenset = frozenset()  # sets that the head actor is being told about
    told: frozenset = frozenset()  # those of them that it knows
    heard: frozenset = frozenset()  # of the other node: sets that can never be complete
    watermark: int = NEVER  # as far as this node knows
    ended: bool = False  # it takes nothing more, and drains
    alive: bool = True
    lost: bool = False


class State(NamedTuple):
    phases: tuple[int, ...]
    sent: tuple[int, ...]  # messages of each rank's program
    nodes: tuple[Node, ...]
    known: tuple[int, int]  # bounds, as far as the master knows
    head: frozenset = frozenset()  # (array, timestep, node) that were announced
    newest: int = -1  # of what is complete at the head actor
    marker: bool = False
    ending: str = ""  # what the master, or who took over, does: "", "draining", "sending", "sent"
    deaths: int = 0
    actor_deaths: int = 0


@dataclass
class Known:
    """One state of a Gather, and what has happened to each chunk so far."""

    gather: Gather
    open: frozenset  # (rank, array, timestep): neither announced nor failed
    taken: frozenset  # accepted while the node took chunks
    bound: int
    waiting: frozenset  # ranks with open chunks
    found: frozenset  # sets that can never be complete, as it has found itself
    after: dict[tuple, tuple[int, Any]] = field(default_factory=dict)


class Gathers:
    """All states of a Gather that were met, each a number; what an event does to one is computed once."""

    def __init__(self) -> None:
        self._states: list[Known] = []
        self._numbers: dict[tuple, int] = {}

    def __getitem__(self, number: int) -> Known:
        return self._states[number]

    def add(
        self,
        gather: Gather,
        still_open: frozenset = frozenset(),
        taken: frozenset = frozenset(),
        found: frozenset = frozenset(),
    ) -> int:
        key = (_key(gather), still_open, taken, found)
        number = self._numbers.setdefault(key, len(self._states))
        if number == len(self._states):
            waiting = frozenset(rank for rank, _, _ in still_open)
            self._states.append(Known(gather, still_open, taken, gather.bound, waiting, found))
        return number

    def apply(self, number: int, event: str, *arguments: Any) -> tuple[int, Any]:
        """The state after an event, and its result."""
        before = self._states[number]
        found = before.after.get((event, *arguments))
        if found is None:
            gather = copy.deepcopy(before.gather)
            result, opened, closed, taken = getattr(self, "_" + event)(gather, *arguments)
            final = [f for f in gather.take_failures() if f.status != Status.TIMEOUT]
            closed |= {(f.bridge, f.array, f.timestep) for f in final}
            taken -= {(f.bridge, f.array, f.timestep) for f in final if "not announced, because" in f.text}
            if not closed <= before.open | opened:
                raise Violation(f"{closed - before.open} were settled twice")
            found_now = before.found | set(gather.take_broken())
            number = self.add(gather, (before.open | opened) - closed, before.taken | taken, found_now)
            found = before.after[(event, *arguments)] = (number, result)
        return found

    @staticmethod
    def _step(gather: Gather, rank: int, timestep: int, arrays: tuple[str, ...], last: bool, put: bool):
        chunks = {(rank, array, timestep) for array in arrays}
        for array, _ in gather.step(rank, timestep, [(array, array) for array in arrays], last, 0.0):
            if put:
                gather.stored(rank, array, timestep, "object")
        return None, chunks, set(), set(chunks)

    @staticmethod
    def _stored(gather: Gather, rank: int, array: str, timestep: int):
        gather.stored(rank, array, timestep, "object")
        return None, set(), set(), set()

    @staticmethod
    def _box_stored(gather: Gather, array: str, timestep: int, ranks: tuple[int, ...]):
        for rank in ranks:
            gather.stored(rank, array, timestep, "object")
        return None, set(), set(), set()

    @staticmethod
    def _box_dropped(gather: Gather, array: str, timestep: int, ranks: tuple[int, ...]):
        for rank in ranks:
            gather.put_failed(rank, array, timestep, Status.RESOURCE, "its chunk set is broken")
        return None, set(), set(), set()

    @staticmethod
    def _call(gather: Gather, name: str, *arguments: Any):
        getattr(gather, name)(*arguments)
        return None, set(), set(), set()

    @staticmethod
    def _take(gather: Gather, watermark: int):
        batch = set()
        while (one := gather.next_ready(watermark)) is not None:
            batch.add((one.array, one.timestep))
        return frozenset(batch), set(), set(), set()

    @staticmethod
    def _announced(gather: Gather, batch: frozenset):
        closed, broken = set(), set()
        for one in [one for one in gather.pending if (one.array, one.timestep) in batch]:
            if gather.announced(one):
                closed |= {(rank, one.array, one.timestep) for rank in one.chunks}
            else:
                broken.add((one.array, one.timestep, one.timestep))
        return broken, set(), closed, set()

    @staticmethod
    def _give_up(gather: Gather, broken: Broken):
        gather.give_up(broken)
        return None, set(), set(), set()


def _key(gather: Gather) -> tuple:
    """What two Gathers must have in common to behave alike."""
    bridges = tuple(
        (b, s.progress, bool(s.gone), tuple(sorted(s.newest.items()))) for b, s in gather._bridges.items()
    )
    sets = frozenset(
        (one.array, one.timestep, one.announcing, frozenset((b, c.stored) for b, c in one.chunks.items()))
        for one in gather._sets.values()
    )
    doomed, broken = frozenset(gather._doomed), tuple(gather._broken)
    return bridges, sets, doomed, broken, bool(gather._ended), gather.newest


class Model:
    """The states of a world, and the events that lead from each to others."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gathers = Gathers()
        self.programs = [world.program(rank) for rank in world.ranks]
        self.home = [world.node_of(rank) for rank in world.ranks]
        self.ranks = world.ranks

    def start(self) -> State:
        nodes = []
        for i, ranks in enumerate(self.world.nodes):
            gather = Gather(str(i))
            for rank in ranks:
                gather.add_bridge(rank, [a for a, of in self.world.arrays.items() if rank in of], 1.0)
            nodes.append(Node(self.gathers.add(gather), watermark=NEVER if self.world.uniform else ANYTHING))
        count = len(self.ranks)
        return self._settle(State((SENDING,) * count, (0,) * count, tuple(nodes), (ANYTHING, ANYTHING)))

    def events(self, state: State) -> Iterator[tuple[str, State]]:
        """Every event that may come next, and the state after it."""
        for rank in self.ranks:
            yield from self._rank_events(state, rank)
        for i, node in enumerate(state.nodes):
            if node.alive:
                yield from self._announcing(state, i, node)
                yield from self._peer_events(state, i, node)
                yield from self._broken_events(state, i, node)
                yield from self._draining(state, i, node)
        yield from self._ending(state)

    # ---- Ranks -------------------------------------------------------------------------------------------

    def _rank_events(self, state: State, rank: int) -> Iterator[tuple[str, State]]:
        phase, i = state.phases[rank], self.home[rank]
        node = state.nodes[i]
        if phase in (LEFT, DEAD):
            return
        if state.deaths < self.world.deaths:
            after = self._phase(state, rank, DEAD)._replace(deaths=state.deaths + 1)
            yield f"rank {rank} dies", self._gone(after, rank, "died")
        if phase == SENDING:
            program = self.programs[rank]
            if state.sent[rank] == len(program):
                after = self._phase(state, rank, FLUSHING)
                yield f"rank {rank} closes", self._call(after, i, "progress", rank, NEVER)
                return
            if self.world.announced and node.alive and rank in self.gathers[node.gather].waiting:
                return
            timestep, arrays, last = program[state.sent[rank]]
            after = state._replace(sent=_with(state.sent, rank, state.sent[rank] + 1))
            if node.alive:
                at_once = not (self.world.slow_puts or self.world.aggregate)
                after = self._apply(after, i, "step", rank, timestep, arrays, last, at_once)
            yield f"rank {rank} sends {arrays} of {timestep}", after
        elif phase == FLUSHING:
            if node.alive and rank in self.gathers[node.gather].waiting:
                return  # it waits for its node actor, or for send_timeout: then it goes on as here
            if any(p in (DEAD, LEFT) for p in state.phases):
                after = self._phase(state, rank, LEFT)  # comm_timeout at the barrier
                yield f"rank {rank} abandons", self._gone(after, rank, "was abandoned")
            elif all(self._may_meet(state, other) for other in self.ranks):
                after = state
                for other in self.ranks:
                    after = self._phase(after, other, LEFT if other else MET)
                for other in self.ranks[1:]:
                    after = self._gone(after, other, "closed")
                if rank == 0:
                    yield "the ranks meet", after

    def _may_meet(self, state: State, rank: int) -> bool:
        node = state.nodes[self.home[rank]]
        waits = node.alive and rank in self.gathers[node.gather].waiting
        return state.phases[rank] == FLUSHING and not waits

    def _phase(self, state: State, rank: int, phase: int) -> State:
        return state._replace(phases=_with(state.phases, rank, phase))

    def _gone(self, state: State, rank: int, how: str) -> State:
        state = self._call(state, self.home[rank], "gone", rank, how)
        if rank == 0 and state.nodes[MASTER].alive and not state.ending:
            state = state._replace(ending="draining")
        return state

    # ---- Node actors -------------------------------------------------------------------------------------

    def _storing_boxes(self, state: State, i: int, node: Node) -> Iterator[tuple[str, State]]:
        """As node/boxes.py does: a box is put when it is full, and dropped when its set has broken before."""
        gather = self.gathers[node.gather].gather
        for one in gather.pending:
            if not one.missing and not one.complete:
                ranks = tuple(sorted(one.chunks))
                after = self._apply(state, i, "box_stored", one.array, one.timestep, ranks)
                yield f"node {i} stores the box {one.array}{one.timestep}", after
        for array, timestep in sorted({(array, timestep) for _, array, timestep in gather._doomed}):
            ranks = tuple(sorted(r for r, *of in gather._doomed if of == [array, timestep]))
            full = set(ranks) == set(self.world.nodes[i]) & set(self.world.arrays[array])
            event, what = ("box_stored", "stores too late") if full else ("box_dropped", "drops")
            yield f"node {i} {what} {array}{timestep}", self._apply(state, i, event, array, timestep, ranks)

    def _announcing(self, state: State, i: int, node: Node) -> Iterator[tuple[str, State]]:
        if self.world.aggregate:
            yield from self._storing_boxes(state, i, node)
        if self.world.slow_puts:
            for one in self.gathers[node.gather].gather.pending:
                for rank, chunk in one.chunks.items():
                    if not chunk.stored:
                        after = self._apply(state, i, "stored", rank, one.array, one.timestep)
                        yield f"node {i} stores {one.array}{one.timestep} of {rank}", after
            for chunk in self.gathers[node.gather].gather._doomed:
                yield f"node {i} stores {chunk} too late", self._apply(state, i, "stored", *chunk)
        for one in node.batch - node.told:
            after = self._at_head(state, i, one)
            after = self._node(after, i, after.nodes[i]._replace(told=after.nodes[i].told | {one}))
            yield f"the head actor is told {one} by node {i}", after
        if node.batch and node.batch == node.told:
            after = self._node(state, i, node._replace(batch=frozenset(), told=frozenset()))
            _, broken = self.gathers.apply(node.gather, "announced", node.batch)
            after = self._apply(after, i, "announced", node.batch)
            after = self._forget(after, broken)
            yield f"node {i} hears that {set(node.batch)} is known", after
        if not node.batch:
            number, batch = self.gathers.apply(node.gather, "take", node.watermark)
            if batch:
                after = self._node(state, i, node._replace(gather=number, batch=batch))
                if not self.world.actor_deaths:
                    # Whether it is decided early or late changes nothing: what allows it stays true.
                    for one in sorted(batch, key=lambda one: -one[1]):
                        after = self._at_head(after, i, one)
                    after = self._node(after, i, after.nodes[i]._replace(told=batch))
                yield f"node {i} announces {set(batch)}", after

    def _at_head(self, state: State, i: int, one: tuple[str, int]) -> State:
        array, timestep = one
        head = state.head | {(array, timestep, i)}
        if state.marker:
            raise Violation(f"{one} came after the end marker")
        newest = state.newest
        if all((array, timestep, owner) in head for owner in self.world.owners(array)):
            if timestep < newest:
                raise Violation(f"{one} was complete after timestep {newest}")
            newest = timestep
        return state._replace(head=head, newest=newest)

    def _peer_events(self, state: State, i: int, node: Node) -> Iterator[tuple[str, State]]:
        master = state.nodes[MASTER]
        if i == OTHER and master.alive and not self.world.uniform:
            bound = self.gathers[node.gather].bound
            if bound > state.known[OTHER]:
                yield "the other node reports", self._report(state, OTHER, bound)
            if master.watermark > node.watermark:
                after = self._node(state, OTHER, node._replace(watermark=master.watermark))
                yield "the other node hears the watermark", after
        if state.actor_deaths < self.world.actor_deaths and state.ending != "sent":
            # What the head actor has been told but has not said yet is known to it, or never will be.
            for told in (frozenset(), node.batch - node.told):
                after = state
                for one in told:
                    after = self._at_head(after, i, one)
                after = self._node(after, i, after.nodes[i]._replace(alive=False, batch=frozenset()))
                if i == MASTER and state.ending:
                    after = after._replace(ending="")
                yield f"the actor of node {i} dies", after._replace(actor_deaths=state.actor_deaths + 1)
        peer = state.nodes[1 - i]
        if not peer.alive and not node.lost:
            after = self._call(state, i, "end" if i == MASTER else "lose", "the other node actor has died")
            after = self._node(after, i, after.nodes[i]._replace(lost=True))
            if i == MASTER:
                yield "the master sees the death", self._report(after, OTHER, NEVER)
            elif state.ending != "sent":
                yield "the other takes over", after._replace(ending="draining")

    def _broken_events(self, state: State, i: int, node: Node) -> Iterator[tuple[str, State]]:
        """What the other node has found, and what the master sees at the head actor."""
        if state.nodes[1 - i].alive or self.world.actor_deaths:
            found = self.gathers[state.nodes[1 - i].gather].found
            # What is on the other node alone changes nothing here.
            found = frozenset(
                one for one in found if any(i in self.world.owners(array) for array, _, _ in one.arrays)
            )
            if news := sorted(found - node.heard, key=lambda one: one.text):
                after = self._node(state, i, node._replace(heard=found))
                for one in news:
                    after = self._hear(after, i, one)
                yield f"node {i} hears: {'; '.join(one.text for one in news)}", after
        if i != MASTER or not self.world.skips:  # deaths are known without it
            return
        lacking = set()
        for array, timestep in {(array, timestep) for array, timestep, _ in state.head}:
            for owner in self.world.owners(array):
                other = state.nodes[owner]
                if (array, timestep, owner) not in state.head and other.alive:
                    one = self.gathers[other.gather].gather.lacks(array, timestep)
                    lacking |= {one} if one is not None else set()
        after = state
        for one in sorted(lacking, key=lambda one: one.arrays):
            for j in (MASTER, OTHER):
                after = self._hear(after, j, one)
        if after != state:
            yield "the master sees what never comes", after

    def _hear(self, state: State, i: int, one: Broken) -> State:
        return self._forget(self._apply(state, i, "give_up", one), one.arrays)

    def _forget(self, state: State, arrays: Any) -> State:
        """The head actor is to forget what it has of broken sets."""
        gone = {e for e in state.head if any(e[0] == name and a <= e[1] <= b for name, a, b in arrays)}
        for array, timestep, _ in gone:
            if all((array, timestep, owner) in state.head for owner in self.world.owners(array)):
                raise Violation(f"{array} of timestep {timestep} was given up, though it was complete")
        return state._replace(head=state.head - gone) if gone else state

    def _draining(self, state: State, i: int, node: Node) -> Iterator[tuple[str, State]]:
        if state.ending == "draining" and not node.ended:
            # It has been asked to drain, and nothing more can come, or SETTLE is over.
            after = self._node(state, i, node._replace(ended=True))
            yield f"node {i} takes no more", self._call(after, i, "end", "the simulation has ended")

    def _drained(self, node: Node) -> bool:
        known = self.gathers[node.gather]
        return not node.alive or (node.ended and not node.batch and known.gather.idle and not known.open)

    def _ending(self, state: State) -> Iterator[tuple[str, State]]:
        if state.phases[0] == MET and state.nodes[MASTER].alive and not state.ending:
            after = self._call(state, MASTER, "progress", 0, NEVER)
            yield "bridge 0 asks for the marker", after._replace(ending="draining")
        if state.phases[0] == MET and (state.ending == "sent" or not state.nodes[MASTER].alive):
            yield "bridge 0 leaves", self._gone(self._phase(state, 0, LEFT), 0, "closed")
        if state.ending == "draining" and all(map(self._drained, state.nodes)):
            yield "the end marker is sent", state._replace(ending="sent", marker=True)

    # ---- Changing a state --------------------------------------------------------------------------------

    def _node(self, state: State, i: int, node: Node) -> State:
        return state._replace(nodes=_with(state.nodes, i, node))

    def _apply(self, state: State, i: int, event: str, *arguments: Any) -> State:
        node = state.nodes[i]
        if not node.alive:
            return state
        number, _ = self.gathers.apply(node.gather, event, *arguments)
        for one in self.gathers[number].found - self.gathers[node.gather].found:
            state = self._forget(state, one.arrays)
        return self._settle(self._node(state, i, node._replace(gather=number)))

    def _call(self, state: State, i: int, name: str, *arguments: Any) -> State:
        return self._apply(state, i, "call", name, *arguments)

    def _settle(self, state: State) -> State:
        """The master knows its own bound at once."""
        master = state.nodes[MASTER]
        if self.world.uniform or not master.alive:
            return state
        return self._report(state, MASTER, self.gathers[master.gather].bound)

    def _report(self, state: State, i: int, bound: int) -> State:
        if bound <= state.known[i]:
            return state
        watermark = Watermark((MASTER, OTHER))  # type: ignore[arg-type]
        for node, known in enumerate(_with(state.known, i, bound)):
            watermark.report(node, known)  # type: ignore[arg-type]
        master = state.nodes[MASTER]
        state = state._replace(known=_with(state.known, i, bound))
        return self._node(state, MASTER, master._replace(watermark=max(master.watermark, watermark.value)))

    # ---- Ends --------------------------------------------------------------------------------------------

    def check_end(self, state: State) -> None:
        """What must hold when nothing more can happen."""
        if any(phase not in (LEFT, DEAD) for phase in state.phases):
            raise Violation(f"ranks are stuck in phases {state.phases}")
        if any(node.alive for node in state.nodes) and not state.marker:
            raise Violation("the analytics never end")
        for i, node in enumerate(state.nodes):
            if not node.alive:
                continue
            known = self.gathers[node.gather]
            if not known.gather.idle or known.open:
                raise Violation(f"node {i} is left with {known.gather.explain()} {known.open}")
        if state.actor_deaths == 0:
            taken = frozenset.union(*(self.gathers[node.gather].taken for node in state.nodes))
            for array, ranks in self.world.arrays.items():
                for t in range(self.world.steps):
                    if not all((rank, array, t) in taken for rank in ranks):
                        continue
                    if not all((array, t, owner) in state.head for owner in self.world.owners(array)):
                        raise Violation(f"{array} of timestep {t} was received whole, and never announced")
            self._check_given_up(state, taken)
        if not (state.deaths or state.actor_deaths or self.world.skips):
            arrays, steps = self.world.arrays, range(self.world.steps)
            every = {(a, t, i) for a in arrays for t in steps for i in self.world.owners(a)}
            if state.head != every:
                raise Violation(f"{every - state.head} were never announced")

    def _check_given_up(self, state: State, taken: frozenset) -> None:
        """The head actor has nothing that waits for what never comes, but for what came after the end."""
        for array, timestep, node in state.head:
            if all((array, timestep, owner) in state.head for owner in self.world.owners(array)):
                continue
            late = {
                (rank, name, t)
                for rank in self.ranks
                for t, names, _ in self.programs[rank][: state.sent[rank]]
                for name in names
            } - taken
            if not any((rank, array, timestep) in late for rank in self.world.arrays[array]):
                raise Violation(f"{array} of timestep {timestep} is kept for node {node}, and never complete")


def _with(values: tuple, at: int, value: Any) -> tuple:
    return (*values[:at], value, *values[at + 1 :])


def explore(model: Model) -> tuple[int, int]:
    """Walks through every state. Returns how many there are, and how many of them are ends. Raises Violation,
    with the events that lead there."""
    start = model.start()
    came: dict[State, tuple[State, str] | None] = {start: None}
    stack, ends = [start], 0
    while stack:
        state = stack.pop()
        try:
            count = 0
            for name, after in model.events(state):
                count += 1
                if after not in came:
                    came[after] = (state, name)
                    stack.append(after)
            if not count:
                ends += 1
                model.check_end(state)
        except AssertionError as error:
            path, at = [], state
            while (before := came[at]) is not None:
                at, name = before
                path.append(name)
            raise Violation("\n".join([str(error), "after:", *reversed(path)])) from error
    return len(came), ends
