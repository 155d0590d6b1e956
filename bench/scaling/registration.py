"""Simulated ranks of one node, with a real node actor and real analytics: how `deisa_ready` and a timestep
grow with the ranks."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import measure
from local_ray import LocalRay
from processes import Child

SIZES = ((16, 1), (32, 1), (64, 1), (128, 1), (256, 1), (512, 1), (128, 8))
STEPS = 6


def run(rounds: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[dict[str, Any]]:
    found = []
    for turn in range(rounds):
        for ranks, arrays in sizes:
            found.append(one_run(ranks, arrays) | {"round": turn})
            print(text(found[-1]), flush=True)
    return found


def one_run(ranks: int, arrays: int) -> dict[str, Any]:
    command = [str(measure.BUILD / "bin" / "scale_registration"), str(ranks), str(arrays), str(STEPS)]
    with LocalRay(cpus=2, object_store_bytes=512 << 20) as ray:
        analytics = Child("analytics", measure.analytics(ranks, 8), ray.environment, show=False)
        try:
            done = subprocess.run(
                command, env=ray.environment, stdout=subprocess.PIPE, text=True, timeout=300, check=True
            )
            if analytics.wait(120) != 0 or f"{STEPS} timesteps analysed, 0 wrong" not in analytics.lines:
                raise RuntimeError("\n".join(["the analytics said:", *analytics.lines]))
        finally:
            analytics.end(grace=1.0)
    return json.loads(done.stdout)


def text(one: dict[str, Any]) -> str:
    return (
        f"{one['ranks']:4d} ranks of one node, {one['arrays']} arrays: ready {one['ready']:6.2f} s, "
        f"a timestep {1e3 * one['step']:7.1f} ms until announced"
    )
