"""Writes the figures of bench/scale into docs/scale.md, between its markers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model import medians, project


def write(found: dict[str, Any], document: Path) -> None:
    """Replaces what stands between `<!-- NAME -->` and `<!-- end -->`. ValueError if one is missing."""
    text = document.read_text()
    for name, table in (
        ("ranks", ranks(found)),
        ("aggregate", aggregate(found)),
        ("rendezvous", rendezvous(found)),
        ("store", store(found)),
        ("projection", project(found)),
    ):
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda m, t=table: m[1] + t + "\n" + m[2],
            text,
            flags=re.S,
        )
        if count != 1:
            raise ValueError(f"{document} has {count} places for '{name}', expected 1")
    document.write_text(text)


def ranks(found: dict[str, Any]) -> str:
    records = found["ranks"]
    heads = ("ranks", "acknowledge", "open to ready", "blocking send", "timestep")
    heads += ("private memory, rank without JVM", "with JVM", "JVMs")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    values = {
        name: medians(records, ("ranks", "acknowledge"), name)
        for name in ("start", "send", "step", "private", "private_with_jvm")
    }
    for key in sorted(values["start"], key=lambda key: (key[1] != "received", key[0])):
        jvms = {one["jvms"] for one in records if (one["ranks"], one["acknowledge"]) == key}
        lines.append(
            f"| {key[0]} | {key[1]} | {values['start'][key]:.2f} s | {1e3 * values['send'][key]:.2f} ms "
            f"| {1e3 * values['step'][key]:.1f} ms | {values['private'][key] / 2**20:.2f} MiB "
            f"| {values['private_with_jvm'][key] / 2**20:.0f} MiB | {', '.join(map(str, sorted(jvms)))} |"
        )
    return "\n".join(lines)


def aggregate(found: dict[str, Any]) -> str:
    records = found["aggregate"]
    rows = (
        ("until a timestep is announced", "announced", "{:.1f} ms", 1e3),
        ("last send to result", "result", "{:.0f} ms", 1e3),
        ("all timesteps, to the last result", "all", "{:.2f} s", 1),
        ("objects, references of a timestep", "objects", "{:.0f}", 1),
        ("Dask tasks of a timestep", "tasks", "{:.0f}", 1),
        ("CPU time of a timestep, node actor", "node", "{:.1f} ms", 1e3),
        ("CPU time of a timestep, head actor", "head", "{:.2f} ms", 1e3),
    )
    ranks = records[0]["ranks"]
    what = f"{ranks} ranks x {records[0]['bytes'] >> 10} KiB, one node"
    lines = [f"| {what} | `none` | `node` | ratio | one rank, one chunk |", "|---|---|---|---|---|"]
    for name, key, form, scale in rows:
        values = medians(records, ("aggregate", "ranks"), key)
        none, node, alone = (values[each] for each in (("none", ranks), ("node", ranks), ("none", 1)))
        shown = [form.format(scale * value) for value in (none, node, alone)]
        lines.append(f"| {name} | {shown[0]} | {shown[1]} | {none / node:.1f} | {shown[2]} |")
    return "\n".join(lines)


def rendezvous(found: dict[str, Any]) -> str:
    def row(nodes: int, per_node: int, order: str, values: list[float]) -> str:
        seconds, barrier, store, sent = values
        return (
            f"| {nodes} x {per_node} | {order} | {seconds:.2f} s | {1e3 * barrier:.1f} ms "
            f"| {1e3 * store:.1f} ms | {sent / 1e6:.2f} MB | {sent / nodes / per_node:.0f} |"
        )

    heads = "| nodes x ranks | order | rendezvous | barrier | CPU of the store | over TCP | bytes per rank |"
    return _by_shape(found["rendezvous"], ("seconds", "barrier", "store_cpu", "bytes"), heads, row)


def store(found: dict[str, Any]) -> str:
    def row(nodes: int, per_node: int, order: str, values: list[float]) -> str:
        cpu, memory, sent, connections = values
        return (
            f"| {nodes:,} x {per_node} | {order} | {cpu:.2f} s | {memory / 2**20:.0f} MiB "
            f"| {sent / 1e6:.1f} MB | {connections:,.0f} |"
        )

    heads = "| nodes x ranks | order | CPU of the store | its memory | to and fro | connections |"
    return _by_shape(found["store"], ("store_cpu", "memory", "bytes", "connections"), heads, row)


def _by_shape(
    records: list[dict[str, Any]], names: tuple[str, ...], heads: str, row: Callable[..., str]
) -> str:
    """A row for each number of nodes and ranks and each order, of the medians of `names`."""
    values = [medians(records, ("nodes", "per_node", "order"), name) for name in names]
    rows = [row(*shape, [of_name[shape] for of_name in values]) for shape in values[0]]
    return "\n".join([heads, "|---" * (heads.count("|") - 1) + "|", *rows])
