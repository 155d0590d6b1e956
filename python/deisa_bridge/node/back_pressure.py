"""Back-pressure on one node: what gate.py decides, with the object store, the analytics and the ranks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import ray

from deisa_bridge import head as head_actor
from deisa_bridge.node.gate import Limits, Neighbour, Usage
from deisa_bridge.node.holds import Holds
from deisa_bridge.node.session import Session
from deisa_bridge.node.store import StoreUnreadable
from deisa_bridge.status import END_MARKER_ARRAY, BridgeError, Status

if TYPE_CHECKING:
    from deisa_bridge.node import receiver as wire
    from deisa_bridge.node.ranks import Rank

logger = logging.getLogger(__name__)

AHEAD_TIMEOUT = 20.0
"""Seconds that the head actor may take to say how far the analytics are."""
NEIGHBOUR_TIMEOUT = 10.0
"""Seconds that another node actor may take to report what it puts into the store."""
PAUSE_PER_NODE = 0.005
"""Seconds between two such questions, times the number of nodes that ask."""
GARBAGE_WAIT = 0.5
"""Seconds that a rank waits for space in the store before the analytics' garbage is collected."""
GARBAGE_INTERVAL = 5.0
"""Seconds between two collections; Ray itself does not do it more often than every ten or so."""
QUIET = 0.03
"""Seconds that a look at the store waits when nobody waits for it. It is the arrival of a chunk that makes it
wanted, and Ray's core worker serves either the look or the put of the chunk."""
RETRY = 1.0
"""Seconds until it is asked again after it failed to answer."""


