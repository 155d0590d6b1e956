"""The same simulation through deisa-ray's Python bridge and through this one, in turn.

Each run has a Ray of its own, with the same analytics. Prints the blocking time of a send, the start-up and
the memory of both, and their ratios. bench/compare measures more.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

from comparing.records import median, percentile
from comparing.session import OURS, PEER, Phase, Run, RunError, Session
from processes import adopt_orphans, end_children, fail, stop_on_signals

BENCH = Path(__file__).resolve().parent


@dataclass
class Figures:
    """What the runs of one side gave."""

    send: list[float] = field(default_factory=list)  # seconds, of all ranks and timesteps
    start: list[float] = field(default_factory=list)  # seconds, of the slowest rank of each run
    resident: list[float] = field(default_factory=list)  # MiB, of all ranks


def measure(run: Run, timeout: float, figures: Figures) -> None:
    outcome = Session(run, timeout).measure()
    figures.send += outcome.seconds[0]
    figures.start.append(outcome.start)
    figures.resident += outcome.memory.resident


def table(theirs: Figures, ours: Figures) -> list[str]:
    def row(what: str, unit: str, left: float, right: float) -> str:
        return f"{what:<34} {left:>12.2f} {right:>12.2f} {unit:<4} {left / right if right else 0.0:>8.1f} x"

    sides = (theirs, ours)
    return [
        f"{'':<34} {'Python bridge':>12} {'this bridge':>12} {'':<4} {'ratio':>10}",
        row("blocking time of a send, median", "ms", *(1e3 * median(one.send) for one in sides)),
        row("blocking time of a send, p90", "ms", *(1e3 * percentile(one.send, 0.9) for one in sides)),
        row("start-up of the slowest rank", "s", *(median(one.start) for one in sides)),
        row("memory of a rank, median", "MiB", *(median(one.resident) for one in sides)),
        row("memory of a rank, highest", "MiB", *(max(one.resident) for one in sides)),
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
    nbytes = arguments.cells**2 * 8
    phases = (Phase("temperature", nbytes, arguments.steps),)
    theirs, ours = Figures(), Figures()
    try:
        for number in range(arguments.rounds):
            for side, figures in ((PEER, theirs), (OURS, ours)):
                print(f"round {number + 1} of {arguments.rounds}: {side}", flush=True)
                run = Run(side, arguments.ranks, phases, pace=arguments.pace, warm_up=arguments.warm_up)
                measure(run, arguments.timeout, figures)
    except RunError as error:
        fail(str(error))
    finally:
        end_children()
    ranks, steps = arguments.ranks, arguments.steps
    print(f"\n{ranks} ranks, {steps} timesteps, chunks of {nbytes / 2**20:.2f} MiB, {os.cpu_count()} CPUs")
    print("\n".join(table(theirs, ours)))


if __name__ == "__main__":
    main()
