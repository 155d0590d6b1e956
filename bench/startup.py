"""Where the time of a start goes, from the first rank's deisa_ready to the last one's return from it.

Every start is the first one on a Ray of its own, with analytics that wait already. Several builds (of other
checkouts) are measured in turn. Prints the median of each span, and draws the run with the median total.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from local_ray import LocalRay
from ports import free_port
from processes import Child, adopt_orphans, end_children, stop_on_signals

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent

NO_TIMESTEP = -(1 << 63)
SHOWN = 0.01
"""Seconds: shorter spans are not drawn."""


@dataclass(frozen=True)
class Span:
    """Of the file that DEISA_TRACE names, in seconds since the first rank's deisa_ready."""

    who: str
    what: str
    begin: float
    end: float

    @property
    def name(self) -> str:
        return f"{self.who}: {self.what}"


@dataclass(frozen=True)
class Start:
    spans: list[Span]

    @property
    def total(self) -> float:
        return max(span.end for span in self.spans if span.what == "ready")

    def of_leader(self) -> list[Span]:
        """Those of rank 0 and of what it waits for; the other ranks wait for it."""
        mine = [span for span in self.spans if not span.who.startswith("rank ") or span.who == "rank 0"]
        return sorted((span for span in mine if span.what != "ready"), key=lambda span: span.begin)


def read(path: Path) -> Start:
    events = [one for one in json.loads(path.read_text()) if one["ph"] == "X"]
    events = [one for one in events if one["args"]["step"] == NO_TIMESTEP]
    zero = min(one["ts"] for one in events if one["name"] == "ready")
    spans = []
    for one in events:
        rank = one["args"]["rank"]
        who, separator, what = one["name"].partition(": ")
        if not separator:
            who, what = "node actor" if rank < 0 else f"rank {rank}", one["name"]
        begin = 1e-6 * (one["ts"] - zero)
        spans.append(Span(who, what, begin, begin + 1e-6 * one["dur"]))
    return Start(spans)


