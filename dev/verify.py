"""Compares what the analytics stored with a serial computation of the same problem."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from serial import solve


@dataclass
class Comparison:
    """What was found in the analytics' files."""

    analysed: int = 0
    matching: int = 0
    problems: list[str] = field(default_factory=list)
    means: dict[int, float] = field(default_factory=dict)  # of the temperature, by timestep
    pictures: dict[int, np.ndarray] = field(default_factory=dict)  # temperature of some timesteps


def difference(name: str, timestep: int, stored: np.ndarray, expected: np.ndarray) -> str:
    """What distinguishes two arrays, as a sentence; "" when they are the same to the last bit."""
    where = f"timestep {timestep}, {name}: "
    if stored.dtype != expected.dtype or stored.shape != expected.shape:
        return f"{where}{stored.dtype} {stored.shape}, expected {expected.dtype} {expected.shape}"
    if stored.tobytes() == expected.tobytes():
        return ""
    wrong = np.argwhere(stored != expected)
    if len(wrong) == 0:
        return f"{where}equal, but with other bits (the sign of a zero, or NaN)"
    first = tuple(int(i) for i in wrong[0])
    return (
        f"{where}{len(wrong)} of {stored.size} values differ, the first at {first}: "
        f"{stored[first]!r}, expected {expected[first]!r}"
    )


def compare(folder: Path, size: int, steps: int, source_off_step: int, names: tuple[str, ...]) -> Comparison:
    """Compares the fields `names` in `folder`/<timestep>.npz with timesteps 0 ... steps-1 of serial.py.

    `source_off_step` is the timestep from which on the simulation had its source off (-1: never).
    """
    result = Comparison()
    shown = {0, steps // 2, steps - 1}
    stored = {int(path.stem): path for path in folder.glob("*.npz")}
    for extra in sorted(set(stored) - set(range(steps))):
        result.problems.append(f"timestep {extra} was analysed, but never simulated")
    for fields in solve(size, steps, source_off_step):
        path = stored.get(fields.timestep)
        if path is None:
            result.problems.append(f"timestep {fields.timestep} was not analysed")
            continue
        result.analysed += 1
        with np.load(path) as arrays:
            differences = [
                difference(name, fields.timestep, arrays[name], getattr(fields, name)) for name in names
            ]
            result.means[fields.timestep] = float(arrays["mean"])
            if fields.timestep in shown:
                result.pictures[fields.timestep] = arrays["temperature"]
        result.problems.extend(filter(None, differences))
        result.matching += not any(differences)
    return result
