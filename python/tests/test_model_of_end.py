"""A session whose node actors have all died, in every order of events: the control processes of the node
leaders start actors that tell the analytics the end, and both may die at any moment.

What runs in the head actor is the real code of claim.py, and the actors go through the steps of
shutdown.end_alone, which are atomic, each, between two answers of other processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from model import Violation, explore

from deisa_bridge import claim
from deisa_bridge.status import END_MARKER_ARRAY

SESSION = "s"
NOT_YET, ASKING, LOOKING, SENDING, NOTING, DONE, GONE = range(7)  # of the actor that a control process starts
RUNNING, WAITING, ENDED, FAILED, KILLED = range(5)  # of a control process


class Head(NamedTuple):
    """The attributes of the head actor that claim.py sets."""

    ends: tuple[str, str] | None = None
    ended: str | None = None


class State(NamedTuple):
    controls: tuple[int, ...]
    actors: tuple[int, ...]
    others: tuple[str, ...]  # of each actor: whom the head actor has named instead of it
    head: Head = Head()
    sent: frozenset[int] = frozenset()  # who has sent the end marker
    deaths: int = 0


class Ends:
    def __init__(self, leaders: int, deaths: int) -> None:
        self._leaders, self._deaths = range(leaders), deaths

    def start(self) -> State:
        count = len(self._leaders)
        return State((RUNNING,) * count, (NOT_YET,) * count, ("",) * count)

    def events(self, state: State) -> Iterator[tuple[str, State]]:
        for i in self._leaders:
            yield from self._control(state, i)
            yield from self._actor(state, i)

    def _control(self, state: State, i: int) -> Iterator[tuple[str, State]]:
        phase, actor = state.controls[i], state.actors[i]
        if phase == RUNNING:
            yield f"control {i} starts its actor", self._set(state, i, control=WAITING, actor=ASKING)
        if phase == WAITING and actor in (DONE, GONE):
            after = ENDED if actor == DONE else FAILED  # and its rank says: end them with deisa-info --clean
            yield f"control {i} ends", self._set(state, i, control=after)
        if phase in (RUNNING, WAITING) and state.deaths < self._deaths:
            after = self._set(state, i, control=KILLED)
            yield f"control {i} is killed", after._replace(deaths=state.deaths + 1)

    def _actor(self, state: State, i: int) -> Iterator[tuple[str, State]]:
        phase = state.actors[i]
        if phase in (NOT_YET, DONE, GONE):
            return
        if state.deaths < self._deaths:
            after = self._set(state, i, actor=GONE)._replace(deaths=state.deaths + 1)
            yield f"actor {i} is killed", after
            if phase == SENDING:
                yield f"actor {i} is killed when it has sent", self._send(after, i)
        if phase == ASKING:
            head, taken = self._at_head(state, claim.end_taker(), END_MARKER_ARRAY, str(i), state.others[i])
            after = state._replace(head=head)
            if taken is None:
                yield f"actor {i} is not needed", self._set(after, i, actor=DONE)
            elif taken[0] == str(i):
                yield f"actor {i} is the one", self._set(after, i, actor=SENDING)
            else:
                yield f"actor {i} finds {taken[0]}", self._set(after, i, actor=LOOKING, other=taken[0])
        elif phase == LOOKING:
            lives = state.actors[int(state.others[i])] != GONE
            yield f"actor {i} looks for the other", self._set(state, i, actor=DONE if lives else ASKING)
        elif phase == SENDING:
            yield f"actor {i} sends the end marker", self._set(self._send(state, i), i, actor=NOTING)
        elif phase == NOTING:
            head, _ = self._at_head(state, claim.end_noter())
            yield f"actor {i} notes it", self._set(state, i, actor=DONE)._replace(head=head)

    def _send(self, state: State, i: int) -> State:
        if any(state.actors[j] != GONE for j in state.sent):
            raise Violation("the analytics get two end markers, though the first sender lives")
        return state._replace(sent=state.sent | {i})

    @staticmethod
    def _at_head(state: State, function, *arguments: str):
        queue = SimpleNamespace(_queue=[])
        head = SimpleNamespace(_deisa_bridge_holder=(SESSION, ["n"]), arrays_ready=queue)
        head._deisa_bridge_ends, head._deisa_bridge_ended = state.head
        result = function(head, SESSION, *arguments)
        return Head(head._deisa_bridge_ends, head._deisa_bridge_ended), result

    @staticmethod
    def _set(state: State, i: int, control: int = -1, actor: int = -1, other: str | None = None) -> State:
        new = [list(values) for values in state[:3]]
        for values, value in zip(new, (control, actor, other), strict=True):
            if value not in (-1, None):
                values[i] = value
        return state._replace(controls=tuple(new[0]), actors=tuple(new[1]), others=tuple(new[2]))

    def check_end(self, state: State) -> None:
        if state.sent and (state.head.ended == SESSION or state.deaths):
            return
        if not state.deaths:
            raise Violation("nobody has died, and the analytics do not know the end")
        told = FAILED in state.controls
        if not told and KILLED not in state.controls:
            raise Violation("the analytics do not know the end, and no rank says so")
        # deisa-info --clean, or one more control process: a new actor must be able to do it.
        i = next(j for j in self._leaders if state.actors[j] in (GONE, NOT_YET, DONE))
        again = self._set(state, i, control=RUNNING, actor=NOT_YET, other="")
        for _ in range(8):
            steps = [after for name, after in self.events(again) if "killed" not in name]
            again = steps[0] if steps else again
        if not again.sent:
            raise Violation("nobody can end the analytics any more")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("leaders", "deaths"), [(1, 0), (1, 1), (2, 0), (2, 1), (2, 3), (3, 1), (3, 2)])
def test_the_end_is_told_in_every_order_of_events(leaders, deaths):
    states, ends = explore(Ends(leaders, deaths))  # type: ignore[arg-type]
    assert states >= 6 and ends >= 1


def forgetful():
    """The head actor does not note who sends it."""
    return lambda head, session, marker, by, instead_of: (by, [])


def stubborn():
    """Whoever comes first stays the one, dead or alive."""
    return lambda head, session, marker, by, instead_of: (
        head.__dict__.update(_deisa_bridge_ends=head._deisa_bridge_ends or (session, by))
        or (head._deisa_bridge_ends[1], [])
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("fault", "deaths", "message"),
    [(forgetful, 0, "two end markers"), (stubborn, 1, "nobody can end|no rank says so")],
)
def test_the_model_finds_a_fault(monkeypatch, fault, deaths, message):
    monkeypatch.setattr(claim, "end_taker", fault)
    with pytest.raises(Violation, match=message):
        explore(Ends(2, deaths))  # type: ignore[arg-type]
