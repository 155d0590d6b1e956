"""What a node actor knows about the chunks of its node, and which of them may be announced when.

A *set* is all chunks of one array and timestep on this node. Analytics stop when a timestep is announced
after a later one, so a set is announced only when nothing older can still come. A pure state machine: no
Ray, no threads, no clock. Times are the caller's, in seconds; only their differences matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from deisa_bridge.node.broken import Broken, BrokenSets
from deisa_bridge.status import Status

NEVER = 2**63 - 1
"""A progress or bound beyond every timestep: nothing will come any more. Not itself a timestep."""
ANYTHING = -(2**63)
"""The progress of a bridge that has sent nothing yet."""
KNOWN_SKIPS = 8
"""Of each rank and array: the newest that may be asked for again."""


@dataclass(frozen=True)
class Failure:
    """What the bridge of a chunk must be notified of. `tag` is what the chunk was received with."""

    bridge: int
    array: str
    timestep: int
    tag: Any
    status: Status
    text: str
    frees_slot: bool
    """The chunk was refused on arrival, or could not be put: its slot is not read any more."""


@dataclass
class Chunk:
    """One bridge's part of a set; `payload` is what it was stored as."""

    tag: Any
    since: float
    stored: bool = False
    reported: bool = False
    payload: Any = None


@dataclass
class ChunkSet:
    """All chunks of one array and timestep on this node, as far as they have come."""

    array: str
    timestep: int
    owed_by: frozenset[int]
    chunks: dict[int, Chunk] = field(default_factory=dict)
    announcing: bool = False

    @property
    def missing(self) -> list[int]:
        """The bridges that have not sent their chunk, in order."""
        return sorted(self.owed_by - self.chunks.keys())

    @property
    def complete(self) -> bool:
        """Every chunk is there and stored."""
        return len(self.chunks) == len(self.owed_by) and all(c.stored for c in self.chunks.values())


@dataclass
class _Bridge:
    arrays: frozenset[str]
    step_timeout: float
    progress: int = ANYTHING
    gone: str = ""  # how it went, when it is gone
    newest: dict[str, int] = field(default_factory=dict)
    previous: dict[str, int] = field(default_factory=dict)  # the newest but one


