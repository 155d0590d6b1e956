"""Pictures of what was measured."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from comparing import matrix
from comparing.records import Record, median, percentile
from comparing.session import OURS, PEER, Outcome

COLOURS = {"peer": "tab:red", "received": "tab:blue", "stored": "tab:cyan", "announced": "tab:green"}


def draw(folder: Path, found: list[Record], outcomes: dict[str, Outcome]) -> list[Path]:
    """Makes the pictures for which there are figures. Their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [_targets(folder / "compare-targets.png", found)]
    for work, called in matrix.WORKS.items():
        if any(key.startswith("matrix-") and f"-{called}-" in key for key in outcomes):
            files.append(_sends(folder / f"compare-send-{called}.png", work, outcomes))
            files.append(_bars(folder / f"compare-runs-{called}.png", work, outcomes))
    return files


def _targets(file: Path, found: list[Record]) -> Path:
    """How far each target is passed, or missed: 1 is the target, more is better."""
    first: dict[str, Record] = {}
    for one in found:
        if one.target is not None and one.ratio:
            first.setdefault(one.case, one)
    names = list(first)
    margins = []
    for one in first.values():
        assert one.ratio is not None and one.target is not None
        margins.append(one.ratio / one.target if one.rule == "at least" else one.target / one.ratio)
    figure, axes = plt.subplots(figsize=(9, 0.4 * len(names) + 1.2))
    axes.barh(names, margins, color=["tab:green" if margin >= 1 else "tab:red" for margin in margins])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("times the target (1: reached)")
    return _save(figure, file)


def _sends(file: Path, work: str, outcomes: dict[str, Outcome]) -> Path:
    """Blocking time by size, a panel for each number of ranks: medians, and up to p90."""
    figure, panels = plt.subplots(1, len(matrix.RANKS), figsize=(15, 5), sharey=True)
    for axes, ranks in zip(panels, matrix.RANKS, strict=True):
        for name, colour in COLOURS.items():
            side, level = (PEER, "") if name == "peer" else (OURS, name)
            outcome = outcomes.get(matrix.key(side, ranks, level, work))
            if outcome is None:
                continue
            points = [(size, matrix.times(outcome, label)) for label, size in matrix.SIZES.items()]
            sizes = [size for size, values in points if values]
            middle = [1e3 * median(values) for _, values in points if values]
            high = [1e3 * percentile(values, 0.9) for _, values in points if values]
            label = "Python bridge" if name == "peer" else f"this bridge, {name}"
            axes.plot(sizes, middle, marker="o", color=colour, label=label)
            axes.fill_between(sizes, middle, high, color=colour, alpha=0.15)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(list(matrix.SIZES.values()), list(matrix.SIZES), rotation=45)
        axes.set_title(f"{ranks} rank{'s' if ranks > 1 else ''}")
        axes.set_xlabel("chunk of a rank")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("blocking send, ms: median to p90")
    panels[0].legend()
    figure.suptitle(f"Blocking time of a send, {matrix.WORKS[work]} analytics")
    return _save(figure, file)


def _bars(file: Path, work: str, outcomes: dict[str, Outcome]) -> Path:
    """Start-up, memory, rate and CPU time, by number of ranks."""
    figures = {
        "start-up of the slowest rank, s": lambda one: one.start,
        "resident memory of all ranks, MiB": lambda one: sum(one.memory.resident),
        "timesteps per second, 256 KiB": matrix.rate,
        "CPU time per timestep, ms": lambda one: 1e3 * one.cpu / sum(p.steps for p in one.phases),
    }
    figure, panels = plt.subplots(1, len(figures), figsize=(16, 4))
    for axes, (title, value) in zip(panels, figures.items(), strict=True):
        for position, (name, colour) in enumerate(COLOURS.items()):
            side, level = (PEER, "") if name == "peer" else (OURS, name)
            keys = [matrix.key(side, ranks, level, work) for ranks in matrix.RANKS]
            heights = [value(outcomes[one]) if one in outcomes else 0.0 for one in keys]
            places = [place + 0.2 * (position - 1.5) for place in range(len(keys))]
            axes.bar(places, heights, 0.2, color=colour, label=name if name != "peer" else "Python bridge")
        axes.set_xticks(range(len(matrix.RANKS)), [f"{ranks}" for ranks in matrix.RANKS])
        axes.set_xlabel("ranks")
        axes.set_title(title, fontsize=10)
    panels[0].legend()
    return _save(figure, file)


def _save(figure: plt.Figure, file: Path) -> Path:
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file
