"""Sets of chunks that can never be complete, because a rank has died or gone on without its chunk: what a
node knows of them, and how the nodes tell each other.

Whichever node finds out tells the node actor of bridge 0, the master, and that tells all others. Each node
then gives such sets up: it drops its own chunks of them, removes those that the head actor has already, and
refuses more. Nothing is ever taken back, so it does not matter in which order the nodes hear of it, or how
often.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deisa_bridge.status import BridgeError

if TYPE_CHECKING:
    from deisa_bridge.peers import Peers

logger = logging.getLogger(__name__)

CALL_TIMEOUT = 20.0
RETRY = 0.5
GIVE_UP = 120.0
"""Seconds after which a node that does not answer, and has not died, is not told any more."""


@dataclass(frozen=True)
class Broken:
    """Sets that can never be complete, and why."""

    text: str
    """For the ranks. The same for all sets of one cause, so that it is reported once."""
    arrays: tuple[tuple[str, int, int], ...]
    """Name, first and last timestep."""
    node: str = ""
    """Where it was found."""
    death: bool = False
    """A rank has died: all ranks are told, whatever they have sent."""

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "arrays": self.arrays, "node": self.node, "death": self.death}

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Broken:
        arrays = tuple((str(name), int(first), int(last)) for name, first, last in given["arrays"])
        return cls(str(given["text"]), arrays, str(given["node"]), bool(given["death"]))


class BrokenSets:
    """All that one node knows of. A pure state machine."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[tuple[int, int, str]]] = {}  # array -> first, last, text
        self._deaths: set[str] = set()

    def add(self, one: Broken) -> bool:
        """Returns whether it was news."""
        news = one.death and one.text not in self._deaths
        if one.death:
            self._deaths.add(one.text)
        for name, first, last in one.arrays:
            known = self._ranges.setdefault(name, [])
            if (first, last, one.text) not in known:
                known.append((first, last, one.text))
                news = True
        return news

    def why(self, array: str, timestep: int) -> str:
        """Why the set can never be complete, or ""."""
        for first, last, text in self._ranges.get(array, ()):
            if first <= timestep <= last:
                return text
        return ""

    def forget(self, before: int) -> None:
        """Nobody can send anything older any more."""
        for name, known in self._ranges.items():
            if any(last < before for _, last, _ in known):
                self._ranges[name] = [one for one in known if one[1] >= before]

    def __iter__(self) -> Iterator[tuple[str, int, int, str]]:
        return iter(sorted((name, *one) for name, known in self._ranges.items() for one in known))


class Spread:
    """Tells the other nodes: a node tells the master, and the master everyone. On the event loop."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._outboxes: dict[str, list[Broken]] = {}
        self._tasks: set[asyncio.Task] = set()

    def tell(self, found: list[Broken], but: str = "") -> None:
        """Hands them on, to all whom this node has to tell but the one that they came from."""
        peers = self._peers
        for node in peers.others if peers.is_master else [peers.master]:
            if node == but:
                continue
            outbox = self._outboxes.get(node)
            if outbox is not None:  # it is being told, and will be told these next
                outbox.extend(found)
                continue
            self._outboxes[node] = list(found)
            task = asyncio.ensure_future(self._deliver(node))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Ends the background tasks."""
        for task in self._tasks:
            task.cancel()

    async def _deliver(self, node: str) -> None:
        outbox, since = self._outboxes[node], time.monotonic()
        while outbox:
            batch = list(outbox)
            request = {"node": self._peers.node, "broken": [one.to_json() for one in batch]}
            try:
                await self._peers.call(node, "deisa_broken", request, CALL_TIMEOUT)
            except BridgeError as error:
                gone = self._peers.has_died(error)
                if gone or time.monotonic() - since > GIVE_UP:
                    logger.warning("node %s is not told which sets are broken: %s", node, error)
                    break
                await asyncio.sleep(RETRY)
                continue
            del outbox[: len(batch)]
            since = time.monotonic()
        del self._outboxes[node]
