"""A simulation in Python whose one line that differs is the import of its bridge:

    mpirun -n 2 python python_simulation.py MODULE FILE

MODULE is deisa.ray.bridge or deisa_bridge. Sends an array of each dtype, with strides, and prints what it
read of feedback as one line of JSON. Stays until FILE is there: what deisa-ray's bridge has sent ends then.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import time
from collections import deque
from fractions import Fraction

import numpy as np

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"
STEPS = 3
# What the analytics set. The second is more than fits into one message of the socket.
OBJECTS = ({("a", 1): {Fraction(1, 3), None}}, deque(["long" * 20_000, range(3)]))


def chunk_of(dtype: str, rank: int, timestep: int) -> np.ndarray:
    """Shape (3, 4), in strange strides."""
    values = (np.arange(60).reshape(10, 6) * (rank + 2) + timestep) % 100
    if dtype.startswith("complex"):
        values = values * (1 - 2j)
    return values.astype(dtype)[8:2:-2, 1:5]


def text_of(value: object) -> str:
    """Short: mpirun forwards longer lines of several ranks in pieces."""
    text = repr(value)
    return text if len(text) < 200 else hashlib.sha256(text.encode()).hexdigest()


def metadata_of(rank: int, size: int) -> dict[str, dict]:
    one = {"global_shape": (3 * size, 4), "chunk_shape": (3, 4), "chunk_position": (rank, 0)}
    return {dtype: dict(one) for dtype in DTYPES.split()}


def main() -> None:
    from mpi4py import MPI

    Bridge = importlib.import_module(sys.argv[1]).Bridge
    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    bridge = Bridge(world, metadata_of(rank, size))
    for timestep in range(STEPS):
        for dtype in DTYPES.split():
            bridge.send(dtype, chunk_of(dtype, rank, timestep), timestep)
    read = [
        text_of(bridge.get("object", 0)),
        text_of(bridge.get("object", timestep=1, default="?")),
        text_of(bridge.get("object", 7, "default")),
        text_of(bridge.get("object", None)),
        text_of(bridge.get("absent")),
    ]
    loaded = sorted({"ray", "deisa", "dask", "msgpack"} & sys.modules.keys())
    bridge.close(STEPS)
    bridge.close(STEPS)
    from deisa.core import IBridge

    said = {"rank": rank, "read": read, "loaded": loaded, "is_bridge": isinstance(bridge, IBridge)}
    for turn in range(size):
        if turn == rank:
            print(json.dumps(said), flush=True)
        world.barrier()
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.05)


if __name__ == "__main__":
    main()
