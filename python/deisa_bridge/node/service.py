"""One simulation's data on this node: from the ranks' slots through the object store to the head actor.

A thread pulls the receiver's events and hands them to the event loop, which keeps all state. Two threads put
chunks into the object store (ray.put copies them; this actor owns the objects, so they outlive the
simulation) and free the slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import traceback
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from deisa_bridge.node import receiver as wire
from deisa_bridge.node.back_pressure import BackPressure
from deisa_bridge.node.boxes import Boxes, Part
from deisa_bridge.node.dtypes import learn
from deisa_bridge.node.feedback import Feedback
from deisa_bridge.node.gather import NEVER, ranks_text
from deisa_bridge.node.holes import Holes
from deisa_bridge.node.metrics import export
from deisa_bridge.node.peers import Peers
from deisa_bridge.node.publisher import publish
from deisa_bridge.node.ranks import Rank, parse_define, parse_hello
from deisa_bridge.node.report import describe_arrays, statistics
from deisa_bridge.node.session import Session
from deisa_bridge.node.shutdown import Shutdown
from deisa_bridge.node.spread import Spread
from deisa_bridge.node.values import UnsupportedValue
from deisa_bridge.status import NO_SLOT, BridgeError, Status

logger = logging.getLogger(__name__)

PUT_THREADS = 2


class Where(NamedTuple):
    """What a rank calls one of its chunks."""

    sequence: int
    array: int
    slot: int


class Service(Session):
    """Serves the ranks of one session. Made and used on the event loop, but for what its threads do.

    Closes the receiver.
    """

    def __init__(
        self,
        receiver: Any,
        identifier: str,
        node: str,
        announce_delay: float = 0.0,
        feedback_interval: float = 0.0,
    ) -> None:
        super().__init__(receiver, identifier, node, announce_delay)
        self.spread = Spread(self)
        self.holes = Holes(self, self.spread.hear)
        self.shutdown = Shutdown(self)
        self.back_pressure = BackPressure(self)
        self.forget_at_head = self.holes.forget
        self.on_change = [
            self._drop_boxes,
            self.tell_failures,
            self.spread.tell_found,
            self.back_pressure.settle,
        ]
        self._feedback = Feedback(feedback_interval, receiver)
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._puts: dict[tuple[int, Where], Future] = {}  # begun, and neither accepted nor refused yet
        self._pool = ThreadPoolExecutor(PUT_THREADS, thread_name_prefix="deisa-put")
        self._boxes = Boxes(self._pool, self._put_box, self._chunks_ended)
        self._puller = threading.Thread(target=self._pull, name="deisa-pull", daemon=True)
        self._puller.start()
        self.spawn(self._report_late())

    # ---- Life ------------------------------------------------------------------------------------------

    def begin(self, head: Any, inner: Any, peers_request: dict) -> None:
        """The arrays are registered: announcing may begin."""
        self.head, self.inner = head, inner
        self.peers = Peers(self.id, self.node, peers_request, lambda: self.gather.bound, self.touch)
        if self.peers.others:
            self.gather.on_node = f" on node {self.node}"
            if self.peers.is_master:
                self.spawn(self.holes.watch())
        self.note(f"{ranks_text(sorted(self.ranks))} joined")
        for text in describe_arrays(self):
            self.note(text)
        self.spawn(export(self, self.back_pressure.holds))
        self.spawn(publish(self))
        self.spawn(self._feedback.watch(head))

    def stop(self) -> None:
        """Ends everything and removes the socket. Chunks that were not announced are discarded."""
        if self._stopping:
            return
        self._stopping = True
        if self.peers is not None:
            self.peers.stop()
        self.cancel_tasks()
        self.receiver.close()
        self._puller.join(timeout=5.0)
        self._pool.shutdown(wait=True, cancel_futures=True)

    # ---- Events ----------------------------------------------------------------------------------------

    def _pull(self) -> None:
        while True:
            try:
                event = self.receiver.next(0.5)
            except wire.ReceiverClosed:
                return
            except Exception:
                logger.exception("the receiver failed; no more ranks are served")
                return
            if event is None:
                continue
            try:
                if isinstance(event, wire.Step):
                    self._begin_puts(event)
                self._loop.call_soon_threadsafe(self._handle, event)
            except RuntimeError:  # the loop is closed, or the pool
                return

    def _begin_puts(self, event: wire.Step) -> None:
        """On the puller's thread: puts begin at once, while the event loop decides whether the chunks are
        accepted. It may be busy with announcing, and a chunk is hardly ever refused."""
        rank = self.connections.get(event.connection)
        if rank is None:
            return
        for chunk in event.chunks:
            array = rank.arrays[chunk.array] if chunk.array < len(rank.arrays) else None
            if array is not None and array.box is not None:
                continue  # refused, it must not overwrite what another message has brought
            if array is not None and self.gather.is_broken(array.name, event.timestep):
                continue  # it will be refused
            key = (event.connection, Where(event.sequence, chunk.array, chunk.slot))
            self._puts[key] = self._pool.submit(self._put, rank, event.timestep, chunk)

    def _handle(self, event: wire.Event) -> None:
        """Nothing that goes wrong with one event may stop the others."""
        if self._stopping:
            return
        try:
            self._dispatch(event)
        except Exception as error:
            name = type(event).__name__.upper()
            logger.exception("%s of rank %s failed", name, event.bridge_id)
            trace = "".join(traceback.format_exception(error)[-3:])
            text = f"the node actor failed in {name} of rank {event.bridge_id}: {error}\n{trace}"
            with contextlib.suppress(Exception):
                self._tell_trouble(event, text)
        self.settle()

    def _tell_trouble(self, event: wire.Event, text: str) -> None:
        match event:
            case wire.Hello() | wire.Define() | wire.Ready():
                self.receiver.refuse(event.connection, Status.INTERNAL, text)
            case wire.End():
                self.receiver.failed(event.connection, event.sequence, Status.INTERNAL, text)
            case _:
                self.receiver.notice(event.connection, Status.INTERNAL, text)

    def _dispatch(self, event: wire.Event) -> None:
        if isinstance(event, wire.Hello):
            self._hello(event)
            return
        rank = self.connections[event.connection]
        match event:
            case wire.Define():
                if rank.welcomed:
                    self.spawn(self._learn_dtype(rank, event))
                else:
                    self._define(rank, event)
            case wire.Ready():
                self._ready(rank, event)
            case wire.Step():
                self._step(rank, event)
            case wire.Progress():
                self.gather.progress(rank.bridge, event.timestep)
                self.gate.progress(rank.bridge, event.timestep)
            case wire.Ask():
                self.back_pressure.ask(rank, event)
            case wire.Get():
                self.spawn(self._get(event, rank.pickles))
            case wire.Delete():
                self.spawn(self._delete(event))
            case wire.End():
                self.gather.progress(rank.bridge, NEVER)
                self.shutdown.requested(rank, event.sequence, event.timestep)
            case wire.Bye():
                self._gone(rank, "closed" if event.closed else "was abandoned")
            case wire.Lost():
                self._gone(rank, "died", event.reason)

    def _hello(self, event: wire.Hello) -> None:
        try:
            rank = parse_hello(event.connection, event.json)
        except ValueError as error:
            rank = Rank(event.connection, event.bridge_id, problem=str(error))
        self.connections[event.connection] = rank

    def _define(self, rank: Rank, event: wire.Define) -> None:
        try:
            array = parse_define(event.json)
            if any(array.name == other.name for other in rank.arrays):
                raise ValueError(f"array '{array.name}' is defined twice")
            rank.arrays.append(array)
        except ValueError as error:
            rank.problem = rank.problem or str(error)

    async def _learn_dtype(self, rank: Rank, event: wire.Define) -> None:
        status, text = Status.OK, ""
        try:
            await learn(self, rank, event)
        except Exception as error:
            status, text = _status_of(error), str(error)
        self.receiver.done(rank.connection, event.sequence, status, text)

    def _ready(self, rank: Rank, event: Any) -> None:
        other = self.ranks.get(rank.bridge)
        if not rank.problem and rank.session != self.id:
            rank.problem = (
                f"this node actor serves session {self.id}, not {rank.session}: another simulation has "
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
        self.gate.add_rank(rank.bridge, rank.step_bytes, rank.max_in_flight)
        self.receiver.welcome(rank.connection, event.sequence)

    def _gone(self, rank: Rank, how: str, reason: str = "") -> None:
        rank.gone = how
        # Its memory stays mapped as long as a put reads it: the chunks keep it.
        del self.connections[rank.connection]
        self.receiver.release(rank.connection)
        if not rank.welcomed:
            return
        if how != "closed":
            self.note(f"rank {rank.bridge} (process {rank.pid}) {how} {reason}".rstrip())
        self._feedback.forget(rank.connection)
        self.gather.gone(rank.bridge, how)
        self.gate.gone(rank.bridge)
        if rank.bridge == 0:
            self.shutdown.bridge_0_gone(how)
        if self.head is not None and not self.live():
            self.note(f"no rank is left; {statistics(self, self.back_pressure.holds)}")

    # ---- Chunks ----------------------------------------------------------------------------------------

    def _step(self, rank: Rank, event: wire.Step) -> None:
        wanted, chunks, puts = [], {}, {}
        for chunk in event.chunks:
            array = rank.arrays[chunk.array]
            where = Where(event.sequence, chunk.array, chunk.slot)
            puts[where] = self._puts.pop((event.connection, where), None)
            if chunk.bytes != array.nbytes:
                text = f"array '{array.name}': the chunk has {chunk.bytes} bytes: expected {array.nbytes}"
                self._fail(rank, where, True, Status.CONTRACT, event.timestep, text)
                continue
            wanted.append((array.name, where))
            chunks[where] = chunk
        accepted = self.gather.step(rank.bridge, event.timestep, wanted, event.last_of_step, time.monotonic())
        gate = self.gate
        gate.progress(rank.bridge, event.timestep)
        for _, where in accepted:
            gate.received(rank.bridge, event.timestep, chunks[where].bytes)
        if event.last_of_step:
            gate.progress(rank.bridge, event.timestep + 1)
        # The rank must be notified that the gate has closed before it is notified of a free slot, with which
        # it would begin the next timestep. The put may be over already.
        self.back_pressure.settle()
        for name, where in accepted:
            if (array := rank.arrays[where.array]).box is not None:
                self._boxes.take(array, event.timestep, (rank, where), chunks[where])
                continue
            put = puts[where] or self._pool.submit(self._put, rank, event.timestep, chunks[where])
            put.add_done_callback(partial(self._put_ended, rank, name, event.timestep, where))

    def _put(self, rank: Rank, timestep: int, chunk: wire.Chunk) -> Any:
        """In a put thread: from the slot into the object store. If the chunk is refused, it is discarded."""
        array = rank.arrays[chunk.array]
        return self._put_array(chunk.as_array(array.dtype, array.shape), array.name, timestep, [rank.bridge])

    def _put_box(self, box: np.ndarray, name: str, timestep: int, parts: list[Part]) -> Any:
        """In a put thread."""
        return self._put_array(box, name, timestep, [rank.bridge for rank, _ in parts])

    def _put_array(self, values: np.ndarray, name: str, timestep: int, bridges: list[int]) -> Any:
        begin = time.monotonic_ns()
        reference = self.store.put(values, values.nbytes)
        if self.receiver.traces:
            self.receiver.span("put", bridges, name, timestep, begin)
        return reference

    def _put_ended(self, rank: Rank, name: str, timestep: int, where: Where, put: Future) -> None:
        """For a chunk that was accepted: in the put thread, or on the event loop if the put was faster."""
        reference, problem = None, ""
        try:
            reference = put.result()
        except CancelledError:  # the service stops
            return
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        self._chunks_ended(name, timestep, [(rank, where)], reference, problem)

    def _chunks_ended(
        self, name: str, timestep: int, parts: list[Part], reference: Any, problem: str
    ) -> None:
        """They are one object now, or could not be stored."""
        if reference is not None:
            for rank, where in parts:
                self.receiver.stored(rank.connection, where.sequence, where.array, where.slot)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
            self._loop.call_soon_threadsafe(self._put_done, name, timestep, parts, reference, problem)

    def _put_done(self, name: str, timestep: int, parts: list[Part], reference: Any, problem: str) -> None:
        self._account(name, timestep, parts, reference, problem)
        self.settle()

    def _account(self, name: str, timestep: int, parts: list[Part], reference: Any, problem: str) -> None:
        for rank, _ in parts:
            nbytes = rank.array(name).nbytes
            if reference is None:
                self.gate.lost(nbytes)
                self.gather.put_failed(rank.bridge, name, timestep, Status.RESOURCE, problem)
            else:
                self.gate.stored(nbytes)
                self.counters["chunks_stored"] += 1
                self.progress.stored(name, timestep, nbytes, time.monotonic())
                self.gather.stored(rank.bridge, name, timestep, reference)

    def _drop_boxes(self) -> None:
        """Frees the slots of what will never be stored, since the rest of its box does not come."""
        for name, timestep, parts in self._boxes.drop(self.gather.is_open):
            self._account(name, timestep, parts, None, "its chunk set is broken")

    def tell_failures(self) -> None:
        """Notifies the ranks of failures."""
        for failure in self.gather.take_failures():
            rank = self.ranks[failure.bridge]
            self._fail(rank, failure.tag, failure.frees_slot, failure.status, failure.timestep, failure.text)

    def _fail(
        self, rank: Rank, where: Where, frees_slot: bool, status: Status, timestep: int, text: str
    ) -> None:
        if status != Status.TIMEOUT:
            self.counters["chunks_failed"] += 1
            self.gate.broken(timestep)
        slot = where.slot if frees_slot else NO_SLOT
        try:
            self.receiver.failed(
                rank.connection, where.sequence, status, text, array=where.array, slot=slot, timestep=timestep
            )
        except ValueError:
            logger.exception("rank %d could not be notified: %s", rank.bridge, text)

    async def _report_late(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.gather.report_late(time.monotonic())
            self.tell_failures()

    # ---- Feedback and the end ----------------------------------------------------------------------------

    async def _get(self, event: wire.Get, pickled: bool) -> None:
        try:
            self._require_head()
            packed, kept = await self._feedback.get(self.head, event, lambda: self.lost, pickled)
        except Exception as error:
            text = f"reading the value '{event.key}': {error}"
            self.receiver.value_failed(event.connection, event.sequence, _status_of(error), text)
        else:
            self.receiver.value(event.connection, event.sequence, packed, kept)

    async def _delete(self, event: wire.Delete) -> None:
        try:
            self._require_head()
            await self._feedback.delete(self.head, event.key)
        except Exception as error:
            text = f"deleting the value '{event.key}': {error}"
            self.receiver.notice(event.connection, _status_of(error), text)
        self.receiver.done(event.connection, event.sequence)

    def _require_head(self) -> None:
        if self.head is None:
            raise BridgeError(
                "the simulation is not ready: the node actor has not reached the head actor yet"
            )

    def status(self) -> dict:
        """For people and tests."""
        return super().status() | {
            "feedback_lookups": self._feedback.lookups,
            "boxes_copied": self._boxes.copied,
        }


def _status_of(error: Exception) -> Status:
    if isinstance(error, UnsupportedValue):
        return Status.UNSUPPORTED
    if isinstance(error, BridgeError):
        return {"contract": Status.CONTRACT, "timeout": Status.TIMEOUT}.get(error.kind, Status.CONNECTION)
    return Status.INTERNAL
