"""Analytics of both sides of bench/baseline: the mean of every timestep, compared with what was sent.

analytics.py RANKS
"""

from __future__ import annotations

import sys

from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def main() -> None:
    ranks = int(sys.argv[1])
    wrong: list[int] = []
    seen: set[int] = set()
    deisa = Deisa()

    def analyse(temperature: list[DeisaArray]) -> None:
        array = temperature[-1]
        if float(array.mean().compute()) != 10 * array.t + (ranks - 1) / 2:
            wrong.append(array.t)
        seen.add(array.t)

    deisa.register(Window("temperature"))(analyse)
    deisa.execute_callbacks()
    print(f"{len(seen)} timesteps analysed, {len(wrong)} wrong", flush=True)


if __name__ == "__main__":
    main()
