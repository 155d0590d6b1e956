"""The end marker: sent once per simulation, by the node actor of bridge 0, after everything else."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import numpy as np
import ray

from deisa_bridge import head as head_actor
from deisa_bridge.claim import end_noter, end_taker
from deisa_bridge.node.gather import NEVER
from deisa_bridge.node.peers import DRAIN_TIMEOUT
from deisa_bridge.node.ranks import Rank, register_end_marker
from deisa_bridge.node.session import Session
from deisa_bridge.status import END_MARKER_ARRAY, BridgeError, Status, actor_name
from deisa_bridge.versions import runner

logger = logging.getLogger(__name__)

SETTLE = 5.0
"""Seconds that ranks get, after bridge 0 has left, to send what completes sets or to leave too."""
BACKLOG = 60.0
"""Seconds more for processing what was acknowledged before."""
NEWEST_TIMESTEP = 2**63 - 2
ALONE_TIMEOUT = 30.0
"""Seconds that the head actor may take to answer when a session is ended without its node actors."""


async def end_alone(head: Any, session: str, node: str, newest: int | None) -> bool:
    """Sends the end marker of a session whose node actors have died; `newest`: a timestep that none
    was announced after, None: not known. False when the analytics serve another, or have it already."""
    ray_call = runner(head)
    if ray_call is None:
        raise BridgeError("this version of Ray cannot run a function in the head actor", "unsupported")
    what, by, instead_of = "asking the head actor which simulation it serves", actor_name(node), ""
    while True:
        asked = ray_call.remote(end_taker(), session, END_MARKER_ARRAY, by, instead_of)
        taken = await head_actor.call(asked, ALONE_TIMEOUT, what)
        if taken is None:
            return False
        teller, waiting = taken
        if teller == by:
            break
        if await head_actor.find_actor(teller) is not None:
            return False  # that one sends it
        instead_of = teller
    # Analytics stop with an error when it comes with an older timestep than the data.
    last = NEWEST_TIMESTEP - 1 if newest is None else max([newest, *waiting])
    marker = min(last + 1, NEWEST_TIMESTEP)
    await register_end_marker(head, node)
    chunk = np.asarray(0, dtype=np.int16)
    what = f"announcing the end marker with timestep {marker}"
    call = head.chunks_ready.remote(END_MARKER_ARRAY, marker, {(0, 0): ray.put(chunk)}, node, chunk.dtype)
    await head_actor.call(call, ALONE_TIMEOUT, what)
    # Only now: had this actor died before, another one must be able to do it.
    await head_actor.call(ray_call.remote(end_noter(), session), ALONE_TIMEOUT, what)
    logger.warning("the end marker of session %s was sent: its node actors have died", session)
    return True


class Shutdown:
    """When and how the analytics of this simulation end. On the event loop."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def requested(self, rank: Rank, sequence: int, timestep: int) -> None:
        """Bridge 0 asks for the end marker."""
        session = self._session
        problem = ""
        if rank.bridge != 0:
            problem = "only bridge 0 may send the end marker"
        elif session.head is None:
            problem = "the end marker cannot be sent before the arrays are registered"
        elif self._session.end_task is not None:
            problem = "the end marker is being sent, or was sent before"
        if problem:
            text = f"rank {rank.bridge}, end marker with timestep {timestep}: {problem}"
            session.receiver.failed(rank.connection, sequence, Status.CONTRACT, text, timestep=timestep)
            return
        self._session.end_task = session.spawn(self._close(rank, sequence, timestep))

    def bridge_0_gone(self, how: str) -> None:
        """Bridge 0 will not ask any more: the analytics must end all the same."""
        if self._session.head is not None and self._session.end_task is None:
            self._session.end_task = self._session.spawn(self._abandon(how))

    take_over = bridge_0_gone
    """The same, on another node than that of bridge 0, whose node actor cannot."""

    async def drain(self, reason: str) -> int | None:
        """Waits until everything that this node received is announced or has failed, and refuses more.
        Returns the newest timestep that was announced, if any. Sets without progress are not waited for."""
        session, gather = self._session, self._session.gather
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < SETTLE and gather.bound < NEVER:
            await session.change(SETTLE - waited)
        while session.backlog and time.monotonic() - begun < SETTLE + BACKLOG:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)
        gather.end(reason)
        session.gate.release()
        session.settle()
        least, since = gather.left, time.monotonic()
        while not gather.idle:
            await session.change(1.0)
            if gather.left < least:
                least, since = gather.left, time.monotonic()
            elif time.monotonic() - since > DRAIN_TIMEOUT:
                session.lose(f"{gather.explain()}, and nothing has moved for {DRAIN_TIMEOUT:.0f} s")
                since = time.monotonic()
        return gather.newest

    async def drain_for_another(self, reason: str, seconds: float) -> dict:
        """As drain(), for the node actor that sends the marker; returns after so many seconds at the latest,
        with the number of sets that are left."""
        if self._session.drain_task is None:
            self._session.drain_task = self._session.spawn(self.drain(reason))
        await asyncio.wait([self._session.drain_task], timeout=max(seconds, 0.0))
        left = 0 if self._session.drain_task.done() else max(1, self._session.gather.left)
        return {"newest": self._session.gather.newest, "left": left}

    async def _close(self, rank: Rank, sequence: int, timestep: int) -> None:
        receiver = self._session.receiver
        try:
            await self._send(timestep, "bridge 0 has closed the simulation")
        except Exception as error:
            logger.exception("the end marker could not be sent")
            text = f"the end marker with timestep {timestep} could not be sent: {error}"
            receiver.failed(rank.connection, sequence, Status.CONNECTION, text, timestep=timestep)
            self._session.end_task = None  # so that bridge 0's going tries again
        else:
            receiver.announced(rank.connection, sequence)

    async def _abandon(self, how: str) -> None:
        logger.warning(
            "bridge 0 %s without closing: the analytics get the end marker after what was received", how
        )
        try:
            timestep = await self._send(None, f"bridge 0 {how}")
            logger.warning("the end marker was sent with timestep %d, because bridge 0 %s", timestep, how)
        except Exception:
            logger.exception("the end marker could not be sent; the analytics will wait for it")

    async def _send(self, timestep: int | None, reason: str) -> int:
        session = self._session
        assert session.peers is not None
        mine, others = await asyncio.gather(self.drain(reason), session.peers.drain_others(reason))
        # Analytics stop with an error when the marker comes with an older timestep than the data.
        known = [t for t in [mine, *others] if t is not None and (timestep is None or t != NEVER)]
        newest = max(known, default=-1)
        marker = min(newest + 1, NEWEST_TIMESTEP) if timestep is None else max(timestep, newest)
        if timestep is not None and marker != timestep:
            logger.warning(
                "the end marker's timestep %d is older than the data's: %d is sent", timestep, marker
            )
        await self._announce_marker(marker)
        session.note(f"the end marker was announced with timestep {marker}: {reason}")
        session.ended = True
        session.touch()
        return marker

    async def _announce_marker(self, timestep: int) -> None:
        session = self._session
        if 0 in session.ranks:
            try:
                position = session.ranks[0].array(END_MARKER_ARRAY).position
            except KeyError:
                text = f"bridge 0 has not defined the array '{END_MARKER_ARRAY}'"
                raise BridgeError(text, "contract") from None
        else:  # the node actor of bridge 0 may not have got so far
            position = (0, 0)
            await register_end_marker(session.head, session.node)
        chunk = np.asarray(0, dtype=np.int16)
        await session.tell_head(END_MARKER_ARRAY, timestep, {position: ray.put(chunk)}, chunk.dtype)
