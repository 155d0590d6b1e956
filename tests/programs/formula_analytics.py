"""Plain deisa-ray analytics of the arrays of formula.c: is every value right?

Argument: a JSON object. "arrays": array name -> its ranks, in the order of their chunks; "cells"; "gate": a
file without which no chunk is read, or ""; "begin": a file without which execute_callbacks is not called, or
""; "delay": seconds for each array of a timestep; "locate"; "every": only every so many timesteps are
computed; "set": after every so many, the newest is set as "newest", and nothing is read for "pause" seconds.
Prints a JSON object a line: {"event": "started"}, {"event": "array", "name", "t", "right", "where"} for each
array of a timestep, {"event": "seen", "name", "t"} for one that is not computed, and {"event": "ended"}.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window

OPTIONS = json.loads(sys.argv[1])


def say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def expected(name: str, timestep: int) -> np.ndarray:
    """As fill() of formula.c."""
    ranks = np.array(OPTIONS["arrays"][name], float)
    base = ((int(name[1:]) * 64.0 + ranks) * 4096.0 + timestep) * 65536.0
    return (base[:, None] + np.arange(OPTIONS["cells"])).ravel()


def locate(array: DeisaArray) -> list[list[str]]:
    """For each chunk, the Ray nodes that have its object, in chunk order."""
    import ray

    references = [array.dask[(array.name, i)] for i in range(array.numblocks[0])]
    # One by one: asked for objects of several owners, Ray 2.60 may abort when their answers come at once
    # (std::future_error in CoreWorker::GetLocationFromOwner).
    return [sorted(ray.experimental.get_object_locations([one])[one]["node_ids"]) for one in references]


def callback_of(name: str):
    newest = -1

    def callback(**arrays: list[DeisaArray]) -> None:
        nonlocal newest
        array = arrays[name][-1]
        if array.t == newest:  # deisa-ray calls again when another array of the timestep arrives
            return
        newest = array.t
        while OPTIONS.get("gate") and not os.path.exists(OPTIONS["gate"]):
            time.sleep(0.01)
        time.sleep(OPTIONS.get("delay", 0.0))
        if newest % OPTIONS.get("every", 1):
            say(event="seen", name=name, t=int(newest))
            return
        where = locate(array) if OPTIONS.get("locate") else []
        try:
            right = bool(np.array_equal(array.compute(), expected(name, array.t)))
        except Exception as error:
            say(event="unreadable", name=name, t=int(array.t), error=f"{type(error).__name__}: {error}")
            return
        say(event="array", name=name, t=int(array.t), right=right, where=where)
        if OPTIONS.get("set") and newest % OPTIONS["set"] == 0:
            deisa.set("newest", int(newest), int(newest))
            time.sleep(OPTIONS.get("pause", 0.0))

    return callback


deisa = Deisa()
for each in OPTIONS["arrays"]:
    deisa.register(Window(each))(callback_of(each))
say(event="started")
while OPTIONS.get("begin") and not os.path.exists(OPTIONS["begin"]):
    time.sleep(0.01)
deisa.execute_callbacks()
say(event="ended")
