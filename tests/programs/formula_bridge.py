"""formula.c with deisa-ray's own Python bridge, for comparison: the same settings, values and lines.

Understands rank, world, array, cells, steps, pace, until and hold. Ranks meet at DEISA_MASTER_PORT, not
through MPI, since mpirun would kill the others when one dies.
"""

from __future__ import annotations

import os
import sys
import time
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import numpy as np


def say(*words: object) -> None:
    text = " ".join(str(word) for word in words).replace("\n", " ")
    os.write(1, f"{time.monotonic():.6f} {text}\n".encode())


class Star:
    """deisa.core.ICommunicator: every rank is connected with rank 0."""

    def __init__(self, rank: int, world: int, port: int) -> None:
        self._rank, self._world = rank, world
        self._others: dict[int, Connection] = {}
        if rank == 0:
            with Listener(("127.0.0.1", port), backlog=world) as listener:
                for _ in range(world - 1):
                    one = listener.accept()
                    self._others[one.recv()] = one
            return
        while True:
            try:
                self._root = Client(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        self._root.send(rank)

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return self._world

    def gather(self, data: Any, root: int = 0) -> list[Any] | None:
        if self._rank != root:
            self._root.send(data)
            return None
        return [data, *(self._others[other].recv() for other in sorted(self._others))]

    def bcast(self, data: Any, root: int = 0) -> Any:
        if self._rank != root:
            return self._root.recv()
        for other in self._others.values():
            other.send(data)
        return data

    def barrier(self) -> None:
        self.bcast(self.gather(None))


def main() -> None:
    settings: dict[str, str] = {}
    arrays: list[list[int]] = []
    for argument in sys.argv[1:]:
        name, _, value = argument.partition("=")
        if name == "array":
            arrays.append([int(rank) for rank in value.split(",")])
        else:
            settings[name] = value
    rank, world, cells = int(settings["rank"]), int(settings["world"]), int(settings["cells"])
    steps, pace = int(settings.get("steps", 10)), float(settings.get("pace", 0))
    mine = {i: members.index(rank) for i, members in enumerate(arrays) if rank in members}
    metadata = {
        f"a{i}": {
            "global_shape": (cells * len(arrays[i]),),
            "chunk_shape": (cells,),
            "chunk_position": (position,),
        }
        for i, position in mine.items()
    }
    from deisa.ray import Bridge

    bridge = Bridge(Star(rank, world, int(os.environ["DEISA_MASTER_PORT"])), metadata)
    say("ready")
    for timestep in range(steps):
        time.sleep(pace)
        if "until" in settings and os.path.exists(settings["until"]):
            break
        for i in mine:
            base = ((i * 64.0 + rank) * 4096.0 + timestep) * 65536.0
            bridge.send(f"a{i}", base + np.arange(cells), timestep)
            say("sent", i, timestep, 0)
    if "hold" in settings:
        say("held")
        while not os.path.exists(settings["hold"]):
            time.sleep(0.01)
    bridge.close(steps)
    say("closed", 0)


if __name__ == "__main__":
    main()
