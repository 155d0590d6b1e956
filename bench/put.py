"""What bench/compare holds sustained-16MiB-stored against: `ray.put` of the same bytes in one process.

put.py BYTES COUNT

Prints the seconds that COUNT puts took, one after the other, each object dropped by the next. Before that it
fills the store as far as the puts of a run would, so that none of its memory is touched for the first time.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import ray


def main() -> None:
    nbytes, count = int(sys.argv[1]), int(sys.argv[2])
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR", namespace="deisa_bench")
    array = np.ones(nbytes // 8)
    warm = [ray.put(array) for _ in range(count)]
    del warm
    reference = None
    begin = time.perf_counter()
    for _ in range(count):
        reference = ray.put(array)
    seconds = time.perf_counter() - begin
    del reference
    print(json.dumps({"seconds": seconds, "rate": nbytes * count / seconds}), flush=True)


if __name__ == "__main__":
    main()
