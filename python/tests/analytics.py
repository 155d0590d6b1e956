"""Analytics as a user writes them, with deisa-ray as published: reads every array, prints what it saw as JSON
lines.

Arguments: a JSON object {"arrays": {name: window size}, "when", "set": {key: value}, "delay": seconds, "go":
file, "light", "garbage"}. Run in a process that cannot import deisa_bridge. "go": the first callback waits
for this file. "light": it only computes sums, which leaves nothing in the store. "garbage": each timestep
stays in a reference cycle until that is collected.
"""

import gc
import importlib.util
import json
import os
import sys
import time

import numpy as np
from deisa.ray import Deisa
from deisa.ray.types import Window

OPTIONS = json.loads(sys.argv[1])


def say(**words):
    print(json.dumps(words), flush=True)


def inspect(block):
    """In a worker: where the memory of a chunk is."""
    address = block.__array_interface__["data"][0]
    where = ""
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            if start <= address < end:
                where = line.split(maxsplit=5)[5].strip() if len(line.split()) > 5 else "anonymous"
    return {"writeable": bool(block.flags.writeable), "dtype": str(block.dtype), "where": where}


def callback(**arrays):
    import dask

    time.sleep(OPTIONS.get("delay", 0.0))
    end = time.monotonic() + 60.0
    while not os.path.exists(OPTIONS.get("go", "/")):
        assert time.monotonic() < end, OPTIONS["go"]
        time.sleep(0.01)
    seen = {}
    for name, window in arrays.items():
        array = window[-1]
        if OPTIONS.get("light"):
            seen[name] = {"t": int(array.t), "sum": float(np.real(array.sum().compute()))}
            continue
        blocks = [dask.delayed(inspect)(block) for block in array.to_delayed().ravel()]
        total, values, blocks = dask.compute(array.sum(), array, blocks)
        seen[name] = {
            "t": int(array.t),
            "sum": float(np.real(total)),
            "shape": values.shape,
            "first": float(np.real(values.ravel()[0])),
            "blocks": blocks,
        }
    t = max(one["t"] for one in seen.values())
    for key, value in OPTIONS.get("set", {}).items():
        if t == 0:
            deisa.set(key, value, t)
            deisa.set(key + ".array", np.full(30000, 2.5), t)
    if OPTIONS.get("set"):
        deisa.set("newest", t, t)
    if OPTIONS.get("garbage"):
        cycle = [arrays]
        cycle.append(cycle)
    say(event="step", t=t, seen=seen)


assert importlib.util.find_spec("deisa_bridge") is None, "the analytics must not have the package"
if OPTIONS.get("garbage"):
    gc.disable()
deisa = Deisa()
windows = [Window(name, size=size) for name, size in OPTIONS["arrays"].items()]
deisa.register(*windows, when=OPTIONS.get("when", "AND"))(callback)
say(event="started")
try:
    deisa.execute_callbacks()
    say(event="ended")
except BaseException as error:
    say(event="failed", error=repr(error))
    raise
