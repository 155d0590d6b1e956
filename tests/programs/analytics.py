"""Plain deisa-ray analytics of the array `temperature` of host.c.

For every timestep, says whether the values are right, and what the chunk is that a Dask task gets: read-only,
without data of its own, and inside the mapping of Ray's object store.
"""

from __future__ import annotations

import time

import numpy as np
from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def mapping_of(address: int) -> str:
    """The line of /proc/self/maps that `address` lies in."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if begin <= address < end:
                return line
    return ""


def probe(chunk: np.ndarray) -> np.ndarray:
    """Runs in a Dask task: [is read-only, owns no data, lies in the object store]."""
    first = chunk.__array_interface__["data"][0]
    store = all("plasma" in mapping_of(address) for address in (first, first + chunk.nbytes - 1))
    return np.array([[not chunk.flags.writeable, not chunk.flags.owndata, store]])


def main() -> None:
    seen: set[int] = set()
    deisa = Deisa()

    def analyse(temperature: list[DeisaArray]) -> None:
        array = temperature[-1]
        expected = 1000000.0 * array.t + np.arange(array.size).reshape(array.shape)
        right = np.array_equal(array.compute(), expected) and array.dtype == np.float64
        places = array.map_blocks(probe, dtype=bool, chunks=(1, 3)).compute()
        seen.add(array.t)
        print(f"timestep {array.t}: right={right} readonly,borrowed,in_store={places.tolist()}", flush=True)
        time.sleep(0.1)

    deisa.register(Window("temperature"))(analyse)
    deisa.execute_callbacks()
    print(f"end: {sorted(seen)}", flush=True)


if __name__ == "__main__":
    main()
