"""Analytics of bench/back_pressure: compare the mean of each timestep of `field`, and take their time.

slow_analytics.py RANKS SECONDS KEEP

KEEP: a number of whole arrays that are computed and kept, or None: only means are computed.
Prints {"analysed": timestep} for each, and {"wrong": timestep} for those whose mean is not that of steps.c.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque

from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def main() -> None:
    ranks, seconds = int(sys.argv[1]), float(sys.argv[2])
    kept = None if sys.argv[3] == "None" else deque(maxlen=int(sys.argv[3]))
    deisa = Deisa()

    def analyse(field: list[DeisaArray]) -> None:
        begin = time.monotonic()
        array = field[-1]
        if kept is None:
            mean = array.mean().compute()
        else:
            whole = array.compute()
            mean = whole.mean()
            kept.append(whole)
        right = float(mean) == 10 * array.t + (ranks - 1) / 2
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
        print(json.dumps({"analysed" if right else "wrong": int(array.t)}), flush=True)

    deisa.register(Window("field"))(analyse)
    deisa.execute_callbacks()
    print(json.dumps({"ended": True}), flush=True)


if __name__ == "__main__":
    main()
