"""GET and DELETE: values that the analytics set, read at the head actor.

The newest value of a key that a rank has read is kept here. One call of the head actor in each interval asks
what has changed, for all keys, and the ranks that keep the value are notified: a plain read sends nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.node import values
from deisa_bridge.node.receiver import Get
from deisa_bridge.status import BridgeError
from deisa_bridge.versions import runner

logger = logging.getLogger(__name__)

GET_TIMEOUT = 20.0
"""Seconds that one look-up at the head actor may take."""
WHAT = "the look-up at the head actor"
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1
"""Seconds between two look-ups for a rank that waits for a value."""


def _newest_reader() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value. It moves one value of each key instead of the history that get_feedback(key) returns, and nothing
    of a key whose version the caller knows."""

    def newest(head: Any, known: dict[tuple, Any]) -> dict[tuple, tuple]:
        news = {}
        for kept, version in known.items():
            queue = head.feedback_queues.get(kept[0])
            now = (queue[-1][0],) if queue else ()  # timesteps rise: deisa-ray sees to it
            if now != version:
                news[kept] = (now, *(queue[-1] if queue else (None, None)))
        return news

    return newest


Form = tuple[str, bool]
"""A key, and whether its value is read as a pickle."""


@dataclass
class _Kept:
    """The newest value of a key: which one it is, and its MessagePack, None for none or a hidden one."""

    version: tuple = ()
    packed: bytes | None = None
    ranks: set[int] = field(default_factory=set)  # connections of those that keep it, too


def _encoder(pickled: bool) -> Callable[[Any], bytes]:
    return values.encode_pickle if pickled else values.encode


