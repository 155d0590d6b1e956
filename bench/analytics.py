"""Analytics of both sides of bench/compare.

analytics.py RANKS WORK FOLDER ARRAY:STEPS...

WORK says what is done with a timestep:
  look  nothing: it is counted
  mean  its mean is compared with what was sent
  busy  the same, and every CPU computes something else all the time
A callback for each array; that of "gain" also sets a value of this name. Prints as one line of JSON how many
timesteps each array has had, and when each callback was called and had its result, by the monotonic clock.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def burn(folder: str) -> None:
    """Computes until bench/compare ends the run, or its parent has gone."""
    parent = os.getppid()
    while os.getppid() == parent and not (Path(folder) / "close").exists():
        end = time.monotonic() + 0.2
        total = 0.0
        while time.monotonic() < end:
            total += sum(i * 0.5 for i in range(10_000))


def main() -> None:
    ranks, work, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    steps = {name: int(count) for name, count in (text.split(":") for text in sys.argv[4:])}
    if work not in ("look", "mean", "busy"):
        raise SystemExit(f"unknown work '{work}'")
    seen: dict[str, set[int]] = {name: set() for name in steps}
    wrong: list[tuple[str, int]] = []
    times: dict[int, tuple[float, float]] = {}
    deisa = Deisa()

    def watch(name: str) -> None:
        def analyse(**windows: list[DeisaArray]) -> None:
            called = time.monotonic()
            array = windows[name][-1]
            expected = 10 * array.t + (ranks - 1) / 2
            if work != "look" and float(array.mean().compute()) != expected:
                wrong.append((name, array.t))
            times[int(array.t)] = (called, time.monotonic())
            if name == "gain":
                deisa.set(name, float(array.t), timestep=int(array.t))
            seen[name].add(array.t)

        deisa.register(Window(name))(analyse)

    for name in steps:
        watch(name)
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=burn, args=(folder,), daemon=True) for _ in range(os.cpu_count() or 1)]
    if work == "busy":
        for one in burners:
            one.start()
    deisa.execute_callbacks()
    counts = {name: len(found) for name, found in seen.items()}
    print(json.dumps({"seen": counts, "wrong": wrong, "times": times}), flush=True)


if __name__ == "__main__":
    main()
