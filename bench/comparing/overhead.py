"""The case overhead-128MiB: what the bridge adds to an iteration of a simulation that computes.

Two programs stand beside the same Ray and analytics: the simulation with the bridge, and alone. They take
turns, a few iterations each, so that what else the machine does, and how fast it is, falls on both.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_ray import LocalRay
from processes import Child, cpu_seconds, descendants

from comparing.records import Record, compare, median
from comparing.session import BENCH, BUILD, OURS, PEER, STORE_BYTES, Outcome, Run, RunError, Session, mpirun

CASES = {"copy": "overhead-128MiB", "loan": "overhead-128MiB-loan"}
LIMITS = {"copy": 1.05, "loan": 1.02}
"""Of the time of an iteration with the bridge, less the analytics' part, to that of one without."""
RANKS = (1, 2)
ALONE = "alone"

WARM_UP = 9
"""Short iterations of each way to send: all pages of slots and store have been used then."""


@dataclass(frozen=True)
class Overhead(Run):
    """The run of one side. Outcome.extra has "seconds": for ALONE and each way to send, those of all
    iterations; and "analytics": CPU seconds of the analytics per iteration of each way to send."""

    rounds: int = 6
    iterations: int = 4
    rows: int = 4096  # of 32 KiB, per rank
    seconds: float = 1.0  # that an iteration is to compute for

    def measure(self, timeout: float) -> Outcome:
        return _Turns(self, timeout).measure()

    @property
    def ways(self) -> tuple[str, ...]:
        """How the simulation sends: deisa-ray's bridge has no loans."""
        return ("copy", "loan") if self.side == OURS else ("copy",)


def runs(quick: bool) -> dict[str, Overhead]:
    rounds, iterations = (3, 2) if quick else (8, 3)
    return {
        f"{ranks}-overhead-{name}": Overhead(side, ranks, (), rounds=rounds, iterations=iterations)
        for ranks in RANKS
        for name, side in (("peer", PEER), ("ours", OURS))
    }


class _Program:
    """One of the two simulations: iterate.c or iterate.py."""

    def __init__(self, child: Child, folder: Path) -> None:
        self.child = child
        self._folder = folder
        self._asked = 0

    def ask(self, how: str, iterations: int = 0, sweeps: int = 0) -> int:
        """Has it do a block. Returns the block's number."""
        text = self._folder / "text"
        text.write_text(f"{how} {iterations} {sweeps}\n")
        text.rename(self._folder / f"block-{self._asked}")
        self._asked += 1
        return self._asked - 1

    def said(self, key: str, number: int) -> dict[str, Any]:
        """What it has printed about the block; empty: nothing yet."""
        for line in self.child.lines:
            if line.startswith((f'{{"{key}": {number},', f'{{"{key}": {number}}}')):
                return json.loads(line)
        return {}


