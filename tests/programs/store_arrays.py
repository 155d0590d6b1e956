"""Plain deisa-ray analytics that store every array of every timestep: store_arrays.py FOLDER NAME..."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def store(deisa: Deisa, folder: Path, name: str) -> None:
    """Writes each timestep of the array `name` to its own file."""

    def write(**arrays: list[DeisaArray]) -> None:
        newest = arrays[name][-1]
        np.save(folder / f"{name}-{newest.t}.npy", newest.compute())

    deisa.register(Window(name))(write)


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    deisa = Deisa()
    for name in names:
        store(deisa, folder, name)
    deisa.execute_callbacks()
    print("end", flush=True)


if __name__ == "__main__":
    main()
