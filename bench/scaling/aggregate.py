"""The same ranks of one node with `aggregate: none` and `node`: what a timestep costs, and whom. And one rank
with a chunk as large as all of theirs: what a timestep costs at least."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import measure
from local_ray import LocalRay
from processes import Child, cpu_seconds, descendants

RANKS, BYTES, STEPS = 64, 256 << 10, 100


def cpu_of(local: LocalRay, actor: str) -> float:
    """CPU seconds of the process of an actor, up to now."""
    for pid in descendants(local.pid):
        try:
            name = Path(f"/proc/{pid}/cmdline").read_text()
            if name.startswith("ray::") and f":{actor}" in name:
                return cpu_seconds(pid)
        except OSError:
            continue  # it has ended
    raise RuntimeError(f"no process of {actor}")


def one_run(aggregate: str, ranks: int, nbytes: int, steps: int) -> dict[str, Any]:
    """A simulation on a Ray of its own. Raises RuntimeError when a value is wrong or is missing."""
    store = max(512 << 20, 8 * ranks * nbytes)
    with LocalRay(cpus=2, object_store_bytes=store, variables={"DEISA_AGGREGATE": aggregate}) as ray:
        analytics = Child("analytics", measure.analytics(ranks, nbytes), ray.environment, show=False)
        try:
            with measure.Ranks(ranks, nbytes, steps, "announced", ray.environment) as running:
                running.wait_ready()
                before = {name: cpu_of(ray, name) for name in ("NodeActor", "HeadNodeActor")}
                figures = running.figures()
                wait_analysed(analytics, steps - 2)  # the last one is, when the simulation has ended
                cpu = {name: cpu_of(ray, name) - seconds for name, seconds in before.items()}
            if analytics.wait(120) != 0 or f"{steps} timesteps analysed, 0 wrong" not in analytics.lines:
                raise RuntimeError("\n".join(["the analytics said:", *analytics.lines]))
        finally:
            analytics.end(grace=1.0)
    said = dict(line.split(": ", 1) for line in analytics.lines if ": " in line)
    return {
        "aggregate": aggregate,
        "ranks": ranks,
        "bytes": nbytes,
        "announced": statistics.median(statistics.median(each["send"][2:]) for each in figures),
        "result": float(said["last result"]) - max(each["last"] for each in figures),
        "all": float(said["last result"]) - max(each["ready"] for each in figures),
        "objects": int(said["chunks"]),
        "tasks": int(said["tasks"]),
        "node": cpu["NodeActor"] / steps,
        "head": cpu["HeadNodeActor"] / steps,
    }


def wait_analysed(analytics: Child, timestep: int, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while f"analysed {timestep}" not in analytics.lines:
        if analytics.status() is not None or time.monotonic() > end:
            raise RuntimeError("\n".join([f"timestep {timestep} was not analysed:", *analytics.lines[-20:]]))
        time.sleep(0.02)


def run(rounds: int, ranks: int = RANKS, nbytes: int = BYTES, steps: int = STEPS) -> list[dict[str, Any]]:
    cases = [
        (aggregate, count, ranks * nbytes // count, steps)
        for aggregate, count in (("none", ranks), ("node", ranks), ("none", 1))
    ]
    return measure.in_turn(rounds, cases, one_run, text)


def text(one: dict[str, Any]) -> str:
    return (
        f"{one['ranks']} ranks, {one['bytes'] >> 10} KiB each, aggregate = {one['aggregate']}: announced "
        f"{1e3 * one['announced']:.1f} ms, last send to result {1e3 * one['result']:.0f} ms, all "
        f"{one['all']:.2f} s, {one['objects']} objects, {one['tasks']} Dask tasks, CPU of a step: node actor "
        f"{1e3 * one['node']:.1f} ms, head actor {1e3 * one['head']:.2f} ms"
    )
