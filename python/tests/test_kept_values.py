"""Feedback on a node: what is kept, what the head actor is asked, and whom a change is told to."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from deisa_bridge.node import values
from deisa_bridge.node.feedback import Feedback
from deisa_bridge.node.receiver import Get
from deisa_bridge.status import BridgeError

INTERVAL = 0.01


class Head:
    """A head actor with the queues of deisa-ray. Counts what it is asked."""

    def __init__(self) -> None:
        self.feedback_queues: dict[str, deque] = {}
        self.asked = 0
        self.__ray_call__ = SimpleNamespace(remote=self._run)
        self.get_feedback = SimpleNamespace(remote=self._get)

    def set(self, key: str, value: Any, timestep: int) -> None:
        self.feedback_queues.setdefault(key, deque(maxlen=3)).append((timestep, value))

    async def _run(self, function: Any, *args: Any) -> Any:
        self.asked += 1
        return function(self, *args)

    async def _get(self, key: str, timestep: int | None) -> tuple[bool, Any]:
        self.asked += 1
        queue = self.feedback_queues.get(key)
        if queue is None:
            return False, None
        if timestep is None:
            return True, list(queue)
        return next(((True, value) for at, value in queue if at == timestep), (False, None))


class Ranks:
    """In the place of the receiver: what each rank was told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def changed(self, connection: int, key: str, packed: bytes | None, known: bool = True) -> None:
        value = values.decode(packed) if packed is not None else None
        self.told.append((connection, key, value if known else "ask"))
        return True


class World:
    def __init__(self, interval: float = INTERVAL) -> None:
        self.head, self.ranks = Head(), Ranks()
        self.feedback = Feedback(interval, self.ranks)

    async def get(
        self, key: str = "k", rank: int = 1, lost: str = "", pickled: bool = False, **given: Any
    ) -> Any:
        event = Get(rank, 0, 1, key, **({"timestep": None} | given))
        packed, kept = await self.feedback.get(self.head, event, lambda: lost, pickled)
        return (values.decode(packed) if packed is not None else None), kept

    async def until_told(self, count: int) -> list[tuple]:
        async with asyncio.timeout(20):
            while len(self.ranks.told) < count:
                await asyncio.sleep(INTERVAL)
        return self.ranks.told


def run(play: Any, interval: float = INTERVAL) -> None:
    async def watched() -> None:
        world = World(interval)
        watch = asyncio.ensure_future(world.feedback.watch(world.head))
        try:
            await play(world)
            assert not watch.done()
        finally:
            watch.cancel()

    asyncio.run(watched())


def test_a_kept_value_is_read_without_the_head_actor_and_changes_are_told():
    async def play(world: World) -> None:
        world.head.set("k", 1, 1)
        assert await world.get() == (1, True)
        assert await world.get(rank=2) == (1, True)
        asked = world.head.asked
        for _ in range(100):
            assert await world.get() == (1, True)
        assert world.head.asked - asked <= 1, "but for the watch"
        world.head.set("k", [2, None], 2)
        assert sorted(await world.until_told(2)) == [(1, "k", [2, None]), (2, "k", [2, None])]
        assert await world.get() == ([2, None], True)
        world.feedback.forget(2)
        world.head.set("k", 3, 3)
        assert (await world.until_told(3))[2:] == [(1, "k", 3)]

    run(play)


def test_what_nobody_keeps_is_not_asked_for():
    async def play(world: World) -> None:
        world.head.set("k", 1, 1)
        await world.get()
        world.feedback.forget(1)
        asked = world.head.asked
        await asyncio.sleep(5 * INTERVAL)
        assert world.head.asked == asked

    run(play)


def test_nothing_is_kept_with_an_interval_of_0():
    async def play(world: World) -> None:
        world.head.set("k", 1, 1)
        assert await world.get() == (1, False)
        world.head.set("k", 2, 2)
        assert await world.get() == (2, False)

    run(play, interval=0.0)


def test_a_missing_value_is_kept_too():
    async def play(world: World) -> None:
        assert await world.get() == (None, True)
        world.head.set("k", 1, 1)
        assert await world.until_told(1) == [(1, "k", 1)]

    run(play)


def test_deleting_is_told_and_holds_until_a_newer_value():
    async def play(world: World) -> None:
        world.head.set("k", 1, 1)
        await world.get()
        await world.feedback.delete(world.head, "k")
        assert world.ranks.told == [(1, "k", None)]
        assert await world.get() == (None, True)
        assert await world.get(timestep=1) == (None, False)
        world.head.set("k", 2, 2)
        assert (await world.until_told(2))[1:] == [(1, "k", 2)]

    run(play)


def test_a_value_that_no_rank_could_read_is_asked_for_and_refused():
    async def play(world: World) -> None:
        world.head.set("k", 1, 1)
        await world.get()
        world.head.set("k", object(), 2)
        assert await world.until_told(1) == [(1, "k", "ask")]
        with pytest.raises(values.UnsupportedValue):
            await world.get()

    run(play)


def test_all_kept_values():
    async def play(world: World) -> None:
        assert await world.get(all=True) == (None, False)
        for t in range(5):
            world.head.set("k", t * t, t)
        assert await world.get(all=True) == ([[2, 4], [3, 9], [4, 16]], False)
        await world.feedback.delete(world.head, "k")
        world.head.set("k", "new", 9)
        assert await world.get(all=True) == ([[9, "new"]], False)

    run(play)


@pytest.mark.parametrize("interval", [0.0, INTERVAL])
@pytest.mark.parametrize("timestep", [None, 3])
def test_waiting_for_a_value(timestep, interval):
    async def play(world: World) -> None:
        waiting = asyncio.ensure_future(world.get(timestep=timestep, wait=20.0))
        await asyncio.sleep(3 * INTERVAL)
        assert not waiting.done()
        world.head.set("k", 0.5, 3)
        assert await waiting == (0.5, False)

    run(play, interval)


def test_waiting_ends_and_says_for_what():
    async def play(world: World) -> None:
        world.head.set("k", 1, 1)
        with pytest.raises(BridgeError, match=r"for timestep 2 within 0\.03 s") as raised:
            await world.get(timestep=2, wait=0.03)
        assert raised.value.kind == "timeout"
        with pytest.raises(BridgeError, match=r"not be set any more: the analytics have ended"):
            await world.get(timestep=2, wait=20.0, lost="the analytics have ended")

    run(play)


def test_pickles_are_kept_beside_the_same_value_for_other_languages():
    async def play(world: World) -> None:
        for rank, pickled in ((1, True), (2, False)):
            assert await world.get(rank=rank, pickled=pickled) == (None, True)
        world.head.set("k", (1, "x"), 1)
        assert sorted(await world.until_told(2), key=repr) == [(1, "k", (1, "x")), (2, "k", [1, "x"])]
        world.head.set("k", {("a", 1): {2}}, 2)
        assert sorted((await world.until_told(4))[2:], key=repr) == [
            (1, "k", {("a", 1): {2}}),
            (2, "k", "ask"),
        ]
        assert await world.get(timestep=1, pickled=True) == ((1, "x"), False)
        assert await world.get(all=True, pickled=True) == ([(1, (1, "x")), (2, {("a", 1): {2}})], False)
        await world.feedback.delete(world.head, "k")
        assert (await world.until_told(5))[4:] == [(1, "k", None)]

    run(play)
