"""The picture of bench/back_pressure: a column for each run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from back_pressure import Samples


def draw(path: Path, runs: list[Samples]) -> None:
    """Draws what was measured each second of every run."""
    figure, rows = plt.subplots(
        3,
        len(runs),
        figsize=(6 * len(runs), 9),
        layout="constrained",
        sharex="col",
        sharey="row",
        squeeze=False,
    )
    for column, run in enumerate(runs):
        store, memory, steps = (row[column] for row in rows)
        store.set_title(f"when_full = {run.when_full}")
        store.fill_between(run.at, run.store, alpha=0.4, label="in use")
        store.axhline(run.allowed, color="tab:red", linestyle="--", label="store_threshold")
        memory.plot(run.at, run.node_actor, label="node actor")
        for rank, values in enumerate(zip(*run.ranks, strict=True)):
            memory.plot(run.at, values, label=f"rank {rank}, with its slots")
        memory.set_ylim(bottom=0.0)
        steps.plot(run.at, run.begun, label="begun or skipped by the simulation")
        steps.plot(run.at, run.analysed, label="analysed")
        steps.set_xlabel("seconds")
        for axis in (store, memory, steps):
            axis.legend(loc="best", fontsize="small")
            axis.grid(alpha=0.3)
    for row, label in zip(rows, ("object store, MiB", "memory, MiB", "timesteps"), strict=True):
        row[0].set_ylabel(label)
    figure.savefig(path, dpi=80)
    plt.close(figure)