class Gather:
    """The bridges, arrays and sets of one node in one session.

    Any call may produce failures, and sets that can never be complete, which other nodes must know; take them
    with `take_failures()` and `take_broken()` afterwards.
    """

    def __init__(self, node: str = "") -> None:
        self._node = node
        self.on_node = ""
        """ " on node ..." for messages, where there are several."""
        self._bridges: dict[int, _Bridge] = {}
        self._sets: dict[tuple[str, int], ChunkSet] = {}
        self._doomed: dict[tuple[int, str, int], Failure] = {}  # their sets broke while they were put
        self._broken = BrokenSets()
        self._found: list[Broken] = []
        self._skips: dict[tuple[int, str], dict[int, str]] = {}  # by what was sent before: the text
        self._newest_of: dict[str, int] = {}  # by array: the newest timestep that was announced
        self._failures: list[Failure] = []
        self._ended = ""
        self.newest: int | None = None
        """The newest timestep that was announced."""

    # ---- What happens ------------------------------------------------------------------------------

    def add_bridge(self, bridge: int, arrays: Iterable[str], step_timeout: float) -> None:
        """Bridge `bridge` has defined `arrays` (without the end marker's)."""
        state = _Bridge(frozenset(arrays), step_timeout)
        if not state.arrays:
            state.progress = NEVER  # it has nothing to send, so no set waits for it
        self._bridges[bridge] = state

    def step(
        self, bridge: int, timestep: int, chunks: Iterable[tuple[str, Any]], last: bool, now: float
    ) -> list[tuple[str, Any]]:
        """The bridge handed over `chunks` (array, tag) of a timestep; `last`: all that it has of it.

        Returns the chunks that were accepted and are to be stored; the others have failed.
        """
        state = self._bridges[bridge]
        accepted = []
        for array, tag in chunks:
            problem = self._refusal(bridge, state, array, timestep)
            if problem is not None:
                status, text = problem
                self._failures.append(Failure(bridge, array, timestep, tag, status, text, frees_slot=True))
                continue
            state.previous[array] = state.newest.get(array, ANYTHING)
            state.newest[array] = timestep
            one = self._sets.get((array, timestep))
            if one is None:
                one = self._sets[(array, timestep)] = ChunkSet(array, timestep, self._owners(array))
            one.chunks[bridge] = Chunk(tag, now)
            accepted.append((array, tag))
        self._advance(state, timestep + 1 if last else timestep)
        # Ranks that went past it earlier will not complete the new chunks either.
        for array, _ in accepted:
            self._break_if_hopeless((array, timestep))
        return accepted

    def stored(self, bridge: int, array: str, timestep: int, payload: Any) -> None:
        """The chunk is in the object store, as `payload`. Its slot is free."""
        doom = self._doomed.pop((bridge, array, timestep), None)
        if doom is not None:
            self._failures.append(doom)
            return
        one = self._sets[(array, timestep)]
        one.chunks[bridge].stored = True
        one.chunks[bridge].payload = payload

    def put_failed(self, bridge: int, array: str, timestep: int, status: Status, text: str) -> None:
        """The chunk could not be stored: its set breaks. Its slot is free."""
        doom = self._doomed.pop((bridge, array, timestep), None)
        if doom is not None:
            self._failures.append(replace(doom, frees_slot=True))
            return
        one = self._sets[(array, timestep)]
        tag = one.chunks.pop(bridge).tag
        self._failures.append(Failure(bridge, array, timestep, tag, status, text, frees_slot=True))
        reason = f"the chunk of rank {bridge} could not be stored{self.on_node}: {text}"
        self._find(array, timestep, f"{_not_announced(one)}: {reason}", status)

    def progress(self, bridge: int, timestep: int) -> None:
        """The bridge will send nothing older than `timestep`."""
        self._advance(self._bridges[bridge], timestep)

    def gone(self, bridge: int, how: str) -> None:
        """The bridge will send nothing more; `how` is "closed", "was abandoned" or "died"."""
        state = self._bridges.get(bridge)
        if state is None or state.gone:
            return
        state.gone = how
        if how != "closed":  # closing is collective: all their chunks are there
            self._found_gone(bridge, state)
        self._advance(state, NEVER)

    def give_up(self, one: Broken) -> list[int] | None:
        """Sets can never be complete, as this node or another has found. Those that are here break; what is
        being announced does when that has ended. Returns None if it is not new; else the bridges whose
        chunks of them the head actor has already: no failure will notify them."""
        if not self._broken.add(one):
            return None
        handed_on = set()
        for array, first, last in one.arrays:
            here = [s for (name, t), s in self._sets.items() if name == array and first <= t <= last]
            for chunk_set in here:
                if not chunk_set.announcing:
                    self._break(chunk_set, Status.CONNECTION, one.text)
            if not here and self.has_announced(array, first):
                owners = self._owners(array)
                handed_on |= {b for b in owners if self._bridges[b].newest.get(array, ANYTHING) >= first}
        return sorted(handed_on)

    def end(self, text: str) -> None:
        """The session ends: later chunks are refused with `text`, sets with a missing chunk break, and the
        others are announced without regard to what the bridges might still send."""
        self._ended = text
        for one in list(self._sets.values()):
            if one.missing:
                text_of_set = f"{_not_announced(one)}: {ranks_text(one.missing)} did not send it, and {text}"
                self._break(one, Status.CONNECTION, text_of_set)

    def lose(self, text: str) -> None:
        """Nothing more can be announced, because of `text`: later chunks are refused, and all sets break but
        those that are being announced."""
        self._ended = text
        for one in list(self._sets.values()):
            if not one.announcing:
                self._break(one, Status.CONNECTION, f"{_not_announced(one)}: {text}")

    # ---- What to do --------------------------------------------------------------------------------

    def take_failures(self) -> list[Failure]:
        """The failures since the last call, each to be reported once."""
        taken, self._failures = self._failures, []
        return taken

    def take_broken(self) -> list[Broken]:
        """What was found here since the last call, for the other nodes."""
        taken, self._found = self._found, []
        return taken

    def next_ready(self, watermark: int = NEVER) -> ChunkSet | None:
        """A set that may be announced now, and is from now on being announced; or None.

        `watermark`: no node will announce anything older than it. A set of timestep t needs watermark >= t.
        """
        oldest = min((one.timestep for one in self._sets.values()), default=NEVER)
        if oldest > watermark or (not self._ended and oldest > self._slowest()):
            return None
        for one in self._sets.values():
            if one.timestep == oldest and not one.announcing and one.complete:
                one.announcing = True
                return one
        return None

    def announced(self, one: ChunkSet) -> bool:
        """The head actor knows the set. False: the set has broken meanwhile, on another node; what the head
        actor has of it must go again."""
        self.newest = one.timestep if self.newest is None else max(self.newest, one.timestep)
        self._newest_of[one.array] = max(self._newest_of.get(one.array, ANYTHING), one.timestep)
        if why := self._broken.why(one.array, one.timestep):
            self._break(one, Status.CONNECTION, why)
            return False
        del self._sets[(one.array, one.timestep)]
        return True

    def announce_failed(self, one: ChunkSet, status: Status, text: str) -> None:
        """The head actor could not be notified of the set."""
        if why := self._broken.why(one.array, one.timestep):
            self._break(one, Status.CONNECTION, why)
        else:
            one.announcing = False
            self._find(one.array, one.timestep, f"{_not_announced(one)}: {text}", status)

    def report_late(self, now: float) -> None:
        """Fails, as a report that leaves the chunk as it is, every chunk that has waited longer than its
        bridge's step timeout for others of its set. Each chunk is reported once."""
        for one in self._sets.values():
            if not one.missing:
                continue
            for bridge, chunk in one.chunks.items():
                waited = now - chunk.since
                if chunk.reported or waited < self._bridges[bridge].step_timeout:
                    continue
                chunk.reported = True
                text = (
                    f"array '{one.array}', timestep {one.timestep}: {ranks_text(one.missing)} of this node "
                    f"did not send a chunk within {waited:.1f} s of rank {bridge}'s. The chunk of rank "
                    f"{bridge} is kept, and is announced when all are there. Is the other rank slow or stuck?"
                )
                self._failures.append(
                    Failure(
                        bridge, one.array, one.timestep, chunk.tag, Status.TIMEOUT, text, frees_slot=False
                    )
                )

    # ---- What is so ----------------------------------------------------------------------------------

    def is_broken(self, array: str, timestep: int) -> bool:
        """The set can never be complete: its chunks are refused."""
        return bool(self._broken.why(array, timestep))

    def is_open(self, array: str, timestep: int) -> bool:
        """The set has begun, and is neither announced nor broken."""
        return (array, timestep) in self._sets

    def has_announced(self, array: str, timestep: int) -> bool:
        """The head actor was notified of this timestep of the array, or of a later one."""
        return self._newest_of.get(array, ANYTHING) >= timestep

    def lacking(self, sets: Iterable[tuple[str, int]]) -> list[Broken]:
        """Those of the sets that this node will never announce."""
        return [one for one in (self.lacks(*each) for each in sets) if one is not None]

    def lacks(self, array: str, timestep: int) -> Broken | None:
        """Why nothing that is here, or may still come, can be announced as this set. None: it can, or was
        announced before: who asks knows that the head actor did not have it then."""
        owners = self._owners(array)
        if not owners or (array, timestep) in self._sets:
            return None
        if any(self._bridges[b].progress <= timestep for b in owners):
            return None
        text = self._broken.why(array, timestep)
        if not text:
            text = "; ".join(self._skipped(b, array, timestep) for b in sorted(owners))
        return Broken(text, ((array, timestep, timestep),), self._node)

    def newest_of_bridges(self) -> dict[int, int | None]:
        """The newest timestep of which each bridge has sent a chunk."""
        return {bridge: max(state.newest.values(), default=None) for bridge, state in self._bridges.items()}

    def newest_of_array(self, array: str) -> dict[str, int | None]:
        """The newest timestep that some bridge has sent, and the newest that was announced."""
        sent = [state.newest[array] for state in self._bridges.values() if array in state.newest]
        return {"sent": max(sent, default=None), "announced": self._newest_of.get(array)}

    @property
    def bound(self) -> int:
        """The lowest timestep that this node may still announce; NEVER if none."""
        oldest = min((one.timestep for one in self._sets.values()), default=NEVER)
        return oldest if self._ended else min(oldest, self._slowest())

    @property
    def idle(self) -> bool:
        """Everything that was received has been announced, or has failed."""
        return not self._sets and not self._doomed

    @property
    def left(self) -> int:
        """How many sets have still to be announced or to fail."""
        return len(self._sets) + len(self._doomed)

    @property
    def pending(self) -> list[ChunkSet]:
        """The sets that have not been announced, oldest first."""
        return sorted(self._sets.values(), key=lambda one: (one.timestep, one.array))

    def live(self) -> list[int]:
        """The bridges that are not gone, in order."""
        return sorted(bridge for bridge, state in self._bridges.items() if not state.gone)

    def explain(self) -> str:
        """What the node waits for, in words, or ""."""
        if not self._sets:
            return ""
        one = self.pending[0]
        what = f"array '{one.array}', timestep {one.timestep}"
        if one.missing:
            return f"{what} waits for {ranks_text(one.missing)}"
        if not one.complete:
            return f"{what} is being put into the object store"
        slow = [b for b, s in self._bridges.items() if s.progress < one.timestep]
        if slow and not self._ended:
            return f"{what} waits until {ranks_text(sorted(slow))} reaches timestep {one.timestep}"
        return f"{what} is being announced, or waits for another node"

    def waits(self, now: float) -> list[tuple[str, float]]:
        """What explain() says, and for how many seconds this has been so at most."""
        if not self._sets:
            return []
        return [(self.explain(), now - min(chunk.since for chunk in self.pending[0].chunks.values()))]

    # ---- Inside --------------------------------------------------------------------------------------

    def _owners(self, array: str) -> frozenset[int]:
        return frozenset(bridge for bridge, state in self._bridges.items() if array in state.arrays)

    def _slowest(self) -> int:
        return min((state.progress for state in self._bridges.values()), default=NEVER)

    def _refusal(self, bridge: int, state: _Bridge, array: str, timestep: int) -> tuple[Status, str] | None:
        what = f"array '{array}', timestep {timestep} of rank {bridge}: "
        if self._ended:
            return Status.CONNECTION, what + f"not announced, because {self._ended}"
        if array not in state.arrays:
            return Status.CONTRACT, what + "the rank has not defined this array"
        if state.newest.get(array, ANYTHING) >= timestep:
            return Status.CONTRACT, what + (
                f"the rank has sent timestep {state.newest[array]} of this array before: expected a later one"
            )
        if timestep < state.progress:
            return Status.CONTRACT, what + (
                f"the rank said that it sends nothing older than timestep {state.progress}: "
                "send all arrays of a timestep before the next"
            )
        if why := self._broken.why(array, timestep):
            return Status.CONNECTION, why
        return None

    def _advance(self, state: _Bridge, progress: int) -> None:
        if progress <= state.progress:
            return
        state.progress = progress
        for key in list(self._sets):
            self._break_if_hopeless(key)
        self._broken.forget(min([one.timestep for one in self._sets.values()] + [self._slowest()]))

    def _break_if_hopeless(self, key: tuple[str, int]) -> None:
        one = self._sets.get(key)
        if one is None:
            return
        culprits = [b for b in one.missing if self._bridges[b].progress > one.timestep]
        if culprits:
            self._find(*key, "; ".join(self._skipped(b, *key) for b in culprits))

    def _skipped(self, bridge: int, array: str, timestep: int) -> str:
        """The message about a bridge that skipped its chunk: the same for all that it skips until
        it sends the array again, so that it is reported once."""
        state = self._bridges[bridge]
        sent = (state.newest.get(array, ANYTHING), state.previous.get(array, ANYTHING), timestep)
        before = next(t for t in sent if t <= timestep)
        known = self._skips.setdefault((bridge, array), {})
        text = known.get(before, "")
        if not text:
            how = f"{state.gone} before it sent" if state.gone else "skipped"
            text = f"array '{array}', timestep {timestep} was not announced: rank {bridge} {how} timestep "
            text += f"{timestep}{self.on_node}"
            if not state.gone:
                text += ". Nor is what follows, until that rank sends it again"
            known[before] = text
            if len(known) > KNOWN_SKIPS:
                del known[min(known)]
        return text

    def _found_gone(self, bridge: int, state: _Bridge) -> None:
        """What the bridge has not sent will never be complete."""
        arrays, owed = [], []
        for name in sorted(state.arrays):
            newest = state.newest.get(name, ANYTHING)
            first = ANYTHING if newest == ANYTHING else newest + 1
            arrays.append((name, first, NEVER))
            owed.append(f"'{name}'" + ("" if newest == ANYTHING else f" from timestep {first} on"))
        newest = max(state.newest.values(), default=ANYTHING)
        when = "before it sent anything" if newest == ANYTHING else f"after it sent timestep {newest}"
        text = f"rank {bridge} {state.gone} {when}{self.on_node}"
        if owed:
            text += f": array{'s' if len(owed) > 1 else ''} {', '.join(owed)} can never be complete again"
        one = Broken(text, tuple(arrays), self._node, death=state.gone == "died")
        self._found.append(one)
        self.give_up(one)

    def _find(self, array: str, timestep: int, text: str, status: Status = Status.CONNECTION) -> None:
        """The set will never be complete, on any node."""
        one = Broken(text, ((array, timestep, timestep),), self._node)
        self._found.append(one)
        self._broken.add(one)
        self._break(self._sets[(array, timestep)], status, text)

    def _break(self, one: ChunkSet, status: Status, text: str) -> None:
        """The set will never be announced: every contributor is notified, at the latest after its put."""
        del self._sets[(one.array, one.timestep)]
        for bridge, chunk in one.chunks.items():
            failure = Failure(bridge, one.array, one.timestep, chunk.tag, status, text, frees_slot=False)
            if chunk.stored:
                self._failures.append(failure)
            else:
                self._doomed[(bridge, one.array, one.timestep)] = failure


def _not_announced(one: ChunkSet) -> str:
    return f"array '{one.array}', timestep {one.timestep} was not announced"


def ranks_text(bridges: list[int]) -> str:
    """ "rank 3", "ranks 3 and 5", "ranks 3, 5, 7 and 4 more"."""
    if len(bridges) == 1:
        return f"rank {bridges[0]}"
    if len(bridges) > 8:
        return "ranks " + ", ".join(map(str, bridges[:7])) + f" and {len(bridges) - 7} more"
    return "ranks " + ", ".join(map(str, bridges[:-1])) + f" and {bridges[-1]}"
