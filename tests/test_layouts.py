"""Layouts of memory, packed by the library and by NumPy: the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run

DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
MOST = {1: 600, 2: 40, 3: 14, 4: 8, 5: 6, 6: 5, 7: 4, 8: 3}  # extent, by number of dimensions
Case = tuple[dict[str, Any], np.ndarray, int, np.ndarray]  # metadata, memory, byte that is sent, chunk


def metadata(dtype: str, chunk: np.ndarray, **memory: Any) -> dict[str, Any]:
    ones = [1] * chunk.ndim
    grid = {"nb_chunks_per_dim": ones, "chunk_position": [0] * chunk.ndim}
    given = {key: value for key, value in memory.items() if value is not None}
    return {"dtype": dtype, "chunk_shape": list(chunk.shape), **grid, **given}


def block(random: np.random.Generator, dtype: str, shape: list[int], order: str) -> np.ndarray:
    """Contiguous memory with random bytes."""
    count = int(np.prod(shape))
    if dtype == "bool":
        values = random.integers(0, 2, count).astype(bool)
    else:
        values = np.frombuffer(random.bytes(count * np.dtype(dtype).itemsize), dtype)
    return values.reshape(shape, order=order)


def extents(random: np.random.Generator, ndim: int) -> list[int]:
    return [int(random.integers(1, MOST[ndim] + 1)) for _ in range(ndim)]


def contiguous(random: np.random.Generator, dtype: str, ndim: int) -> Case:
    chunk = block(random, dtype, extents(random, ndim), "C")
    return metadata(dtype, chunk), chunk, 0, chunk


def ghost_cells(random: np.random.Generator, dtype: str, ndim: int) -> Case:
    """Any number of ghost cells per side, or none said, in C and in Fortran order."""
    sides = [random.integers(0, 3, ndim).tolist() if random.integers(4) else None for _ in range(2)]
    before, after = (side or [0] * ndim for side in sides)
    shape = extents(random, ndim)
    order = [None, "C", "F"][random.integers(3)]
    size = [b + n + a for b, n, a in zip(before, shape, after, strict=True)]
    memory = block(random, dtype, size, order or "C")
    chunk = memory[tuple(slice(b, b + n) for b, n in zip(before, shape, strict=True))]
    return metadata(dtype, chunk, halo_before=sides[0], halo_after=sides[1], order=order), memory, 0, chunk


def sections(random: np.random.Generator, dtype: str, ndim: int) -> Case:
    """Dimensions in any order in memory, some backwards, with steps, and every now and then repeated."""
    memory = block(random, dtype, [n + int(random.integers(0, 3)) for n in extents(random, ndim)], "C")
    view = memory.transpose(random.permutation(ndim))
    slices = []
    for extent in view.shape:
        first = int(random.integers(0, extent)) if random.integers(2) else None
        slices.append(slice(first, None, [-2, -1, 1, 1, 2, 3][random.integers(6)]))
    view = view[tuple(slices)]
    if random.integers(6) == 0:
        only_first = [slice(None)] * ndim
        only_first[random.integers(ndim)] = slice(0, 1)
        view = np.broadcast_to(view[tuple(only_first)], view.shape)
    at = view.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
    if random.integers(2):  # the memory's first byte is sent, and the rest is the offset
        return metadata(dtype, view, strides=list(view.strides), offset=at), memory, 0, view
    return metadata(dtype, view, strides=list(view.strides)), memory, at, view


@pytest.mark.parametrize("make", [contiguous, ghost_cells, sections], ids=lambda make: make.__name__)
def test_packs_what_numpy_packs(
    built: Path, tmp_path: Path, make: Callable[[np.random.Generator, str, int], Case]
) -> None:
    random = np.random.default_rng(20240611)
    cases, memories, chunks, size = [], [], [], 0
    for ndim in range(1, 9):
        for dtype in DTYPES:
            for _ in range(6):
                description, memory, at, chunk = make(random, dtype, ndim)
                raw = memory.tobytes(order="A")
                cases.append({"metadata": description, "at": size + at})
                memories.append(raw)
                chunks.append(chunk.tobytes(order="C"))
                size += len(raw)
    (tmp_path / "cases").write_text(json.dumps(cases))
    (tmp_path / "memory").write_bytes(b"".join(memories))
    done = run(
        [str(built / "bin" / "pack_cases"), *(str(tmp_path / n) for n in ("cases", "memory", "packed"))]
    )
    assert done.returncode == 0, done.stdout
    packed = (tmp_path / "packed").read_bytes()
    assert len(packed) == sum(map(len, chunks))
    begin = 0
    for case, chunk in zip(cases, chunks, strict=True):
        assert packed[begin : begin + len(chunk)] == chunk, f"packed otherwise than by NumPy: {case}"
        begin += len(chunk)
