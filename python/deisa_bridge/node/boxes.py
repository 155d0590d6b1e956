"""Chunks that become one: with `aggregate`, the chunks that ranks of this node have of a box are put into the
object store together, when all are there.

As a rule each rank has copied its chunk to its place in memory that they share, and nothing is left to do but
to put that. Where a chunk is elsewhere (a loan that is not contiguous in the box; ranks that are not at the
same slot, because one of them has skipped a timestep), the chunks are copied into a buffer here.

A chunk's slot stays taken until its box is stored, so a rank is at most `max_in_flight` timesteps ahead of
the slowest rank of its boxes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deisa_bridge.node.ranks import Box, ChunkOfArray

SPARE = 2
"""Of each box: buffers that are kept for later timesteps."""

Part = tuple[Any, Any]
"""Whoever has sent a chunk, and what it calls the chunk; both are the caller's."""


@dataclass(eq=False)
class _Filling:
    """A box of one timestep."""

    array: str
    timestep: int
    box: Box
    parts: list[Part] = field(default_factory=list)
    chunks: list[tuple[ChunkOfArray, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    pending: int = 1
    """Chunks that are being copied, and 1 until all have come or it is dropped."""
    buffer: np.ndarray | None = None
    problem: str = ""
    dropped: bool = False

    def done(self) -> bool:
        """One less is pending. Returns whether nothing is any more."""
        with self.lock:
            self.pending -= 1
            return self.pending == 0


class Boxes:
    """The boxes that are being filled. On one thread, but for what it gives to `pool`.

    `put(box, array, timestep, parts)` stores a full box, in the pool; its result, or what it raises, goes to
    `ended(array, timestep, parts, reference, problem)`, in the pool, too. So does a box that will never be
    full, unless drop() returns it: nothing reads its chunks any more.
    """

    def __init__(
        self,
        pool: Executor,
        put: Callable[[np.ndarray, str, int, list[Part]], Any],
        ended: Callable[[str, int, list[Part], Any, str], None],
    ) -> None:
        self._pool = pool
        self._put = put
        self._ended = ended
        self._filling: dict[tuple[str, int, tuple[int, ...]], _Filling] = {}
        self._spare: dict[tuple[str, tuple[int, ...]], list[np.ndarray]] = {}
        self._lock = threading.Lock()  # of _spare
        self.copied = 0
        """Boxes whose chunks were copied here."""

    def take(self, array: ChunkOfArray, timestep: int, part: Part, chunk: Any) -> None:
        """A chunk was accepted: `chunk` is a receiver.Chunk, whose slot is taken until its box has ended."""
        box = array.box
        assert box is not None
        key = (array.name, timestep, box.position)
        one = self._filling.get(key)
        if one is None:
            one = self._filling[key] = _Filling(array.name, timestep, box)
        one.parts.append(part)
        one.chunks.append((array, chunk))
        full = len(one.parts) == box.chunks
        if not chunk.shared:
            with one.lock:
                one.pending += 1
            self._pool.submit(self._place, one, array, chunk)
        if full:
            del self._filling[key]
            if one.done():
                self._pool.submit(self._store, one)

    def drop(self, is_open: Callable[[str, int], bool]) -> list[tuple[str, int, list[Part]]]:
        """Gives up the boxes whose chunk set has broken, as `is_open(array, timestep)` says, before they were
        full. Returns those of which no chunk is being read; of the others, the last reader reports it."""
        over = []
        for key, one in list(self._filling.items()):
            if is_open(one.array, one.timestep):
                continue
            del self._filling[key]
            one.dropped = True
            if one.done():
                self._give_back(one)
                over.append((one.array, one.timestep, one.parts))
        return over

    def _place(self, one: _Filling, array: ChunkOfArray, chunk: Any) -> None:
        """In the pool: copies a chunk that is not in shared memory to its place in the box."""
        try:
            if not one.dropped:
                self._buffer(one, array)[array.place_in_box] = chunk.as_array(array.dtype, array.shape)
        except Exception as error:
            one.problem = f"{type(error).__name__}: {error}"
        if one.done():
            self._store(one)

    def _store(self, one: _Filling) -> None:
        """In the pool: everything is there, or nothing more comes."""
        reference, problem = None, "its chunk set is broken" if one.dropped else one.problem
        try:
            if not problem:
                reference = self._put(self._whole(one), one.array, one.timestep, one.parts)
        except CancelledError:
            return
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        self._give_back(one)
        self._ended(one.array, one.timestep, one.parts, reference, problem)

    def _whole(self, one: _Filling) -> np.ndarray:
        """The box: the memory in which all chunks are, else a buffer that they are copied to."""
        array, chunk = one.chunks[0]
        if all(each.shared and each.address == chunk.address for _, each in one.chunks):
            return chunk.as_array(array.dtype, one.box.shape)
        for array, chunk in one.chunks:
            if chunk.shared:
                whole = chunk.as_array(array.dtype, one.box.shape)
                self._buffer(one, array)[array.place_in_box] = whole[array.place_in_box]
        assert one.buffer is not None
        return one.buffer

    def _buffer(self, one: _Filling, array: ChunkOfArray) -> np.ndarray:
        with one.lock, self._lock:
            if one.buffer is None:
                spare = self._spare.get((one.array, one.box.position))
                one.buffer = spare.pop() if spare else np.empty(one.box.shape, array.dtype)
                self.copied += 1
            return one.buffer

    def _give_back(self, one: _Filling) -> None:
        """The store has a copy, or nobody wants it."""
        if one.buffer is None:
            return
        with self._lock:
            spare = self._spare.setdefault((one.array, one.box.position), [])
            if len(spare) < SPARE:
                spare.append(one.buffer)
        one.buffer = None
