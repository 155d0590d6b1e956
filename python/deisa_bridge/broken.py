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

from deisa_bridge.status import BridgeError, Status

if TYPE_CHECKING:
    from deisa_bridge.service import Service

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
    """Gives up what is broken, here and, by telling them, on the other nodes: a node tells the master, and
    the master everyone. On the event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._outboxes: dict[str, list[Broken]] = {}

    def tell_found(self) -> None:
        """Tells the other nodes, and the ranks of this one, what was found here."""
        if self._service.peers is None:
            return  # later: nobody knows where the others are
        found = self._service.gather.take_broken()
        for one in found:
            self._after_breaking(one, [])
        self._tell(found)

    def hear(self, broken: list[Broken], source: str = "") -> None:
        """Another node has found these, `source` says; the master tells the others."""
        service, news = self._service, []
        for one in broken:
            handed_on = service.gather.give_up(one)
            if handed_on is not None:
                news.append(one)
                self._after_breaking(one, handed_on)
        assert service.peers is not None
        if service.peers.is_master:
            self._tell(news, but=source)
        service.settle()

    def _after_breaking(self, one: Broken, handed_on: list[int]) -> None:
        """Removes what the head actor has of it, and tells those whom no failure of a chunk will tell."""
        service = self._service
        if service.lost or service.ending.done:
            return
        service.holes.forget([a for a in one.arrays if service.gather.has_announced(a[0], a[1])])
        logger.warning("%s", one.text)
        for rank in service.live():
            if rank.welcomed and (one.death or (rank.bridge in handed_on and one.node != service.node)):
                service.receiver.notice(rank.connection, Status.CONNECTION, one.text)

    # ---- To other nodes --------------------------------------------------------------------------------

    def _tell(self, found: list[Broken], but: str = "") -> None:
        """Hands them on, to all whom this node has to tell but the one that they came from."""
        peers = self._service.peers
        assert peers is not None
        for node in peers.others if peers.is_master else [peers.master]:
            if node == but or not found:
                continue
            outbox = self._outboxes.get(node)
            if outbox is not None:  # it is being told, and will be told these next
                outbox.extend(found)
                continue
            self._outboxes[node] = list(found)
            self._service.spawn(self._deliver(node))

    async def _deliver(self, node: str) -> None:
        peers, outbox, since = self._service.peers, self._outboxes[node], time.monotonic()
        assert peers is not None
        while outbox:
            batch = list(outbox)
            request = {"node": peers.node, "broken": [one.to_json() for one in batch]}
            try:
                await peers.call(node, "deisa_broken", request, CALL_TIMEOUT)
            except BridgeError as error:
                if peers.has_died(error) or time.monotonic() - since > GIVE_UP:
                    logger.warning("node %s is not told which sets are broken: %s", node, error)
                    break
                await asyncio.sleep(RETRY)
                continue
            del outbox[: len(batch)]
            since = time.monotonic()
        del self._outboxes[node]
