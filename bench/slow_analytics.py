"""Analytics of bench/back_pressure: compare the mean of each timestep of `field`, and take their time.

slow_analytics.py RANKS SECONDS

Prints {"analysed": timestep} for each, and {"wrong": timestep} for those whose mean is not that of steps.c.
"""

from __future__ import annotations

import json
import sys
import time

from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def main() -> None:
    ranks, seconds = int(sys.argv[1]), float(sys.argv[2])
    deisa = Deisa()

    def analyse(field: list[DeisaArray]) -> None:
        begin = time.monotonic()
        array = field[-1]
        right = float(array.mean().compute()) == 10 * array.t + (ranks - 1) / 2
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        print(json.dumps({"analysed" if right else "wrong": int(array.t)}), flush=True)

    deisa.register(Window("field"))(analyse)
    deisa.execute_callbacks()
    print(json.dumps({"ended": True}), flush=True)


if __name__ == "__main__":
    main()
