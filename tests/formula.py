"""Simulations of programs/formula.c with analytics of programs/formula_analytics.py, and what must hold of
both, whoever was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conftest import ROOT, java_program
from ports import free_port
from processes import Child

PROGRAMS = Path(__file__).resolve().parent / "programs"
LONG = 180.0
"""Seconds that nothing takes, however slow the machine is."""
TIMEOUT, CONNECTION = -3, -5
ABOUT = re.compile(r"array '(\w+)', timestep (-?\d+)")
FROM_THEN_ON = re.compile(r"'(\w+)'(?: from timestep (-?\d+) on)?(?=,| can never)")
BLAMED = re.compile(r"rank (\d+) (?:died|was abandoned|closed|skipped)")
SETTLE = 5.0
"""Seconds for which the node actors go on after the end of bridge 0: SETTLE of node/shutdown.py."""


def until(condition: Callable[[], object], what: str, seconds: float = LONG) -> object:
    """The first true result of condition()."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.01)
    return result


@dataclass(frozen=True)
class Report:
    """What the exception handler of a rank was given."""

    at: float
    status: int
    rank: int
    timestep: int
    text: str

    @property
    def chunk(self) -> tuple[str, int]:
        """(array, timestep) that it is about, or ("", timestep)."""
        found = ABOUT.search(self.text)
        return (found[1], int(found[2])) if found else ("", self.timestep)

    @property
    def from_then_on(self) -> dict[str, int]:
        """Arrays that can never be complete again, from which timestep on."""
        if "can never be complete again" not in self.text:
            return {}
        return {name: int(first or -(2**63)) for name, first in FROM_THEN_ON.findall(self.text)}

    @property
    def culprits(self) -> set[int]:
        """The ranks that the text blames."""
        return {int(number) for number in BLAMED.findall(self.text)}


@dataclass
class Told:
    """The lines of one rank, parsed."""

    ready: bool = False
    held: bool = False
    closed: int | None = None
    sent: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    failed: str = ""

    @property
    def over_at(self) -> float:
        """When it was told that nothing more reaches the analytics: what it sends then is refused."""
        told = (r.at for r in self.reports if "nothing that is sent reaches the analytics any more" in r.text)
        return min(told, default=float("inf"))

    @property
    def lost(self) -> set[tuple[str, int]]:
        """(array, timestep) of chunks that were sent, and reported as not announced; a time-out is only a
        delay."""
        told = [report for report in self.reports if report.status != TIMEOUT]
        first: dict[str, int] = {}
        for array, t in (pair for report in told for pair in report.from_then_on.items()):
            first[array] = min(t, first.get(array, t))
        for_good = {(array, t) for array, t in self.sent if t >= first.get(array, t + 1)}
        return {report.chunk for report in told} | for_good


class Rank:
    """A process of formula.c."""

    def __init__(self, number: int, command: list[str], environment: dict[str, str]) -> None:
        self.number = number
        self.child = Child(f"rank {number}", command, environment, show=False)
        self.killed_at: float | None = None

    def told(self) -> Told:
        told = Told()
        for line in list(self.child.lines):
            moment, _, rest = line.partition(" ")
            words = rest.split(" ")
            match words[0]:
                case "ready":
                    told.ready = True
                case "sent":
                    told.sent[(f"a{words[1]}", int(words[2]))] = (float(moment), int(words[3]))
                case "held":
                    told.held = True
                case "closed":
                    told.closed = int(words[1])
                case "failed":
                    told.failed = rest
                case "reported":
                    status, rank, timestep = (int(word) for word in words[1:4])
                    report = Report(float(moment), status, rank, timestep, " ".join(words[4:]))
                    told.reports.append(report)
        return told

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        if self.child.status() is None:
            os.kill(self.child.pid, signal.SIGKILL)
            until(lambda: self.child.status() is not None, f"the end of rank {self.number}")
        self.killed_at = time.monotonic()
        self.child.wait_output()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)


