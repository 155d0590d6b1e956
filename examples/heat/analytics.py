"""Analytics of the heat simulation, for unmodified deisa-ray.

Stores both fields of every timestep, and asks the simulation to switch its heat source off once the mean
temperature over the last three timesteps is above a threshold. Knows nothing of the bridge.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import dask.array as da
import numpy as np
from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for one .npz file per timestep")
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="kelvin above the surroundings (%(default)s)"
    )
    parser.add_argument("--slow", type=float, default=0.0, help="seconds to spend on each timestep")
    parser.add_argument("--live", type=Path, help="file for a picture of the newest timestep")
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    seen: set[int] = set()
    threshold_passed = False
    live = None
    if arguments.live is not None:
        from live import Live  # needs matplotlib

        live = Live(arguments.live)
    deisa = Deisa()

    def analyse(temperature: list[DeisaArray], flux: list[DeisaArray]) -> None:
        nonlocal threshold_passed
        timestep = temperature[-1].t
        if timestep in seen:  # deisa-ray may call again when another array of the same timestep arrives
            return
        time.sleep(arguments.slow)
        newest, mean, gradient = da.compute(temperature[-1], da.stack(temperature).mean(), flux[-1])
        path = arguments.output / f"{timestep:06d}.npz"
        np.savez(path, mean=newest.mean(), temperature=newest, flux=gradient)
        if mean > arguments.threshold and not threshold_passed:
            threshold_passed = True
            deisa.set("source_off", 1.0, timestep=timestep)
            print(
                f"timestep {timestep}: mean of {len(temperature)} timesteps {mean:.3f}: source off",
                flush=True,
            )
        if live is not None:
            live.draw(timestep, newest)
        seen.add(timestep)
        print(f"timestep {timestep} analysed, mean {newest.mean():.3f}", flush=True)

    deisa.register(Window("temperature", size=3), Window("flux"))(analyse)
    deisa.execute_callbacks()
    print(f"{len(seen)} timesteps analysed", flush=True)


if __name__ == "__main__":
    main()
