"""The end marker: sent once per simulation, by the node actor of bridge 0, after everything else."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import numpy as np
import ray

from deisa_bridge.announcing import tell_head
from deisa_bridge.gather import NEVER
from deisa_bridge.ranks import Rank
from deisa_bridge.status import END_MARKER_ARRAY, BridgeError, Status

if TYPE_CHECKING:
    from deisa_bridge.service import Service

logger = logging.getLogger(__name__)

SETTLE = 5.0
"""Seconds that ranks get, after bridge 0 has left, to send what completes sets or to leave too."""
NEWEST_TIMESTEP = 2**63 - 2


class Ending:
    """When and how the analytics of this simulation end. On the event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._task: asyncio.Task | None = None
        self.done = False
        """The end marker was announced, or another node drained this one for it."""

    def requested(self, rank: Rank, sequence: int, timestep: int) -> None:
        """Bridge 0 asks for the end marker."""
        service = self._service
        problem = ""
        if rank.bridge != 0:
            problem = "only bridge 0 may send the end marker"
        elif service.head is None:
            problem = "the end marker cannot be sent before the arrays are registered"
        elif self._task is not None:
            problem = "the end marker is being sent, or was sent before"
        if problem:
            text = f"rank {rank.bridge}, end marker with timestep {timestep}: {problem}"
            service.receiver.failed(rank.connection, sequence, Status.CONTRACT, text, timestep=timestep)
            return
        self._task = service.spawn(self._close(rank, sequence, timestep))

    def bridge_0_gone(self, how: str) -> None:
        """Bridge 0 will not ask any more: the analytics must end all the same."""
        if self._service.head is not None and self._task is None:
            self._task = self._service.spawn(self._abandon(how))

    async def drain(self, reason: str) -> int | None:
        """Waits until everything that this node received is announced or has failed, and refuses more.
        Returns the newest timestep that was announced, if any."""
        service, gather = self._service, self._service.gather
        settled = time.monotonic() + SETTLE
        while gather.bound < NEVER and (left := settled - time.monotonic()) > 0:
            await service.change(left)
        gather.end(reason)
        service.tell_failures()
        service.touch()
        while not gather.idle:
            await service.change(1.0)
        return gather.newest

    async def drain_for_another(self, reason: str) -> int | None:
        """As drain(), for the node actor that sends the marker."""
        newest = await self.drain(reason)
        self.done = True
        return newest

    async def _close(self, rank: Rank, sequence: int, timestep: int) -> None:
        receiver = self._service.receiver
        try:
            await self._send(timestep, "bridge 0 has closed the simulation")
        except Exception as error:
            logger.exception("the end marker could not be sent")
            text = f"the end marker with timestep {timestep} could not be sent: {error}"
            receiver.failed(rank.connection, sequence, Status.CONNECTION, text, timestep=timestep)
            self._task = None  # so that bridge 0's going tries again
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
        service = self._service
        assert service.peers is not None
        mine, others = await asyncio.gather(self.drain(reason), service.peers.drain_others(reason))
        newest = max((t for t in [mine, *others] if t is not None), default=-1)
        marker = min(newest + 1, NEWEST_TIMESTEP) if timestep is None else max(timestep, newest)
        if timestep is not None and marker != timestep:
            logger.warning(
                "the end marker's timestep %d is older than the data's: %d is sent", timestep, marker
            )
        await self._announce_marker(marker)
        self.done = True
        service.touch()
        return marker

    async def _announce_marker(self, timestep: int) -> None:
        try:
            position = self._service.ranks[0].array(END_MARKER_ARRAY).position
        except KeyError:
            raise BridgeError(
                f"bridge 0 has not defined the array '{END_MARKER_ARRAY}'", "contract"
            ) from None
        chunk = np.asarray(0, dtype=np.int16)
        await tell_head(self._service, END_MARKER_ARRAY, timestep, {position: ray.put(chunk)}, chunk.dtype)
