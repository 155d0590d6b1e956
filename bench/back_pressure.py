"""A simulation that is faster than its analytics, with a small object store: once the ranks wait for room,
and once steps are skipped. Each run has a Ray of its own. Every second, the memory of node actor and ranks
and what is in the object store are measured. Every timestep must be analysed or counted as skipped, and Ray
must never spill. Prints the figures, and draws them."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
sys.path.append(str(ROOT / "python"))

import ray as ray_api  # noqa: E402
from back_pressure_picture import draw  # noqa: E402
from deisa_bridge.node.store import Store  # noqa: E402
from local_ray import LocalRay  # noqa: E402
from processes import Child, adopt_orphans, descendants, end_children, fail, stop_on_signals  # noqa: E402

MIB = 1 << 20


class RunError(Exception):
    """A run that broke a promise."""


@dataclass
class Samples:
    """What was measured each second of a run; times in seconds, sizes in MiB."""

    when_full: str
    allowed: float = 0.0  # of the object store
    at: list[float] = field(default_factory=list)
    store: list[float] = field(default_factory=list)
    node_actor: list[float] = field(default_factory=list)
    ranks: list[list[float]] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    analysed: list[int] = field(default_factory=list)
    skipped: int = 0
    blocked: float = 0.0  # seconds, of the rank that waited most
    spills: int = 0


def memory_of(pid: int, kinds: tuple[str, ...]) -> float:
    """MiB of this process; `kinds` of RssAnon, RssFile and RssShmem."""
    lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines if line.startswith("Rss"))
    return sum(int(found[kind].split()[0]) for kind in kinds) / 1024


def node_actor_of(local: LocalRay) -> int:
    """The process of the node actor, the only one of its class."""
    for pid in descendants(local.pid):
        with contextlib.suppress(OSError):
            if b"ray::NodeActor" in (Path("/proc") / str(pid) / "cmdline").read_bytes():
                return pid
    raise RunError("there is no node actor")


def numbers(lines: list[str], key: str) -> list[int]:
    """The values of `key` in the lines of JSON that have it first."""
    start = f'{{"{key}": '
    return [json.loads(line)[key] for line in list(lines) if line.startswith(start)]


class Measurement:
    """One run."""

    def __init__(self, arguments: argparse.Namespace, when_full: str) -> None:
        self._arguments = arguments
        self._samples = Samples(when_full)
        self._deadline = time.monotonic() + arguments.timeout

    def run(self) -> Samples:
        given, samples = self._arguments, self._samples
        samples.allowed = given.threshold * given.store
        with contextlib.ExitStack() as cleanup:
            local = cleanup.enter_context(
                LocalRay(
                    cpus=2,
                    object_store_bytes=given.store * MIB,
                    variables={"RAY_debug_dump_period_milliseconds": "1000"},
                )
            )
            ray_api.init(
                address=local.address, namespace="deisa_ray", log_to_driver=False, logging_level="WARNING"
            )
            cleanup.callback(ray_api.shutdown)
            script = str(BENCH / "slow_analytics.py")
            analytics = self._start(
                cleanup,
                "analytics",
                [sys.executable, script, str(given.ranks), str(given.analysis), str(given.keep)],
                local,
                {},
            )
            ranks = [self._start_rank(cleanup, local, rank) for rank in range(given.ranks)]
            self._until(lambda: all(numbers(one.lines, "ready") for one in ranks), [*ranks, analytics])
            actor, store, begin = node_actor_of(local), Store(), time.monotonic()
            while any(one.status() is None for one in (*ranks, analytics)):
                self._sample(begin, actor, store, ranks, analytics)
                self._pause(begin + len(samples.at), [*ranks, analytics])
            for one in (*ranks, analytics):
                one.wait_output()
            samples.spills = local.spills()
        self._check(ranks, analytics)
        return samples

    def _start_rank(self, cleanup: contextlib.ExitStack, local: LocalRay, rank: int) -> Child:
        given, skips = self._arguments, self._samples.when_full == "skip"
        options = {
            "BRIDGE_ID": rank,
            "WORLD_SIZE": given.ranks,
            "MASTER_PORT": given.port,
            "WHEN_FULL": self._samples.when_full,
            # A step is skipped because the store is full, not because the last one is on its way to it.
            "BLOCK_TIMEOUT": 0.05 if skips else given.timeout,
            "STORE_THRESHOLD": given.threshold,
            "SEND_TIMEOUT": given.timeout,
            "ERRORS": "return",
        }
        pace = given.skip_pace if skips else given.pace
        command = [str(ROOT / "build" / "bin" / "steps"), str(given.chunk * MIB), str(given.steps), str(pace)]
        return self._start(cleanup, f"rank {rank}", command, local, options)

    @staticmethod
    def _start(
        cleanup: contextlib.ExitStack,
        name: str,
        command: list[str],
        local: LocalRay,
        options: dict[str, object],
    ) -> Child:
        environment = local.environment | {f"DEISA_{key}": str(value) for key, value in options.items()}
        child = Child(name, command, environment, show=False)
        cleanup.callback(child.end, 0.0)
        return child

    def _until(self, condition, children: list[Child]) -> None:
        while not condition():
            self._pause(time.monotonic() + 0.05, children)

    def _pause(self, until: float, children: list[Child]) -> None:
        for child in children:
            if child.status() not in (None, 0):
                child.wait_output()
                raise RunError("\n".join([f"{child.name} failed: {child.status()}", *child.lines[-20:]]))
        if time.monotonic() > self._deadline:
            said = [f"[{one.name}] {line}" for one in children for line in one.lines[-5:]]
            raise RunError("\n".join([f"not finished after {self._arguments.timeout:.0f} s", *said]))
        time.sleep(max(0.0, until - time.monotonic()))

    def _sample(self, begin: float, actor: int, store: Store, ranks: list[Child], analytics: Child) -> None:
        samples = self._samples
        with contextlib.suppress(OSError, KeyError):  # a process has just ended
            # The slots, shared with the node actor, are counted as the ranks'.
            of_ranks = [memory_of(one.pid, ("RssAnon", "RssShmem")) for one in ranks]
            of_actor = memory_of(actor, ("RssAnon",))
            samples.at.append(time.monotonic() - begin)
            samples.store.append(store.read().used / MIB)
            samples.node_actor.append(of_actor)
            samples.ranks.append(of_ranks)
            samples.begun.append(min(len(numbers(one.lines, "begun")) for one in ranks))
            samples.analysed.append(len(set(numbers(analytics.lines, "analysed"))))

    def _check(self, ranks: list[Child], analytics: Child) -> None:
        """Every promise of this run."""
        given, samples = self._arguments, self._samples
        last = [json.loads(next(line for line in one.lines if line.startswith('{"rank"'))) for one in ranks]
        left_out = last[0]["left_out"]
        samples.skipped, samples.blocked = len(left_out), max(one["blocked"] for one in last)
        for one in last:
            if one["left_out"] != left_out or one["skipped"] != len(left_out):
                raise RunError(f"the ranks do not agree about what was skipped: {last}")
        seen = set(numbers(analytics.lines, "analysed"))
        if numbers(analytics.lines, "wrong") or seen != set(range(given.steps)) - set(left_out):
            raise RunError(f"{len(seen)} timesteps analysed, {len(left_out)} skipped, of {given.steps}")
        # Whole arrays that the analytics compute lie in the store as well, and may exceed the threshold.
        if samples.spills or (given.keep is None and max(samples.store) > samples.allowed):
            raise RunError(
                f"{max(samples.store):.1f} MiB in the store of {given.store} MiB, "
                f"Ray spilled {samples.spills} times"
            )


def row(samples: Samples, steps: int) -> str:
    """A line of the table."""
    third = len(samples.at) // 3
    grown = max(samples.node_actor[2 * third :]) - max(samples.node_actor[: third + 1])
    rank = max(max(one) for one in samples.ranks)
    return (
        f"| {samples.when_full} | {steps - samples.skipped} | {samples.skipped} | {samples.at[-1]:.0f} s "
        f"| {samples.blocked:.0f} s | {max(samples.store):.0f} of {samples.allowed:.0f} MiB "
        f"| {max(samples.node_actor):.0f} MiB ({grown:+.0f}) | {rank:.0f} MiB | {samples.spills} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="back_pressure", description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--chunk", type=int, default=2, help="MiB of each rank's chunk")
    parser.add_argument("--store", type=int, default=100, help="MiB of the object store (Ray: at least 75)")
    parser.add_argument(
        "--analysis", type=float, default=0.1, help="seconds that a timestep's analysis takes"
    )
    parser.add_argument(
        "--keep", type=int, help="compute whole arrays, and keep the last so many (default: compute means)"
    )
    parser.add_argument("--threshold", type=float, default=0.5, help="store_threshold (its default: 0.5)")
    parser.add_argument(
        "--when-full",
        nargs="+",
        choices=("block", "skip"),
        default=["block", "skip"],
        help="one run for each",
    )
    parser.add_argument("--pace", type=float, default=0.005, help="seconds to compute a step, with block")
    parser.add_argument("--skip-pace", type=float, default=0.05, help="the same, with skip")
    parser.add_argument("--port", type=int, default=29417, help="where the ranks meet")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for a run")
    parser.add_argument("--output", type=Path, default=ROOT / "out", help="folder of the picture")
    arguments = parser.parse_args()
    os.environ.pop("RAY_ADDRESS", None)
    adopt_orphans()
    stop_on_signals()
    try:
        runs = [Measurement(arguments, when_full).run() for when_full in arguments.when_full]
    except (RunError, RuntimeError) as error:
        fail(str(error))
    finally:
        end_children()
    titles = ["when_full", "analysed", "skipped", "time", "blocked", "store, maximum", "node actor (growth)"]
    titles += ["rank, maximum", "spills"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for samples in runs:
        print(row(samples, arguments.steps))
    arguments.output.mkdir(parents=True, exist_ok=True)
    picture = arguments.output / "back_pressure.png"
    draw(picture, runs)
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
