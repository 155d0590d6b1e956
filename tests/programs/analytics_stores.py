"""Analytics of the arrays field and other that store each timestep, as deisa-ray documents it.

    analytics_stores.py FOLDER

Zarr: every timestep of field, FOLDER/field-T.zarr. HDF5: both arrays of a timestep in FOLDER/T.h5, and other
alone in FOLDER/other-T.h5. Prints a JSON object a line: what each callback got, what was computed of it, and
which jobs of Ray the actors belong to that may start tasks.
"""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import ray
from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window, to_hdf5

FOLDER = Path(sys.argv[1])
deisa = Deisa()
stored: list[int] = []


def say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


def stop(exception: BaseException) -> None:
    traceback.print_exception(exception)
    raise exception


def patient(callback: Callable[..., None]) -> Callable[..., None]:
    """Again, where the worker of a task has taken longer to start than the 10 s that deisa-ray waits."""

    @functools.wraps(callback)
    def repeated(**arrays: list[DeisaArray]) -> None:
        while True:
            try:
                return callback(**arrays)
            except TimeoutError:
                traceback.print_exc()

    return repeated


@deisa.register(Window("field", size=3), Window("other", size=2), exception_handler=stop)
@patient
def windows(field: list[DeisaArray], other: list[DeisaArray]) -> None:
    t = field[-1].t
    if t in stored[-1:]:  # called again: another array of this timestep has come
        return
    # Of several arrays and timesteps at once, across the chunks of all ranks.
    whole = da.stack(field)
    mean, product, rows = dask.compute(
        whole.mean(), (field[-1] @ other[-1].T).sum(), (field[-1] - field[0]).max(axis=1)
    )
    kept = (field[-1] + 1.0).persist()
    total = float(kept.sum().compute())
    files = [FOLDER / f"{t}.h5", FOLDER / f"other-{t}.h5"]
    for file in files:
        file.unlink(missing_ok=True)
    field[-1].to_zarr(FOLDER / f"field-{t}.zarr")
    to_hdf5(str(files[0]), {"field": field[-1], "other": other[-1]})
    other[-1].to_hdf5(str(files[1]), "other")
    stored.append(t)
    say(
        callback="windows",
        fields=[one.t for one in field],
        others=[one.t for one in other],
        mean=float(mean),
        product=float(product),
        rows=rows.tolist(),
        kept=total,
    )


@deisa.register("field", Window("other", size=2), when="OR", exception_handler=stop)
@patient
def either(field: list[DeisaArray], other: list[DeisaArray]) -> None:
    total, newest = dask.compute(field[-1].sum(), other[-1].sum())
    say(
        callback="either",
        t=[field[-1].t, other[-1].t],
        field=float(total),
        other=float(newest),
    )


deisa.execute_callbacks()
actors = ray.get(ray.get_actor("simulation_head", "deisa_ray").list_scheduling_actors.remote())
jobs = {node: actor._actor_id.job_id.hex() for node, actor in actors.items()}
say(event="ended", own=ray.get_runtime_context().get_job_id(), jobs=jobs)
