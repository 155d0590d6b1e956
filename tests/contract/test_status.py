"""`deisa-info --status` beside a simulation with slow analytics, one of whose ranks dies."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import run
from local_ray import LocalRay
from processes import Child
from simulation import PROGRAMS, REPORTED, Simulation, define_row, succeed, together, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


def test_slow_analytics_and_a_dead_rank_are_shown(
    cluster: LocalRay, simulation: Simulation, built: Path, start: Callable[..., Child], tmp_path: Path
) -> None:
    command = [str(built / "bin" / "deisa-info"), "--status"]
    stream = start("status", [*command, "--watch", "--json"], cluster.environment)

    def session(condition: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """Of --json, once it is as expected."""
        last: dict[str, Any] = {}

        def look() -> bool:
            found = json.loads(stream.lines[-1])
            last.clear()
            last.update(found["sessions"][0] if found["sessions"] else {}, problems=found["problems"])
            return bool(last["problems"] or (len(last) > 1 and condition(last)))

        try:
            until(look, what)
        except AssertionError as error:
            raise AssertionError(last) from error
        assert last["problems"] == []
        return last

    allowed = tmp_path / "allowed"
    allowed.write_text("2")  # then they hold timestep 2
    paced = [sys.executable, "-P", str(PROGRAMS / "paced.py"), "field", str(allowed)]
    analytics = start("analytics", paced, cluster.environment)
    until(lambda: analytics.lines, "the analytics to start")
    until(lambda: any(f'"process {analytics.pid} on ' in line for line in stream.lines), "them to be shown")

    ranks = simulation.start(2, lambda rank: {"MAX_AHEAD": "4", "NODE_ID": "AB"[rank], "STATUS": "1"})
    for number, rank in enumerate(ranks):
        rank.ok(define_row("field", number))
    succeed(simulation.ready(ranks))
    for step in range(7):
        for number, rank in enumerate(ranks):
            rank.ok(f"send field {step} 4 {1000 * step + number}")
    for rank in ranks:
        rank.ask("send field 7 4 0")
    one = session(
        lambda one: (
            len(one["waits"]) == 2
            and one["steps"]["read"] == 2
            and sum(one["rates"]["history"]["steps"]) == 7  # of seconds that are over
        ),
        "the ranks to wait",
    )
    assert one["state"] == "running" and one["analytics_wait"] is False
    assert one["steps"] == {"sent": 6, "stored": 6, "announced": 6, "read": 2, "behind": 4}
    assert one["arrays"]["field"]["shape"] == [8] and one["arrays"]["field"]["announced"] == 6
    assert [(rank["node"], rank["state"], rank["step"]) for rank in one["ranks"]] == [
        ("A", "alive", 6),
        ("B", "alive", 6),
    ]
    assert [rank["pid"] for rank in one["ranks"]] == [rank.process.pid for rank in ranks]
    assert one["waits"][0]["what"].endswith(
        "waits to begin timestep 7: 4 timesteps wait for the analytics, and max_ahead is 4"
    )
    assert sum(one["rates"]["history"]["bytes"]) == 7 * 8 * 8

    ranks[1].kill()
    one = session(lambda one: one["ranks"][1]["state"] == "died", "the death to be seen")
    assert one["ranks"][1]["step"] == 6 and one["ranks"][0]["state"] == "alive"
    log = Path(one["nodes"][0]["log"])
    assert f"deisa: session {one['session']}; its log is {log}" in ranks[0].errors
    expected = [
        f"serving session {one['session']}",
        "rank 0 joined",
        "array 'field': float64, 1 of 2 chunks",
        "node B: rank 1 joined",
        "back-pressure holds ranks: 4 timesteps wait for the analytics, and max_ahead is 4",
        f"node B: rank 1 (process {ranks[1].process.pid}) died",
    ]
    until(lambda: all(text in log.read_text() for text in expected), "the log of the node actor of bridge 0")
    done = run(command, cluster.environment)
    assert done.returncode == 0 and "analysing 2, 4 behind\n" in done.stdout, done.stdout
    assert "rank 1     died, at timestep 6" in done.stdout

    check_watch(command, cluster.environment)

    allowed.write_text("100")
    assert ranks[0].answer()["status"] in (0, REPORTED)
    together(ranks[:1], "flush")
    one = session(lambda one: one["analytics_wait"] and not one["steps"]["behind"], "the last timestep")
    assert one["steps"]["read"] == 6
    assert "back-pressure ends after" in log.read_text()
    assert len(re.findall(f"session {one['session']}: ", log.read_text())) < 15, "not a line per chunk"


def check_watch(command: list[str], environment: dict[str, str]) -> None:
    """On a terminal, until Ctrl-C."""
    ours, its = pty.openpty()
    watch = subprocess.Popen(
        [*command, "--watch"], env=environment | {"TERM": "xterm"}, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    seen = ""
    try:
        with contextlib.suppress(OSError):
            while seen.count("timesteps/s") < 2 and (more := os.read(ours, 1 << 16)):
                seen += more.decode(errors="replace")
        watch.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):
            while os.read(ours, 1 << 16):
                pass
        assert watch.wait(60.0) == 0 and "died, at timestep 6" in seen, seen
    finally:
        watch.kill()
        watch.wait()
        os.close(ours)
