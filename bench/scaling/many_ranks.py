"""4, 16 and 64 ranks on this machine, the same bytes in all: start-up, a step's time, memory, JVMs."""

from __future__ import annotations

import statistics
from typing import Any

import measure
from local_ray import LocalRay
from processes import Child

COUNTS = (4, 16, 64)


def one_run(ranks: int, total: int, steps: int, acknowledge: str) -> dict[str, Any]:
    """A simulation on a Ray of its own. Raises RuntimeError when a value is wrong or is missing."""
    nbytes = total // ranks
    with LocalRay(cpus=2, object_store_bytes=max(512 << 20, 4 * total)) as ray:
        analytics = Child("analytics", measure.analytics(ranks, nbytes), ray.environment, show=False)
        try:
            with measure.Ranks(ranks, nbytes, steps, acknowledge, ray.environment) as running:
                running.wait_ready()
                figures = running.figures()
                memory = running.memory()
            if analytics.wait(120) != 0 or f"{steps} timesteps analysed, 0 wrong" not in analytics.lines:
                raise RuntimeError("\n".join(["the analytics said:", *analytics.lines]))
        finally:
            analytics.end(grace=1.0)
    without = [each for each in memory if not each.has_jvm]
    warm = [sorted(each["send"][2:]) for each in figures]
    return {
        "ranks": ranks,
        "bytes_per_rank": nbytes,
        "acknowledge": acknowledge,
        "start": max(each["ready"] for each in figures) - min(each["opened"] for each in figures),
        "step": (max(each["flushed"] for each in figures) - min(each["ready"] for each in figures)) / steps,
        "send": statistics.median(statistics.median(each) for each in warm),
        "jvms": sum(each.has_jvm for each in memory),
        # Without the simulation's own array.
        "private": max(each.private for each in without) - nbytes,
        "private_with_jvm": max(each.private for each in memory if each.has_jvm) - nbytes,
        "slots": statistics.median(each.slots for each in without),
    }


def run(total: int, steps: int, rounds: int, counts: tuple[int, ...] = COUNTS) -> list[dict[str, Any]]:
    levels = ("received", "announced")
    cases = [(ranks, total, steps, acknowledge) for ranks in counts for acknowledge in levels]
    return measure.in_turn(rounds, cases, one_run, text)


def text(one: dict[str, Any]) -> str:
    return (
        f"{one['ranks']:3d} ranks, {one['bytes_per_rank'] >> 10:6d} KiB each, {one['acknowledge']:9s}: "
        f"start {one['start']:6.2f} s, send {1e3 * one['send']:7.2f} ms, step {1e3 * one['step']:7.1f} ms, "
        f"private {one['private'] / 2**20:5.2f} MiB, "
        f"JVMs {one['jvms']} ({one['private_with_jvm'] / 2**20:.0f} MiB)"
    )
