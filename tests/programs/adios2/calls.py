"""Calls of ADIOS2's engine in orders that a program may choose: calls.py FOLDER. Prints what is wrong.

The engines write NumPy files: FOLDER/puts has array a of three timesteps, FOLDER/none of none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import adios2
import numpy as np
from adios2.bindings import Mode

FOLDER = sys.argv[1]
adios = adios2.Adios()


def opened(name: str, **settings: str) -> tuple[Any, Any]:
    io = adios.declare_io(name)
    io.set_engine("plugin")
    io.set_parameters({"PluginName": "deisa", "PluginLibrary": "deisa_adios2", **settings})
    return io, io.open(name, Mode.Write)


def refused(words: str, call: Callable[[], object]) -> None:
    try:
        call()
        print(f"accepted: {words}")
    except Exception as error:
        if words not in str(error):
            print(f"expected {words}: {error}")


io, engine = opened("puts", backend="file", file_folder=f"{FOLDER}/puts")
values, late = np.arange(4.0), np.zeros(2)
a = io.define_variable("a", values, [4], [0], [4])
empty = io.define_variable("empty", values, [4], [0], [0])
refused("EndStep without an open step", engine.end_step)
# A Put begins a step; what is deferred is taken when the step ends.
engine.put(a, values)
engine.put(empty, values, Mode.Sync)
values += 10.0
refused("BeginStep in step 0, which is open", engine.begin_step)
engine.end_step()
engine.begin_step()
engine.put(a, values, Mode.Sync)
engine.put(io.define_variable("late", late, [2], [0], [2]), late, Mode.Sync)
values += 10.0
a.set_shape([8])
refused("in step 1: shape (8), start (0), count (4): expected (4)", lambda: engine.put(a, values, Mode.Sync))
a.set_shape([4])
engine.end_step()
engine.put(a, values)
# Close ends the open step, and another engine may be opened, though this one is still there.
engine.close()

_, nothing = opened("none", backend="file", file_folder=f"{FOLDER}/none")
nothing.close()
