"""What a rank said about itself and its arrays, checked; and how arrays are registered with the head
actor."""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from deisa_bridge import head as head_actor
from deisa_bridge.node.values import DTYPES
from deisa_bridge.status import END_MARKER_ARRAY, MAX_DIMENSIONS, BridgeError

DEFAULT_STEP_TIMEOUT = 120.0
REGISTER_TIMEOUT = 60.0
"""Seconds that the head actor may take to register the end marker's array."""


@dataclass(frozen=True)
class Box:
    """Chunks of this node that become one, with `aggregate`."""

    grid: tuple[int, ...]
    """Of the boxes of the array."""
    position: tuple[int, ...]
    """In that grid."""
    shape: tuple[int, ...]
    chunks: int


@dataclass(frozen=True)
class ChunkOfArray:
    """One rank's chunk of one array."""

    name: str
    dtype: np.dtype | None
    """None: it comes with the first chunk."""
    shape: tuple[int, ...]
    grid: tuple[int, ...]
    position: tuple[int, ...]
    sent: bool = True
    """Whether it is ever sent: a settings file can filter it."""
    box: Box | None = None
    """None: it is an object of its own."""
    offset: tuple[int, ...] = ()
    """Of its first element in the box."""

    @property
    def place_in_box(self) -> tuple[slice, ...]:
        """The elements of the box that it has."""
        return tuple(slice(o, o + n) for o, n in zip(self.offset, self.shape, strict=True))

    @property
    def place(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """What the analytics see of it, or of its box: grid, position and shape."""
        one = self.box or self
        return one.grid, one.position, one.shape

    @property
    def nbytes(self) -> int:
        """Bytes of one chunk; of float64 as long as the dtype is not known."""
        return math.prod(self.shape) * (8 if self.dtype is None else self.dtype.itemsize)


@dataclass
class Rank:
    """A connection, and what came over it."""

    connection: int
    bridge: int
    session: str = ""
    pid: int | None = None
    step_timeout: float = DEFAULT_STEP_TIMEOUT
    max_in_flight: int = 2
    pickles: bool = False
    """It reads feedback as pickles."""
    problem: str = ""
    """Why the rank is to be refused; reported when it is ready."""
    arrays: list[ChunkOfArray] = field(default_factory=list)
    welcomed: bool = False
    gone: str = ""

    def array(self, name: str) -> ChunkOfArray:
        """Its chunk of the array. Raises KeyError."""
        for one in self.arrays:
            if one.name == name:
                return one
        raise KeyError(name)

    @property
    def step_bytes(self) -> int:
        """Bytes of all its chunks of one timestep."""
        return sum(a.nbytes for a in self.arrays if a.sent and a.name != END_MARKER_ARRAY)

    @property
    def data_arrays(self) -> list[str]:
        """The names of the arrays that it sends, without the end marker's."""
        return [array.name for array in self.arrays if array.sent and array.name != END_MARKER_ARRAY]


def parse_hello(connection: int, text: str) -> Rank:
    """A rank from the JSON of HELLO. Raises ValueError."""
    hello = _object(text, "HELLO")
    rank = Rank(connection, _integer(hello, "bridge_id", 0), str(hello.get("session", "")))
    timeout = hello.get("step_timeout", DEFAULT_STEP_TIMEOUT)
    if isinstance(timeout, (int, float)) and timeout > 0:
        rank.step_timeout = float(timeout)
    rank.pid = hello.get("pid")
    rank.pickles = hello.get("pickles") is True
    if "max_in_flight" in hello:
        rank.max_in_flight = _integer(hello, "max_in_flight", 1)
    return rank


def parse_define(text: str) -> ChunkOfArray:
    """An array from the JSON of DEFINE. Raises ValueError."""
    definition = _object(text, "DEFINE")
    name = definition.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"DEFINE: the name is {name!r}: expected text")
    dtype = None if definition.get("dtype", "") is None else _dtype(definition, name)
    shape, grid = (_shape(definition, name, key, 1) for key in ("chunk_shape", "nb_chunks_per_dim"))
    position = _shape(definition, name, "chunk_position", 0)
    if not len(shape) == len(grid) == len(position):
        raise ValueError(
            f"array '{name}': chunk_shape, nb_chunks_per_dim and chunk_position differ in length"
        )
    if any(p >= n for p, n in zip(position, grid, strict=True)):
        raise ValueError(f"array '{name}': the chunk_position {position} is outside the grid {grid}")
    array = ChunkOfArray(name, dtype, shape, grid, position, bool(definition.get("sent", True)))
    return _in_box(array, definition["box"]) if "box" in definition else array


