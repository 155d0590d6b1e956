"""The state of one simulation on this node, which the parts of the node actor share.

The parts (publisher, back-pressure, shutdown, liveness, ...) know the session but not each other: service.py
creates them, and lets the session call those that a change concerns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from deisa_bridge import head as head_actor
from deisa_bridge.node.gate import Gate
from deisa_bridge.node.gather import ANYTHING, NEVER, Gather
from deisa_bridge.node.peers import Peers
from deisa_bridge.node.progress import Progress
from deisa_bridge.node.ranks import Rank
from deisa_bridge.node.store import Store
from deisa_bridge.status import BridgeError, Status

logger = logging.getLogger(__name__)

NOTE_TIMEOUT = 10.0
"""Seconds that another node actor may take to log a line."""
HEAD_TIMEOUT = 120.0
"""Seconds that the head actor may take to accept one set."""


class Session:
    """Used on the event loop only.

    `receiver` is a receiver.Receiver.
    """

    def __init__(self, receiver: Any, identifier: str, node: str, announce_delay: float = 0.0) -> None:
        self.receiver = receiver
        self.id = identifier
        self.node = node
        self.announce_delay = announce_delay
        self.gather = Gather(node)
        self.gate = Gate()
        self.store = Store()
        self.progress = Progress()
        self.ranks: dict[int, Rank] = {}  # by bridge; those that were welcomed
        self.connections: dict[int, Rank] = {}  # those that are connected
        self.head: Any = None
        self.inner: Any = None
        self.peers: Peers | None = None
        self.lost = ""
        """Why nothing more can reach the analytics, if so."""
        self.ended = False
        """The end marker was announced, by this node or another."""
        self.end_task: asyncio.Task | None = None
        self.drain_task: asyncio.Task | None = None
        self.counters = {"chunks_stored": 0, "chunks_failed": 0, "sets_announced": 0}
        self.on_change: list[Callable[[], None]] = []
        """What follows a change of state, in this order; called by settle()."""
        self.forget_at_head: Callable[[list[tuple[str, int, int]]], None] = lambda arrays: None
        """Removes what the head actor has in part of arrays, from the first to the last timestep."""
        self.before_head_goes: Callable[[], Awaitable[None]] | None = None
        """Called when the analytics have ended, and the head actor is about to be removed."""
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()

    @property
    def is_master(self) -> bool:
        """It has begun, and this is the node of bridge 0."""
        return self.peers is not None and self.peers.is_master

    @property
    def ending(self) -> bool:
        """Nothing more is accepted from the ranks: the end marker is being sent."""
        return self.ended or self.end_task is not None or self.drain_task is not None

    # ---- Waiting -----------------------------------------------------------------------------------------

    def spawn(self, work: Any) -> asyncio.Task:
        """A task that lives as long as the session."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel_tasks(self) -> None:
        """Ends what spawn() began."""
        for task in self._tasks:
            task.cancel()

    def settle(self) -> None:
        """After a change of state: lets the parts follow it, and wakes those who wait."""
        for follow in self.on_change:
            follow()
        self.touch()

    def touch(self) -> None:
        """Something changed that publishing or the shutdown may wait for."""
        self._changed.set()
        self._changed = asyncio.Event()
        if self.peers is not None:
            self.peers.bound_changed()

    async def change(self, seconds: float) -> None:
        """Waits for touch(), at most so long."""
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), max(seconds, 0.0))

    # ---- The ranks ---------------------------------------------------------------------------------------

    def live(self) -> list[Rank]:
        """Ranks that are connected."""
        return [rank for rank in self.connections.values() if not rank.gone]

    @property
    def backlog(self) -> int:
        """Acknowledged events that have not been processed."""
        return self.receiver.counters().queued_events

    def lose(self, text: str, complete: bool = False) -> None:
        """Nothing that comes from now on can reach the analytics, because of `text`: the ranks are notified,
        and their chunks refused. With `complete`, sets that are complete are still announced."""
        if self.lost:
            return
        self.lost = text
        if complete:
            self.gather.end(text)
        else:
            self.gather.lose(text)
        text = f"nothing that is sent reaches the analytics any more: {text}"
        self.tell_all(Status.CONNECTION, text, final=True)
        self.gate.release()
        self.settle()

    def note(self, text: str) -> None:
        """A line in the log of this node actor, and in the session's log: that of the one of bridge 0."""
        logger.info("session %s: %s", self.id, text)
        if self.peers is not None and not self.is_master:
            self.spawn(self._pass_on(f"node {self.node}: {text}"))

    async def _pass_on(self, text: str) -> None:
        assert self.peers is not None
        with contextlib.suppress(BridgeError):  # it is in the log of this one
            await self.peers.call(self.peers.master, "deisa_note", {"text": text}, NOTE_TIMEOUT)

    def tell_all(self, status: Status, text: str, final: bool = False) -> None:
        """Reports a failure that belongs to no request to every rank. `final`: every later chunk fails."""
        logger.error("session %s: %s", self.id, text)
        for rank in self.live():
            if rank.welcomed:
                self.receiver.notice(rank.connection, status, text, final)

    # ---- The head actor ----------------------------------------------------------------------------------

    async def tell_head(
        self, name: str, timestep: int, references: dict[tuple, Any], dtype: np.dtype
    ) -> None:
        """Gives the head actor this node's chunks of an array and timestep, by position. Raises
        BridgeError."""
        method = self.head.chunks_ready.options(enable_task_events=False)
        what = f"announcing array '{name}', timestep {timestep}"
        await head_actor.call(method.remote(name, timestep, references, self.node, dtype), HEAD_TIMEOUT, what)

    def status(self) -> dict:
        """For people and tests."""
        return {
            "session": self.id,
            "ranks": sorted(self.ranks),
            "live": sorted(rank.bridge for rank in self.live()),
            "pending": len(self.gather.pending),
            "waits_for": self.gather.explain(),
            "newest": self.gather.newest,
            "bound": None if self.gather.bound in (ANYTHING, NEVER) else self.gather.bound,
            "ended": self.ended,
            "begun": self.head is not None,
            "lost": self.lost,
            **self.counters,
            **self.gate.status(),
        }