class Analytics:
    """A process of formula_analytics.py, in Python that cannot import deisa_bridge."""

    def __init__(self, environment: dict[str, str], prefix: Sequence[str] = (), **options: object) -> None:
        command = [*prefix, sys.executable, "-P", str(PROGRAMS / "formula_analytics.py"), json.dumps(options)]
        self.child = Child("analytics", command, environment, show=False)

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in list(self.child.lines) if line.startswith('{"event"')]

    @property
    def arrays(self) -> list[dict]:
        """What was read, in order."""
        return [event for event in self.events if event["event"] == "array"]

    @property
    def read(self) -> set[tuple[str, int]]:
        """(array, timestep) of what was read."""
        return {(one["name"], one["t"]) for one in self.arrays}

    def has(self, event: str) -> bool:
        return any(one["event"] == event for one in self.events)

    def wait_started(self) -> None:
        until(lambda: self.has("started") or self.child.status() is not None, "the analytics to start")
        assert self.has("started"), "\n".join(self.child.lines[-20:])

    def finish(self, seconds: float = LONG) -> list[dict]:
        """Waits for the end. Returns what was read."""
        until(lambda: self.child.status() is not None, "the analytics to end", seconds)
        self.child.wait_output()
        assert self.has("ended") and self.child.status() == 0, "\n".join(self.child.lines[-40:])
        return self.arrays


