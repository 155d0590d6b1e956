"""Whether those whom a session needs are still there: the analytics, the head actor, the other node actors.

A death is found by asking Ray, never by silence alone: a node actor that is only slow may still announce, and
going on without it would let later timesteps overtake its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import ray

from deisa_bridge import head as head_actor
from deisa_bridge.head import ActorGone
from deisa_bridge.status import BridgeError, Status, actor_name
from deisa_bridge.versions import driver_is_gone

if TYPE_CHECKING:
    from deisa_bridge.service import Service

logger = logging.getLogger(__name__)

POLL = 0.5
"""Seconds between two looks."""
POLL_PER_NODE = 0.02
"""Seconds more for each node: all of them ask the head actor and the control store, and one asks all."""
SILENT = 30.0
"""Seconds without an answer of the head actor after which the ranks are told."""


class Watch:
    """Looks after one session, from its beginning to its end. On the event loop."""

    def __init__(self, service: Service, head: Any) -> None:
        self._service = service
        self._head = head
        self._analytics_gone = False
        self._told_silence = False

    async def until_over(self) -> None:
        """Returns when the simulation has left, and the analytics have ended; the head actor, which deisa-ray
        would leave, is then removed. Tells the ranks meanwhile when what they send cannot arrive any more."""
        service = self._service
        nodes = len(service.peers.nodes) if service.peers is not None else 1
        while True:
            await asyncio.sleep(POLL + POLL_PER_NODE * nodes)
            looks = (self._look_at_head(), self._look_at_nodes())
            for problem in await asyncio.gather(*looks, return_exceptions=True):
                if isinstance(problem, Exception):
                    logger.warning("looking after session %s: %s; trying again", service.session, problem)
            if self._analytics_gone and not service.live() and service.gather.idle:
                return

    # ---- The analytics -------------------------------------------------------------------------------

    async def _look_at_head(self) -> None:
        if self._analytics_gone:
            return
        if await head_actor.in_thread(driver_is_gone, self._head):
            # First, so that an announcement that fails because of the removal does not say another cause.
            self._lose_analytics("the analytics have ended")
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                await head_actor.in_thread(ray.kill, self._head)
            return
        try:
            await head_actor.call(self._head.ready.remote(), SILENT, "asking the head actor")
            self._told_silence = False
        except ActorGone:
            self._lose_analytics("the head actor of the analytics has died")
        except BridgeError as error:
            if error.kind == "timeout" and not self._told_silence:
                self._told_silence = True
                self._service.tell_all(
                    Status.TIMEOUT,
                    f"the head actor of the analytics has not answered for {SILENT:.0f} s. What is sent is "
                    "kept, and announced when it answers again.",
                )

    def _lose_analytics(self, text: str) -> None:
        self._analytics_gone = True
        if not self._service.ending.begun:
            self._service.lose(text)

    # ---- The other nodes -----------------------------------------------------------------------------

    async def _look_at_nodes(self) -> None:
        peers, ending = self._service.peers, self._service.ending
        if peers is None or ending.done or self._analytics_gone:
            return
        if peers.is_master:
            await asyncio.gather(*(self._look_at_follower(node) for node in peers.others))
            return
        master = await self._state_of(peers.master)
        if master is None:
            self._service.lose(f"the node actor {actor_name(peers.master)} of bridge 0 has died")
        elif master["lost"]:
            self._service.lose(master["lost"], complete=True)
        elif master["ended"]:
            ending.done = True
        # Somebody must end the analytics: the first node that began, if not the master.
        begun = master is not None and master["begun"]
        if not begun and (master is None or not self._service.live()) and await self._is_first():
            how = "is gone with its node actor" if master is None else "never began"
            ending.take_over(how)

    async def _look_at_follower(self, node: str) -> None:
        peers = self._service.peers
        assert peers is not None
        if await self._state_of(node) is None:
            peers.gone(node)
            self._service.lose(f"the node actor {actor_name(node)} has died", complete=True)

    async def _is_first(self) -> bool:
        peers = self._service.peers
        assert peers is not None
        for node in peers.nodes[: peers.nodes.index(peers.node)]:
            state = await self._state_of(node)
            if state is not None and state["begun"]:
                return False
        return not await head_actor.in_thread(driver_is_gone, self._head)

    async def _state_of(self, node: str) -> dict[str, Any] | None:
        """What a node actor says of this session, or None if it has died. Raises BridgeError if it does not
        answer."""
        assert self._service.peers is not None
        try:
            state = await self._service.peers.call(node, "deisa_status", {}, SILENT)
        except ActorGone:
            return None
        same = state.get("session") == self._service.session
        return {
            "begun": same and state.get("begun", False),
            "ended": same and state.get("ended", False),
            "lost": state.get("lost", "") if same else "",
        }
