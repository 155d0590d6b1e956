"""Ranks in Python that meet in one way, without Ray:

    python python_meeting.py WAY LATE

WAY is mpi (by libdeisa_mpi.so), mpi4py (by its own calls), own (a communicator of the program), older (one of
deisa-ray up to 0.1.2). LATE is "late" when the last rank makes its communicator, and then does not come.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
from deisa_bridge import Bridge, DeisaTimeoutError
from deisa_bridge.rank import library
from deisa_bridge.rank.communicator import Given
from formula_bridge import Star

way, late = sys.argv[1], sys.argv[2] == "late"


class Older:
    """As deisa.ray.comm.MPICommAdapter."""

    def __init__(self, comm: object, rank: int, size: int) -> None:
        self._comm, self.rank, self.world_size = comm, rank, size


if way == "own":
    rank, size = int(os.environ["RANK"]), 2
    comm = Star(rank, size, int(os.environ["PORT"]))
else:
    from mpi4py import MPI

    rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    comm = MPI.COMM_WORLD
    if way == "older":
        comm = Older(comm, rank, size)
    if way == "mpi4py":
        library.mpi_library = lambda: None
    else:
        assert library.mpi_library() is not None
arrays = {"t": {"chunk_shape": (2,), "global_shape": (2 * size,), "chunk_position": (rank,)}}
said = {"rank": rank}
if late:
    if rank == 0:
        try:
            Bridge(comm, arrays, comm_timeout=0.5)
        except DeisaTimeoutError as error:
            said["error"] = str(error)
        print(json.dumps(said), flush=True)
        MPI.COMM_WORLD.send("", 1)
    else:
        Given(comm)
        MPI.COMM_WORLD.recv(source=0)
    os._exit(0)
bridge = Bridge(comm, arrays)
for timestep in range(3):
    bridge.send("t", np.full(2, 10.0 * timestep + rank), timestep)
said |= {"id": bridge.bridge_id, "absent": bridge.get("absent", default="none")}
bridge.close(3)
sys.stdout.write(json.dumps(said) + "\n")
