"""The cases: which runs they need, and what they make of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from local_ray import LocalRay

from comparing import overhead
from comparing.records import Record, compare, failed, median, percentile
from comparing.session import (
    BENCH,
    BUILD,
    OURS,
    OURS_PYTHON,
    PEER,
    PUT,
    STORE_BYTES,
    Outcome,
    Phase,
    Run,
    RunError,
)

KIB, MIB = 1 << 10, 1 << 20


def parts(expression: str, seconds: float, repetitions: int) -> dict[str, Any]:
    """Medians of the parts' benchmarks whose names match, as name -> benchmark. Interleaved, so that what
    else the machine does falls on all of them."""
    command = [
        str(BUILD / "bin" / "deisa_bench"),
        f"--benchmark_filter={expression}",
        f"--benchmark_min_time={seconds}",
        f"--benchmark_repetitions={repetitions}",
        "--benchmark_enable_random_interleaving=true",
        "--benchmark_report_aggregates_only=true",
        "--benchmark_format=json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120.0, check=False)
    if done.returncode != 0:
        raise RunError(f"deisa_bench failed: {done.stderr[-500:]}")
    found = json.loads(done.stdout)["benchmarks"]
    return {one["run_name"]: one for one in found if one.get("aggregate_name") == "median"}


def put_rate(nbytes: int, count: int) -> Callable[[LocalRay], dict[str, Any]]:
    """Bytes per second of ray.put in one Python process, on the same Ray."""

    def measure(ray: LocalRay) -> dict[str, Any]:
        command = [sys.executable, str(BENCH / "put.py"), str(nbytes), str(count), str(STORE_BYTES * 3 // 4)]
        done = subprocess.run(
            command, env=ray.environment, capture_output=True, text=True, timeout=120.0, check=False
        )
        if done.returncode != 0:
            raise RunError(f"put.py failed: {done.stderr[-500:]}")
        return json.loads(done.stdout.splitlines()[-1])

    return measure


@dataclass
class Results:
    """The outcomes of the runs by key, or why there is none."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def get(self, key: str) -> Outcome:
        if key not in self.outcomes:
            raise RunError(self.errors.get(key, f"the run '{key}' was left out"))
        return self.outcomes[key]


def of(outcome: Outcome, array: str, how: str = "send") -> list[float]:
    """The times of one phase."""
    for phase, seconds in zip(outcome.phases, outcome.seconds, strict=True):
        if (phase.array, phase.how) == (array, how):
            return seconds
    raise RunError(f"the run has no phase {array}:{how}")


def beside(outcome: Outcome, array: str, how: str) -> list[float]:
    """What the times of a phase are compared with."""
    for phase, other in zip(outcome.phases, outcome.other, strict=True):
        if (phase.array, phase.how) == (array, how):
            return other
    raise RunError(f"the run has no phase {array}:{how}")