class Feedback:
    """Reads feedback for the bridges of this node. On the event loop. `receiver` notifies ranks of changes
    of a key; `interval` in seconds, 0: nothing is kept."""

    def __init__(self, interval: float, receiver: Any) -> None:
        self._interval = interval
        self._receiver = receiver
        self._hidden: dict[str, Any] = {}  # key -> its newest timestep when it was deleted
        self._kept: dict[Form, _Kept] = {}
        self._newest = _newest_reader()
        self.lookups = 0
        """Calls of the head actor, so far."""

    async def get(
        self, head: Any, event: Get, lost: Callable[[], str] = str, pickled: bool = False
    ) -> tuple[bytes | None, bool]:
        """The value as MessagePack, `pickled` or not, or None if there is none; and whether the rank is
        notified of changes. `lost` says why no value will come any more. Raises BridgeError or
        UnsupportedValue."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + event.wait, FIRST_PAUSE
        while True:
            packed, kept = await self._look_up(head, event, pickled)
            left = end - loop.time()
            if packed is not None or event.wait <= 0:
                return packed, kept
            if why := lost():
                raise BridgeError(f"it will not be set any more: {why}")
            if left <= 0:
                of = "" if event.timestep is None else f" for timestep {event.timestep}"
                raise BridgeError(
                    f"the analytics have not set it{of} within {event.wait:g} s. Has every rank sent the "
                    "timestep with whose result they set it, and are the analytics that far?",
                    "timeout",
                )
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _look_up(self, head: Any, event: Get, pickled: bool) -> tuple[bytes | None, bool]:
        key, encode = event.key, _encoder(pickled)
        if event.all:
            found, history = await self._history(head, key)
            shown = [(at, value) for at, value in history if not self._is_hidden(key, at)] if found else []
            return (await head_actor.in_thread(encode, shown) if shown else None), False
        if event.timestep is not None:
            found, value = await self._ask(head.get_feedback.remote(key, event.timestep))
            if not found or self._is_hidden(key, event.timestep):
                return None, False
            # A large value takes a while to encode, and other ranks wait for the loop.
            return await head_actor.in_thread(encode, value), False
        if self._interval <= 0 or runner(head) is None:
            found, at, value = await self._latest(head, key)
            if not found or self._is_hidden(key, at):
                return None, False
            return await head_actor.in_thread(encode, value), False
        form = (key, pickled)
        if form not in self._kept:
            fresh = _Kept()
            await self._take_in(form, fresh, (await self._news(head, {form: None}))[form])
            self._kept.setdefault(form, fresh)
        kept = self._kept[form]
        if event.wait <= 0:
            kept.ranks.add(event.connection)
        return kept.packed, event.wait <= 0

    async def watch(self, head: Any) -> None:
        """Looks for changes, for ever. Its caller cancels it."""
        while True:
            await asyncio.sleep(self._interval or 1.0)
            asked = dict(self._kept)
            if not asked:
                continue
            try:
                news = await self._news(head, {form: kept.version for form, kept in asked.items()})
            except Exception as error:  # reported to the ranks that ask
                logger.info("feedback: %s", error)
                for form in asked:
                    self._give_up(form)
                continue
            for form, new in news.items():
                if (kept := asked[form]) is not self._kept.get(form):
                    continue  # no rank keeps it any more, or a rank keeps it again
                try:
                    await self._take_in(form, kept, new)
                    # Those that cannot be notified have left.
                    notify = partial(self._receiver.changed, key=form[0], packed=kept.packed)
                    kept.ranks = set(filter(notify, kept.ranks))
                except Exception as error:
                    logger.info("feedback %r: %s", form[0], error)
                    self._give_up(form)

    def forget(self, connection: int) -> None:
        """The rank has left. Keys that no rank keeps are not asked for any more."""
        for kept in self._kept.values():
            kept.ranks.discard(connection)
        self._kept = {form: kept for form, kept in self._kept.items() if kept.ranks}

    def _give_up(self, form: Form) -> None:
        """Ranks that keep the value have to ask for it, and then get the error."""
        kept = self._kept.pop(form, None)
        for rank in kept.ranks if kept is not None else ():
            self._receiver.changed(rank, form[0], None, known=False)

    async def _take_in(self, form: Form, kept: _Kept, new: tuple) -> None:
        version, at, value = new
        key, pickled = form
        visible = bool(version) and not self._is_hidden(key, at)
        packed = await head_actor.in_thread(_encoder(pickled), value) if visible else None
        # Deleted meanwhile?
        kept.version, kept.packed = version, None if visible and self._is_hidden(key, at) else packed

    async def delete(self, head: Any, key: str) -> None:
        """Hides what is there under `key` now; a missing key is fine."""
        found, at, _ = await self._latest(head, key)
        if not found:
            return
        self._hidden[key] = at
        for form in ((key, False), (key, True)):
            if (kept := self._kept.get(form)) is not None:
                kept.packed = None
                for rank in kept.ranks:
                    self._receiver.changed(rank, key, None)

    async def _news(self, head: Any, known: dict[Form, Any]) -> dict[Form, tuple]:
        return await self._ask(runner(head).remote(self._newest, known))

    async def _latest(self, head: Any, key: str) -> tuple[bool, Any, Any]:
        if runner(head) is not None:
            try:
                version, at, value = (await self._news(head, {(key, False): None}))[key, False]
                return bool(version), at, value
            except BridgeError as error:
                if error.kind == "timeout":
                    raise
        # A head actor that cannot run our function: the whole history has to come.
        found, history = await self._history(head, key)
        return (True, *history[-1]) if found and history else (False, None, None)

    async def _history(self, head: Any, key: str) -> tuple[bool, list]:
        return await self._ask(head.get_feedback.remote(key, None))

    async def _ask(self, call: Any) -> Any:
        self.lookups += 1
        return await head_actor.call(call, GET_TIMEOUT, WHAT)

    def _is_hidden(self, key: str, timestep: Any) -> bool:
        if key not in self._hidden:
            return False
        try:
            return bool(timestep <= self._hidden[key])
        except TypeError:  # timesteps of other types than numbers
            return timestep == self._hidden[key]
