"""Analytics of bench/scale: the sum of every timestep, compared with what was sent.

analytics.py RANKS BYTES_PER_RANK
"""

from __future__ import annotations

import sys

from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def main() -> None:
    ranks, cells = int(sys.argv[1]), int(sys.argv[2]) // 8
    wrong: list[int] = []
    seen: set[int] = set()
    deisa = Deisa()

    def analyse(field: list[DeisaArray]) -> None:
        array = field[-1]
        expected = cells * (1000 * array.t * ranks + ranks * (ranks - 1) // 2)
        if float(array.sum().compute()) != expected:
            wrong.append(array.t)
        seen.add(array.t)

    deisa.register(Window("field"))(analyse)
    deisa.execute_callbacks()
    print(f"{len(seen)} timesteps analysed, {len(wrong)} wrong", flush=True)


if __name__ == "__main__":
    main()
