"""The node actors of one simulation among themselves: the watermark, and the end.

When some arrays live on some nodes only, order within each node is not enough: node A may announce timestep t
only when no other node can still announce anything older. The node actor of bridge 0, the master, keeps each
node's bound, and their minimum is the watermark. The others report their bound and ask for the watermark
with calls that wait until it moves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.node.gather import ANYTHING, NEVER
from deisa_bridge.node.watermark import Watermark
from deisa_bridge.status import BridgeError, actor_name

logger = logging.getLogger(__name__)

POLL = 5.0
"""Seconds that one call for the watermark waits for it to move."""
DRAIN_TIMEOUT = 180.0
"""Seconds without progress after which the others do not wait any longer for a node's announcements."""


class Peers:
    """This node's view of the others. On the event loop.

    `bound()` is this node's; `moved()` is called when the watermark has moved.
    """

    def __init__(
        self, session: str, node: str, request: dict, bound: Callable[[], int], moved: Callable[[], None]
    ) -> None:
        self._session = session
        self.node = node
        nodes: list[str] = request.get("nodes") or [node]
        self.master: str = request.get("master_node") or node
        self.nodes = [self.master, *(one for one in nodes if one != self.master)]
        """All nodes with ranks, the master first."""
        self._actors: dict[str, Any] = {}
        self._bound = bound
        self._moved = moved
        alone = bool(request.get("uniform", True)) or len(self.nodes) == 1
        self.watermark = NEVER if alone else ANYTHING
        self._all = Watermark(self.nodes)
        """On the master. The others know what they have reported themselves."""
        self._signal = asyncio.Event()
        self._bound_changed = asyncio.Event()
        self._bound_changed.set()
        self._tasks: list[asyncio.Task] = []
        if not alone:
            self._tasks.append(asyncio.ensure_future(self._watch() if self.is_master else self._follow(POLL)))
            if not self.is_master:
                self._tasks.append(asyncio.ensure_future(self._follow(0.0)))

    @property
    def is_master(self) -> bool:
        """This is the node of bridge 0."""
        return self.node == self.master

    @property
    def others(self) -> list[str]:
        """The other nodes."""
        return [node for node in self.nodes if node != self.node]

    def stop(self) -> None:
        """Ends the background tasks."""
        for task in self._tasks:
            task.cancel()

    def bound_changed(self) -> None:
        """To be called whenever bound() may have risen."""
        self._bound_changed.set()

    @staticmethod
    def has_died(error: BridgeError) -> bool:
        """The call failed because the other node actor will never answer."""
        return isinstance(error, head_actor.ActorGone)

    # ---- On the master -------------------------------------------------------------------------------

    async def answer_watermark(self, request: dict) -> dict:
        """A node reports its bound, and waits until the watermark exceeds what it knows."""
        if request.get("node") not in self._all:
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

    def gone(self, node: str) -> None:
        """The node actor has died, and will announce nothing more."""
        self._report(node, NEVER)

    def _report(self, node: str, bound: int) -> None:
        if self._all.report(node, bound) and self._all.value > self.watermark:
            self.watermark = self._all.value
            self._signal.set()
            self._signal = asyncio.Event()
            self._moved()

    async def _watch(self) -> None:
        """The master's own bound."""
        while True:
            await self._bound_changed.wait()
            self._bound_changed.clear()
            self._report(self.node, self._bound())

    # ---- On the others -------------------------------------------------------------------------------

    async def _follow(self, wait: float) -> None:
        """With `wait`: asks for the watermark, again and again. Without: reports the bound when it
        changes."""
        while True:
            if not wait:
                await self._bound_changed.wait()
                self._bound_changed.clear()
            known = self.watermark if wait else NEVER
            bound = self._bound()
            self._all.report(self.node, bound)
            request = {"node": self.node, "bound": bound, "known": known, "wait": wait}
            try:
                reply = await self.call(self.master, "deisa_watermark", request, wait + 20.0)
                watermark = int(reply["watermark"])
                if watermark > self.watermark:
                    self.watermark = watermark
                    self._moved()
            except BridgeError as error:
                if self._bound() == NEVER:  # nothing is left to announce here, so nothing is lost
                    return
                logger.warning("the watermark cannot be had from node %s: %s", self.master, error)
                self._bound_changed.set()  # again, after a while
                await asyncio.sleep(1.0)

    # ---- The end -------------------------------------------------------------------------------------

    async def drain_others(self, reason: str) -> list[int]:
        """Has every other node announce what it has and refuse more. Returns the newest timestep of each
        node that announced any. A node that has died, or makes no progress, is skipped with a warning: of it
        what it has announced at most, NEVER if that is not known."""
        newest = await asyncio.gather(*(self._drain(node, reason) for node in self.others))
        return [one for one in newest if one is not None]

    async def _drain(self, node: str, reason: str) -> int | None:
        newest, least, since = None, None, time.monotonic()
        while True:
            try:
                reply = await self.call(node, "deisa_drain", {"reason": reason, "wait": POLL}, POLL + 20.0)
                newest, left = reply["newest"], int(reply["left"])
                if left == 0:
                    return newest
                if least is None or left < least:
                    least, since = left, time.monotonic()
                problem = f"{left} of its sets are still not announced"
                final = False
            except BridgeError as error:
                problem = str(error)
                final = error.kind == "contract" or isinstance(error, head_actor.ActorGone)
                if not final:
                    await asyncio.sleep(1.0)
            if final or time.monotonic() - since > DRAIN_TIMEOUT:
                logger.warning("the end marker does not wait for node %s: %s", node, problem)
                return self._at_most(node, newest)

    def _at_most(self, node: str, newest: int | None) -> int | None:
        """The newest timestep that a node may have announced that does not answer; `newest`: it has said so.
        Nothing newer than its own bound, nor than that of any other node. Where all nodes have all arrays,
        nothing that it alone has announced is seen."""
        ceiling = self._all.newest(node) if self.is_master else self._all.bound(self.node)
        if ceiling == ANYTHING:
            return newest
        return ceiling if newest is None else max(newest, ceiling)

    async def call(self, node: str, method: str, request: dict, seconds: float) -> dict[str, Any]:
        """The reply of another node actor. Raises ActorGone if that has died, and BridgeError."""
        if node not in self._actors:
            actor = await head_actor.find_actor(actor_name(node))
            if actor is None:
                raise head_actor.ActorGone(f"the node actor {actor_name(node)} is gone")
            self._actors[node] = actor
        text = json.dumps(request | {"session": self._session})
        what = f"{method} at the node actor {actor_name(node)}"
        method_of = getattr(self._actors[node], method)
        reply = json.loads(await head_actor.call(method_of.remote(text), seconds, what))
        if "error" in reply:
            raise BridgeError(reply["error"], reply.get("kind", "connection"))
        return reply
