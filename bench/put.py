"""What bench/compare holds sustained-16MiB-stored against: `ray.put` of the same bytes in one process, alone
and while the head actor and the analytics work beside it.

put.py BYTES COUNT WARM

Prints the seconds that COUNT puts took, one after the other. Before that it puts WARM bytes and drops them,
so that neither it nor the run that follows touches the store's memory for the first time. The objects are
kept, as those of a simulation are until the analytics have read them.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import ray


class Bridge:
    """The least that a bridge in Python can do: of one rank, whose process puts its chunks and notifies the
    head actor, of the next one when it has answered: two calls may overtake each other. For send.py."""

    def __init__(self, comm: Any, arrays_metadata: dict[str, dict[str, Any]]) -> None:
        assert comm.Get_size() == 1
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR", namespace="deisa_ray")
        self._node = ray.get_runtime_context().get_node_id()
        self._head = self._find_head()
        self._answer: ray.ObjectRef | None = None
        self.seconds = 0.0
        """That ray.put took, in all."""
        ray.get(self._head.wait_until_analytics_ready.remote())
        for name, one in arrays_metadata.items():
            self._register(name, (1,), one["chunk_shape"])

    @staticmethod
    def _find_head() -> Any:
        end = time.monotonic() + 60.0
        while True:
            try:
                return ray.get_actor("simulation_head", namespace="deisa_ray")
            except ValueError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _register(self, name: str, grid: tuple[int, ...], shape: tuple[int, ...]) -> None:
        described = [(0, (0,) * len(grid), shape)]
        ray.get(self._head.register_partial_array.remote(self._node, name, grid, described))

    def send(self, array_name: str, chunk: np.ndarray, timestep: int) -> None:
        begin = time.perf_counter()
        reference = ray.put(chunk)
        self.seconds += time.perf_counter() - begin
        where = {(0,) * chunk.ndim: reference}
        if self._answer is not None:
            ray.get(self._answer)
        self._answer = self._head.chunks_ready.remote(array_name, timestep, where, self._node, chunk.dtype)

    def close(self, timestep: int) -> None:
        from deisa_bridge.status import END_MARKER_ARRAY

        self._register(END_MARKER_ARRAY, (1, 1), (1, 1))
        self.send(END_MARKER_ARRAY, np.zeros((1, 1), np.int16), timestep)
        ray.get(self._answer)


def main() -> None:
    nbytes, count, warm = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ray.init(address="auto", log_to_driver=False, logging_level="ERROR", namespace="deisa_bench")
    array = np.ones(nbytes // 8)
    touched = [ray.put(array) for _ in range(warm // nbytes)]
    del touched
    kept = []
    begin = time.perf_counter()
    for _ in range(count):
        kept.append(ray.put(array))
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "rate": nbytes * count / seconds}), flush=True)


if __name__ == "__main__":
    main()
