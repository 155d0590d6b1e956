"""Sets that some nodes have announced and another never will, although none of its ranks has died: all of
them skipped the array. That node has no set that could break, and does not know that others wait for
it. So the node actor of bridge 0 polls what the head actor has in part. What is broken is removed there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.node.broken import Broken
from deisa_bridge.node.session import Session
from deisa_bridge.status import END_MARKER_ARRAY, BridgeError
from deisa_bridge.versions import runner

logger = logging.getLogger(__name__)

POLL = 0.25
"""Seconds between two polls; less after one that has found something."""
POLL_AGAIN = 0.05
POLL_PER_NODE = 0.01
"""Seconds more for each node."""
TIMEOUT = 30.0
MOST = 1000
"""Sets that one poll reports."""

Part = tuple[str, int, str]
"""Array, timestep, and a node of which the head actor has no chunks."""


def _reader() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value. The parts that are missing of what it has in part."""

    def missing(head: Any, end_marker: str, most: int) -> list[tuple[str, int, str]]:
        found = []
        for name, array in head.registered_arrays.items():
            if name == end_marker or not array.chunk_refs:
                continue
            node_at = array.position_to_node_actorID
            owners = set(node_at.values())
            for timestep, chunks in array.chunk_refs.items():
                if isinstance(chunks, list):  # else it has just begun
                    there = {
                        node_at[position] for position, _ in array.pos_to_ref_by_timestep.get(timestep, ())
                    }
                    found += [(name, timestep, node) for node in sorted(owners - there)]
        return sorted(found, key=lambda part: part[1])[:most]

    return missing


def _remover() -> Any:
    """The same for a function that removes what it has of broken sets."""

    def remove(head: Any, ranges: list[tuple[str, int, int]]) -> int:
        count = 0
        for name, first, last in ranges:
            array = head.registered_arrays.get(name)
            if array is None:
                continue
            for timestep, chunks in list(array.chunk_refs.items()):
                if first <= timestep <= last and isinstance(chunks, list):
                    count += 1
                    del array.chunk_refs[timestep]
                    array.pos_to_ref_by_timestep.pop(timestep, None)
                    array.dtype_by_timestep.pop(timestep, None)
        return count

    return remove


class Holes:
    """What the head actor has of sets that can never be complete; `report` is called with those that were
    found. On the event loop."""

    def __init__(self, session: Session, report: Callable[[list[Broken]], None]) -> None:
        self._session = session
        self._report = report
        self._missing, self._remove = _reader(), _remover()
        self._ranges: list[tuple[str, int, int]] = []
        self._removing: asyncio.Task | None = None

    # ---- On every node -------------------------------------------------------------------------------

    def forget(self, arrays: list[tuple[str, int, int]]) -> None:
        """Removes what the head actor has of these arrays, from the first to the last timestep."""
        if arrays and runner(self._session.head) is not None:
            self._ranges += arrays
            if self._removing is None:
                self._removing = self._session.spawn(self._forget())

    async def _forget(self) -> None:
        try:
            while self._ranges:
                ranges, self._ranges = self._ranges, []
                await self._run(self._remove, ranges, what="removing what can never be complete")
        except BridgeError as error:
            logger.warning("%s", error)
        finally:
            self._removing = None

    # ---- On the master ---------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Polls for ever for sets that wait for a node which will not send its part."""
        peers = self._session.peers
        assert peers is not None
        if runner(self._session.head) is None:
            return
        pause = POLL
        while not self._session.lost and not self._session.ended:
            await asyncio.sleep(pause + POLL_PER_NODE * len(peers.nodes))
            try:
                pause = POLL_AGAIN if await self.look() else POLL
            except BridgeError as error:
                logger.warning("looking for chunks that never come: %s", error)
                pause = 4 * POLL

    async def look(self) -> bool:
        """Whether some set was found to be broken; then all nodes are notified."""
        missing = await self._read()
        of_node: dict[str, list[list]] = {}
        for name, timestep, node in missing:
            of_node.setdefault(node, []).append([name, timestep])
        answers = await asyncio.gather(*(self._ask(node, sets) for node, sets in of_node.items()))
        suspects = [one for answer in answers for one in answer]
        if not suspects:
            return False
        # A node may have announced its part after the first poll, and before it was asked.
        still = set(await self._read())
        found = [one for one in suspects if (*one.arrays[0][:2], one.node) in still]
        if found:
            self._report(found)
        return bool(found)

    async def _read(self) -> list[Part]:
        what = "asking the head actor for what it has in part"
        return [tuple(part) for part in await self._run(self._missing, END_MARKER_ARRAY, MOST, what=what)]

    async def _run(self, function: Any, *args: Any, what: str) -> Any:
        """In the head actor."""
        run = runner(self._session.head).options(enable_task_events=False)
        return await head_actor.call(run.remote(function, *args), TIMEOUT, what)

    async def _ask(self, node: str, sets: list[list]) -> list[Broken]:
        """Which of the sets a node will never announce."""
        peers = self._session.peers
        assert peers is not None
        if node == peers.node:
            return self._session.gather.lacking(sets)
        try:
            reply = await peers.call(node, "deisa_lacking", {"sets": sets}, TIMEOUT)
        except BridgeError as error:
            logger.warning("which chunks node %s will not send is not known: %s", node, error)
            return []
        return [Broken.parse(one) for one in reply["broken"]]