def _waiting_reader() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value. The timesteps that were announced by some node, and that the analytics have not read."""

    def waiting(head: Any, end_marker: str) -> list[int]:
        found = {timestep for name, timestep, _ in list(head.arrays_ready._queue) if name != end_marker}
        for name, array in head.registered_arrays.items():
            if name != end_marker:
                found.update(array.chunk_refs)
        return sorted(found)

    return waiting


class BackPressure:
    """Polls the store and the analytics when the gate needs it, and notifies the ranks. On the event
    loop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.gate = session.gate
        self.store = session.store
        self.holds = Holds()
        self._limits = Limits()
        self._nodes = 1
        self._head: Any = None
        self._waiting = _waiting_reader()
        self._collected = float("-inf")
        self._candidates: list[str] | None = None  # nodes that may share the store
        self._said: dict[str, Neighbour] = {}
        self._told_spill = False
        self._store_wanted = asyncio.Event()
        self._hurry = asyncio.Event()
        self._head_wanted = asyncio.Event()

    async def check(self, request: dict) -> None:
        """Refuses limits that no timestep of the ranks could ever satisfy. Raises BridgeError."""
        try:
            self._limits = Limits.parse(request.get("limits") or {})
        except ValueError as error:
            raise BridgeError(str(error), "contract") from error
        self._nodes = max(len(request.get("nodes") or []), 1)
        usage = await self.read()
        if usage is not None and (problem := self.gate.misfit(self._limits, usage)):
            raise BridgeError(problem, "contract")

    async def begin(self, head: Any) -> None:
        """The head actor knows the arrays: the gate may close from now on. Raises BridgeError."""
        self._head = head
        if self._limits.max_ahead:
            await self._look_ahead()
        self.gate.begin(self._limits)
        self.settle()
        self._session.spawn(self._look_at_store())
        self._session.spawn(self._look_at_head())

    def ask(self, rank: Rank, event: wire.Ask) -> None:
        """A rank wants to begin a timestep."""
        self.gate.ask(rank.bridge, event.sequence, event.timestep, event.waits, time.monotonic())

    def settle(self) -> None:
        """After any change: updates the gate, and notifies the ranks."""
        now = time.monotonic()
        self.gate.settle()
        for word in self.gate.words(now):
            rank = self._session.ranks[word.bridge]
            self._session.receiver.gate(
                rank.connection, word.sequence, self.gate.open, self.gate.newest, self.gate.explain()
            )
        if text := self.holds.update(self.gate.is_holding, self.gate.reason, now):
            self._session.note(text)
        if self.gate.wants_store(now):
            self._store_wanted.set()
            if self.gate.hurries:
                self._hurry.set()
        if self.gate.wants_look_ahead(now):
            self._head_wanted.set()

    # ---- Looks ---------------------------------------------------------------------------------------------

    async def _until(self, wanted: asyncio.Event) -> None:
        """Waits until there may be something to look at."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wanted.wait(), self.gate.next_look(time.monotonic()))
        wanted.clear()

    async def _look_at_store(self) -> None:
        while True:
            while self.gate.wants_store(time.monotonic()):
                await self._quiet()
                await self.read()
                self.settle()
                await self._collect_garbage()
            await self._until(self._store_wanted)

    async def _quiet(self) -> None:
        """Lets what has just come reach the store and the analytics first."""
        if not self.gate.hurries:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), QUIET)
        self._hurry.clear()

    async def _collect_garbage(self) -> None:
        """Idle analytics may keep objects that nothing makes them release."""
        since, now = self.gate.waits_for_store_since(), time.monotonic()
        if since is None or now - since < GARBAGE_WAIT or now - self._collected < GARBAGE_INTERVAL:
            return
        self._collected = now
        try:
            await head_actor.in_thread(self.store.collect_garbage)
        except Exception as error:
            logger.warning("the analytics' garbage could not be collected: %s", error)

    async def read(self) -> Usage | None:
        """How full the store is, which the gate then knows too; None: it cannot be read."""
        await self._ask_neighbours()
        mark, usage = self.gate.mark(), None
        try:
            usage = await head_actor.in_thread(self.store.read)
        except StoreUnreadable as error:
            logger.warning("store_threshold has no effect: %s", error)
        except Exception:
            logger.exception("store_threshold has no effect: reading the object store failed")
        self.gate.measured(usage, mark, time.monotonic())
        if usage is not None and usage.spilled and not self._told_spill:
            self._told_spill = True
            self._tell_spill(usage)
        return usage

    def _tell_spill(self, usage: Usage) -> None:
        """Once: in the log of this actor, and on stderr of one rank."""
        text = (
            f"Ray has spilled objects of node {self._session.node} to disk: {usage.spilled / 2**20:.1f} MiB "
            f"lie there, the object store has {usage.capacity / 2**20:.1f} MiB. Ray spills when it is "
            f"80 % full; store_threshold is {self._limits.threshold:g}, and the analytics' results need "
            "space, too. Start Ray with a larger --object-store-memory, or lower store_threshold."
        )
        logger.warning(text)
        ranks = [rank for rank in self._session.live() if rank.welcomed]
        if ranks:
            first = min(ranks, key=lambda rank: rank.bridge)
            self._session.receiver.notice(first.connection, Status.OK, text)

    async def _ask_neighbours(self) -> None:
        """The other node actors of this simulation that put into the same store: there are some only where
        nodes were given names of their own."""
        peers = self._session.peers
        if peers is None:
            return
        here = ray.get_runtime_context().get_node_id()
        if self._candidates is None:
            self._candidates = [] if peers.node == here else list(peers.others)
        if self._candidates:
            answers = await asyncio.gather(*(self._ask_neighbour(node, here) for node in self._candidates))
            self.gate.heard([one for one in answers if one is not None])

    async def _ask_neighbour(self, node: str, here: str) -> Neighbour | None:
        peers = self._session.peers
        assert peers is not None and self._candidates is not None
        try:
            reply = await peers.call(node, "deisa_room", {}, NEIGHBOUR_TIMEOUT)
        except BridgeError as error:
            if peers.has_died(error):
                self._candidates.remove(node)
                self._said.pop(node, None)
            return self._said.get(node)
        if reply["ray_node"] != here:
            self._candidates.remove(node)
            return None
        self._said[node] = Neighbour(tuple(reply["begun"]), reply["on_the_way"], reply["step_bytes"])
        return self._said[node]

    def room(self) -> dict:
        """For a node actor that shares the object store."""
        here = ray.get_runtime_context().get_node_id()
        return {"ray_node": here, **asdict(self.gate.neighbour())}

    async def _look_at_head(self) -> None:
        while True:
            while self.gate.wants_look_ahead(time.monotonic()):
                try:
                    await self._look_ahead()
                    await asyncio.sleep(PAUSE_PER_NODE * self._nodes)
                except BridgeError as error:
                    logger.warning("how far the analytics are is not known: %s", error)
                    await asyncio.sleep(RETRY)
                self.settle()
            await self._until(self._head_wanted)

    async def _look_ahead(self) -> None:
        self.gate.before_look()
        what = f"max_ahead = {self._limits.max_ahead}: asking the head actor how far the analytics are"
        call = getattr(self._head, "__ray_call__", None)
        if call is None:
            raise BridgeError(f"{what}: this version of Ray cannot", "contract")
        waiting = await head_actor.call(call.remote(self._waiting, END_MARKER_ARRAY), AHEAD_TIMEOUT, what)
        self.gate.looked_ahead(waiting, time.monotonic())