def _in_box(array: ChunkOfArray, given: Any) -> ChunkOfArray:
    if not isinstance(given, dict):
        raise ValueError(f"array '{array.name}': box is {given!r}: expected an object")
    grid, shape = (_shape(given, array.name, key, 1) for key in ("grid", "shape"))
    position, offset = (_shape(given, array.name, key, 0) for key in ("position", "offset"))
    box = Box(grid, position, shape, _integer(given, "chunks", 1))
    if not len(array.shape) == len(grid) == len(shape) == len(position) == len(offset):
        raise ValueError(f"array '{array.name}': the lists of its box differ in length from chunk_shape")
    for first, extent, whole in zip(offset, array.shape, shape, strict=True):
        if first + extent > whole:
            raise ValueError(f"array '{array.name}': the chunk at {offset} is outside its box of {shape}")
    return replace(array, box=box, offset=offset)


def with_dtype(array: ChunkOfArray, text: str) -> ChunkOfArray:
    """The array with the dtype from the JSON of a DEFINE that comes with its first chunk. Raises
    ValueError."""
    return replace(array, dtype=_dtype(_object(text, "DEFINE"), array.name))


def _dtype(definition: dict, name: str) -> np.dtype:
    dtype = definition.get("dtype")
    if dtype not in DTYPES:
        raise ValueError(
            f"array '{name}': the dtype is {dtype!r}: expected one of {', '.join(sorted(DTYPES))}"
        )
    return np.dtype(dtype)


def _object(text: str, what: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


def _integer(values: dict, key: str, least: int) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{key} is {value!r}: expected an integer >= {least}")
    return value


def _shape(definition: dict, name: str, key: str, least: int) -> tuple[int, ...]:
    value = definition.get(key)
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= MAX_DIMENSIONS
        or not all(isinstance(n, int) and not isinstance(n, bool) and n >= least for n in value)
    ):
        raise ValueError(
            f"array '{name}': {key} is {value!r}: expected 1 to {MAX_DIMENSIONS} integers >= {least}"
        )
    return tuple(value)


async def register(head: Any, inner: Any, node_id: str, ranks: list[Rank], deadline: float) -> None:
    """Registers the chunks of this node with the head actor. Registering twice changes nothing. Raises
    BridgeError past `deadline` (time.monotonic).

    deisa-ray's own finalize_registration derives the grid from equal chunks and counts a repeated call twice;
    so the head actor is called here, and the inherited object is left as if it had done it.
    """
    by_name: dict[str, list[tuple[int, ChunkOfArray]]] = {}
    for rank in ranks:
        for array in rank.arrays:
            by_name.setdefault(array.name, []).append((rank.bridge, array))
    for name, chunks in by_name.items():
        kinds = {(a.grid, a.dtype) for _, a in chunks}
        if len(kinds) > 1 or len({a.position for _, a in chunks}) < len(chunks):
            bridges = ", ".join(str(bridge) for bridge, _ in chunks)
            raise BridgeError(
                f"array '{name}': ranks {bridges} disagree about grid or dtype, or have the same position",
                "contract",
            )
    method = head.register_partial_array.options(enable_task_events=False)
    calls = []
    for name, chunks in by_name.items():
        grid = chunks[0][1].place[0]
        described = _describe(name, chunks)
        _inherit(inner, name, grid, described)
        what = f"registering array '{name}' with the head actor"
        calls.append(
            head_actor.call(method.remote(node_id, name, grid, described), deadline - time.monotonic(), what)
        )
    await asyncio.gather(*calls)
    inner.is_finalized = True


async def register_end_marker(head: Any, node_id: str) -> None:
    """Registers the end marker's array with the head actor. Raises BridgeError."""
    what = f"registering array '{END_MARKER_ARRAY}' with the head actor"
    described = [(0, (0, 0), (1, 1))]
    call = head.register_partial_array.remote(node_id, END_MARKER_ARRAY, (1, 1), described)
    await head_actor.call(call, REGISTER_TIMEOUT, what)


def _describe(name: str, chunks: list[tuple[int, ChunkOfArray]]) -> list[tuple]:
    """What the head actor is to know: bridge, position and shape of each chunk; of a box, the lowest bridge.
    Raises BridgeError."""
    described: dict[tuple[int, ...], tuple] = {}
    for bridge, array in sorted(chunks, key=lambda one: one[0]):
        _, position, shape = array.place
        described.setdefault(position, (bridge, position, shape))
    for bridge, position, _ in described.values():
        there = [array for _, array in chunks if array.place[1] == position]
        if there[0].box is not None and len(there) != there[0].box.chunks:
            raise BridgeError(
                f"array '{name}': the box of rank {bridge} has {there[0].box.chunks} chunks, of which "
                f"{len(there)} are on this node",
                "contract",
            )
    return list(described.values())


def _inherit(inner: Any, name: str, grid: tuple[int, ...], described: list[tuple]) -> None:
    create = getattr(inner, "_create_or_retrieve_partial_array", None)
    if create is None:
        return
    partial = create(name)
    partial.chunks_contained_meta = set(described)
    partial.bid_to_pos = {bridge: position for bridge, position, _ in described}
    inner.local_nb_chunks[name] = len(described)
    inner.nb_chunks_per_dim[name] = grid
