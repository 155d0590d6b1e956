"""Draws one timestep of a trace (DEISA_TRACE): what each process and thread did, on one clock.

timeline.py TRACE PICTURE [--step N] [--rank R]

Without --step, that whose sends took the median time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {
    "send": "lightgrey",
    "end step": "lightgrey",
    "admit": "tab:purple",
    "copy": "tab:blue",
    "loan": "tab:blue",
    "hand over": "tab:orange",
    "acknowledge": "gold",
    "receive": "tab:red",
    "put": "tab:cyan",
    "announce": "tab:green",
}

WHOLE = ("send", "end step")
"""Spans of a whole call of the simulation's; the others of its thread lie inside."""


def read(file: Path) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """The spans, and the names of the processes."""
    events = json.loads(file.read_text())
    names = {one["pid"]: one["args"]["name"] for one in events if one["ph"] == "M"}
    return [one for one in events if one["ph"] == "X"], names


def median_step(spans: list[dict[str, Any]], rank: int) -> int:
    whole = [one for one in spans if one["name"] in WHOLE and one["args"]["rank"] == rank]
    if not whole:
        raise SystemExit(f"the trace has no send of rank {rank}")
    return sorted(whole, key=lambda one: one["dur"])[len(whole) // 2]["args"]["step"]


def draw(spans: list[dict[str, Any]], names: dict[int, str], picture: Path, step: int, rank: int) -> None:
    """Two panels: all of it, and the time that the simulation is blocked."""
    wanted = sorted(
        (one for one in spans if one["args"]["step"] == step and one["args"]["rank"] == rank),
        key=lambda one: one["ts"],
    )
    if not wanted:
        raise SystemExit(f"the trace has nothing of rank {rank}, timestep {step}")
    start = wanted[0]["ts"]
    rows = list(dict.fromkeys((one["pid"], one["tid"]) for one in wanted))
    blocked = max((one["dur"] for one in wanted if one["name"] in WHOLE), default=0.0)
    figure, panels = plt.subplots(2, 1, figsize=(11, 2 * (1.0 + 0.7 * len(rows))))
    for axes, until in zip(panels, (None, 1.15 * blocked), strict=True):
        for one in wanted:
            left, width = one["ts"] - start, max(one["dur"], 0.5)
            if until and left > until:
                continue
            row = rows.index((one["pid"], one["tid"]))
            whole = one["name"] in WHOLE
            axes.barh(row, width, 0.8 if whole else 0.5, left=left, color=COLOURS.get(one["name"], "grey"))
            if until or (not whole and width > 0.02 * (wanted[-1]["ts"] - start)):
                place, turn = (row - 0.38, 0) if whole else (row + 0.28, 25)
                axes.text(left, place, f"{one['name']} {one['dur']:.0f}", fontsize=8, rotation=turn)
        axes.set_yticks(range(len(rows)), [" ".join(names.get(pid, "?").split()[:2]) for pid, _ in rows])
        axes.set_ylim(-0.6, len(rows) + 0.1)
        axes.set_xlim(0, until)
        axes.set_xlabel("microseconds")
    panels[0].set_title(f"rank {rank}, timestep {step}: a row for each thread", fontsize=10)
    panels[1].set_title("the same, while the simulation is blocked", fontsize=10)
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(prog="timeline", description=__doc__)
    parser.add_argument("trace", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--step", type=int)
    parser.add_argument("--rank", type=int, default=0)
    arguments = parser.parse_args()
    spans, names = read(arguments.trace)
    step = median_step(spans, arguments.rank) if arguments.step is None else arguments.step
    draw(spans, names, arguments.picture, step, arguments.rank)
    print(f"picture: {arguments.picture}")


if __name__ == "__main__":
    main()
