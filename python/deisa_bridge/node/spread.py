"""How the nodes notify each other of broken sets: see broken.py."""

from __future__ import annotations

import asyncio
import logging
import time

from deisa_bridge.node.broken import Broken
from deisa_bridge.node.session import Session
from deisa_bridge.status import BridgeError, Status

logger = logging.getLogger(__name__)

CALL_TIMEOUT = 20.0
RETRY = 0.5
GIVE_UP = 120.0
"""Seconds after which a node that does not answer, and has not died, is not notified any more."""


class Spread:
    """Releases broken sets here, and notifies the other nodes: a node notifies the master, and
    the master all others. On the event loop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._outboxes: dict[str, list[Broken]] = {}

    def tell_found(self) -> None:
        """Notifies the other nodes, and the ranks of this one, of what was found here."""
        if self._session.peers is None:
            return  # later: the other nodes are not known yet
        found = self._session.gather.take_broken()
        for one in found:
            self._after_breaking(one, [])
        self._tell(found)

    def hear(self, broken: list[Broken], source: str = "") -> None:
        """Another node has found these, `source` says; the master notifies the others."""
        session, news = self._session, []
        for one in broken:
            handed_on = session.gather.give_up(one)
            if handed_on is not None:
                news.append(one)
                self._after_breaking(one, handed_on)
        assert session.peers is not None
        if session.peers.is_master:
            self._tell(news, but=source)
        session.settle()

    def _after_breaking(self, one: Broken, handed_on: list[int]) -> None:
        """Removes what the head actor has of it, and notifies the ranks that no failure of a chunk will
        notify."""
        session = self._session
        if session.lost or session.ended:
            return
        session.forget_at_head([a for a in one.arrays if session.gather.has_announced(a[0], a[1])])
        logger.warning("%s", one.text)
        for rank in session.live():
            if rank.welcomed and (one.death or (rank.bridge in handed_on and one.node != session.node)):
                session.receiver.notice(rank.connection, Status.CONNECTION, one.text)

    # ---- To other nodes --------------------------------------------------------------------------------

    def _tell(self, found: list[Broken], but: str = "") -> None:
        """Forwards them to all nodes that this one has to notify, except the one that they came from."""
        peers = self._session.peers
        assert peers is not None
        for node in peers.others if peers.is_master else [peers.master]:
            if node == but or not found:
                continue
            outbox = self._outboxes.get(node)
            if outbox is not None:  # it is being notified, and will be notified of these next
                outbox.extend(found)
                continue
            self._outboxes[node] = list(found)
            self._session.spawn(self._deliver(node))

    async def _deliver(self, node: str) -> None:
        peers, outbox, since = self._session.peers, self._outboxes[node], time.monotonic()
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
