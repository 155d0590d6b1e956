"""What `deisa-info --status --watch` costs a simulation: one rank sends 64 KiB again and again; in turn it is
watched, and the command is stopped. Prints medians of the time of a send, and of the CPU time per timestep of
the rank and of the node actor. In the environment that .ci/setup makes:

    build/venv/ray-2.60.0/bin/python bench/watched.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "dev")]

from processes import Child, cpu_seconds, descendants, stop_on_signals  # noqa: E402
from simulation import PROGRAMS, Simulation, define_row, joined, succeed, until  # noqa: E402

CELLS, SENDS, PAUSE = 8192, 100, 0.02


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    stop_on_signals()
    kinds = ("send", "rank", "node")
    found: dict[bool, dict[str, list[float]]] = {one: {kind: [] for kind in kinds} for one in (False, True)}
    allowed = Path(f"/tmp/deisa-watched-{os.getpid()}")
    allowed.write_text(str(1 << 40))
    children: list[Child] = []
    with joined(256 << 20) as cluster:
        simulation = Simulation(cluster, ROOT / "build")
        try:
            paced = [sys.executable, "-P", str(PROGRAMS / "paced.py"), "field", str(allowed)]
            children.append(Child("analytics", paced, cluster.environment, show=False))
            (rank,) = simulation.start(1)
            rank.ok(define_row("field", 0, count=1, cells=CELLS))
            succeed(simulation.ready([rank]))
            command = [str(ROOT / "build" / "bin" / "deisa-info"), "--status", "--watch", "--json"]
            status = Child("status", command, cluster.environment, show=False)
            children.append(status)
            until(lambda: status.lines and json.loads(status.lines[-1])["sessions"], "the status")
            pids = {"rank": rank.process.pid, "node": simulation.node_status()["pid"]}
            step = 0
            for number in range(2 * rounds + 1):
                watched = number % 2 == 0
                for pid in [status.pid, *descendants(status.pid)]:
                    os.kill(pid, signal.SIGCONT if watched else signal.SIGSTOP)
                before = {who: cpu_seconds(pid) for who, pid in pids.items()}
                took = []
                for _ in range(SENDS):
                    time.sleep(PAUSE)
                    answer = rank.call(f"send field {step} {CELLS} {1000 * step}")
                    assert answer["status"] == 0, answer
                    took.append(answer["seconds"])
                    step += 1
                if number == 0:  # everything is warm now
                    continue
                found[watched]["send"].append(statistics.median(took) * 1e6)
                for who, pid in pids.items():
                    found[watched][who].append((cpu_seconds(pid) - before[who]) / SENDS * 1e6)
            for pid in descendants(status.pid):
                os.kill(pid, signal.SIGCONT)
        finally:
            for child in children:
                child.end(grace=0.0)
            simulation.end()
            allowed.unlink()
    for watched, figures in found.items():
        name = "watched" if watched else "not watched"
        send, of_rank, node = (statistics.median(figures[one]) for one in kinds)
        print(
            f"{name}: a send {send:.0f} µs; CPU per timestep: rank {of_rank:.0f} µs, node actor {node:.0f} µs"
        )


if __name__ == "__main__":
    main()