class Simulation:
    """Ranks that are started one by one with Gloo, and their analytics.

    `arrays`: array number -> its ranks. `nodes`: rank -> node id, for several node actors on one Ray node.
    `variables` are added to the environment of all, `variables_of` to that of single ranks. `prefixes`: what
    to put before the command of a rank. `options` are those of formula.c.
    """

    def __init__(
        self,
        program: Path,
        environment: dict[str, str],
        world: int,
        arrays: list[list[int]],
        *,
        cells: int = 256,
        nodes: dict[int, str] | None = None,
        variables: dict[str, str] | None = None,
        variables_of: Callable[[int], dict[str, str]] = lambda rank: {},
        prefixes: Callable[[int], list[str]] = lambda rank: [],
        languages: dict[int, str] | None = None,
        master: str = "127.0.0.1",
        **options: object,
    ) -> None:
        self.program = program
        self.environment = dict(environment) | {"DEISA_MASTER_ADDRESS": master} | (variables or {})
        self.environment["DEISA_MASTER_PORT"] = str(free_port())
        self.world, self.cells, self.nodes = world, cells, nodes or {}
        self.variables_of = variables_of
        self.arrays = {f"a{i}": members for i, members in enumerate(arrays)}
        self.prefixes, self.languages = prefixes, languages or {}
        self.options = {"cells": cells, **options}
        self.ranks: list[Rank] = []
        self.analytics: Analytics | None = None

    def start_analytics(self, prefix: Sequence[str] = (), **options: object) -> Analytics:
        wanted = {"arrays": self.arrays, "cells": self.cells, **options}
        self.analytics = Analytics(self.environment, prefix, **wanted)
        return self.analytics

    def program_in(self, language: str) -> list[str]:
        sources = PROGRAMS / "languages"
        if language == "Python":
            return [sys.executable, str(sources / "formula.py")]
        if language == "Java":
            return java_program(sources / "Formula.java", self.program.parent.parent / "lib")
        return [str(self.program) + {"C": "", "C++": "_cpp", "Fortran": "_fortran"}[language]]

    def start_rank(self, number: int, **options: object) -> Rank:
        program = self.program_in(self.languages.get(number, "C"))
        command = [*self.prefixes(number), *program, f"rank={number}", f"world={self.world}"]
        command += [f"array={','.join(map(str, members))}" for members in self.arrays.values()]
        for name, value in (self.options | options).items():
            command += [f"{name}={one}" for one in (value if isinstance(value, list) else [value])]
        environment = self.environment | self.variables_of(number)
        if self.languages.get(number) == "Python":
            library = self.program.parent.parent / "lib" / "libdeisa.so"
            environment |= {"PYTHONPATH": str(ROOT / "python"), "DEISA_LIBRARY": str(library)}
        if number in self.nodes:
            environment["DEISA_NODE_ID"] = self.nodes[number]
        self.ranks.append(Rank(number, command, environment))
        return self.ranks[-1]

    def start_ranks(self, **options: object) -> list[Rank]:
        for number in range(self.world):
            self.start_rank(number, **options)
        return self.ranks

    def run_until_read(self, timesteps: int = 3) -> None:
        """Starts the ranks, and returns when the analytics have read a few timesteps."""
        assert self.analytics is not None
        self.start_ranks()
        self.wait_ready()
        until(lambda: len(self.analytics.read) >= timesteps, "the first timesteps to be read")

    def wait_for_reports(self, words: dict[int, str], seconds: float = LONG) -> None:
        """Until the exception handler of each rank was given an error that says its words. Prints how long
        that took."""

        def lacking() -> list[int]:
            return [
                rank
                for rank, text in words.items()
                if not any(text in report.text for report in self.ranks[rank].told().reports)
            ]

        begin = time.monotonic()
        while missing := lacking():
            late = f"ranks {missing} were not told: {words}\n{self.lines()}"
            assert time.monotonic() < begin + seconds, late
            time.sleep(0.02)
        first = {
            rank: min(report.at for report in self.ranks[rank].told().reports if text in report.text) - begin
            for rank, text in words.items()
        }
        told = ", ".join(f"{rank} after {max(at, 0.0):.2f} s" for rank, at in first.items())
        print(f"{', '.join(sorted(set(words.values())))}: told ranks {told}")

    def wait_ranks_closed(self) -> None:
        """Until every rank has ended by itself."""

        def ended() -> bool:
            assert all(rank.child.status() in (None, 0) for rank in self.ranks), self.lines()
            return all(rank.child.status() == 0 for rank in self.ranks)

        until(ended, "the ranks to end")

    def wait_ready(self) -> None:
        """Until deisa_ready has returned on all ranks."""

        def ready() -> bool:
            for rank in self.ranks:
                told, ended = rank.told(), rank.child.status() is not None
                assert not told.failed and (told.ready or not ended), self.lines()
            return all(rank.told().ready for rank in self.ranks)

        until(ready, "the ranks to be ready")

    def lines(self) -> str:
        """What everybody said last, for messages of failed assertions."""
        parts = [self.analytics.child] if self.analytics else []
        parts += [rank.child for rank in self.ranks]
        return "\n".join(f"[{child.name}] {line}" for child in parts for line in child.lines[-15:])

    def end(self) -> None:
        """Nothing of it is left."""
        for rank in self.ranks:
            rank.child.end(grace=0.0)
        if self.analytics is not None:
            self.analytics.child.end(grace=0.0)

    # ---- What must hold ----------------------------------------------------------------------------------

    def check_order_and_values(self, lost: bool = False) -> None:
        """Each array's timesteps came once, in order, with the right values; so did all arrays together. With
        `lost`, chunks may have died with their node actor."""
        assert self.analytics is not None
        read = self.analytics.arrays
        assert all(one["right"] for one in read), [one for one in read if not one["right"]]
        assert lost or not self.analytics.has("unreadable"), self.analytics.events
        pairs = [(one["name"], one["t"]) for one in read]
        assert len(set(pairs)) == len(pairs), "a timestep was read twice"
        assert [t for _, t in pairs] == sorted(t for _, t in pairs), pairs

    def complete(self) -> set[tuple[str, int]]:
        """(array, timestep) of which every send returned, and no rank was told of a failure. What was sent
        long after bridge 0 had been killed does not count: the simulation was over."""
        told = {rank.number: rank.told() for rank in self.ranks}
        first = self.ranks[0].killed_at
        end = float("inf") if first is None else first + SETTLE
        found = set()
        for name, members in self.arrays.items():
            sent = [
                {
                    t
                    for (a, t), (at, _) in told[m].sent.items()
                    if a == name and at < min(end, told[m].over_at)
                }
                for m in members
            ]
            lost = {t for m in members for a, t in told[m].lost if a == name}
            found |= {(name, t) for t in set.intersection(*sent) - lost}
        return found

    def check_nothing_lost(self) -> None:
        """What was complete has been read."""
        assert self.analytics is not None
        missing = sorted(self.complete() - self.analytics.read, key=lambda pair: pair[1])
        assert not missing, f"acknowledged by all ranks, but not read: {missing}\n{self.lines()}"
