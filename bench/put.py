"""What bench/compare holds sustained-16MiB-stored against: `ray.put` of the same bytes in one process.

put.py BYTES COUNT WARM

Prints the seconds that COUNT puts took, one after the other. Before that it puts WARM bytes and drops them,
so that neither it nor the run that follows touches the store's memory for the first time. The objects are
kept, as those of a simulation are until the analytics have read them.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import ray


def main() -> None:
    nbytes, count, warm = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR", namespace="deisa_bench")
    array = np.ones(nbytes // 8)
    touched = [ray.put(array) for _ in range(warm // nbytes)]
    del touched
    kept = []
    begin = time.perf_counter()
    for _ in range(count):
        kept.append(ray.put(array))
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "rate": nbytes * count / seconds}), flush=True)


if __name__ == "__main__":
    main()
