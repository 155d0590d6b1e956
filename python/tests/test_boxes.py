"""Chunks that become one, without Ray: what is stored, and which slots are free when."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from deisa_bridge.node.boxes import Boxes
from deisa_bridge.node.ranks import ChunkOfArray, _describe, parse_define
from deisa_bridge.status import BridgeError

TIMEOUT = 20.0


class Chunk:
    """A chunk of one value; with `gate`, it can be read when that is set."""

    shared = 0

    def __init__(self, value: float, gate: threading.Event | None = None) -> None:
        self.value, self.gate = value, gate

    def as_array(self, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
        assert self.gate is None or self.gate.wait(TIMEOUT)
        return np.full(shape, self.value, dtype)


class Shared:
    """A chunk in memory that ranks share."""

    def __init__(self, whole: np.ndarray) -> None:
        self.whole, self.shared, self.address = whole, whole.nbytes, id(whole)

    def as_array(self, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
        assert self.whole.shape == shape and self.whole.dtype == dtype
        return self.whole


class Watch:
    """What became of boxes."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.stored: list[np.ndarray] = []
        self.buffers: set[int] = set()
        self.ended: list[tuple] = []
        self.refuse = False
        self.boxes = Boxes(self.pool, self._put, lambda *result: self.ended.append(result))

    def _put(self, box: np.ndarray, array: str, timestep: int, parts: list) -> str:
        if self.refuse:
            raise MemoryError("no room")
        self.stored.append(box.copy())
        self.without_copy = getattr(self, "whole", None) is box
        self.buffers.add(id(box))
        return f"reference {timestep}"

    def wait(self, count: int) -> None:
        """Until so many boxes have ended."""
        end = time.monotonic() + TIMEOUT
        while len(self.ended) < count:
            assert time.monotonic() < end
            time.sleep(0.001)

    def finish(self) -> None:
        self.pool.shutdown()


@pytest.fixture
def watch():
    one = Watch()
    yield one
    one.finish()


def chunk(place: int, extents: tuple[int, ...] = (2, 3, 1)) -> ChunkOfArray:
    """Of a box of three chunks in a row, each of two lines."""
    box = '{"grid": [1, 2], "position": [0, 1], "shape": [2, %d], "offset": [0, %d], "chunks": 3}'
    box %= (sum(extents), sum(extents[:place]))
    shape = f'"chunk_shape": [2, {extents[place]}], "nb_chunks_per_dim": [1, 6]'
    return parse_define(
        f'{{"name": "a", "dtype": "float64", {shape}, "chunk_position": [0, {3 + place}], "box": {box}}}'
    )


def test_a_box_is_stored_when_it_is_full(watch):
    for place in (2, 0, 1):
        watch.boxes.take(chunk(place), 7, (f"rank {place}", "slot"), Chunk(place))
    watch.finish()
    np.testing.assert_array_equal(watch.stored[0], [[0, 0, 1, 1, 1, 2]] * 2)
    ((array, timestep, parts, reference, problem),) = watch.ended
    assert (array, timestep, reference, problem) == ("a", 7, "reference 7", "")
    assert sorted(parts) == [(f"rank {place}", "slot") for place in range(3)]


def filled(*values: float) -> np.ndarray:
    """A box of which the three parts have these values."""
    return np.repeat(np.array([values], float), (2, 3, 1), axis=1).repeat(2, axis=0)


def test_memory_that_the_ranks_share_is_stored_as_it_is(watch):
    watch.whole = filled(5, 6, 7)
    for place in range(3):
        watch.boxes.take(chunk(place), 1, (place, 0), Shared(watch.whole))
    watch.finish()
    np.testing.assert_array_equal(watch.stored[0], filled(5, 6, 7))
    assert watch.without_copy and watch.boxes.copied == 0 and len(watch.ended) == 1


def test_chunks_in_different_places_are_copied_together(watch):
    first, second = filled(1, -1, -1), filled(-1, 2, -1)
    watch.boxes.take(chunk(1), 1, (1, 0), Shared(second))
    watch.boxes.take(chunk(2), 1, (2, 0), Chunk(3))
    watch.boxes.take(chunk(0), 1, (0, 0), Shared(first))
    watch.finish()
    np.testing.assert_array_equal(watch.stored[0], filled(1, 2, 3))
    assert len(watch.ended[0][2]) == 3 and watch.boxes.copied == 1


