"""Classes for the option `node_actor`: "node_actors:Recorder" and "node_actors:Broken"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deisa.ray.scheduling_actor import NodeActorBase


class Recorder(NodeActorBase):
    """Remembers the chunks that pass through it."""

    async def __init__(self, actor_id: str) -> None:
        self.chunks: list[tuple[int, str, int]] = []
        await super().__init__(actor_id)

    async def add_chunk(
        self, bridge_id: int, array_name: str, chunk_ref: list, dtype: Any, timestep: int
    ) -> None:
        self.chunks.append((bridge_id, array_name, timestep))
        await super().add_chunk(bridge_id, array_name, chunk_ref, dtype, timestep)

    def recorded(self) -> list[tuple[int, str, int]]:
        return self.chunks


class Broken(NodeActorBase):
    """Cannot be made. Leaves a line per attempt in the file `attempts` beside this one."""

    async def __init__(self, actor_id: str) -> None:
        with Path(__file__).with_name("attempts").open("a") as attempts:
            attempts.write(f"{actor_id}\n")
        raise RuntimeError("this node has no room for an actor")
