"""The other side of bench/baseline: what send.c does, with deisa-ray's Python bridge.

send.py CELLS STEPS PACE
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def resident_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def main() -> None:
    import numpy as np
    from mpi4py import MPI

    # As in send.c: MPI has started, and what the bridge needs in order to start has not.
    begin = time.perf_counter()
    from deisa.ray import Bridge

    cells, steps, pace = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    metadata = {
        "temperature": {
            "global_shape": (size * cells, cells),
            "chunk_shape": (cells, cells),
            "chunk_position": (rank, 0),
        }
    }
    bridge = Bridge(comm=world, arrays_metadata=metadata)
    start_up = time.perf_counter() - begin

    chunk = np.zeros((cells, cells))
    seconds = []
    for step in range(steps):
        chunk[:] = 10 * step + rank
        time.sleep(pace)
        world.barrier()
        begin = time.perf_counter()
        bridge.send(array_name="temperature", chunk=chunk, timestep=step)
        seconds.append(time.perf_counter() - begin)
    resident = resident_kib()
    bridge.close(timestep=steps)
    figures = {"rank": rank, "start": start_up, "resident_kib": resident, "send": seconds}
    for turn in range(size):
        if turn == rank:
            print(json.dumps(figures), flush=True)
        world.barrier()


if __name__ == "__main__":
    main()