class _Turns(Session):
    def __init__(self, run: Overhead, timeout: float) -> None:
        super().__init__(run, timeout)
        self._run: Overhead = run

    def measure(self) -> Outcome:
        run = self._run
        outcome = Outcome(run.side, run.ranks, run.level, run.work, [])
        sent = len(run.ways) * ((WARM_UP + 1) + run.rounds * (run.iterations + 1))
        folder = Path(tempfile.mkdtemp(prefix="deisa-bench-", dir="/tmp"))
        try:
            with LocalRay(cpus=2, object_store_bytes=STORE_BYTES) as ray, contextlib.ExitStack() as cleanup:
                command = self._analytics(str(folder), {"field": sent})
                analytics = self._start("analytics", command, ray, cleanup)
                alone, bridge = (self._program(with_it, folder, ray, cleanup) for with_it in (False, True))
                outcome.extra = self._take_turns(alone, bridge, analytics)
                bridge.ask("end")
                self._until(lambda: analytics.status() is not None, "the analytics to end")
                analytics.wait_output()
                self._times(analytics, {"field": sent})
                for one in (alone, bridge):
                    one.ask("end")
                    one.ask("end")
                for one in (alone, bridge):
                    self._until(lambda one=one: one.child.status() is not None, "a simulation to end")
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            raise RunError(f"{run.name}: {type(error).__name__}: {error}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return outcome

    def _program(self, bridge: bool, folder: Path, ray: LocalRay, cleanup: Any) -> _Program:
        ours, own = self._run.side == OURS, folder / ("bridge" if bridge else ALONE)
        own.mkdir()
        if ours:
            command = [str(BUILD / "bin" / "iterate"), str(own), str(self._run.rows)]
            if not bridge:
                command = ["env", "DEISA_DISABLE=1", *command]
        else:
            package = "deisa.ray" if bridge else "none"
            command = [sys.executable, str(BENCH / "iterate.py"), package, str(own), str(self._run.rows)]
        name = "simulation" if bridge else "simulation alone"
        return _Program(self._start(name, mpirun(self._run.ranks, command), ray, cleanup), own)

    def _take_turns(self, alone: _Program, bridge: _Program, analytics: Child) -> dict[str, Any]:
        run = self._run
        for how in run.ways:
            self._block(bridge, how, WARM_UP, 2, analytics)
        # Only now: nothing starts any more.
        few = min(self._block(alone, "copy", 5, 8, analytics)[0]) / 8
        sweeps = max(2, 2 * round(run.seconds / few / 2))
        seconds: dict[str, list[float]] = {how: [] for how in (ALONE, *run.ways)}
        cpu: dict[str, list[float]] = {how: [] for how in run.ways}
        for _ in range(run.rounds):
            seconds[ALONE] += self._block(alone, "copy", run.iterations, sweeps, analytics)[0]
            for how in run.ways:
                found, used = self._block(bridge, how, run.iterations, sweeps, analytics)
                seconds[how] += found
                cpu[how].append(used / run.iterations)
        return {"seconds": seconds, "analytics": cpu, "sweeps": sweeps}

    def _block(
        self, program: _Program, how: str, iterations: int, sweeps: int, analytics: Child
    ) -> tuple[list[float], float]:
        """The seconds of each iteration, and the CPU seconds that the analytics had meanwhile."""
        number = program.ask(how, iterations, sweeps)
        self._until(lambda: program.said("counts", number) != {}, "the first iteration")
        before = cpu_times()
        self._until(lambda: program.said("block", number) != {}, "the iterations")
        after = cpu_times()
        used = sum(after[pid] - before.get(pid, 0.0) for pid in of_analytics(analytics.pid) if pid in after)
        return program.said("block", number)["seconds"], used


def cpu_times() -> dict[int, float]:
    """CPU seconds up to now of every process that this one has started, and of those that they have."""
    found = {}
    for pid in descendants():
        with contextlib.suppress(OSError):
            found[pid] = cpu_seconds(pid)
    return found


def of_analytics(pid: int) -> set[int]:
    """The analytics, what they have started, and Ray's workers that compute Dask's tasks. The actors are not
    among them, not even the head actor."""
    found = {pid, *descendants(pid)}
    for one in descendants():
        with contextlib.suppress(OSError):
            title = (Path("/proc") / str(one) / "cmdline").read_bytes()
            if title.startswith((b"ray::IDLE", b"ray::dask:")):
                found.add(one)
    return found


# ---- Records ---------------------------------------------------------------------------------------------


def taken(cpu: float, iteration: float, ranks: int, cpus: int) -> float:
    """How many of an iteration's seconds the analytics' CPU seconds take from the ranks, at least. CPUs
    without a rank serve the analytics first, and take nothing; what is left falls on all CPUs alike."""
    return max(0.0, cpu - max(0, cpus - ranks) * iteration) / cpus


@dataclass
class _Figures:
    """Milliseconds of an iteration."""

    alone: float
    whole: float
    own: float
    """Without what the analytics' CPU time takes."""

    def percent(self, which: str) -> float:
        return 100 * (getattr(self, which) / self.alone - 1)


def _figures(outcome: Outcome, how: str) -> _Figures:
    seconds, cpu = outcome.extra["seconds"], outcome.extra["analytics"]
    whole = median(seconds[how])
    part = taken(median(cpu[how]), whole, outcome.ranks, os.cpu_count() or 1)
    return _Figures(1e3 * median(seconds[ALONE]), 1e3 * whole, 1e3 * (whole - part))


def records(outcomes: dict[str, Outcome], how: str) -> list[Record]:
    """For each number of ranks; the worse one decides."""
    case, limit = CASES[how], LIMITS[how]
    ratios, added = [], []
    for ranks in RANKS:
        ours, peer = (outcomes[f"{ranks}-overhead-{side}"] for side in ("ours", "peer"))
        mine, theirs = _figures(ours, how), _figures(peer, "copy")
        of = f"{ranks} rank{'s' if ranks > 1 else ''}"
        for text, which in ((", without the analytics' CPU time", "own"), ("", "whole")):
            what = f"an iteration, {of}{text}"
            pair = (getattr(mine, which), mine.alone)
            at_most = limit if which == "own" else None
            ratios.append(compare(case, what, "ms", *pair, against="DEISA_DISABLE=1", at_most=at_most))
            pair = (mine.percent(which), theirs.percent(which))
            added.append(compare(case, f"added to {what}", "%", *pair))
    ratios.sort(key=lambda one: (one.target is None, -(one.ratio or 0.0)))
    return [*ratios, *added]
