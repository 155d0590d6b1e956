"""Who tells analytics the end of a session whose node actors have died, on a head actor that is played."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from deisa_bridge.claim import end_noter, end_taker, holder_reader
from deisa_bridge.node import shutdown as shutdown
from deisa_bridge.status import END_MARKER_ARRAY, BridgeError


class Remote:
    """A method of an actor; `work` runs when its result is awaited."""

    def __init__(self, work: Any) -> None:
        self._work = work

    async def remote(self, *args: Any) -> Any:
        return self._work(*args)


class Head:
    """Analytics that serve the session "s", and have two timesteps to read. `failure` of the next
    announcement."""

    def __init__(self) -> None:
        self._deisa_bridge_holder = ("s", ["n"])
        self.arrays_ready = SimpleNamespace(_queue=[("t", 4, None), ("t", 5, None)])
        self.markers: list[int] = []
        self.failure: Exception | None = None
        self.__ray_call__ = Remote(lambda function, *args: function(self, *args))
        self.chunks_ready = Remote(self._chunks_ready)

    def _chunks_ready(self, name: str, timestep: int, *rest: Any) -> None:
        if self.failure is not None:
            raise self.failure
        assert name == END_MARKER_ARRAY
        self.markers.append(timestep)

    @property
    def ended(self) -> bool:
        return holder_reader()(self)[1]


@pytest.fixture
def live(monkeypatch) -> set[str]:
    """Names of the node actors that live."""
    names: set[str] = set()

    async def find(name: str) -> str | None:
        return name if name in names else None

    async def registered(*args: Any) -> None:
        return None

    monkeypatch.setattr(shutdown.head_actor, "find_actor", find)
    monkeypatch.setattr(shutdown, "register_end_marker", registered)
    monkeypatch.setattr(shutdown.ray, "put", lambda value: value)
    return names


def end(head: Head, node: str, session: str = "s", newest: int | None = 3) -> bool:
    return asyncio.run(shutdown.end_alone(head, session, node, newest))


def test_the_end_is_told_once_and_after_what_waits(live):
    head = Head()
    assert end(head, "a", session="another's") is False
    assert end(head, "a") is True
    assert head.markers == [6] and head.ended
    assert end(head, "a") is False and end(head, "b") is False
    assert head.markers == [6]


def test_another_tells_it_when_the_first_has_died_before_it_did(live):
    head = Head()
    live.update({"sched-a", "sched-b"})
    head.failure = BridgeError("lost")
    with pytest.raises(BridgeError):
        end(head, "a")
    assert not head.ended
    head.failure = None
    assert end(head, "b") is False, "the first lives, and may do it yet"
    live.remove("sched-a")
    assert end(head, "b") is True
    assert head.markers == [6] and head.ended


def test_one_on_the_same_node_takes_over(live):
    """It has the name of the one that has died."""
    head = Head()
    live.add("sched-a")
    assert end_taker()(head, "s", END_MARKER_ARRAY, "sched-a", "") == ("sched-a", [4, 5])
    assert end(head, "a") is True and head.ended


def test_a_new_session_is_not_that_which_ended():
    head = Head()
    end_noter()(head, "s")
    head._deisa_bridge_holder = ("next", ["n"])
    assert holder_reader()(head) == ("next", False)
    assert end_taker()(head, "next", END_MARKER_ARRAY, "sched-a", "") == ("sched-a", [4, 5])
