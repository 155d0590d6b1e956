"""Whether the actors that a session needs are alive: the analytics, the head actor, the other node actors.

A death is found by asking Ray, never by a timeout alone: a slow node actor may still announce, and
continuing without it would let later timesteps overtake its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import ray

from deisa_bridge import head as head_actor
from deisa_bridge.head import ActorGone
from deisa_bridge.node.session import Session
from deisa_bridge.status import BridgeError, Status, actor_name
from deisa_bridge.versions import driver_is_gone

logger = logging.getLogger(__name__)

POLL = 0.5
"""Seconds between two checks."""
POLL_PER_NODE = 0.02
"""Seconds more for each node: all of them ask the head actor and the control store, and one asks all."""
SILENT = 30.0
"""Seconds without an answer of the head actor after which the ranks are notified."""


class Liveness:
    """Monitors one session, from its beginning to its end; `take_over` sends the end marker when the node
    actor of bridge 0 cannot. On the event loop."""

    def __init__(self, session: Session, head: Any, take_over: Callable[[str], None]) -> None:
        self._session = session
        self._take_over = take_over
        self._head = head
        self._analytics_gone = False
        self._told_silence = False

    async def until_over(self) -> None:
        """Returns when the simulation has left, and the analytics have ended; the head actor, which deisa-ray
        would leave, is then removed. Meanwhile it notifies the ranks when what they send cannot arrive any
        more."""
        session = self._session
        nodes = len(session.peers.nodes) if session.peers is not None else 1
        while True:
            await asyncio.sleep(POLL + POLL_PER_NODE * nodes)
            looks = (self._look_at_head(), self._look_at_nodes())
            for problem in await asyncio.gather(*looks, return_exceptions=True):
                if isinstance(problem, Exception):
                    logger.warning("looking after session %s: %s; trying again", session.id, problem)
            if self._analytics_gone and not session.live() and session.gather.idle:
                return

    # ---- The analytics -------------------------------------------------------------------------------

    async def _look_at_head(self) -> None:
        if self._analytics_gone:
            return
        if await head_actor.in_thread(driver_is_gone, self._head):
            # First, so that an announcement that fails because of the removal does not say another cause.
            self._lose_analytics("the analytics have ended")
            if self._session.before_head_goes is not None:
                await self._session.before_head_goes()
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                await head_actor.in_thread(ray.kill, self._head)
            return
        try:
            await head_actor.call(self._head.ready.remote(), SILENT, "asking the head actor")
            self._told_silence = False
        except ActorGone:
            self._lose_analytics(await head_actor.how_it_ended(self._head))
        except BridgeError as error:
            if error.kind == "timeout" and not self._told_silence:
                self._told_silence = True
                self._session.tell_all(
                    Status.TIMEOUT,
                    f"the head actor of the analytics has not answered for {SILENT:.0f} s. What is sent is "
                    "kept, and announced when it answers again.",
                )

    def _lose_analytics(self, text: str) -> None:
        self._analytics_gone = True
        if not self._session.ending:
            self._session.lose(text)

    # ---- The other nodes -----------------------------------------------------------------------------

    async def _look_at_nodes(self) -> None:
        peers = self._session.peers
        if peers is None or self._session.ended or self._analytics_gone:
            return
        if peers.is_master:
            await asyncio.gather(*(self._look_at_follower(node) for node in peers.others))
            return
        master = await self._state_of(peers.master)
        if master is None:
            self._session.lose(f"the node actor {actor_name(peers.master)} of bridge 0 has died")
        elif master["lost"]:
            self._session.lose(master["lost"], complete=True)
        elif master["ended"]:
            self._session.ended = True
        # One node must end the analytics: the first node that began, if not the master.
        begun = master is not None and master["begun"]
        if not begun and (master is None or not self._session.live()) and await self._is_first():
            how = "is gone with its node actor" if master is None else "never began"
            self._take_over(how)

    async def _look_at_follower(self, node: str) -> None:
        peers = self._session.peers
        assert peers is not None
        if await self._state_of(node) is None:
            peers.gone(node)
            self._session.lose(f"the node actor {actor_name(node)} has died", complete=True)

    async def _is_first(self) -> bool:
        peers = self._session.peers
        assert peers is not None
        for node in peers.nodes[: peers.nodes.index(peers.node)]:
            state = await self._state_of(node)
            if state is not None and state["begun"]:
                return False
        return not await head_actor.in_thread(driver_is_gone, self._head)

    async def _state_of(self, node: str) -> dict[str, Any] | None:
        """What a node actor says of this session, or None if it has died. Raises BridgeError if it does not
        answer."""
        assert self._session.peers is not None
        try:
            state = await self._session.peers.call(node, "deisa_status", {}, SILENT)
        except ActorGone:
            return None
        same = state.get("session") == self._session.id
        return {
            "begun": same and state.get("begun", False),
            "ended": same and state.get("ended", False),
            "lost": state.get("lost", "") if same else "",
        }
