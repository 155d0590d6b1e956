"""The same simulation through deisa-ray's Python bridge and through this one, in turn.

Each side gets a Ray of its own, with the same analytics. Prints the blocking time of a send, the start-up and
the memory of both, and their ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples" / "heat"))

from local_ray import LocalRay  # noqa: E402
from processes import Child, adopt_orphans, end_children, fail, stop_on_signals  # noqa: E402


@dataclass
class Figures:
    """What the runs of one side gave."""

    send: list[float] = field(default_factory=list)  # seconds, of all ranks and timesteps
    start: list[float] = field(default_factory=list)  # seconds, of the slowest rank of each run
    resident: list[float] = field(default_factory=list)  # MiB, of all ranks

    def add(self, lines: list[str], ranks: int, steps: int, warm_up: int) -> None:
        found = [json.loads(line) for line in lines if line.startswith('{"rank":')]
        if len(found) != ranks or any(len(one["send"]) != steps for one in found):
            fail(f"the simulation printed the figures of {len(found)} of {ranks} ranks")
        for one in found:
            self.send += one["send"][warm_up:]
            self.resident.append(one["resident_kib"] / 1024)
        self.start.append(max(one["start"] for one in found))


def run(name: str, program: list[str], arguments: argparse.Namespace, figures: Figures) -> None:
    """One run of one side."""
    deadline = time.monotonic() + arguments.timeout
    mpirun = ["mpirun", "--oversubscribe", "-n", str(arguments.ranks)]
    mpirun += ["--allow-run-as-root"] if os.geteuid() == 0 else []
    command = [*mpirun, *program, str(arguments.cells), str(arguments.steps), str(arguments.pace)]
    analytics_command = [sys.executable, str(ROOT / "bench" / "analytics.py"), str(arguments.ranks)]
    with LocalRay() as ray, contextlib.ExitStack() as cleanup:
        analytics = Child("analytics", analytics_command, ray.environment, show=False)
        cleanup.callback(analytics.end)
        simulation = Child("simulation", command, ray.environment, show=False)
        cleanup.callback(simulation.end)
        while (
            running := analytics.status() is None or simulation.status() is None
        ) and time.monotonic() < deadline:
            if analytics.status() or simulation.status():
                break
            time.sleep(0.05)
        for child in (analytics, simulation):
            if child.status() != 0:
                print("\n".join(child.lines[-30:]), file=sys.stderr)
                what = (
                    f"did not end within {arguments.timeout:.0f} s"
                    if running
                    else f"failed: {child.status()}"
                )
                fail(f"{name}: the {child.name} {what}")
            child.wait_output()
        if f"{arguments.steps} timesteps analysed, 0 wrong" not in analytics.lines:
            fail(f"{name}: the analytics said {analytics.lines[-1:]}")
    figures.add(simulation.lines, arguments.ranks, arguments.steps, arguments.warm_up)


def table(theirs: Figures, ours: Figures) -> list[str]:
    def row(what: str, unit: str, left: float, right: float) -> str:
        return f"{what:<34} {left:>12.2f} {right:>12.2f} {unit:<4} {left / right if right else 0.0:>8.1f} x"

    def percentile(values: list[float], part: float) -> float:
        return sorted(values)[min(int(part * len(values)), len(values) - 1)]

    return [
        f"{'':<34} {'Python bridge':>12} {'this bridge':>12} {'':<4} {'ratio':>10}",
        row(
            "blocking time of a send, median",
            "ms",
            *(1e3 * statistics.median(s.send) for s in (theirs, ours)),
        ),
        row("blocking time of a send, p90", "ms", *(1e3 * percentile(s.send, 0.9) for s in (theirs, ours))),
        row("start-up of the slowest rank", "s", *(statistics.median(s.start) for s in (theirs, ours))),
        row("memory of a rank, median", "MiB", *(statistics.median(s.resident) for s in (theirs, ours))),
        row("memory of a rank, highest", "MiB", *(max(s.resident) for s in (theirs, ours))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="baseline", description=__doc__)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument(
        "--cells", type=int, default=512, help="per dimension of a float64 chunk (512: 2 MiB)"
    )
    parser.add_argument("--pace", type=float, default=0.1, help="seconds between sends, as if a solver ran")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side, in turn")
    parser.add_argument("--warm-up", type=int, default=5, help="first timesteps of a run that do not count")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds, for one run")
    arguments = parser.parse_args()
    if min(arguments.ranks, arguments.steps, arguments.cells, arguments.rounds) < 1:
        parser.error("--ranks, --steps, --cells and --rounds must be at least 1")
    if not 0 <= arguments.warm_up < arguments.steps:
        parser.error("--warm-up must be less than --steps")
    adopt_orphans()
    stop_on_signals()
    theirs, ours = Figures(), Figures()
    try:
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}: deisa-ray's Python bridge", flush=True)
            run("Python bridge", [sys.executable, str(ROOT / "bench" / "send.py")], arguments, theirs)
            print(f"round {number + 1} of {arguments.rounds}: this bridge", flush=True)
            run("this bridge", [str(ROOT / "build" / "bin" / "send")], arguments, ours)
    finally:
        end_children()
    size = arguments.cells**2 * 8 / 2**20
    ranks, steps = arguments.ranks, arguments.steps
    print(f"\n{ranks} ranks, {steps} timesteps, chunks of {size:.2f} MiB, {os.cpu_count()} CPUs")
    print("\n".join(table(theirs, ours)))


if __name__ == "__main__":
    main()
