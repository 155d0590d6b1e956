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


def one_run(program: str, nodes: int, per_node: int, order: str) -> dict[str, Any]:
    command = [str(measure.BUILD / "bin" / program), str(nodes), str(per_node), order]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=400, check=True)
    return json.loads(done.stdout) | {"order": order}


def cases(program: str, sizes: tuple[tuple[int, int], ...]) -> list[tuple[str, int, int, str]]:
    return [(program, *size, order) for size in sizes for order in ("block", "cyclic")]


def run(rounds: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[dict[str, Any]]:
    return measure.in_turn(rounds, cases("scale_rendezvous", sizes), one_run, text)


def store(rounds: int, sizes: tuple[tuple[int, int], ...] = STORES) -> list[dict[str, Any]]:
    return measure.in_turn(rounds, cases("scale_store", sizes), one_run, store_text)


def store_text(one: dict[str, Any]) -> str:
    return (
        f"{one['nodes']:4d} nodes x {one['per_node']:3d} ranks ({one['order']:6s}): "
        f"{one['store_cpu']:.2f} s CPU of the store, {one['seconds']:.2f} s in all, "
        f"{one['bytes'] / 1e6:.1f} MB, {one['memory'] / 2**20:.0f} MiB"
    )


def text(one: dict[str, Any]) -> str:
    ranks = one["nodes"] * one["per_node"]
    return (
        f"{one['nodes']:4d} nodes x {one['per_node']:3d} ranks ({one['order']:6s}): rendezvous "
        f"{one['seconds']:7.3f} s, barrier {1e3 * one['barrier']:7.2f} ms, "
        f"{1e3 * one['store_cpu']:7.1f} ms CPU of the store, "
        f"{one['bytes'] / 1e6:8.2f} MB over TCP, {one['bytes'] / ranks:8.0f} B per rank"
    )
