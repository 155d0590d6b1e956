"""The node actors of one simulation among themselves: the watermark, and the end.

When some arrays live on some nodes only, order within each node is not enough: node A may announce timestep t
only when no other node can still announce anything older. The node actor of bridge 0, the master, keeps each
node's bound, and the least of them is the watermark. The others report their bound and ask for the watermark
with calls that wait until it moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.gather import ANYTHING, NEVER
from deisa_bridge.status import BridgeError, actor_name

logger = logging.getLogger(__name__)

POLL = 5.0
"""Seconds that one call for the watermark waits for it to move."""
SILENCE = 60.0
"""A node that the master has not heard for so many seconds is taken for dead, and no longer waited for."""
DRAIN_TIMEOUT = 180.0
"""Seconds that another node gets to announce what it holds."""


class Peers:
    """This node's view of the others. On the event loop.

    `bound()` is this node's; `moved()` is called when the watermark has moved.
    """

    def __init__(
        self, session: str, node: str, request: dict, bound: Callable[[], int], moved: Callable[[], None]
    ) -> None:
        self._session = session
        self._node = node
        self._nodes: list[str] = request.get("nodes") or [node]
        self._master: str = request.get("master_node") or node
        self._bound = bound
        self._moved = moved
        alone = bool(request.get("uniform", True)) or len(self._nodes) == 1
        self.watermark = NEVER if alone else ANYTHING
        self._reports = {other: (ANYTHING, time.monotonic()) for other in self._nodes}
        self._signal = asyncio.Event()
        self._bound_changed = asyncio.Event()
        self._tasks: list[asyncio.Task] = []
        if not alone:
            self._tasks.append(asyncio.ensure_future(self._watch() if self.is_master else self._follow(POLL)))
            if not self.is_master:
                self._tasks.append(asyncio.ensure_future(self._follow(0.0)))

    @property
    def is_master(self) -> bool:
        """This is the node of bridge 0."""
        return self._node == self._master

    def stop(self) -> None:
        """Ends the background tasks."""
        for task in self._tasks:
            task.cancel()

    def bound_changed(self) -> None:
        """To be called whenever bound() may have risen."""
        self._bound_changed.set()

    # ---- On the master -------------------------------------------------------------------------------

    async def answer_watermark(self, request: dict) -> dict:
        """A node reports its bound, and waits until the watermark exceeds what it knows."""
        if request.get("node") not in self._reports:
            raise BridgeError(f"node {request.get('node')} is not part of this simulation", "contract")
        self._report(request["node"], int(request["bound"]))
        end = time.monotonic() + min(float(request.get("wait", 0.0)), 30.0)
        while self.watermark <= int(request["known"]) and (left := end - time.monotonic()) > 0:
            signal = self._signal
            try:
                await asyncio.wait_for(signal.wait(), left)
            except TimeoutError:
                break
        return {"watermark": self.watermark}

    def _report(self, node: str, bound: int) -> None:
        self._reports[node] = (max(bound, self._reports[node][0]), time.monotonic())
        self._settle()

    def _settle(self) -> None:
        least = min(bound for bound, _ in self._reports.values())
        if least > self.watermark:
            self.watermark = least
            self._signal.set()
            self._signal = asyncio.Event()
            self._moved()

    async def _watch(self) -> None:
        """The master's own bound, and nodes that are silent."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bound_changed.wait(), POLL)
            self._bound_changed.clear()
            self._report(self._node, self._bound())
            for node, (bound, heard) in list(self._reports.items()):
                if bound < NEVER and time.monotonic() - heard > SILENCE:
                    logger.warning(
                        "node %s has been silent for %.0f s: no longer waiting for it", node, SILENCE
                    )
                    self._report(node, NEVER)

    # ---- On the others -------------------------------------------------------------------------------

    async def _follow(self, wait: float) -> None:
        """With `wait`: asks for the watermark, again and again. Without: reports the bound when it
        changes."""
        while True:
            if not wait:
                await self._bound_changed.wait()
                self._bound_changed.clear()
            known = self.watermark if wait else NEVER
            request = {"node": self._node, "bound": self._bound(), "known": known, "wait": wait}
            try:
                reply = await self._call(self._master, "deisa_watermark", request, wait + 20.0)
                watermark = int(reply["watermark"])
                if watermark > self.watermark:
                    self.watermark = watermark
                    self._moved()
            except BridgeError as error:
                if self._bound() == NEVER:  # nothing is left to announce here, so nothing is lost
                    return
                logger.warning("the watermark cannot be had from node %s: %s", self._master, error)
                self._bound_changed.set()  # again, after a while
                await asyncio.sleep(1.0)

    # ---- The end -------------------------------------------------------------------------------------

    async def drain_others(self, reason: str) -> list[int]:
        """Has every other node announce what it holds and refuse more. Returns the newest timestep of each
        node that announced any. A node that cannot be reached is left out, with a warning."""

        async def drain(node: str) -> int | None:
            try:
                reply = await self._call(node, "deisa_drain", {"reason": reason}, DRAIN_TIMEOUT)
                return reply["newest"]
            except BridgeError as error:
                logger.warning("node %s was not drained before the end marker: %s", node, error)
                return None

        newest = await asyncio.gather(*(drain(node) for node in self._nodes if node != self._node))
        return [one for one in newest if one is not None]

    async def _call(self, node: str, method: str, request: dict, seconds: float) -> dict[str, Any]:
        actor = await head_actor.find_actor(actor_name(node))
        if actor is None:
            raise BridgeError(f"the node actor {actor_name(node)} is gone")
        text = json.dumps(request | {"session": self._session})
        what = f"{method} at the node actor {actor_name(node)}"
        reply = json.loads(await head_actor.call(getattr(actor, method).remote(text), seconds, what))
        if "error" in reply:
            raise BridgeError(reply["error"], reply.get("kind", "connection"))
        return reply
