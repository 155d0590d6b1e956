"""Which timesteps the ranks of a node may begin: back-pressure. A pure state machine: no Ray, no threads, no
clock (times are the caller's, in seconds).

The gate is open, or closed for every timestep after the newest that has begun on this node. So a timestep
that has begun on one rank is admitted on all of them, and can be completed. While the gate is open, ranks
begin timesteps without asking. It is open only while there is space for all that they could begin before
a notification reaches them, which is `max_in_flight` timesteps. While it is closed they ask, and timesteps
are admitted one by one, each when all its chunks fit.

Where several node actors share an object store, a timestep that has begun on one of them is admitted on all,
for the same reason: its parts fill the store until it is complete. So the first that begins it needs space
for all parts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from deisa_bridge.node.gather import ANYTHING, NEVER, ranks_text

RECENT = 1000
"""Timesteps that have begun, and that neighbours are notified of."""
LOOK = 0.1
"""Seconds between two polls of the store or of the analytics while data flow."""
FIRST_LOOK = 0.01
"""Seconds to the next poll while ranks wait; the interval doubles up to LOOK."""
RETELL = 1.0
"""Seconds after which a waiting rank is notified of the reason again."""


@dataclass(frozen=True)
class Limits:
    """The simulation's limits: the options store_threshold, max_ahead (0: no limit) and window."""

    threshold: float = 0.5
    max_ahead: int = 0
    window: int = 1

    @classmethod
    def parse(cls, given: dict) -> Limits:
        """From JSON; other keys are ignored. Raises ValueError."""
        kinds = {"threshold": float, "max_ahead": int, "window": int}
        try:
            limits = cls(**{key: kind(given[key]) for key, kind in kinds.items() if key in given})
        except TypeError as error:
            raise ValueError(f"limits {given}: {error}") from error
        if not 0 < limits.threshold <= 1 or limits.max_ahead < 0 or limits.window < 1:
            raise ValueError(f"limits {given}: expected 0 < threshold <= 1, max_ahead >= 0 and window >= 1")
        return limits


@dataclass(frozen=True)
class Usage:
    """Of this node's object store, in bytes."""

    used: int
    """What Ray has spilled, and is still referenced, counts too."""
    capacity: int
    spilled: int = 0
    """What is on disk."""


@dataclass(frozen=True)
class Neighbour:
    """Another node actor that puts into the same object store, as it has said last."""

    begun: tuple[int, ...]
    """The newest timesteps that its ranks have begun, or may."""
    on_the_way: int
    """Bytes that it has reserved space for, and that are not in the store."""
    step_bytes: int


@dataclass(frozen=True)
class Word:
    """A notification for a rank; `sequence` is that of the ASK that it answers, or 0."""

    bridge: int
    sequence: int


@dataclass
class _Rank:
    step_bytes: int
    max_in_flight: int
    position: int = ANYTHING  # it begins nothing older


@dataclass
class _Question:
    sequence: int
    timestep: int
    waits: bool
    asked: float
    told: float | None = None  # when, that it may not


