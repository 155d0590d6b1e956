"""The heat equation of examples/heat, in NumPy: one rank's block, and the exchange with its neighbours.

Gives the same numbers as heat/problem.c to the last bit: each expression has the order of operations of its
twin there."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

SUBSTEPS = 50
DIFFUSION = 0.2  # diffusivity * time / area of a cell; stable up to 0.25
SOURCE_RATE = 0.02  # kelvin per sub-step


def part(size: int, parts: int, index: int) -> tuple[int, int]:
    """First cell and length of one of `parts` parts of `size` cells."""
    least, longer = divmod(size, parts)
    return index * least + min(index, longer), least + (index < longer)


class Block:
    """Temperatures have a frame of one ghost cell around rows x columns."""

    def __init__(self, grid: MPI.Cartcomm, size: int) -> None:
        self._grid = grid
        (row, rows), (column, columns) = (
            part(size, parts, index) for parts, index in zip(grid.dims, grid.coords, strict=True)
        )
        i, j = np.ogrid[row : row + rows, column : column + columns]
        # A warm rectangle, so that a field that is mirrored or transposed is not the same field.
        warm = (10 * i >= 6 * size) & (10 * i < 8 * size) & (10 * j >= size) & (10 * j < 4 * size)
        # A disc of radius 0.15 n around (0.4 n, 0.6 n), in integers so that every language agrees.
        y, x = 10 * i + 5 - 4 * size, 10 * j + 5 - 6 * size
        self._heated = 4 * (y * y + x * x) <= 9 * size * size
        self._framed = np.zeros((rows + 2, columns + 2))
        self.temperature[:] = np.where(warm, 4.0, 0.0)

    @property
    def temperature(self) -> np.ndarray:
        """float64, without the frame: a view, whose rows do not lie together."""
        return self._framed[1:-1, 1:-1]

    def substep(self, source_is_on: bool) -> None:
        """One explicit sub-step."""
        self._exchange()
        t = self._framed
        around = (t[:-2, 1:-1] + t[2:, 1:-1]) + (t[1:-1, :-2] + t[1:-1, 2:])
        temperature = self.temperature + DIFFUSION * (around - 4.0 * self.temperature)
        if source_is_on:
            temperature[self._heated] += SOURCE_RATE
        self.temperature[:] = temperature

    def flux(self) -> np.ndarray:
        """The magnitude of the temperature's gradient, float32."""
        self._exchange()
        t = self._framed
        y, x = 0.5 * (t[2:, 1:-1] - t[:-2, 1:-1]), 0.5 * (t[1:-1, 2:] - t[1:-1, :-2])
        return np.sqrt(y * y + x * x).astype(np.float32)

    def _exchange(self) -> None:
        """Fills the ghost cells: from the neighbours, and at the square's edges from the cells inside."""
        t = self._framed
        inner = slice(1, -1)
        for dimension, along in enumerate(((slice(None), inner), (inner, slice(None)))):
            before, after = self._grid.Shift(dimension, 1)
            for neighbour, other, edge, ghost in ((before, after, 1, -1), (after, before, -2, 0)):
                to, by = list(along), list(along)
                to[dimension], by[dimension] = edge, ghost
                received = np.ascontiguousarray(t[tuple(by)])
                self._grid.Sendrecv(np.ascontiguousarray(t[tuple(to)]), neighbour, 0, received, other, 0)
                if other == MPI.PROC_NULL:
                    by[dimension] = -2 if ghost == -1 else 1
                    received = t[tuple(by)]
                    by[dimension] = ghost
                t[tuple(by)] = received
