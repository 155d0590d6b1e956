"""One simulation's data on this node: from the ranks' slots through the object store to the head actor.

A thread pulls the receiver's events and hands them to the event loop, which keeps all state. Two threads put
chunks into the object store (ray.put copies them; this actor owns the objects, so they outlive the
simulation) and free the slots. One task announces complete sets, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import ray

from deisa_bridge import head as head_actor
from deisa_bridge.ending import Ending
from deisa_bridge.feedback import Feedback
from deisa_bridge.gather import ANYTHING, NEVER, ChunkSet, Gather
from deisa_bridge.peers import Peers
from deisa_bridge.ranks import ChunkOfArray, Rank, parse_define, parse_hello
from deisa_bridge.receiver import EventKind
from deisa_bridge.status import NO_SLOT, BridgeError, Status

logger = logging.getLogger(__name__)

PUT_THREADS = 2
HEAD_TIMEOUT = 120.0
"""Seconds that the head actor may take to be told about one set."""


class Service:
    """Serves the ranks of one session. Made and used on the event loop, but for what its threads do.

    `receiver` is the native receiver (receiver.py), which this service stops and destroys.
    """

    def __init__(self, receiver: Any, session: str, node: str, announce_delay: float = 0.0) -> None:
        self.receiver = receiver
        self.session = session
        self.node = node
        self.announce_delay = announce_delay
        self.gather = Gather()
        self.ranks: dict[int, Rank] = {}  # by bridge; those that were welcomed
        self.head: Any = None
        self.inner: Any = None
        self.peers: Peers | None = None
        self.ending = Ending(self)
        self.counters = {"chunks_stored": 0, "chunks_failed": 0, "sets_announced": 0, "bytes_stored": 0}
        self._connections: dict[int, Rank] = {}
        self._feedback = Feedback()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()
        self._stopping = False
        self._pool = ThreadPoolExecutor(PUT_THREADS, thread_name_prefix="deisa-put")
        self._puller = threading.Thread(target=self._pull, name="deisa-pull", daemon=True)
        self._puller.start()
        self.spawn(self._report_late())

    # ---- Life ------------------------------------------------------------------------------------------

    def begin(self, head: Any, inner: Any, peers_request: dict) -> None:
        """The arrays are registered: announcing may begin."""
        self.head, self.inner = head, inner
        self.peers = Peers(self.session, self.node, peers_request, lambda: self.gather.bound, self.touch)
        self.spawn(self._announce())

    def stop(self) -> None:
        """Ends everything and removes the socket. Chunks that were not announced are dropped."""
        if self._stopping:
            return
        self._stopping = True
        if self.peers is not None:
            self.peers.stop()
        for task in self._tasks:
            task.cancel()
        self.receiver.stop()
        self._puller.join(timeout=5.0)
        self._pool.shutdown(wait=True, cancel_futures=True)
        if not self._puller.is_alive():
            self.receiver.destroy()

    def spawn(self, work: Any) -> asyncio.Task:
        """A task that lives as long as the service."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def touch(self) -> None:
        """Something changed that announcing or ending may wait for."""
        self._changed.set()
        self._changed = asyncio.Event()
        if self.peers is not None:
            self.peers.bound_changed()

    async def change(self, seconds: float) -> None:
        """Waits for touch(), at most so long."""
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), max(seconds, 0.0))

    def live(self) -> list[Rank]:
        """Ranks that are connected."""
        return [rank for rank in self._connections.values() if not rank.gone]

    # ---- Events ----------------------------------------------------------------------------------------

    def _pull(self) -> None:
        while not self._stopping:
            try:
                event = self.receiver.next(0.5)
            except Exception:
                if not self._stopping:
                    logger.exception("the receiver failed; no more ranks are served")
                return
            if event is not None and not self._stopping:
                try:
                    self._loop.call_soon_threadsafe(self._handle, event)
                except RuntimeError:  # the loop is closed
                    return

    def _handle(self, event: Any) -> None:
        """Nothing that goes wrong with one event may stop the others."""
        try:
            self._dispatch(event)
        except Exception as error:
            trace = "".join(traceback.format_exception(error)[-3:])
            logger.exception("event %s of rank %s failed", event.kind, event.bridge_id)
            text = (
                f"the node actor failed in event {event.kind!r} of rank {event.bridge_id}: {error}\n{trace}"
            )
            if event.kind == EventKind.END:
                self.fail_end(event.connection, event.sequence, event.timestep, Status.INTERNAL, text)
            elif event.kind in (EventKind.HELLO, EventKind.DEFINE, EventKind.READY):
                self.receiver.refuse(event.connection, Status.INTERNAL, text)
            else:
                self.receiver.notice(event.connection, Status.INTERNAL, text)
        self._settle()

    def _settle(self) -> None:
        """After a change of state: tells failures, and wakes those who wait."""
        self.tell_failures()
        self.touch()

    def _dispatch(self, event: Any) -> None:
        if event.kind == EventKind.HELLO:
            self._hello(event)
            return
        rank = self._connections.get(event.connection)
        if rank is None:
            if event.kind in (EventKind.BYE, EventKind.LOST):
                self.receiver.release(event.connection)
            return
        if event.kind == EventKind.DEFINE:
            self._define(rank, event)
        elif event.kind == EventKind.READY:
            self._ready(rank, event)
        elif event.kind == EventKind.STEP:
            self._step(rank, event)
        elif event.kind == EventKind.PROGRESS:
            self.gather.progress(rank.bridge, event.timestep)
        elif event.kind == EventKind.GET:
            self.spawn(self._get(event))
        elif event.kind == EventKind.DELETE:
            self.spawn(self._delete(event))
        elif event.kind == EventKind.END:
            self.gather.progress(rank.bridge, NEVER)
            self.ending.requested(rank, event.sequence, event.timestep)
        elif event.kind in (EventKind.BYE, EventKind.LOST):
            self._gone(rank, event)

    def _hello(self, event: Any) -> None:
        try:
            rank = parse_hello(event.connection, event.text)
        except ValueError as error:
            rank = Rank(event.connection, event.bridge_id, problem=str(error))
        self._connections[event.connection] = rank

    def _define(self, rank: Rank, event: Any) -> None:
        try:
            array = parse_define(event.text)
            if any(array.name == other.name for other in rank.arrays):
                raise ValueError(f"array '{array.name}' is defined twice")
            rank.arrays.append(array)
        except ValueError as error:
            rank.problem = rank.problem or str(error)

    def _ready(self, rank: Rank, event: Any) -> None:
        other = self.ranks.get(rank.bridge)
        if not rank.problem and rank.session != self.session:
            rank.problem = (
                f"this node actor serves session {self.session}, not {rank.session}: another simulation has "
                "started on this node. Run one simulation at a time on a Ray cluster."
            )
        elif not rank.problem and other is not None and not other.gone:
            rank.problem = f"rank {rank.bridge} is connected already, as process {other.pid}"
        elif not rank.problem and other is not None and self.head is not None:
            rank.problem = f"rank {rank.bridge} was connected before and {other.gone}: it cannot come back"
        if rank.problem:
            self.receiver.refuse(rank.connection, Status.CONTRACT, f"rank {rank.bridge}: {rank.problem}")
            return
        rank.welcomed = True
        self.ranks[rank.bridge] = rank
        self.gather.add_bridge(rank.bridge, rank.data_arrays, rank.step_timeout)
        self.receiver.welcome(rank.connection, event.sequence)

    def _gone(self, rank: Rank, event: Any) -> None:
        closed = event.kind == EventKind.BYE and event.flags == 1
        rank.gone = "closed" if closed else "was abandoned" if event.kind == EventKind.BYE else "died"
        if rank.welcomed:
            if rank.gone != "closed":
                logger.warning(
                    "rank %d (process %s) %s %s", rank.bridge, rank.pid, rank.gone, event.text or ""
                )
            self.gather.gone(rank.bridge, rank.gone)
            if rank.bridge == 0:
                self.ending.bridge_0_gone(rank.gone)
        self._release(rank)

    def _release(self, rank: Rank) -> None:
        """Gives the rank's memory back, once it is gone and nobody reads its slots."""
        if rank.gone and rank.putting == 0 and self._connections.pop(rank.connection, None) is not None:
            self.receiver.release(rank.connection)

    # ---- Chunks ----------------------------------------------------------------------------------------

    def _step(self, rank: Rank, event: Any) -> None:
        chunks = []
        for chunk in event.chunks:
            array = rank.arrays[chunk.array]
            if chunk.bytes != array.nbytes:
                text = f"array '{array.name}': the chunk has {chunk.bytes} bytes: expected {array.nbytes}"
                self._fail(
                    rank, event.sequence, chunk.array, chunk.slot, Status.CONTRACT, event.timestep, text
                )
            else:
                chunks.append((array.name, (event.sequence, chunk)))
        last = bool(event.flags & 1)
        for name, (sequence, chunk) in self.gather.step(
            rank.bridge, event.timestep, chunks, last, time.monotonic()
        ):
            rank.putting += 1
            self._pool.submit(self._put, rank, name, event.timestep, sequence, chunk)

    def _put(self, rank: Rank, name: str, timestep: int, sequence: int, chunk: Any) -> None:
        """In a put thread: from the slot into the object store."""
        reference, problem = None, ""
        try:
            reference = ray.put(view_of(chunk, rank.arrays[chunk.array]))
            self.receiver.stored(rank.connection, sequence, chunk.array, chunk.slot)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
            self._loop.call_soon_threadsafe(self._put_done, rank, name, timestep, reference, problem)

    def _put_done(self, rank: Rank, name: str, timestep: int, reference: Any, problem: str) -> None:
        rank.putting -= 1
        if reference is None:
            self.gather.put_failed(rank.bridge, name, timestep, Status.RESOURCE, problem)
        else:
            self.counters["chunks_stored"] += 1
            self.gather.stored(rank.bridge, name, timestep, reference)
        self._release(rank)
        self._settle()

    def tell_failures(self) -> None:
        """Tells the ranks what failed."""
        for failure in self.gather.take_failures():
            sequence, chunk = failure.tag
            slot = chunk.slot if failure.frees_slot else NO_SLOT
            rank = self.ranks[failure.bridge]
            self._fail(rank, sequence, chunk.array, slot, failure.status, failure.timestep, failure.text)

    def _fail(
        self, rank: Rank, sequence: int, array: int, slot: int, status: Status, timestep: int, text: str
    ) -> None:
        if status != Status.TIMEOUT:
            self.counters["chunks_failed"] += 1
        self.receiver.failed(rank.connection, sequence, array, slot, status, timestep, text)

    async def _report_late(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.gather.report_late(time.monotonic())
            self.tell_failures()

    # ---- Announcing ------------------------------------------------------------------------------------

    async def _announce(self) -> None:
        """Complete sets in order: those of one timestep together, and only when the head actor has answered for all
        of them those of the next."""
        assert self.peers is not None
        while True:
            batch = []
            while (one := self.gather.next_ready(self.peers.watermark)) is not None:
                batch.append(one)
            if not batch:
                await self.change(60.0)
                continue
            if self.announce_delay:
                await asyncio.sleep(self.announce_delay)
            await asyncio.gather(*(self._announce_one(one) for one in batch))
            del batch, one  # and with it this actor's references: the head actor has its own
            self._settle()

    async def _announce_one(self, one: ChunkSet) -> None:
        """Announces a set, and tells its bridges how that went. Never raises."""
        try:
            await self._announce_set(one)
        except Exception as error:
            logger.error("array '%s', timestep %d was not announced: %s", one.array, one.timestep, error)
            # Not TIMEOUT, whatever it was: that would say that the chunk is kept.
            self.gather.announce_failed(one, Status.CONNECTION, f"the head actor could not be told: {error}")
            return
        self.gather.announced(one)
        self.counters["sets_announced"] += 1
        for bridge, chunk in one.chunks.items():
            sequence, where = chunk.tag
            self.receiver.announced(self.ranks[bridge].connection, sequence, where.array)

    async def _announce_set(self, one: ChunkSet) -> None:
        """Tells the head actor directly, not through the inherited add_chunk: that waits in one call per
        chunk, for ever if the head actor fails the last of them, and keeps an entry per timestep. A class
        that has its own add_chunk still gets every chunk."""
        contributions = [
            (self._array(bridge, one.array), bridge, chunk) for bridge, chunk in one.chunks.items()
        ]
        what = f"announcing array '{one.array}', timestep {one.timestep}"
        dtype = contributions[0][0].dtype
        if _has_own_add_chunk(self.inner):
            calls = [
                asyncio.ensure_future(
                    self.inner.add_chunk(bridge, one.array, [chunk.payload], dtype, one.timestep)
                )
                for _, bridge, chunk in contributions
            ]
            await _all_or_error(calls, HEAD_TIMEOUT, what)
            partial = self.inner.partial_arrays
            if one.array in partial:
                partial[one.array].per_timestep_arrays._data.pop(one.timestep, None)
            return
        references = {array.position: chunk.payload for array, _, chunk in contributions}
        await self.tell_head(one.array, one.timestep, references, dtype, what)

    async def tell_head(self, name: str, timestep: int, references: dict, dtype: np.dtype, what: str) -> None:
        """The chunks of this node, by position, to the head actor. Raises BridgeError."""
        method = self.head.chunks_ready.options(enable_task_events=False)
        await head_actor.call(method.remote(name, timestep, references, self.node, dtype), HEAD_TIMEOUT, what)

    def _array(self, bridge: int, name: str) -> ChunkOfArray:
        return next(array for array in self.ranks[bridge].arrays if array.name == name)

    # ---- Feedback and the end ----------------------------------------------------------------------------

    async def _get(self, event: Any) -> None:
        try:
            self._require_head()
            status, data = await self._feedback.get(self.head, event.text, event.timestep)
        except Exception as error:
            status, data = _status_of(error), str(error).encode()
        self.receiver.value(event.connection, event.sequence, status, data)

    async def _delete(self, event: Any) -> None:
        try:
            self._require_head()
            await self._feedback.delete(self.head, event.text)
        except Exception as error:
            text = f"deleting the value '{event.text}': {error}"
            self.receiver.notice(event.connection, _status_of(error), text)
        self.receiver.done(event.connection, event.sequence)

    def _require_head(self) -> None:
        if self.head is None:
            raise BridgeError("the simulation is not ready: the node actor has not met the head actor yet")

    def fail_end(self, connection: int, sequence: int, timestep: int, status: Status, text: str) -> None:
        """The answer to an END that cannot be done."""
        self.receiver.failed(connection, sequence, NO_SLOT, NO_SLOT, status, timestep, text)

    def status(self) -> dict:
        """For people and tests."""
        return {
            "session": self.session,
            "ranks": sorted(self.ranks),
            "live": sorted(rank.bridge for rank in self.live()),
            "pending": len(self.gather.pending),
            "waits_for": self.gather.explain(),
            "newest": self.gather.newest,
            "bound": None if self.gather.bound in (ANYTHING, NEVER) else self.gather.bound,
            "ended": self.ending.done,
            "begun": self.head is not None,
        } | self.counters


def view_of(chunk: Any, array: ChunkOfArray) -> np.ndarray:
    """A read-only array on the slot's memory, which must stay mapped as long as it is used."""
    memory = (ctypes.c_char * chunk.bytes).from_address(chunk.address)
    view = np.frombuffer(memory, dtype=array.dtype).reshape(array.shape)
    view.flags.writeable = False
    return view


def _has_own_add_chunk(inner: Any) -> bool:
    from deisa.ray.scheduling_actor import NodeActorBase

    own = getattr(type(inner), "add_chunk", None)
    return own is not None and own is not NodeActorBase.add_chunk


async def _all_or_error(calls: list[asyncio.Task], seconds: float, what: str) -> None:
    done, pending = await asyncio.wait(calls, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
    if pending:
        raise BridgeError(f"{what} took more than {seconds:.0f} s", "timeout")


def _status_of(error: Exception) -> Status:
    if isinstance(error, BridgeError):
        return {"contract": Status.CONTRACT, "timeout": Status.TIMEOUT}.get(error.kind, Status.CONNECTION)
    return Status.INTERNAL
