"""The other side of bench/compare: what send.c does, in Python, with deisa-ray's bridge or this one.

send.py PACKAGE PACE FOLDER PHASE...

PACKAGE is deisa.ray, deisa_bridge or put, whose bridge is that of put.py. A PHASE is ARRAY:BYTES:STEPS:HOW,
with HOW "send", "get" or "rate"; deisa-ray's bridge has nothing like the others. With put: "stream", the
time in ray.put alone.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

LARGE = 16 << 20
"""Bytes from which on send.c, too, waits five times as long before a send."""


def wait_for(path: Path) -> None:
    """Until bench/compare has made a file, for five minutes at most."""
    end = time.monotonic() + 300.0
    while not path.exists():
        if time.monotonic() > end:
            raise SystemExit("nobody asked for the end")
        time.sleep(0.02)


def main() -> None:
    import numpy as np
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    package, pace, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    phases = []
    for text in sys.argv[4:]:
        array, nbytes, steps, how = text.split(":")
        phases.append((array, int(nbytes), int(steps), how))

    # As in send.c: MPI has started, and what the bridge needs in order to start has not.
    world.barrier()
    begin = time.perf_counter()
    Bridge = importlib.import_module(package).Bridge
    loaded = time.perf_counter() - begin
    metadata = {
        array: {"global_shape": (size * (n // 8),), "chunk_shape": (n // 8,), "chunk_position": (rank,)}
        for array, n, _, _ in phases
    }
    bridge = Bridge(comm=world, arrays_metadata=metadata)
    start_up = time.perf_counter() - begin

    def mark(name: str) -> None:
        world.barrier()
        if rank == 0:
            print(json.dumps({"mark": name}), flush=True)

    timestep, results = 0, []
    mark("ready")
    for array, nbytes, steps, how in phases:
        chunk = np.zeros(nbytes // 8)
        seconds, begun, first = [], [], timestep
        if how in ("send", "get"):
            for _ in range(steps):
                chunk[:] = 10 * timestep + rank
                time.sleep(5 * pace if nbytes >= LARGE else pace)
                world.barrier()
                begun.append(time.monotonic())
                begin = time.perf_counter()
                bridge.send(array_name=array, chunk=chunk, timestep=timestep)
                if how == "get":
                    begin = time.perf_counter()
                    bridge.get("gain")
                seconds.append(time.perf_counter() - begin)
                timestep += 1
        elif how == "rate":
            chunk[:] = 10 * timestep + rank
            time.sleep(pace)
            world.barrier()
            begun = [time.monotonic()] + [0.0] * (steps - 1)
            begin = time.perf_counter()
            for _ in range(steps):
                chunk[:] = 10 * timestep + rank
                bridge.send(array_name=array, chunk=chunk, timestep=timestep)
                timestep += 1
            world.barrier()
            seconds = [time.perf_counter() - begin] + [0.0] * (steps - 1)
        elif how == "stream" and package == "put":
            chunk[:] = 10 * timestep + rank
            before = bridge.seconds
            for _ in range(steps):
                bridge.send(array_name=array, chunk=chunk, timestep=timestep)
                timestep += 1
            seconds = [bridge.seconds - before] + [0.0] * (steps - 1)
        else:
            raise SystemExit(f"the Python bridge has no {how}")
        times = {"first": first, "seconds": seconds, "other": [], "begun": begun}
        results.append({"array": array, "bytes": nbytes, "how": how, **times})
    figures = {"pid": os.getpid(), "start": start_up, "load": loaded, "phases": results}
    (folder / f"rank-{rank}.json").write_text(json.dumps(figures))
    mark("sent")
    wait_for(folder / "close")
    bridge.close(timestep=timestep)
    # The objects are this process's: they end with it, read or not.
    wait_for(folder / "end")


if __name__ == "__main__":
    main()