def test_ranks_at_different_slots_are_copied_together(watch):
    whole = [filled(1, -1, -1), filled(-1, 2, 3)]
    for timestep in range(3):
        for place in range(3):
            watch.boxes.take(chunk(place), timestep, (place, timestep), Shared(whole[place > 0]))
        watch.wait(timestep + 1)
    for box in watch.stored:
        np.testing.assert_array_equal(box, filled(1, 2, 3))
    assert watch.boxes.copied == 3 and len(watch.buffers) == 1, "a buffer is used again"


def test_a_box_is_not_stored_while_a_chunk_is_copied(watch):
    gate = threading.Event()
    watch.boxes.take(chunk(0), 1, (0, 0), Chunk(1, gate))
    for place in (1, 2):
        watch.boxes.take(chunk(place), 1, (place, 0), Shared(filled(-1, 2, 3)))
    assert watch.stored == []
    gate.set()
    watch.finish()
    (box,) = watch.stored
    np.testing.assert_array_equal(box, filled(1, 2, 3))


def test_a_box_whose_set_is_open_is_kept(watch):
    for place in range(3):
        watch.boxes.take(chunk(place), 1, (place, 0), Shared(filled(1, 2, 3)))
        assert watch.boxes.drop(lambda array, timestep: (array, timestep) == ("a", 1)) == []
    watch.finish()
    assert len(watch.stored) == 1


def test_what_the_head_actor_is_told_of_a_box():
    chunks = [(7, chunk(2)), (3, chunk(0)), (5, chunk(1))]
    assert chunks[0][1].place == ((1, 2), (0, 1), (2, 6))
    assert _describe("a", chunks) == [(3, (0, 1), (2, 6))]
    with pytest.raises(BridgeError, match="the box of rank 5 has 3 chunks, of which 2 are on this node"):
        _describe("a", [chunks[0], chunks[2]])


def test_timesteps_are_kept_apart(watch):
    for place in range(3):
        for timestep in (1, 2):
            watch.boxes.take(chunk(place), timestep, (place, timestep), Chunk(10 * timestep + place))
    watch.finish()
    assert sorted(box[0, 0] for box in watch.stored) == [10, 20]
    assert {(timestep, len(parts)) for _, timestep, parts, _, _ in watch.ended} == {(1, 3), (2, 3)}


def test_a_broken_set_frees_its_slots_when_nothing_reads_them(watch):
    gate = threading.Event()
    watch.boxes.take(chunk(0), 1, ("first", 0), Chunk(0))
    watch.boxes.take(chunk(1), 1, ("second", 0), Chunk(1, gate))
    assert watch.boxes.drop(lambda array, timestep: True) == []
    assert watch.boxes.drop(lambda array, timestep: False) == [], "one chunk is still being read"
    assert watch.ended == []
    gate.set()
    watch.finish()
    ((_, _, parts, reference, problem),) = watch.ended
    assert (sorted(parts), reference) == ([("first", 0), ("second", 0)], None) and problem
    assert watch.stored == []


def test_a_broken_set_that_nobody_reads_is_dropped_at_once(watch):
    watch.boxes.take(chunk(0), 1, ("first", 0), Chunk(0))
    watch.finish()
    assert watch.boxes.drop(lambda array, timestep: False) == [("a", 1, [("first", 0)])]
    assert watch.boxes.drop(lambda array, timestep: False) == [] and watch.ended == []


@pytest.mark.parametrize("where", ["store", "chunk"])
def test_a_box_that_cannot_be_stored(watch, where):
    watch.refuse = where == "store"
    for place in range(3):
        bad = where == "chunk" and place == 0
        watch.boxes.take(chunk(place), 1, (place, 0), Chunk("no number" if bad else 1.0))
    watch.finish()
    ((_, _, parts, reference, problem),) = watch.ended
    assert (len(parts), reference) == (3, None)
    assert ("no room" in problem) if where == "store" else ("ValueError" in problem)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ("7", "box is 7"),
        ('{"grid": [1], "position": [0], "shape": [2], "offset": [1], "chunks": 2}', "is outside its box"),
        ('{"grid": [1, 1], "position": [0], "shape": [2], "offset": [0], "chunks": 2}', "differ in length"),
        ('{"grid": [1], "position": [0], "shape": [4], "offset": [0], "chunks": 0}', "chunks is 0"),
    ],
)
def test_boxes_that_cannot_be(box, words):
    shape = '"chunk_shape": [2], "nb_chunks_per_dim": [2], "chunk_position": [0]'
    with pytest.raises(ValueError, match=words):
        parse_define(f'{{"name": "a", "dtype": "float64", {shape}, "box": {box}}}')