def runs(quick: bool) -> dict[str, Run]:
    """The runs of the target cases, in order: the two sides in turn."""
    few, many = (24, 40) if quick else (60, 100)
    pace = 0.05 if quick else 0.1
    one = (
        Phase("chunk", 2 * MIB, many),
        Phase("chunk", 2 * MIB, few, "rate"),
        Phase("gain", 4 * KIB, few, "get"),
    )
    alone = (
        *one,
        Phase("small", 4 * KIB, many, "trip"),
        Phase("steps", 4 * KIB, many, "eight"),
        Phase("large", 64 * MIB, few // 2, "copy"),
        Phase("large", 64 * MIB, few // 2, "loan"),
    )
    four = (Phase("chunk", 2 * MIB, few),)
    sixteen = (Phase("chunk", 256 * KIB, few),)
    # The first timesteps are for the analytics, whose first result takes seconds: then they keep up.
    calm = (Phase("chunk", 2 * MIB, 32), Phase("chunk", 2 * MIB, few))
    through = (*calm, Phase("chunk", 2 * MIB, few, "rate"), Phase("large", 16 * MIB, few, "rate"))
    start = (Phase("chunk", 4 * KIB, 4),)
    found = {
        "1-peer": Run(PEER, 1, one, pace=pace),
        "1-received": Run(OURS, 1, alone, "received", pace=pace),
        "1-python": Run(OURS_PYTHON, 1, one, pace=pace),
        "1-announced": Run(OURS, 1, one[:1], "announced", pace=pace),
        "1-control-java": Run(OURS, 1, start, pace=pace, control="java"),
        "1-control-python": Run(OURS, 1, start, pace=pace, control="python"),
        "1-calm-peer": Run(PEER, 1, calm, pace=0.25),
        "1-calm-received": Run(OURS, 1, calm, "received", pace=0.25),
        "4-calm-peer": Run(PEER, 4, through, pace=0.25),
        "4-calm-received": Run(OURS, 4, through, "received", pace=0.25),
        "4-busy-peer": Run(PEER, 4, four, work="busy", pace=pace),
        "4-busy-received": Run(OURS, 4, four, "received", work="busy", pace=pace),
        "16-peer": Run(PEER, 16, sixteen, pace=pace),
        "16-received": Run(OURS, 16, sixteen, "received", pace=pace),
        "16-control-java": Run(OURS, 16, start, pace=pace, control="java"),
        "16-control-python": Run(OURS, 16, sixteen, "received", pace=pace, control="python"),
    }
    for ranks in (1, 4):
        steps = 64 // ranks
        phases = (
            # First as often as makes the node actor see all of the slots and most of the store's memory.
            Phase("chunk", 16 * MIB, 3 * steps, "stream"),
            Phase("chunk", 16 * MIB, steps, "stream"),
            Phase("chunk", 16 * MIB, steps, "lean"),
        )
        reference = put_rate(16 * MIB, 64)
        found[f"{ranks}-stored"] = Run(OURS, ranks, phases, "stored", "look", pace=pace, beside=reference)
        if ranks == 1:
            found["1-put"] = Run(PUT, 1, phases[:2], work="look", pace=pace)
    return found | overhead.runs(quick)


def do(wanted: dict[str, Run], timeout: float, say: Callable[[str], None]) -> Results:
    """All runs, one after the other."""
    results = Results()
    for number, (key, run) in enumerate(wanted.items(), 1):
        begin = time.monotonic()
        try:
            results.outcomes[key] = run.measure(timeout)
            said = f"{time.monotonic() - begin:.0f} s"
        except RunError as error:
            results.errors[key] = str(error)
            said = f"FAILED: {error}"
        except subprocess.TimeoutExpired as error:
            results.errors[key] = said = f"{run.name}: {error}"
        say(f"run {number} of {len(wanted)}: {run.name}: {said}")
    return results


# ---- Records ---------------------------------------------------------------------------------------------


def send_records(results: Results, case: str, ours: str, peer: str, target: float) -> list[Record]:
    sides = (of(results.get(ours), "chunk"), of(results.get(peer), "chunk"))

    def one(name: str, part: float, at_least: float | None = None) -> Record:
        values = (1e3 * (percentile(side, part) if part != 0.5 else median(side)) for side in sides)
        return compare(case, f"blocking send, {name}", "ms", *values, times=True, at_least=at_least)

    return [one("median", 0.5, target), one("p90", 0.9), one("p99", 0.99)]


def copy_records(results: Results) -> list[Record]:
    run = results.get("1-received")
    send, copy = of(run, "large", "copy"), beside(run, "large", "copy")
    times = (1e3 * median(send), 1e3 * median(copy))
    return [compare("copy-64MiB", "blocking send, median", "ms", *times, against="memcpy", at_most=1.4)]


def halo_records(seconds: float) -> list[Record]:
    """The worst of all shapes decides."""
    found = parts("/halo_", seconds, 7)
    names = sorted(name.partition("/")[2] for name in found if name.startswith("pack/"))
    rates = {
        name: tuple(found[f"{kind}/{name}"]["bytes_per_second"] / 1e9 for kind in ("pack", "memcpy"))
        for name in names
    }
    worst = min(names, key=lambda name: rates[name][0] / rates[name][1])
    case, against = "pack-halo", "memcpy"
    return [
        compare(case, f"rate, worst shape ({worst})", "GB/s", *rates[worst], against=against, at_least=0.7),
        *(compare(case, f"rate, {name}", "GB/s", *rates[name], against=against) for name in names),
    ]


def loan_records(results: Results) -> list[Record]:
    run = results.get("1-received")
    times = (1e6 * median(of(run, "large", "loan")), 1e6 * median(beside(run, "large", "loan")))
    what, against = "blocking send, median", "a 4 KiB send"
    return [compare("send-64MiB-loan", what, "us", *times, against=against, at_most=1.5)]


def small_records(results: Results) -> list[Record]:
    run = results.get("1-received")
    times = (1e6 * median(of(run, "small", "trip")), 1e6 * median(beside(run, "small", "trip")))
    what, against = "blocking send, median", "socket round trip"
    return [compare("send-4KiB-received", what, "us", *times, against=against, at_most=4.0)]


def sustained_records(results: Results) -> list[Record]:
    """Both numbers of ranks have to reach the target: the worse one decides. Against ray.put in one process,
    while the head actor and the analytics work beside it, and alone."""
    case, rates = "sustained-16MiB-stored", {}
    put = results.get("1-put")
    beside_it = put.phases[1].bytes * put.phases[1].steps / put.seconds[1][0] / 1e9
    alone = []
    for ranks in (1, 4):
        run = results.get(f"{ranks}-stored")
        alone += [run.extra[when]["rate"] / 1e9 for when in ("before", "after")]
        for phase, seconds in list(zip(run.phases, run.seconds, strict=True))[1:]:
            how = "asynchronous sends" if phase.how == "stream" else "asynchronous sends of loans"
            rates[ranks, how] = phase.bytes * phase.steps * ranks / seconds[0] / 1e9
    worst = min((1, 4), key=lambda ranks: rates[ranks, "asynchronous sends"])
    of_worst = rates[worst, "asynchronous sends"]
    what = f"worse of 1 and 4 ranks ({worst} rank{'s' if worst > 1 else ''})"
    beside_what, alone_what = "ray.put beside the analytics", "ray.put alone"
    found = [
        compare(case, what, "GB/s", of_worst, beside_it, against=beside_what, at_least=0.8),
        compare(case, what, "GB/s", of_worst, median(alone), against=alone_what, at_least=0.9),
    ]
    for (ranks, how), rate in rates.items():
        figure = f"rate, {ranks} rank{'s' if ranks > 1 else ''}, {how}"
        found.append(compare(case, figure, "GB/s", rate, beside_it, against=beside_what))
        found.append(compare(case, figure, "GB/s", rate, median(alone), against=alone_what))
    return found


def step_records(results: Results) -> list[Record]:
    run = results.get("1-received")
    times = (1e6 * median(of(run, "steps", "eight")), 1e6 * median(beside(run, "steps", "eight")))
    what = "begin_step to end_step, median"
    return [compare("step-8arrays-4KiB", what, "us", *times, against="8 sends", at_most=1 / 3)]


def start_records(results: Results, ranks: int) -> list[Record]:
    """The slower control process decides."""
    peer = results.get(f"{ranks}-peer")
    case = f"start-{ranks}rank" + ("s" if ranks > 1 else "-warm")
    of_control = {how: results.get(f"{ranks}-control-{how}").start for how in ("java", "python")}
    slow = max(of_control, key=lambda how: of_control[how])
    what, inside = "open to ready, slowest rank", peer.start - peer.load
    found = [compare(case, f"{what}, control: {slow}", "s", of_control[slow], peer.start, at_most=1 / 3)]
    for how, seconds in of_control.items():
        if how != slow:
            found.append(compare(case, f"{what}, control: {how}", "s", seconds, peer.start, at_most=1 / 3))
        loaded = f"{what}, control: {how}; the peer's modules loaded before"
        found.append(compare(case, loaded, "s", seconds, inside))
        if ranks == 1:
            found.append(
                compare(case, f"{what}, control: {how}", "s", seconds, 1.0, against="a second", at_most=1.0)
            )
    return found


def latency_records(results: Results, ranks: int, target: float) -> list[Record]:
    """From the last rank's call of send to the first line of the analytics' callback."""
    sides = [results.get(f"{ranks}-calm-{side}").latency[1] for side in ("received", "peer")]

    def one(name: str, part: float, at_least: float | None = None) -> Record:
        values = (1e3 * (percentile(side, part) if part != 0.5 else median(side)) for side in sides)
        case, what = f"latency-send-to-callback-{ranks}", f"send to callback, {name}"
        return compare(case, what, "ms", *values, times=True, at_least=at_least)

    return [one("median", 0.5, target), one("p99", 0.99)]


def through_records(results: Results) -> list[Record]:
    """Unthrottled, until the analytics have the mean of the last timestep: the worse size decides."""
    ours, peer = results.get("4-calm-received"), results.get("4-calm-peer")
    found = []
    for number, phase in enumerate(ours.phases):
        if phase.how == "rate":
            rates = (4 * phase.bytes * phase.steps / one.result[number] / 1e6 for one in (ours, peer))
            what = f"4 ranks x {phase.bytes // MIB} MiB, until the last mean"
            found.append(compare("throughput-end-to-end", what, "MB/s", *rates, at_least=1.5))
    return sorted(found, key=lambda one: one.ratio or 0.0)


def get_records(results: Results) -> list[Record]:
    ours, peer = (1e3 * median(of(results.get(key), "gain", "get")) for key in ("1-received", "1-peer"))
    limit = compare("get", "one value, median", "ms", ours, 0.1, against="the limit", at_most=1.0)
    return [limit, compare("get", "one value, median", "ms", ours, peer, times=True)]


def memory_records(results: Results) -> list[Record]:
    ours, peer = results.get("16-received").memory, results.get("16-peer").memory
    python = results.get("16-control-python").memory
    case = "memory-16ranks"
    pairs = (
        ("resident, sum of ranks", sum(ours.resident), sum(peer.resident), 1 / 10),
        ("resident, sum of ranks, control: python", sum(python.resident), sum(peer.resident), 1 / 10),
        ("private, sum of ranks", sum(ours.private), sum(peer.private), None),
        ("proportional share, sum of ranks", sum(ours.proportional), sum(peer.proportional), None),
        ("resident, median rank", median(ours.resident), median(peer.resident), None),
        ("resident, largest rank", max(ours.resident), max(peer.resident), None),
    )
    return [compare(case, what, "MiB", left, right, at_most=target) for what, left, right, target in pairs]


def python_records(results: Results) -> list[Record]:
    """The same program with either bridge."""
    case = "python-2MiB"
    ours, peer = results.get("1-python"), results.get("1-peer")
    start = compare(case, "import, until ready", "s", ours.start, peer.start)
    load = compare(case, "import alone", "s", ours.load, peer.load)
    sides = (median(ours.memory.resident), median(peer.memory.resident))
    memory = compare(case, "resident memory of a rank", "MiB", *sides)
    return [*send_records(results, case, "1-python", "1-peer", 15.0), start, load, memory]


def overhead_records(results: Results, how: str) -> list[Record]:
    return overhead.records({key: results.get(key) for key in overhead.runs(quick=True)}, how)


def cost_records(results: Results) -> list[Record]:
    """CPU time of all processes per timestep, and timesteps per second."""
    found = []
    for ours_key, peer_key, target in (
        ("4-busy-received", "4-busy-peer", 0.8),
        ("16-received", "16-peer", 0.6),
    ):
        if ours_key not in results.outcomes or peer_key not in results.outcomes:
            continue
        ours, peer = results.get(ours_key), results.get(peer_key)
        steps = sum(phase.steps for phase in ours.phases)
        case = f"cpu-{ours.ranks}ranks" + ("-busy" if ours.work == "busy" else "")
        left, right = 1e3 * ours.cpu / steps, 1e3 * peer.cpu / steps
        what = "CPU time of all processes, per timestep"
        found.append(compare(case, what, "ms", left, right, at_most=target))
    if "1-received" in results.outcomes and "1-peer" in results.outcomes:
        rates = []
        for key in ("1-received", "1-peer"):
            steps = next(phase.steps for phase in results.get(key).phases if phase.how == "rate")
            rates.append(steps / of(results.get(key), "chunk", "rate")[0])
        found.append(compare("rate-2MiB-1rank", "timesteps per second, until announced", "1/s", *rates))
    return found


def sends(case: str, ours: str, peer: str, target: float) -> tuple[str, Callable[[Results], list[Record]]]:
    return case, lambda results: send_records(results, case, ours, peer, target)


TARGETS: list[tuple[str, Callable[[Results], list[Record]]]] = [
    sends("send-2MiB-1rank-received", "1-received", "1-peer", 15.0),
    sends("send-2MiB-1rank-announced", "1-announced", "1-peer", 1.3),
    sends("send-2MiB-4ranks-busy-received", "4-busy-received", "4-busy-peer", 15.0),
    sends("send-256KiB-16ranks-received", "16-received", "16-peer", 25.0),
    ("python-2MiB", python_records),
    ("copy-64MiB", copy_records),
    ("pack-halo", lambda _: halo_records(0.05)),
    ("send-64MiB-loan", loan_records),
    ("send-4KiB-received", small_records),
    ("sustained-16MiB-stored", sustained_records),
    ("step-8arrays-4KiB", step_records),
    ("start-1rank-warm", lambda results: start_records(results, 1)),
    ("start-16ranks", lambda results: start_records(results, 16)),
    ("latency-send-to-callback-1", lambda results: latency_records(results, 1, 1.5)),
    ("latency-send-to-callback-4", lambda results: latency_records(results, 4, 1.5)),
    ("throughput-end-to-end", through_records),
    ("get", get_records),
    ("memory-16ranks", memory_records),
    *((case, partial(overhead_records, how=how)) for how, case in overhead.CASES.items()),
]


def records(results: Results, only: list[str]) -> list[Record]:
    """The first record of each case is the one that has its target."""
    found: list[Record] = []
    for case, make in TARGETS:
        if only and case not in only:
            continue
        try:
            found += make(results)
        except (RunError, KeyError, ValueError, IndexError, subprocess.TimeoutExpired, OSError) as error:
            found.append(failed(case, "", error))
    return found if only else found + cost_records(results)


def needs(cases: list[str], quick: bool) -> dict[str, Run]:
    """The runs that these cases need; all without cases."""
    all_runs = runs(quick)
    by_case = {
        "send-2MiB-1rank-received": ["1-peer", "1-received"],
        "send-2MiB-1rank-announced": ["1-peer", "1-announced"],
        "python-2MiB": ["1-peer", "1-python"],
        "send-2MiB-4ranks-busy-received": ["4-busy-peer", "4-busy-received"],
        "send-256KiB-16ranks-received": ["16-peer", "16-received"],
        "start-1rank-warm": ["1-peer", "1-control-java", "1-control-python"],
        "start-16ranks": ["16-peer", "16-control-java", "16-control-python"],
        "latency-send-to-callback-1": ["1-calm-peer", "1-calm-received"],
        "latency-send-to-callback-4": ["4-calm-peer", "4-calm-received"],
        "throughput-end-to-end": ["4-calm-peer", "4-calm-received"],
        "get": ["1-peer", "1-received"],
        "memory-16ranks": ["16-peer", "16-received", "16-control-python"],
        "sustained-16MiB-stored": ["1-put", "1-stored", "4-stored"],
        "pack-halo": [],
        **{case: list(overhead.runs(quick)) for case in overhead.CASES.values()},
    }
    keys = {key for case in cases for key in by_case.get(case, ["1-received"])}
    return {key: run for key, run in all_runs.items() if not cases or key in keys}