def wait_for_line(child: Child, text: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not any(text in line for line in list(child.lines)):
        if child.status() is not None or time.monotonic() > end:
            raise RuntimeError(f"{child.name} did not say '{text}': {child.lines[-20:]}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Variant:
    """What is measured: a build, and variables of the ranks."""

    build: Path
    variables: dict[str, str]


def measure(variant: Variant, ranks: int, seconds: float) -> Start:
    """One start of the ranks of programs/formula.c."""
    folder = Path(tempfile.mkdtemp(prefix="dS", dir="/tmp"))
    children: list[Child] = []
    try:
        with LocalRay(cpus=2, object_store_bytes=256 << 20) as ray:
            asked = json.dumps({"arrays": {"a0": list(range(ranks))}, "cells": 1024})
            program = [sys.executable, str(ROOT / "tests" / "programs" / "formula_analytics.py"), asked]
            children.append(Child("analytics", program, ray.environment, show=False))
            wait_for_line(children[0], '"started"', seconds)
            environment = ray.environment | {
                "DEISA_MASTER_PORT": str(free_port()),
                "DEISA_TRACE": str(folder / "trace"),
                **variant.variables,
            }
            members = ",".join(str(rank) for rank in range(ranks))
            for rank in range(ranks):
                command = [
                    str(variant.build / "bin" / "formula"),
                    f"rank={rank}",
                    f"world={ranks}",
                    "steps=2",
                ]
                command += ["steps=2", f"array={members}"]
                children.append(Child(f"rank {rank}", command, environment, show=False))
            for child in reversed(children):
                if child.wait(seconds) != 0:
                    raise RuntimeError(f"{child.name}: status {child.status()}: {child.lines[-20:]}")
        return read(folder / "trace")
    finally:
        for child in children:
            child.end(grace=0.0)
        shutil.rmtree(folder, ignore_errors=True)


def middle(starts: list[Start]) -> Start:
    return sorted(starts, key=lambda start: start.total)[len(starts) // 2]


def show(name: str, starts: list[Start]) -> None:
    totals = [start.total for start in starts]
    low, high = min(totals), max(totals)
    print(f"\n{name}: {statistics.median(totals):.2f} s ({low:.2f} to {high:.2f}, {len(totals)} starts)")
    spans: dict[str, list[Span]] = {}
    for start in starts:
        for span in start.of_leader():
            spans.setdefault(span.name, []).append(span)
    for label, found in sorted(spans.items(), key=lambda item: statistics.median(s.begin for s in item[1])):
        begin = statistics.median(span.begin for span in found)
        length = statistics.median(span.end - span.begin for span in found)
        if length >= SHOWN:
            print(f"  {begin:6.2f} s  + {length:5.2f} s  {label}")


def draw(path: Path, measured: dict[str, list[Start]], ranks: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chosen = {name: middle(starts) for name, starts in measured.items()}
    rows = [[s for s in start.of_leader() if s.end - s.begin >= SHOWN] for start in chosen.values()]
    figure, axes = pyplot.subplots(
        len(chosen),
        1,
        sharex=True,
        squeeze=False,
        figsize=(10.0, 1.0 + sum(0.24 * len(spans) + 0.7 for spans in rows)),
        height_ratios=[len(spans) + 1 for spans in rows],
    )
    colours = {
        "rank": "tab:blue",
        "Java": "tab:orange",
        "control": "tab:orange",
        "task": "tab:green",
        "node": "tab:red",
    }
    for axis, (name, start), spans in zip(axes[:, 0], chosen.items(), rows, strict=True):
        for row, span in enumerate(spans):
            begin = max(span.begin, -0.5)
            axis.barh(row, span.end - begin, left=begin, color=colours[span.who.split(" ")[0]], height=0.7)
        axis.set_yticks(range(len(spans)), [span.name for span in spans], fontsize=8)
        axis.invert_yaxis()
        axis.axvline(start.total, color="black", linewidth=0.8)
        axis.grid(axis="x", alpha=0.3)
        median = statistics.median(one.total for one in measured[name])
        axis.set_title(f"{name}: all {ranks} ranks ready after {median:.2f} s (median)", fontsize=9)
    axes[-1, 0].set_xlabel("seconds since the first rank called deisa_ready")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="startup", description=__doc__)
    parser.add_argument("--ranks", type=int, default=4, help="of one node (%(default)s)")
    parser.add_argument("--runs", type=int, default=7, help="starts of each build (%(default)s)")
    parser.add_argument(
        "--build",
        action="append",
        metavar="NAME=FOLDER[,VARIABLE=VALUE]...",
        help="a build folder, with a name for the chart; may be repeated (this checkout's)",
    )
    parser.add_argument("--plot", type=Path, default=ROOT / "out" / "startup.png", help="(%(default)s)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds, for one run")
    arguments = parser.parse_args()
    given = arguments.build or [f"this build={ROOT / 'build'}"]
    arguments.builds = {}
    for one in given:
        name, _, rest = one.partition("=")
        folder, *variables = rest.split(",")
        if not (Path(folder) / "bin" / "formula").exists():
            parser.error(f"--build {one}: {folder} has no bin/formula")
        pairs = dict(variable.split("=", 1) for variable in variables)
        arguments.builds[name] = Variant(Path(folder).resolve(), pairs)
    if arguments.ranks < 1 or arguments.runs < 1:
        parser.error("--ranks and --runs: expected at least 1")
    return arguments


def main() -> None:
    arguments = read_arguments()
    adopt_orphans()
    stop_on_signals()
    measured: dict[str, list[Start]] = {name: [] for name in arguments.builds}
    try:
        for _ in range(arguments.runs):
            for name, variant in arguments.builds.items():
                measured[name].append(measure(variant, arguments.ranks, arguments.timeout))
                print(f"{name}: {measured[name][-1].total:.2f} s", flush=True)
    finally:
        end_children()
    print(f"\n{arguments.ranks} ranks, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    for name, starts in measured.items():
        show(name, starts)
    draw(arguments.plot, measured, arguments.ranks)
    print(f"\nchart: {arguments.plot}")


if __name__ == "__main__":
    main()
