"""One rank of two, with the bridge of deisa-ray up to 0.1.2: keywords, no communicator, a node of its own,
and a dtype that the other rank has not.

    python python_older.py RANK PORT FILE

Rank 0 makes FILE once it has sent its first chunk of that array.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from deisa_bridge import Bridge, ContractError

rank, port, sent = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
ones = {"nb_chunks_per_dim": (2,), "nb_chunks_of_node": 1, "chunk_position": (rank,)}
bridge = Bridge(
    bridge_id=rank,
    arrays_metadata={
        "known": {"chunk_shape": (3,), "dtype": np.int32, **ones},
        "late": {"chunk_shape": np.array([3 + rank]), **ones},
    },
    system_metadata={"world_size": 2, "master_address": "127.0.0.1", "master_port": port},
    comm=None,
    _node_id=f"python-{rank}",
    _init_retries=3,
    _comm_timeout=100,
    send_timeout=100,
)
late = np.arange(3 + rank, dtype=">f8" if rank == 0 else np.float32)  # bytes in the other order are turned
for timestep in range(3):
    bridge.send(array_name="known", chunk=np.full(3, timestep, np.int32), timestep=timestep, chunked=True)
    if rank == 1 and timestep == 0:
        while not sent.exists():
            time.sleep(0.01)
        try:
            bridge.send(array_name="late", chunk=late, timestep=timestep)
        except ContractError as error:
            print(f"refused: {error}", flush=True)
        late = late.astype(np.float64)
    bridge.send(array_name="late", chunk=late + timestep, timestep=timestep, store_externally=False)
    if rank == 0:
        sent.touch()
assert bridge.get(name="answer", default=0) in (0, 42)
assert bridge.close(timestep=3, store_externally=False) == 3
