"""Charts of bench/scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from model import medians


def draw(found: dict[str, Any], folder: Path) -> None:
    """One PNG per part that was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, figure in (
        ("ranks", ranks),
        ("rendezvous", rendezvous),
        ("registration", registration),
        ("head", head),
    ):
        if part not in found:
            continue
        drawn = figure(found[part])
        drawn.tight_layout()
        drawn.savefig(folder / f"scale-{part}.png", dpi=110)
        plt.close(drawn)
        print(f"chart: {folder / f'scale-{part}.png'}")


def ranks(records: list[dict[str, Any]]) -> plt.Figure:
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6))
    shown = (
        ("start", "first open to last ready (s)", 1.0),
        ("send", "blocking send, median (ms)", 1e3),
        ("step", "a timestep, all ranks (ms)", 1e3),
        ("private", "private memory of a rank\nwithout JVM, largest (MiB)", 2.0**-20),
    )
    for axis, (value, title, scale) in zip(axes, shown, strict=True):
        for acknowledge in ("received", "announced"):
            points = medians([one for one in records if one["acknowledge"] == acknowledge], ("ranks",), value)
            counts = sorted(key for (key,) in points)
            axis.plot(counts, [scale * points[(count,)] for count in counts], "o-", label=acknowledge)
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.set_ylim(bottom=0)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("ranks")
    axes[0].legend(fontsize=8)
    total = records[0]["ranks"] * records[0]["bytes_per_rank"]
    figure.suptitle(f"{total >> 20} MiB a timestep in all, one machine", fontsize=11)
    return figure


def rendezvous(records: list[dict[str, Any]]) -> plt.Figure:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    for axis, value, label, scale in (
        (axes[0], "store_cpu", "CPU of rank 0's store (ms)", 1e3),
        (axes[1], "bytes", "over TCP (MB)", 1e-6),
    ):
        for order in ("block", "cyclic"):
            for many, style in ((True, "o-"), (False, "^--")):
                some = [one for one in records if one["order"] == order and (one["per_node"] == 128) == many]
                points = medians(
                    [one | {"size": one["nodes"] * one["per_node"]} for one in some], ("nodes", "size"), value
                )
                keys = sorted(points, key=lambda key: key[1])
                if keys:
                    name = "nodes of 128" if many else "more, smaller nodes"
                    axis.plot(
                        [k[1] for k in keys],
                        [scale * points[k] for k in keys],
                        style,
                        label=f"{order}, {name}",
                    )
        axis.set_xlabel("simulated ranks")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    axes[0].legend(fontsize=7)
    return figure


def registration(records: list[dict[str, Any]]) -> plt.Figure:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    for axis, value, label, scale in (
        (axes[0], "ready", "deisa_ready (s)", 1.0),
        (axes[1], "step", "timestep (ms)", 1e3),
    ):
        points = medians([one for one in records if one["arrays"] == 1], ("ranks",), value)
        counts = sorted(key for (key,) in points)
        axis.plot(counts, [scale * points[(count,)] for count in counts], "o-")
        axis.set_xlabel("simulated ranks of one node")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    return figure


def head(records: list[dict[str, Any]]) -> plt.Figure:
    figure, axis = plt.subplots(figsize=(5.5, 3.6))
    for value in ("announce", "register"):
        points = medians(records, ("chunks",), value)
        counts = sorted(key for (key,) in points)
        axis.plot(counts, [1e3 * points[(count,)] for count in counts], "o-", label=value)
    axis.set_xlabel("chunks of the node")
    axis.set_ylabel("ms in the head actor, a node and array")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    return figure
