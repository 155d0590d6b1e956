"""Analytics of the diffusion, for unmodified deisa-ray.

Compares both fields of every timestep with a serial computation. Knows nothing of the bridge.
"""

from __future__ import annotations

import sys

import dask
import numpy as np
from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window
from serial import solve


def main() -> None:
    layers, rows, columns, steps = (int(argument) for argument in sys.argv[1:])
    expected = list(solve((layers, rows, columns), steps))
    right: dict[int, bool] = {}
    deisa = Deisa()

    def compare(density: list[DeisaArray], change: list[DeisaArray]) -> None:
        timestep = density[-1].t
        if timestep in right or change[-1].t != timestep:  # called for each array of a timestep
            return
        seen = dict(zip(("density", "change"), dask.compute(density[-1], change[-1]), strict=True))
        right[timestep] = 0 <= timestep < steps and all(
            seen[name].dtype == values.dtype and np.array_equal(seen[name], values)
            for name, values in expected[timestep].items()
        )
        chunks = " x ".join(str(extents) for extents in density[-1].chunks)
        print(f"timestep {timestep}: chunks {chunks}, right: {right[timestep]}", flush=True)

    deisa.register(Window("density"), Window("change"))(compare)
    deisa.execute_callbacks()
    print(f"{sum(right.values())} of {steps} timesteps match the serial computation", flush=True)
    if set(right) != set(range(steps)) or not all(right.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
