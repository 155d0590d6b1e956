"""Analytics of a simulation that sends the arrays temperature and flux, as the heat example does.

Prints a line for each timestep, and switches the heat source off in time. See docs/analytics.md.
"""

from __future__ import annotations

import traceback

import dask
import xarray as xr
from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window

WARM = 0.5

deisa = Deisa()
analysed: list[int] = []
source_on = True


def stop(exception: BaseException) -> None:
    """deisa-ray goes on after whatever a callback raises, Ctrl-C too, unless this raises."""
    traceback.print_exception(exception)
    raise exception


@deisa.register(Window("temperature", size=3), Window("flux"), exception_handler=stop)
def analyse(temperature: list[DeisaArray], flux: list[DeisaArray]) -> None:
    global source_on
    timestep = temperature[-1].t
    if timestep in analysed[-1:]:  # called again: another array of this timestep has come
        return
    analysed.append(timestep)
    field = xr.DataArray(temperature[-1], dims=("row", "column"), name="temperature")
    # One compute for all: each reads the chunks where they are, as a task of Ray.
    mean, warmest_row, change, largest = dask.compute(
        field.mean(),
        field.mean("column").max(),
        temperature[-1].mean() - temperature[0].mean(),
        abs(flux[-1]).max(),
    )
    print(
        f"timestep {timestep}: mean {float(mean):.6f}, warmest row {float(warmest_row):.6f}, "
        f"{change:+.6f} in {len(temperature)} timesteps, largest flux {largest:.6f}",
        flush=True,
    )
    if source_on and mean > WARM:
        source_on = False
        deisa.set("source_off", 1.0, timestep=timestep)
        print(f"timestep {timestep}: source off", flush=True)


deisa.execute_callbacks()
print(f"{len(analysed)} timesteps analysed", flush=True)
