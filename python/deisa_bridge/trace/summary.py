"""Where the time of a run went, from the spans of its trace: numbers, and the words for them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from deisa_bridge.trace.file import Event

BLOCKING = ("send", "end step", "admit", "acknowledge")
"""Spans of a rank during which its simulation does not compute."""
WAITS = ("admit", "acknowledge", "wait for a timestep")
PHASES = ("admit", "copy", "loan", "hand over", "acknowledge", "receive", "put", "announce")
"""Of one chunk, as docs/performance.md explains them."""
LONGEST = 5
"""Waits that are named."""
WIDTH = 50
"""Characters of the picture."""


class Part(NamedTuple):
    """What a phase of one timestep took on all ranks together: from the first that began to the last that
    ended, in microseconds."""

    name: str
    begin: float
    end: float


def summarise(spans: list[Event]) -> str:
    """All of it, as lines."""
    if not spans:
        return "the trace has no span yet\n"
    begin, end = min(one["ts"] for one in spans), max(_end(one) for one in spans)
    steps = _steps(spans)
    lines = [f"{_seconds(end - begin)} with {len(steps)} timesteps"]
    lines += ["", "blocked: the time that a simulation spent in calls of the bridge", *_blocked(spans)]
    lines += ["", "the longest waits", *_longest(spans, begin)]
    lines += ["", "a timestep: the median over all timesteps, of the longest on any rank", *_phases(steps)]
    if steps:
        lines += ["", *picture(steps)]
    return "\n".join(lines) + "\n"


def blocked(spans: Iterable[Event]) -> dict[int, float]:
    """By rank: the microseconds that it was blocked. A span inside another counts once."""
    of_rank: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for one in spans:
        if one["name"] in BLOCKING and one["args"]["rank"] >= 0:
            of_rank[one["args"]["rank"]].append((one["ts"], _end(one)))
    total: dict[int, float] = {}
    for rank, intervals in sorted(of_rank.items()):
        covered, until = 0.0, float("-inf")
        for first, last in sorted(intervals):
            covered += max(0.0, last - max(first, until))
            until = max(until, last)
        total[rank] = covered
    return total


def parts_of(spans: list[Event]) -> list[Part]:
    """The phases of one timestep, in the order of their begin. From the announcement until the analytics have
    the timestep it is queued; what follows is the analytics' own."""
    found: dict[str, Part] = {}
    for one in spans:
        name = "Dask's tasks" if one["name"].startswith("dask:") else one["name"]
        if name in PHASES or name in ("analyse", "Dask's tasks"):
            known = found.get(name, Part(name, one["ts"], _end(one)))
            found[name] = Part(name, min(known.begin, one["ts"]), max(known.end, _end(one)))
    if "announce" in found and "analyse" in found:
        queued, read = found["announce"].end, found["analyse"].begin
        if queued < read:
            found["queued"] = Part("queued", queued, read)
    return sorted(found.values(), key=lambda part: part.begin)


def picture(steps: dict[int, list[Event]]) -> list[str]:
    """One timestep as bars, the one that took the median time from its first span to its last."""
    parts = {step: parts_of(spans) for step, spans in steps.items()}
    by_length = sorted(parts, key=lambda step: _length(parts[step]))
    step = by_length[len(by_length) // 2]
    first, length = parts[step][0].begin, _length(parts[step]) or 1.0
    lines = [f"timestep {step}, of median length: {_seconds(length)} from left to right"]
    for part in parts[step]:
        left = int((part.begin - first) / length * WIDTH)
        bar = max(1, round((part.end - part.begin) / length * WIDTH))
        left = min(left, WIDTH - 1)
        lines.append(f"  {part.name:<12} |{' ' * left + '█' * min(bar, WIDTH - left):<{WIDTH}}|")
    return lines


def _steps(spans: Iterable[Event]) -> dict[int, list[Event]]:
    """The spans of each timestep that has a phase."""
    found: dict[int, list[Event]] = defaultdict(list)
    for one in spans:
        found[one["args"]["step"]].append(one)
    return {step: of_step for step, of_step in found.items() if parts_of(of_step)}


def _blocked(spans: list[Event]) -> list[str]:
    total = blocked(spans)
    if not total:
        return ["  no rank has sent anything"]
    worst = sorted(total, key=lambda rank: -total[rank])[:8]
    lines = [f"  rank {rank:<6} {_seconds(total[rank])}" for rank in sorted(worst)]
    if len(total) > len(worst):
        middle = statistics.median(total.values())
        lines.append(f"  the others less; the median of all {len(total)} ranks is {_seconds(middle)}")
    return lines


def _longest(spans: list[Event], begin: float) -> list[str]:
    waits = sorted((one for one in spans if one["name"] in WAITS), key=lambda one: -one["dur"])[:LONGEST]
    lines = []
    for one in waits:
        rank, step = one["args"]["rank"], one["args"]["step"]
        who = f"rank {rank}" if rank >= 0 else "the analytics"
        what = f"timestep {step}" if abs(step) < 2**62 else "the end"
        when = f"after {_seconds(one['ts'] - begin)}"
        lines.append(f"  {_seconds(one['dur']):>10}  {who}: {one['name']}, {what}, {when}")
    return lines or ["  none"]


def _phases(steps: dict[int, list[Event]]) -> list[str]:
    """Of each phase, the longest span in every timestep, and of these the median."""
    longest: dict[str, list[float]] = defaultdict(list)
    for spans in steps.values():
        here: dict[str, float] = {}
        for part in parts_of(spans):
            if part.name in ("queued", "Dask's tasks"):
                here[part.name] = part.end - part.begin
        for one in spans:
            if one["name"] in PHASES or one["name"] == "analyse":
                here[one["name"]] = max(here.get(one["name"], 0.0), one["dur"])
        for name, length in here.items():
            longest[name].append(length)
    order = [*PHASES, "queued", "analyse", "Dask's tasks"]
    return [f"  {name:<12} {_seconds(statistics.median(longest[name]))}" for name in order if name in longest]


def _length(parts: list[Part]) -> float:
    return max(part.end for part in parts) - parts[0].begin


def _end(one: Event) -> float:
    return one["ts"] + one["dur"]


def _seconds(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.2f} {unit}"
    return f"{microseconds:.0f} µs"
