"""The other side of bench/compare's overhead-128MiB: what iterate.c does, in Python.

iterate.py PACKAGE FOLDER ROWS

PACKAGE is deisa.ray, or "none": the simulation alone. Both compute with the functions of stencil.c.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path

from send import wait_for

COLUMNS = 4096
LIBRARY = Path(__file__).resolve().parent.parent / "build" / "lib" / "libstencil.so"


def read_block(path: Path) -> tuple[str, int, int]:
    """What is to be done next. Waits as send.py does."""
    wait_for(path)
    how, iterations, sweeps = path.read_text().split()
    return how, int(iterations), int(sweeps)


def main() -> None:
    import numpy as np
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    package, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    compute = ctypes.CDLL(str(LIBRARY)).stencil_run
    pointer = ctypes.c_void_p
    compute.argtypes = [ctypes.c_int, pointer, pointer, pointer, ctypes.c_long, ctypes.c_long]
    compute.argtypes += [ctypes.c_int, ctypes.c_double]
    cells, other = np.ones((rows + 2, COLUMNS)), np.ones((rows + 2, COLUMNS))
    field = np.ones((rows, COLUMNS))
    memory = [one.ctypes.data for one in (cells, other, field)]
    bridge, timestep = None, 0
    if package != "none":
        from deisa.ray import Bridge

        layout = {
            "global_shape": (size * rows, COLUMNS),
            "chunk_shape": (rows, COLUMNS),
            "chunk_position": (rank, 0),
        }
        bridge = Bridge(comm=world, arrays_metadata={"field": layout})

    def iterate(sweeps: int) -> None:
        nonlocal timestep
        compute(world.py2f(), *memory, rows, COLUMNS, sweeps, float(10 * timestep + rank))
        if bridge is not None:
            bridge.send(array_name="field", chunk=field, timestep=timestep)
        timestep += 1

    def say(what: dict) -> None:
        if rank == 0:
            print(json.dumps(what), flush=True)

    number = 0
    while True:
        how, iterations, sweeps = read_block(folder / f"block-{number}")
        if how == "end":
            break
        world.barrier()
        iterate(sweeps)
        say({"counts": number})
        seconds, last = [], time.perf_counter()
        for _ in range(iterations):
            iterate(sweeps)
            now = time.perf_counter()
            seconds.append(now - last)
            last = now
        world.barrier()
        say({"block": number, "seconds": seconds})
        number += 1
    if bridge is not None:
        bridge.close(timestep=timestep)
        # The objects are this process's: they end with it, read or not.
        read_block(folder / f"block-{number + 1}")


if __name__ == "__main__":
    main()
