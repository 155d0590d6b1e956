"""deisa-ray's head actor alone, as published: simulated node actors announce to it as fast as it takes them.

What is measured is the time of one announcement (an array's chunks of one node) in the head actor, by the
number of chunks in it, and that of one registration.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import ray
from local_ray import LocalRay

CHUNKS = (1, 8, 32, 128)


def run(
    rounds: int, nodes: int = 50, chunks: tuple[int, ...] = CHUNKS, steps: int = 5
) -> list[dict[str, Any]]:
    found = []
    with LocalRay(cpus=2, object_store_bytes=512 << 20) as local:
        ray.init(local.address, namespace="deisa_ray", logging_level="error", log_to_driver=False)
        try:
            for turn in range(rounds):
                for count in chunks:
                    found.append(one_run(nodes, count, steps) | {"round": turn})
                    print(text(found[-1]), flush=True)
        finally:
            ray.shutdown()
    return found


def one_run(nodes: int, chunks: int, steps: int) -> dict[str, Any]:
    from deisa.ray.head_node import HeadNodeActor

    head = HeadNodeActor.options(num_cpus=0, max_concurrency=1000, enable_task_events=False).remote()
    ray.get(head.exchange_config.remote({"experimental_distributed_scheduling_enabled": False}))
    grid = (nodes * chunks,)
    begin = time.monotonic()
    ray.get(
        [
            head.register_partial_array.remote(
                f"node{node}",
                "field",
                grid,
                [(i, (i,), (1,)) for i in range(node * chunks, (node + 1) * chunks)],
            )
            for node in range(nodes)
        ]
    )
    registered = time.monotonic() - begin
    inner = [ray.put(np.zeros(1)) for _ in range(chunks)]
    announced = []
    for step in range(steps):
        begin = time.monotonic()
        ray.get(
            [
                head.chunks_ready.remote(
                    "field",
                    step,
                    {(node * chunks + i,): inner[i] for i in range(chunks)},
                    f"node{node}",
                    np.dtype(np.float64),
                )
                for node in range(nodes)
            ]
        )
        announced.append(time.monotonic() - begin)
        ray.get(head.get_next_array.remote())
    ray.kill(head)
    return {
        "nodes": nodes,
        "chunks": chunks,
        "register": registered / nodes,
        "announce": sorted(announced)[len(announced) // 2] / nodes,
    }


def text(one: dict[str, Any]) -> str:
    return (
        f"head actor, {one['nodes']} nodes with {one['chunks']:3d} chunks each: "
        f"register {1e3 * one['register']:6.2f} ms, announce {1e3 * one['announce']:6.2f} ms a node and array"
    )
