"""One run of one side: a Ray of its own, analytics, ranks, and what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_ray import LocalRay
from processes import Child, descendants

BENCH = Path(__file__).resolve().parent.parent
BUILD = BENCH.parent / "build"
STORE_BYTES = 4 << 30
"""Of Ray's object store, in every run."""

OURS, PEER = "this bridge", "Python bridge"
OURS_PYTHON = "this bridge, in Python"
PUT = "ray.put"


class RunError(Exception):
    """A run that did not give its figures."""


@dataclass(frozen=True)
class Phase:
    """Sends of one kind: see send.c."""

    array: str
    bytes: int
    steps: int
    how: str = "send"

    @property
    def text(self) -> str:
        return f"{self.array}:{self.bytes}:{self.steps}:{self.how}"

    @property
    def timesteps(self) -> dict[str, int]:
        """How many timesteps each of its arrays gets."""
        if self.how == "eight":
            return {f"{self.array}{number}": 2 * self.steps for number in range(8)}
        if self.how == "loan":
            return {self.array: self.steps, "small": self.steps}
        return {self.array: self.steps}


@dataclass
class Memory:
    """Of the ranks, in MiB; the slots are in it once."""

    resident: list[float] = field(default_factory=list)
    private: list[float] = field(default_factory=list)
    proportional: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """What a run gave. Times are in seconds, and lists of times have those of all ranks."""

    side: str
    ranks: int
    level: str
    work: str
    phases: list[Phase]
    start: float = 0.0  # of the slowest rank
    load: float = 0.0  # the part of it that loads the Python bridge's modules, of that rank
    seconds: list[list[float]] = field(default_factory=list)  # by phase
    other: list[list[float]] = field(default_factory=list)
    latency: list[list[float]] = field(default_factory=list)  # by phase: from the last send to the callback
    result: list[float] = field(default_factory=list)  # by phase: from its begin to the last result
    memory: Memory = field(default_factory=Memory)
    cpu: float = 0.0  # of all processes, from ready until the analytics have ended
    extra: dict[str, Any] = field(default_factory=dict)

    def add(self, ranks: list[dict[str, Any]], times: dict[str, list[float]], warm_up: int) -> None:
        """What ranks wrote and analytics printed. The first `warm_up` steps of a phase do not count."""
        slowest = max(ranks, key=lambda one: one["start"])
        self.start, self.load = slowest["start"], slowest["load"]
        for number, phase in enumerate(self.phases):
            together = phase.how in ("rate", "stream", "lean")
            skip = 0 if together else min(warm_up, phase.steps - 1)
            of_ranks = [one["phases"][number] for one in ranks]
            self._add_analytics(of_ranks, phase, times, 0 if together else skip)
            for name, into in (("seconds", self.seconds), ("other", self.other)):
                found = [one["phases"][number][name] for one in ranks]
                if together:
                    into.append([max(values[0] for values in found)] if name == "seconds" else [])
                else:
                    into.append([value for values in found for value in values[skip:]])

    def _add_analytics(
        self, ranks: list[dict[str, Any]], phase: Phase, times: dict[str, list[float]], skip: int
    ) -> None:
        """`times`: when the callback of a timestep was called, and had its result."""
        latency, result = [], 0.0
        if phase.how in ("send", "get", "rate"):
            first, begun = ranks[0]["first"], [one["begun"] for one in ranks]
            result = times[str(first + phase.steps - 1)][1] - min(one[0] for one in begun)
            if phase.how != "rate":
                every = range(skip, phase.steps)
                latency = [times[str(first + i)][0] - max(one[i] for one in begun) for i in every]
        self.latency.append(latency)
        self.result.append(result)


class CpuTime:
    """CPU time of all processes that this one has started, and of those that they have. A process that ends
    counts with what it had used when it was seen last."""

    INTERVAL = 0.5
    """Seconds between looks."""

    def __init__(self) -> None:
        self._ticks: dict[tuple[int, str], int] = {}  # by process id and start time
        self._next = 0.0

    def look(self) -> None:
        """Looks, unless it has done so lately."""
        if time.monotonic() >= self._next:
            self.total()

    def total(self) -> float:
        """Seconds up to now."""
        for pid in descendants():
            with contextlib.suppress(OSError):
                fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
                self._ticks[pid, fields[19]] = int(fields[11]) + int(fields[12])
        self._next = time.monotonic() + self.INTERVAL
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")