class Gate:
    """The gate of one node in one session. Call `settle` after any change, then send what `words` returns."""

    def __init__(self) -> None:
        self.open = True
        self.newest: int | None = None
        """The newest timestep that has begun on this node, or may."""
        self._limits: Limits | None = None
        self._ranks: dict[int, _Rank] = {}
        self._begun: dict[int, dict[int, int]] = {}  # timestep -> bytes to come, by bridge that may send them
        self._to_come = 0  # the sum of these
        self._with_data: set[int] = set()  # of these, those that some chunk came of
        self._pending: set[int] = set()  # timesteps that have begun, and may still be announced
        self.step_bytes = 0
        """Of all chunks of one timestep on this node."""
        self._recent: deque[int] = deque(maxlen=RECENT)  # timesteps that have begun
        self._neighbours: list[Neighbour] = []
        self._in_flight = 1  # timesteps that one of them may have
        self._questions: dict[int, _Question] = {}
        self._told: tuple | None = None  # the state that the ranks know
        self._held = 0  # bytes received, not yet stored
        self._stored = 0  # bytes, ever
        self._usage: Usage | None = None
        self._usage_mark = 0
        self._usage_at = 0.0
        self._readable = True
        self._queue: set[int] = set()  # timesteps that waited for the analytics, and those announced since
        self._queue_at: float | None = None
        self._announced_since: set[int] = set()
        self._moved = False  # data came since the last look at the store
        self._interval = FIRST_LOOK

    # ---- What happens --------------------------------------------------------------------------------------

    def add_rank(self, bridge: int, step_bytes: int, max_in_flight: int) -> None:
        """The bridge may send so many bytes per timestep, and so many timesteps before they are stored."""
        self._ranks[bridge] = _Rank(step_bytes, max_in_flight)
        self._count()

    def resize(self, bridge: int, step_bytes: int) -> None:
        """The dtype of an array has become known. Timesteps that have begun keep what was counted for
        them."""
        self._ranks[bridge].step_bytes = step_bytes
        self._count()

    def begin(self, limits: Limits) -> None:
        """The arrays are registered: ranks may begin timesteps."""
        self._limits = limits

    def release(self) -> None:
        """Opens it permanently: nothing that is sent will be kept any more."""
        self._limits, self.open = None, True

    def received(self, bridge: int, timestep: int, nbytes: int) -> None:
        """A chunk is in a slot."""
        self._held += nbytes
        self._moved = True
        self._begin(timestep)
        left = self._begun.get(timestep, {})
        if bridge in left:
            self._with_data.add(timestep)
            came = min(nbytes, left[bridge])
            left[bridge] -= came
            self._to_come -= came
        self.progress(bridge, timestep)

    def stored(self, nbytes: int) -> None:
        """It is an object in the store."""
        self._held -= nbytes
        self._stored += nbytes

    def lost(self, nbytes: int) -> None:
        """It was refused, or could not be stored."""
        self._held -= nbytes

    def announced(self, timestep: int) -> None:
        """The head actor knows some array of the timestep. It comes in the order of timesteps."""
        self._pending = {t for t in self._pending if t > timestep}
        self._queue.add(timestep)
        self._announced_since.add(timestep)

    def broken(self, timestep: int) -> None:
        """Some array of the timestep will never be announced."""
        self._pending.discard(timestep)

    def progress(self, bridge: int, timestep: int) -> None:
        """The bridge begins nothing older."""
        rank = self._ranks.get(bridge)
        if rank is None or timestep <= rank.position:
            return
        rank.position = timestep
        question = self._questions.get(bridge)
        if question is not None and question.timestep < timestep:
            del self._questions[bridge]
        self._pass(bridge, timestep)

    def gone(self, bridge: int) -> None:
        """The bridge sends nothing more."""
        self._ranks.pop(bridge, None)
        self._questions.pop(bridge, None)
        self._pass(bridge, None)
        self._count()

    def ask(self, bridge: int, sequence: int, timestep: int, waits: bool, now: float) -> None:
        """The bridge wants to begin the timestep; `waits`: it is to be notified when it may."""
        self.progress(bridge, timestep)
        self._questions[bridge] = _Question(sequence, timestep, waits, now)
        self._interval = FIRST_LOOK

    def neighbour(self) -> Neighbour:
        """What this node reports to the others that share its object store."""
        return Neighbour(tuple(self._recent), self._held + self._to_come, self.step_bytes)

    def heard(self, neighbours: list[Neighbour]) -> None:
        """What they have reported: all of them, each time."""
        self._neighbours = neighbours
        for timestep in sorted({t for one in neighbours for t in one.begun}):
            self._begin(timestep)

    # ---- Polling the store and the analytics ---------------------------------------------------------------

    def mark(self) -> int:
        """To be taken before the store is read."""
        return self._stored

    def measured(self, usage: Usage | None, mark: int, now: float) -> None:
        """The store was read, after mark(). None: it cannot be, and is no limit from now on."""
        self._readable = usage is not None
        self._usage, self._usage_mark, self._usage_at = usage, mark, now
        self._moved = False
        self._interval = min(2 * self._interval, LOOK)

    def looked_ahead(self, waiting: Iterable[int], now: float) -> None:
        """The timesteps that were announced and that the analytics have not read; `before_look` was called
        before they were asked for."""
        self._queue = set(waiting) | self._announced_since
        self._queue_at = now
        self._interval = min(2 * self._interval, LOOK)

    def before_look(self) -> None:
        """The analytics are about to be asked."""
        self._announced_since = set()

    def wants_store(self, now: float) -> bool:
        """Whether the store is to be read now."""
        if self._limits is None or not self._readable:
            return False
        if self._usage is None:
            return True
        age = now - self._usage_at
        if self._questions and (self._store_problem() or not self._ahead_problem()):
            fresh = all(q.told is not None or self._usage_at > q.asked for q in self._questions.values())
            return not fresh or age >= self._interval
        return self._moved and (age >= LOOK or (age >= FIRST_LOOK and self._is_filling()))

    @property
    def hurries(self) -> bool:
        """What the store has may soon decide whether a rank goes on: a look that is wanted does not wait."""
        return bool(self._questions) or self._usage is None or self._is_filling()

    def wants_look_ahead(self, now: float) -> bool:
        """Whether the analytics are to be asked now how far they are."""
        if self._limits is None or self._limits.max_ahead == 0:
            return False
        if self._queue_at is None:
            return True
        age = now - self._queue_at
        if self._questions and self._ahead_problem():
            fresh = all(q.told is not None or self._queue_at > q.asked for q in self._questions.values())
            return not fresh or age >= self._interval
        near = bool(self._ahead_problem(NEVER, 2 * self._in_flight))
        return bool(self._announced_since) and age >= LOOK and near

    def waits_for_store_since(self) -> float | None:
        """Since when a rank waits for space in the store; None: none does."""
        asked = [q.asked for q in self._questions.values() if q.waits and q.told is not None]
        return min(asked) if asked and self._store_problem() else None

    def next_look(self, now: float) -> float | None:
        """Seconds until wants_store or wants_look_ahead may become true without any event; None: never."""
        if self._questions:
            return self._interval
        return LOOK if self._limits is not None and self._moved else None

    # ---- What follows --------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Opens or closes the gate, and admits what fits."""
        if self._limits is None:
            return
        if self.open:
            self.open = self._is_roomy(0)
        else:  # one timestep more, so that it does not move at each
            self.open = self._is_roomy(1)
        if self.open:
            return
        for timestep in sorted({q.timestep for q in self._questions.values()}):
            if self.newest is not None and timestep <= self.newest:
                continue
            if self._store_problem() or self._ahead_problem(timestep):
                return
            self._begin(timestep)
            self._interval = FIRST_LOOK

    def words(self, now: float) -> list[Word]:
        """Whom to notify of the state now: all ranks when it has changed, and those that asked."""
        words = []
        state = (self.open, self.newest if not self.open else None)
        if state != self._told and (self._told is not None or not self.open):
            words = [Word(bridge, 0) for bridge in self._ranks if bridge not in self._questions]
        self._told = state
        for bridge, question in list(self._questions.items()):
            if self.admits(question.timestep):
                words.append(Word(bridge, question.sequence))
                del self._questions[bridge]
            elif self._is_known(question):
                if question.told is None or now - question.told >= RETELL:
                    words.append(Word(bridge, question.sequence))
                    question.told = now
                if not question.waits:
                    del self._questions[bridge]
        return words

    @property
    def is_holding(self) -> bool:
        """A rank waits until it may begin a timestep."""
        return bool(self._questions)

    def admits(self, timestep: int) -> bool:
        """Whether a rank may begin it."""
        return self.open or (self.newest is not None and timestep <= self.newest)

    def reason(self) -> str:
        """Why it is closed, or ""."""
        if self.open:
            return ""
        return "; ".join(filter(None, (self._store_problem(), self._ahead_problem()))) or (
            "too little space for every rank to begin a timestep without asking"
        )

    def explain(self) -> str:
        """The same for the rank that waits, with what its user can do."""
        advice = ""
        if self._limits is not None and not self.open:
            if self._store_problem():
                advice = (
                    ". Are the analytics running, and as fast as the simulation? Let them keep fewer "
                    "timesteps, send less often, or start Ray with a larger --object-store-memory"
                )
            elif self._ahead_problem():
                advice = ". Are the analytics running? Make them faster, send less often, or raise max_ahead"
        return self.reason() + advice

    def misfit(self, limits: Limits, usage: Usage) -> str:
        """Why a timestep could never be admitted, or "": the analytics keep `window` timesteps until they
        have the next."""
        needed = self.step_bytes * (limits.window + 1)
        allowed = int(limits.threshold * usage.capacity)
        if needed <= allowed:
            return ""
        return (
            f"a timestep of this node has {_size(self.step_bytes)}, and the analytics keep window = "
            f"{limits.window} while they wait for the next: {_size(needed)} are needed in the object store, "
            f"which has {_size(usage.capacity)}, of which store_threshold = {limits.threshold:g} allows "
            f"{_size(allowed)}. Start Ray on this node with a larger --object-store-memory, send less, or "
            "raise store_threshold (Ray spills to disk from 0.8 on, and the analytics' results need space)."
        )

    def status(self) -> dict:
        """For people and tests."""
        usage = self._usage
        return {
            "gate": "open" if self.open else self.reason(),
            "newest_begun": self.newest,
            "held_bytes": self._held,
            "store_used": usage.used if usage else None,
            "store_capacity": usage.capacity if usage else None,
            "store_spilled": usage.spilled if usage else None,
            "store_threshold": self._limits.threshold if self._limits else None,
            "waiting_at_gate": sorted(self._questions),
        }

    def waits(self, now: float) -> list[tuple[str, float]]:
        """Which ranks wait for which timestep, why, and since how many seconds."""
        by_timestep: dict[int, list[int]] = {}
        for bridge, question in self._questions.items():
            by_timestep.setdefault(question.timestep, []).append(bridge)
        found = []
        for timestep, bridges in sorted(by_timestep.items()):
            since = min(self._questions[bridge].asked for bridge in bridges)
            verb = "wait" if len(bridges) > 1 else "waits"
            text = f"{ranks_text(sorted(bridges))} {verb} to begin timestep {timestep}: {self.reason()}"
            found.append((text, now - since))
        return found

    # ---- Inside --------------------------------------------------------------------------------------------

    def _begin(self, timestep: int) -> None:
        if self.newest is None or timestep > self.newest:
            self.newest = timestep
            self._recent.append(timestep)
        if timestep in self._begun:
            return
        left = {b: r.step_bytes for b, r in self._ranks.items() if r.step_bytes and r.position <= timestep}
        if left:
            self._begun[timestep] = left
            self._to_come += sum(left.values())
            self._pending.add(timestep)

    def _pass(self, bridge: int, until: int | None) -> None:
        """The bridge sends nothing more of timesteps before `until`, or at all."""
        for timestep, left in list(self._begun.items()):
            if until is not None and timestep >= until:
                continue
            self._to_come -= left.pop(bridge, 0)
            if left:
                continue
            del self._begun[timestep]
            if timestep not in self._with_data:  # it was skipped
                self._pending.discard(timestep)
            self._with_data.discard(timestep)

    def _count(self) -> None:
        ranks = self._ranks.values()
        self.step_bytes = sum(rank.step_bytes for rank in ranks)
        self._in_flight = max((rank.max_in_flight for rank in ranks), default=1)

    def _is_known(self, question: _Question) -> bool:
        """The reason for the refusal was polled after the question."""
        if question.told is not None:
            return True
        if self._store_problem() and self._usage_at <= question.asked:
            return False
        return not self._ahead_problem() or (self._queue_at or 0.0) > question.asked

    def _reserve(self) -> int:
        """Bytes that could be in flight before the ranks are notified that the gate has closed: what is known
        to be, and what the fastest of them could begin, which all of them must then be able to complete."""
        return self._held + self._to_come + self._in_flight * self._whole_step()

    def _whole_step(self) -> int:
        """Bytes that a timestep has in this object store."""
        return self.step_bytes + sum(one.step_bytes for one in self._neighbours)

    def _allowed(self) -> float:
        assert self._limits is not None and self._usage is not None
        return self._limits.threshold * self._usage.capacity

    def _in_store(self) -> int:
        assert self._usage is not None
        return self._usage.used + self._stored - self._usage_mark

    def _room(self) -> float:
        """Bytes that fit into the store below the threshold."""
        if self._usage is None:
            return float("inf")
        return self._allowed() - self._in_store() - sum(one.on_the_way for one in self._neighbours)

    def _is_filling(self) -> bool:
        """Half of what was free when the store was read is used up."""
        return self._stored - self._usage_mark > (self._room() - self._reserve()) / 2

    def _is_roomy(self, more: int) -> bool:
        """There is space for all that the ranks could begin without asking, and `more` timesteps."""
        fits = self._reserve() + more * self._whole_step() <= self._room()
        return fits and not self._ahead_problem(NEVER, self._in_flight + more)

    def _store_problem(self) -> str:
        """Why one more timestep does not fit into the store, or ""."""
        on_the_way = self._held + self._to_come
        if self._whole_step() + on_the_way <= self._room():
            return ""
        assert self._limits is not None and self._usage is not None
        used, capacity = self._in_store(), self._usage.capacity
        return (
            f"the object store of this node is {100 * used / capacity:.0f} % full ({_size(used)} of "
            f"{_size(capacity)}), {_size(on_the_way)} are on the way, the next timestep has "
            f"{_size(self._whole_step())}, and store_threshold is {self._limits.threshold:g}"
        )

    def _ahead_problem(self, timestep: int | None = None, more: int = 1) -> str:
        """Why the simulation may not go on to `timestep` (None: the next that a rank wants), or "". Other
        nodes may have got to it, and beyond."""
        if self._limits is None or self._limits.max_ahead == 0:
            return ""
        if timestep is None:
            timestep = min((q.timestep for q in self._questions.values()), default=NEVER)
        ahead = sum(one < timestep for one in self._queue | self._pending)
        if ahead + more <= self._limits.max_ahead:
            return ""
        return f"{ahead} timesteps wait for the analytics, and max_ahead is {self._limits.max_ahead}"


def _size(nbytes: float) -> str:
    return f"{nbytes / 2**20:.1f} MiB"
