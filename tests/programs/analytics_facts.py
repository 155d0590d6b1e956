"""What docs/analytics.md says of deisa-ray, seen: callbacks that say what they got, as JSON lines.

    analytics_facts.py CASE

The arrays are field and other, each (4, 3) in two chunks, in one step per timestep.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import dask
import numpy as np
import xarray as xr
from deisa.ray import Deisa
from deisa.ray.types import Window

deisa = Deisa(max_simulation_ahead=1)


def say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


def handler(exception: BaseException) -> None:
    say(handled=[one.__name__ for one in type(exception).__mro__], text=str(exception))


def calls() -> None:
    """How often callbacks are called, and with what."""

    @deisa.register("field")
    def alone(field):
        say(callback="alone", t=[one.t for one in field])

    @deisa.register("other")
    def second(other):
        say(callback="second", t=[one.t for one in other])

    @deisa.register("field", "other")
    def both(field, other):
        say(callback="both", t=[field[-1].t, other[-1].t])

    @deisa.register("field", "other", when="OR")
    def either(field, other):
        say(callback="either", t=[field[-1].t, other[-1].t])

    @deisa.register(Window("field", size=3), "other")
    def window(field, other):
        say(callback="window", t=[one.t for one in field], newest=field[-1].timestep)

    @deisa.register("absent")
    def absent(absent):
        say(callback="absent")


def errors() -> None:
    """What becomes of exceptions, and of values that are set without care."""

    @deisa.register("other", exception_handler=handler)
    def handled(other):
        t = other[-1].t
        if t == 0:
            deisa.set("without", 1.0)
        elif t == 1:
            deisa.set("twice", 1.0, timestep=t)
            deisa.set("twice", 2.0, timestep=t)
        elif t == 2:
            signal.raise_signal(signal.SIGINT)
        elif t == 3:
            sys.exit(3)

    @deisa.register("other")
    def unhandled(other):
        if other[-1].t == 0:
            raise ValueError("the text and nothing else")


def data() -> None:
    """What the arrays are, and where they are computed."""

    @deisa.register("field", "other", exception_handler=handler)
    def compute(field, other):
        array = field[-1]
        labelled = xr.DataArray(array, dims=("row", "column"), coords={"row": np.arange(4)})
        mean, most = dask.compute(labelled.mean("row"), abs(array).max())
        where = array.map_blocks(lambda chunk: np.full_like(chunk, os.getpid())).compute()
        writeable = array.map_blocks(lambda chunk: np.full_like(chunk, chunk.flags.writeable)).compute()
        say(
            t=array.t,
            chunks=array.chunks,
            dtype=str(array.dtype),
            mean=mean.values.tolist(),
            most=float(most),
            here=bool((where == os.getpid()).any()),
            writeable=bool(writeable.any()),
            window=len(field),
        )


def fails() -> None:
    """An AssertionError, and a TimeoutError, are not given to a handler."""

    @deisa.register("field", exception_handler=handler)
    def check(field):
        assert field[-1].t < 1, "an assertion"


def again() -> None:
    """A second session in one process."""

    @deisa.register("field")
    def first(field):
        pass


globals()[sys.argv[1]]()
say(event="started")
deisa.execute_callbacks()
say(event="ended")
if sys.argv[1] == "again":
    try:
        Deisa().register("field")(print)
    except Exception as exception:
        handler(exception)
