"""Kills the same parties with deisa-ray's own Python bridge and with this one, and prints what happened:
docs/faults.md has a table of it.

    build/venv/ray-2.60.0/bin/python tests/beside.py [SCENARIO]...
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cluster import Cluster
from formula import PROGRAMS, Simulation, until

ROOT = Path(__file__).resolve().parent.parent

STEPS = 10
GOES_ON = 5.0
"""Seconds after the death after which a simulation that goes on comes to its end."""
WATCH = 60.0
"""Seconds after the death for which the others are looked at."""


def all_ranks(one: Simulation, cluster: Cluster, folder: Path) -> None:
    """All ranks, after their last send has returned and before a chunk was read"""
    gate = folder / "gate"
    one.options["hold"] = folder / "never"
    analytics = one.start_analytics(gate=str(gate))
    one.start_ranks()
    one.wait_ready()
    until(lambda: all(rank.told().held for rank in one.ranks), "the last sends to return")
    for rank in one.ranks:
        rank.kill()
    assert not analytics.arrays
    gate.touch()


def in_the_middle(number: int) -> Callable[[Simulation, Cluster, Path], None]:
    def kill(one: Simulation, cluster: Cluster, folder: Path) -> None:
        one.options |= {"steps": 100000, "pace": 0.3, "until": folder / "end"}
        one.start_analytics()
        one.run_until_read()
        one.ranks[number].kill()

    kill.__doc__ = f"Rank {number}, after a few timesteps"
    return kill


def analytics(one: Simulation, cluster: Cluster, folder: Path) -> None:
    """The analytics, after a few timesteps"""
    one.options |= {"steps": 100000, "pace": 0.3, "until": folder / "end"}
    started = one.start_analytics()
    one.run_until_read()
    os.kill(started.child.pid, signal.SIGKILL)


def node_actor(one: Simulation, cluster: Cluster, folder: Path) -> None:
    """The node actor, after a few timesteps"""
    one.options |= {"steps": 100000, "pace": 0.3, "until": folder / "end"}
    one.start_analytics()
    one.run_until_read()
    (name,) = [name for name in cluster.actors() if name.startswith("sched-")]
    cluster.kill(name)


SCENARIOS = {
    "all": all_ranks,
    "rank1": in_the_middle(1),
    "rank0": in_the_middle(0),
    "analytics": analytics,
    "node_actor": node_actor,
}


def report(one: Simulation, cluster: Cluster, begin: float, end: Path) -> None:
    def running() -> list[str]:
        everybody = [*(rank.child for rank in one.ranks), one.analytics.child]
        return [child.name for child in everybody if child.status() is None]

    while running() and time.monotonic() < begin + WATCH:
        if time.monotonic() > begin + GOES_ON:
            end.touch()
        time.sleep(0.05)
    seconds = time.monotonic() - begin
    lost = [event for event in one.analytics.events if event["event"] == "unreadable"]
    print(f"  after {seconds:.1f} s, still running: {', '.join(running()) or 'nobody'}")
    print(f"  read: {len(one.analytics.arrays)} timesteps, unreadable: {len(lost)}")
    if lost:
        print(f"    {lost[0]['error'].splitlines()[-1][:160]}")
    for rank in one.ranks:
        told = rank.told()
        print(f"  rank {rank.number}: {len(told.sent)} sends returned, status {rank.child.status()}")
        others = [line for line in rank.child.lines if line.split()[1:2] != ["sent"]]
        for line in others if len(others) < 5 else [*others[:2], "...", *others[-2:]]:
            print(f"    {line[:200]}")
    late = time.monotonic() + 10.0
    while cluster.actors() and time.monotonic() < late:
        time.sleep(0.1)
    print(f"  actors that are left: {', '.join(cluster.actors()) or 'none'}", flush=True)


def main() -> None:
    own = {"program": ROOT / "build" / "bin" / "formula"}
    python = {"program": PROGRAMS / "formula_bridge.py", "prefixes": lambda rank: [sys.executable]}
    for name in sys.argv[1:] or SCENARIOS:
        play = SCENARIOS[name]
        for bridge, how in {"deisa-ray's Python bridge": python, "this bridge": own}.items():
            # A cluster each: what the Python bridge leaves would be in the way.
            with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
                one = Simulation(
                    environment=cluster.environment,
                    world=3,
                    arrays=[[0, 1, 2]],
                    cells=256,
                    steps=STEPS,
                    **how,
                )
                try:
                    play(one, cluster, Path(folder))
                    begin = time.monotonic()
                    print(f"{play.__doc__}: {bridge}")
                    report(one, cluster, begin, Path(folder) / "end")
                finally:
                    one.end()


if __name__ == "__main__":
    main()
