"""Why the head actor answers no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deisa_bridge import head
from deisa_bridge.node import liveness


class Head:
    """Another node actor removes it between two looks at the driver."""

    ready: Any

    def __init__(self) -> None:
        self.ready = self

    def remote(self) -> None:
        return None


class Session:
    ending = False
    before_head_goes = None

    def __init__(self) -> None:
        self.lost: list[str] = []

    def lose(self, text: str) -> None:
        self.lost.append(text)


@pytest.mark.parametrize(
    ("driver_gone", "reason"),
    [
        ([False, True], "the analytics have ended"),
        ([False, False], "the head actor of the analytics has died"),
    ],
    ids=["removed by another node", "killed"],
)
def test_it_is_told_why_the_head_actor_is_gone(monkeypatch, driver_gone, reason):
    looks = iter(driver_gone)

    async def gone(*_: Any) -> None:
        raise head.ActorGone("gone")

    monkeypatch.setattr(head, "driver_is_gone", lambda _: next(looks))
    monkeypatch.setattr(liveness, "driver_is_gone", lambda _: next(looks))
    monkeypatch.setattr(head, "call", gone)
    session = Session()
    asyncio.run(liveness.Liveness(session, Head(), print)._look_at_head())
    assert session.lost == [reason]
