"""formula.c in Python: rank, world, array, cells, steps, pace, step and stop."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
from deisa_bridge import Bridge, DeisaError

reported: list[DeisaError] = []


def say(text: str) -> None:
    os.write(1, f"{time.monotonic():.6f} {' '.join(text.splitlines())}\n".encode())


def handle(error: DeisaError) -> None:
    reported.append(error)
    rank = -1 if error.rank is None else error.rank
    timestep = -(2**63) if error.timestep is None else error.timestep
    say(f"reported {error.status} {rank} {timestep} {error}")


given = [argument.partition("=")[::2] for argument in sys.argv[1:]]
options = dict(given)
rank, cells = int(options["rank"]), int(options["cells"])
members = [[int(one) for one in text.split(",")] for name, text in given if name == "array"]
mine = [number for number, ranks in enumerate(members) if rank in ranks]


def metadata(ranks: list[int]) -> dict[str, object]:
    return {
        "global_shape": (len(ranks) * cells,),
        "chunk_shape": (cells,),
        "chunk_position": (ranks.index(rank),),
    }


def chunk(number: int, timestep: int) -> np.ndarray:
    return ((number * 64.0 + rank) * 4096.0 + timestep) * 65536.0 + np.arange(cells)


try:
    arrays = {f"a{number}": metadata(members[number]) for number in mine}
    bridge = Bridge(None, arrays, exception_handler=handle, bridge_id=rank, world_size=int(options["world"]))
except DeisaError as error:
    say(f"failed open {error.status} {error}")
    sys.exit(2)
say("ready")
steps = int(options["steps"])
for timestep in range(steps):
    time.sleep(float(options["pace"]))
    if options["step"] == "1":
        if not bridge.begin_step(timestep):
            say(f"skipped {timestep}")
            continue
        for number in mine:
            bridge.put(f"a{number}", chunk(number, timestep))
        bridge.end_step()
        for number in mine:
            say(f"sent {number} {timestep} 0")
    else:
        for number in mine:
            bridge.send(f"a{number}", chunk(number, timestep), timestep)
            say(f"sent {number} {timestep} 0")
    if reported and options["stop"] == "1":
        bridge.abandon()
        sys.exit(3)
bridge.close(steps)
say("closed 0")
