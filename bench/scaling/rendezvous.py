"""The rendezvous of up to thousands of simulated ranks, with Gloo: seconds, and bytes over TCP; and what rank
0's store alone has to do for many more."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import measure

SIZES = ((1, 128), (2, 128), (4, 128), (8, 128), (16, 128), (32, 128), (64, 32), (128, 16))

STORES = ((250, 128), (500, 128), (1000, 128))
"""Nodes and ranks that only the store serves: a single process plays all of them."""


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


def store(rounds: int, sizes: tuple[tuple[int, int], ...] = STORES) -> list[dict[str, Any]]:
    found = []
    for turn in range(rounds):
        for nodes, per_node in sizes:
            for order in ("block", "cyclic"):
                command = [str(measure.BUILD / "bin" / "scale_store"), str(nodes), str(per_node), order]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=400, check=True)
                one = json.loads(done.stdout) | {"order": order, "round": turn}
                print(
                    f"{nodes:4d} nodes x {per_node:3d} ranks ({order:6s}): {one['store_cpu']:.2f} s CPU of "
                    f"the store, {one['seconds']:.2f} s in all, {one['bytes'] / 1e6:.1f} MB, "
                    f"{one['memory'] / 2**20:.0f} MiB",
                    flush=True,
                )
                found.append(one)
    return found


def text(one: dict[str, Any]) -> str:
    ranks = one["nodes"] * one["per_node"]
    return (
        f"{one['nodes']:4d} nodes x {one['per_node']:3d} ranks ({one['order']:6s}): rendezvous "
        f"{one['seconds']:7.3f} s, barrier {1e3 * one['barrier']:7.2f} ms, "
        f"{1e3 * one['store_cpu']:7.1f} ms CPU of the store, "
        f"{one['bytes'] / 1e6:8.2f} MB over TCP, {one['bytes'] / ranks:8.0f} B per rank"
    )
