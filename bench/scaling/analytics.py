"""Analytics of bench/scale: the sum of every timestep, compared with what was sent.

analytics.py RANKS BYTES_PER_RANK
"""

from __future__ import annotations

import sys
import time

from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def main() -> None:
    ranks, cells = int(sys.argv[1]), int(sys.argv[2]) // 8
    wrong: list[int] = []
    seen: set[int] = set()
    about: dict[str, float] = {}
    deisa = Deisa()

    def analyse(field: list[DeisaArray]) -> None:
        array = field[-1]
        expected = cells * (1000 * array.t * ranks + ranks * (ranks - 1) // 2)
        about["chunks"], about["tasks"] = array.npartitions, len(array.__dask_graph__())
        if float(array.sum().compute()) != expected:
            wrong.append(array.t)
        seen.add(array.t)
        about["last result"] = time.monotonic()
        print(f"analysed {array.t}", flush=True)

    deisa.register(Window("field"))(analyse)
    deisa.execute_callbacks()
    for what, value in about.items():
        print(f"{what}: {value}")
    print(f"{len(seen)} timesteps analysed, {len(wrong)} wrong", flush=True)


if __name__ == "__main__":
    main()