def memory_of(pids: list[int]) -> Memory:
    """What the kernel says about these processes."""
    found = Memory()
    for pid in pids:
        kib: dict[str, int] = {}
        for line in (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            kib[name] = int(rest.split()[0])
        found.resident.append(kib["Rss"] / 1024)
        found.private.append((kib["Private_Clean"] + kib["Private_Dirty"]) / 1024)
        found.proportional.append(kib["Pss"] / 1024)
    return found


def mpirun(ranks: int, command: list[str]) -> list[str]:
    as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return ["mpirun", "--oversubscribe", *as_root, "-n", str(ranks), *command]


@dataclass(frozen=True)
class Run:
    """One run, described."""

    side: str
    ranks: int
    phases: tuple[Phase, ...]
    level: str = "received"  # of this bridge
    work: str = "mean"  # of the analytics
    pace: float = 0.1
    control: str = field(default="auto", kw_only=True)  # of this bridge
    warm_up: int = field(default=3, kw_only=True)
    beside: Callable[[LocalRay], dict[str, Any]] | None = field(default=None, kw_only=True)
    """Measured on the same Ray, once before the ranks start and once while they stand still."""

    @property
    def name(self) -> str:
        level = f", {self.level}" if self.side == OURS else ""
        level += f", control: {self.control}" if self.control != "auto" else ""
        busy = ", busy analytics" if self.work == "busy" else ""
        return f"{self.side}, {self.ranks} rank{'s' if self.ranks > 1 else ''}{level}{busy}"

    def measure(self, timeout: float) -> Outcome:
        """Does it. Raises RunError."""
        return Session(self, timeout).measure()

    def command(self, folder: str) -> list[str]:
        phases = [phase.text for phase in self.phases]
        packages = {PEER: "deisa.ray", OURS_PYTHON: "deisa_bridge", PUT: "put"}
        if self.side in packages:
            program = [sys.executable, str(BENCH / "send.py"), packages[self.side]]
        else:
            program = [str(BUILD / "bin" / "send"), self.level]
        return mpirun(self.ranks, [*program, str(self.pace), folder, *phases])


class Session:
    """Does a run. Raises RunError."""

    def __init__(self, run: Run, timeout: float) -> None:
        self._run = run
        self._deadline = time.monotonic() + timeout
        self._timeout = timeout
        self._children: list[Child] = []
        self._cpu = CpuTime()

    def measure(self) -> Outcome:
        run = self._run
        outcome = Outcome(run.side, run.ranks, run.level, run.work, list(run.phases))
        folder = tempfile.mkdtemp(prefix="deisa-bench-", dir="/tmp")
        steps: dict[str, int] = {}
        for phase in run.phases:
            for name, count in phase.timesteps.items():
                steps[name] = steps.get(name, 0) + count
        try:
            with LocalRay(cpus=2, object_store_bytes=STORE_BYTES) as ray, contextlib.ExitStack() as cleanup:
                if run.beside:
                    outcome.extra["before"] = run.beside(ray)
                analytics = self._start("analytics", self._analytics(folder, steps), ray, cleanup)
                simulation = self._start("simulation", run.command(folder), ray, cleanup)
                self._until(lambda: self._marked(simulation, "ready"), "the simulation to be ready")
                before = self._cpu.total()
                self._until(lambda: self._marked(simulation, "sent"), "the simulation to send")
                ranks = [json.loads((Path(folder) / f"rank-{i}.json").read_text()) for i in range(run.ranks)]
                outcome.memory = memory_of([one["pid"] for one in ranks])
                (Path(folder) / "close").touch()
                self._until(lambda: analytics.status() is not None, "the analytics to end")
                outcome.cpu = self._cpu.total() - before
                analytics.wait_output()
                times = self._times(analytics, steps)
                if run.beside:
                    outcome.extra["after"] = run.beside(ray)
                (Path(folder) / "end").touch()
                self._until(lambda: simulation.status() is not None, "the simulation to end")
                outcome.add(ranks, times, run.warm_up)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            raise RunError(f"{run.name}: {type(error).__name__}: {error}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return outcome

    def _analytics(self, folder: str, steps: dict[str, int]) -> list[str]:
        arrays = [f"{name}:{count}" for name, count in steps.items()]
        script = str(BENCH / "analytics.py")
        return [sys.executable, script, str(self._run.ranks), self._run.work, folder, *arrays]

    def _start(self, name: str, command: list[str], ray: LocalRay, cleanup: contextlib.ExitStack) -> Child:
        environment = ray.environment | {"PYTHONPATH": str(BENCH.parent / "python")}
        if name == "simulation":
            environment["DEISA_CONTROL"] = self._run.control
        child = Child(name, command, environment, show=False)
        cleanup.callback(child.end, 0.0)
        self._children.append(child)
        return child

    @staticmethod
    def _marked(child: Child, name: str) -> bool:
        return json.dumps({"mark": name}) in child.lines

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        while not condition():
            self._cpu.look()
            for child in self._children:
                if child.status() not in (None, 0):
                    child.wait_output()
                    said = "\n".join(child.lines[-20:])
                    raise RunError(f"{self._run.name}: the {child.name} failed: {child.status()}\n{said}")
            if time.monotonic() > self._deadline:
                said = "\n".join(f"[{one.name}] {line}" for one in self._children for line in one.lines[-8:])
                raise RunError(f"{self._run.name}: waited {self._timeout:.0f} s for {what}\n{said}")
            time.sleep(0.02)

    def _times(self, analytics: Child, steps: dict[str, int]) -> dict[str, list[float]]:
        """Of each timestep: see Outcome. Raises RunError if the analytics have not seen what was sent."""
        last = next((line for line in reversed(analytics.lines) if line.startswith('{"seen"')), "{}")
        said = json.loads(last)
        if said.get("seen") != steps or said.get("wrong"):
            counts = {what: said.get(what) for what in ("seen", "wrong")}
            raise RunError(f"{self._run.name}: expected the timesteps {steps}; the analytics said {counts}")
        return said["times"]
