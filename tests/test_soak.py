"""Many timesteps, with feedback and with timesteps that are skipped: no process grows.

More with DEISA_SOAK=<timesteps>; DEISA_SOAK_FILE=<file> gets what is measured, a JSON object a line.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cluster import Cluster
from formula import Simulation, until
from processes import descendants, is_alive

STEPS = int(os.environ.get("DEISA_SOAK", "600"))
CELLS = 4096
AHEAD = 8
"""Timesteps that may wait for the analytics."""
OURS = ("rank 0", "rank 1", "node actor", "head actor", "analytics")
GROWTH = 4 << 20
"""Bytes that an actor may grow by after the first tenth: its allocator and Ray's buffers take this much."""
GROWTH_OF_RANKS = 256 << 10
THREADS = (os.cpu_count() or 1) + 4
"""As many has the pool of an event loop, which makes them when it needs them."""

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300 + STEPS // 5)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as one:
        yield one


def measure(pid: int) -> dict[str, int]:
    """Bytes that the process has for itself, its threads and its open descriptors."""
    status = Path(f"/proc/{pid}/status").read_text()
    private = re.search(r"^RssAnon:\s*(\d+) kB", status, re.MULTILINE)
    threads = re.search(r"^Threads:\s*(\d+)", status, re.MULTILINE)
    assert private and threads
    return {
        "memory": int(private[1]) * 1024,
        "threads": int(threads[1]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
    }


def objects(cluster: Cluster) -> int:
    """That Ray's store keeps for their owners, by its newest report."""
    report = Path(cluster.folder, "session_latest", "logs", "debug_state.txt").read_text()
    found = re.search(r"num pinned objects: (\d+)", report)
    return int(found[1]) if found else -1


def name_of(pid: int) -> str:
    """Ray's own processes, by their programs and titles."""
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return " ".join(Path(word).name for word in words[:1]).split(" ")[0]


def ray_alone(puts: int) -> float:
    """Bytes for each object that an actor which does nothing but put and drop them grows by."""
    import ray

    @ray.remote(num_cpus=0)
    class Putter:
        def pid(self) -> int:
            return os.getpid()

        async def put(self, count: int) -> None:
            data = np.ones(CELLS)
            for _ in range(count):
                ray.put(data)

    actor = Putter.remote()
    pid = ray.get(actor.pid.remote())
    ray.get(actor.put.remote(puts // 10))
    before = measure(pid)["memory"]
    ray.get(actor.put.remote(puts))
    grown = measure(pid)["memory"] - before
    ray.kill(actor)
    return grown / puts


def watch(cluster: Cluster, one: Simulation, pids: dict[str, int]) -> list[dict]:
    """Samples until the ranks have ended: what has been sent, and what each process holds."""
    samples: list[dict] = []
    pause = max(0.2, min(5.0, STEPS / 2000))
    while any(rank.child.status() is None for rank in one.ranks):
        lines = one.ranks[0].child.lines
        sample: dict = {"step": len(lines), "objects": objects(cluster), "of": {}}
        for name, pid in pids.items():
            try:
                sample["of"][name] = measure(pid)
            except (OSError, AssertionError):
                continue  # it has ended
        samples.append(sample)
        if file := os.environ.get("DEISA_SOAK_FILE"):
            with open(file, "a") as opened:
                opened.write(json.dumps(sample) + "\n")
        time.sleep(pause)
    return samples


def slopes(samples: list[dict], name: str) -> dict[str, float]:
    """After the first tenth: the growth from there to the end by a straight line, and by 1,000 lines."""
    of = [one for one in samples if name in one["of"]]
    steps = np.array([one["step"] for one in of], float)
    late = steps >= steps[-1] / 10
    result = {}
    for what in ("memory", "threads", "descriptors"):
        values = np.array([one["of"][name][what] for one in of], float)[late]
        slope = np.polyfit(steps[late], values, 1)[0]
        result[what] = slope * (steps[-1] - steps[late][0])
    return result


def test_no_process_grows(cluster, built):
    variables = {"DEISA_MAX_AHEAD": str(AHEAD), "DEISA_WHEN_FULL": "skip", "DEISA_BLOCK_TIMEOUT": "0.2"}
    one = Simulation(
        built / "bin" / "formula",
        cluster.environment,
        2,
        [[0, 1]],
        cells=CELLS,
        steps=STEPS,
        step=1,
        get=10,
        variables=variables,
    )
    begin = time.monotonic()
    try:
        analytics = one.start_analytics(set=min(1000, STEPS // 10), pause=1.0, every=10)
        one.start_ranks()
        one.wait_ready()
        (node,) = (name for name in cluster.actors() if name.startswith("sched-"))
        pids = {f"rank {rank.number}": rank.child.pid for rank in one.ranks}
        pids |= {"analytics": analytics.child.pid, "node actor": cluster.process_of(node)}
        pids["head actor"] = cluster.process_of("simulation_head")
        known = set(pids.values())
        pids |= {f"{name_of(pid)} ({pid})": pid for pid in descendants(cluster.pid) if pid not in known}
        samples = watch(cluster, one, pids)
        analytics.finish(seconds=600.0)
        until(lambda: all(not is_alive(rank.child.pid) for rank in one.ranks), "the ranks")
        one.check_order_and_values()
        one.wait_ranks_closed()
    finally:
        one.end()
    cluster.wait_until_clean()
    skipped = [line for line in one.ranks[0].child.lines if " skipped " in line]
    got = [int(line.split()[-1]) for line in one.ranks[1].child.lines if " got " in line]
    assert got == sorted(got) and got[-1] >= STEPS // 2, got[-1]
    seen = [event["t"] for event in analytics.events if event["event"] in ("array", "seen")]
    assert seen == sorted({t for _, t in one.complete()}) and len(seen) == STEPS - len(skipped) < STEPS
    growth = {name: slopes(samples, name) for name in samples[-2]["of"]}
    most = max(sample["objects"] for sample in samples)
    seconds = time.monotonic() - begin
    print(f"\n{STEPS} timesteps in {seconds:.0f} s, {len(skipped)} skipped; at most {most} objects")
    for name, of in growth.items():
        memory, threads, files = of["memory"] / 1024, of["threads"], of["descriptors"]
        print(f"{name:24} {memory:+9.0f} KiB {threads:+6.1f} threads {files:+6.1f} descriptors")
    alone = ray_alone(min(STEPS, 20000))
    print(f"an actor that only puts: {alone:.0f} bytes per object")
    # Those that wait and the one at work, with two chunks, and what Ray has of its own.
    assert 2 <= most <= 2 * (AHEAD + 4) + 20
    for name in OURS:
        # A node actor puts two objects per timestep, the head actor one.
        mine = GROWTH_OF_RANKS if name.startswith("rank") else GROWTH + 4 * STEPS * max(alone, 0.0)
        assert growth[name]["memory"] < mine and growth[name]["threads"] < THREADS, (name, growth)
        assert growth[name]["descriptors"] < 3, (name, growth)
