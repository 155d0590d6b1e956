"""The heat equation of problem.c, computed by one process with NumPy.

Gives the same numbers to the last bit: every expression has the order of operations of its twin in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SUBSTEPS = 50
DIFFUSION = 0.2
SOURCE_RATE = 0.02


@dataclass(frozen=True)
class Fields:
    """Both fields after one timestep: `temperature` float64 and `flux` float32, each (size, size)."""

    timestep: int
    temperature: np.ndarray
    flux: np.ndarray


def is_heated(size: int) -> np.ndarray:
    """The disc of cells that the source heats."""
    i, j = np.ogrid[:size, :size]
    y, x = 10 * i + 5 - 4 * size, 10 * j + 5 - 6 * size
    return 4 * (y * y + x * x) <= 9 * size * size


def initial(size: int) -> np.ndarray:
    """The temperature at the start: a warm rectangle."""
    i, j = np.ogrid[:size, :size]
    warm = (10 * i >= 6 * size) & (10 * i < 8 * size) & (10 * j >= size) & (10 * j < 4 * size)
    return np.where(warm, 4.0, 0.0)


def solve(size: int, steps: int, source_off_step: int = -1) -> Iterator[Fields]:
    """Yields the fields of each timestep. The source is off from `source_off_step` on (-1: never)."""
    heated = is_heated(size)
    temperature = initial(size)
    for step in range(steps):
        source_is_on = source_off_step < 0 or step < source_off_step
        for _ in range(SUBSTEPS):
            t = np.pad(temperature, 1, mode="edge")
            around = (t[:-2, 1:-1] + t[2:, 1:-1]) + (t[1:-1, :-2] + t[1:-1, 2:])
            temperature = temperature + DIFFUSION * (around - 4.0 * temperature)
            if source_is_on:
                temperature[heated] = temperature[heated] + SOURCE_RATE
        t = np.pad(temperature, 1, mode="edge")
        y, x = 0.5 * (t[2:, 1:-1] - t[:-2, 1:-1]), 0.5 * (t[1:-1, 2:] - t[1:-1, :-2])
        yield Fields(step, temperature.copy(), np.sqrt(y * y + x * x).astype(np.float32))
