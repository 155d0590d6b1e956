"""The rendezvous of up to thousands of simulated ranks, with Gloo: seconds, and bytes over TCP."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import measure

SIZES = ((1, 128), (2, 128), (4, 128), (8, 128), (16, 128), (32, 128), (64, 32), (128, 16))


def run(rounds: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[dict[str, Any]]:
    found = []
    for turn in range(rounds):
        for nodes, per_node in sizes:
            for order in ("block", "cyclic"):
                command = [str(measure.BUILD / "bin" / "scale_rendezvous"), str(nodes), str(per_node), order]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=400, check=True)
                found.append(json.loads(done.stdout) | {"order": order, "round": turn})
                print(text(found[-1]), flush=True)
    return found


def text(one: dict[str, Any]) -> str:
    ranks = one["nodes"] * one["per_node"]
    return (
        f"{one['nodes']:4d} nodes x {one['per_node']:3d} ranks ({one['order']:6s}): rendezvous "
        f"{one['seconds']:7.3f} s, barrier {1e3 * one['barrier']:7.2f} ms, "
        f"{one['bytes'] / 1e6:8.2f} MB over TCP, {one['bytes'] / ranks:8.0f} B per rank"
    )
