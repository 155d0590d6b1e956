"""DEISA_TRACE: what ranks and node actor do, in one file and on one clock."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
from simulation import Simulation, define_row, succeed, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


def read_all(file: Path) -> list[dict[str, Any]]:
    """All events. Valid at any time for whoever locks the file."""
    with file.open() as opened:
        fcntl.flock(opened, fcntl.LOCK_SH)
        return json.loads(opened.read())


def read(file: Path) -> list[dict[str, Any]]:
    """The spans, in the order of their begin."""
    return sorted((one for one in read_all(file) if one["ph"] == "X"), key=lambda one: one["ts"])


def of(events: list[dict[str, Any]], name: str, rank: int, step: int) -> dict[str, Any] | None:
    """The span of this name of a rank's timestep."""
    found = [
        one for one in events if (one["name"], one["args"]["rank"], one["args"]["step"]) == (name, rank, step)
    ]
    assert len(found) < 2, found
    return found[0] if found else None


def test_a_chunks_way_on_one_clock(simulation: Simulation, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    file.write_text("of an earlier run")
    analytics = simulation.analytics("t")
    ranks = simulation.start(2, lambda rank: {"TRACE": str(file)})
    for number, rank in enumerate(ranks):
        rank.ok(define_row("t", number))
    succeed(simulation.ready(ranks))
    for step in range(3):
        for rank in ranks:
            rank.ok(f"send t {step} 4 1.5")
    ranks[1].ok("begin 3", "put t 4 2.5", "end")
    ranks[1].kill()
    assert of(read(file), "end step", 1, 3), "what a rank did is there though it was killed"
    # What was sent before is announced; the news of the death may come first.
    flushed = ranks[0].call("flush")
    assert flushed["status"] == 0 or "rank 1 died" in flushed["message"], flushed

    until(lambda: of(read(file), "announce", 1, 2), "the node actor to write its part")
    events = read(file)
    for rank in (0, 1):
        for step in range(3):
            send, copy, hand, receive, acknowledge, put, announce = (
                of(events, name, rank, step)
                for name in ("send", "copy", "hand over", "receive", "acknowledge", "put", "announce")
            )
            assert send["args"] == {"rank": rank, "step": step, "array": "t"}
            assert put["args"] == announce["args"] == send["args"]
            begins = [one["ts"] for one in (send, copy, hand, receive, put, announce)]
            assert begins == sorted(begins)
            end = send["ts"] + send["dur"]
            assert hand["ts"] <= receive["ts"] <= acknowledge["ts"] + acknowledge["dur"] <= end + 0.002
            assert send["pid"] == copy["pid"] == acknowledge["pid"]
            assert receive["pid"] == put["pid"] == announce["pid"] != send["pid"]
            # The node actor has the bytes before the rank goes on, and puts them afterwards.
            assert put["ts"] + put["dur"] <= announce["ts"] + 0.002
    check_analytics(file, analytics.child.pid)
    check_format(read_all(file))


def check_format(events: list[dict[str, Any]]) -> None:
    """What Perfetto and Chrome ask of the events: their keys, a name for each process, and that spans of one
    thread follow or contain each other. Perfetto leaves out others."""
    rows: dict[tuple[int, int], list[tuple[int, int, str]]] = {}
    named = {one["pid"] for one in events if one["ph"] == "M" and one["name"] == "process_name"}
    for one in events:
        assert one["ph"] in "MX" and isinstance(one["pid"], int) and isinstance(one["args"], dict), one
        if one["ph"] == "X":
            assert one["name"] and one["cat"] and one["dur"] >= 0 and one["pid"] in named, one
            begin, length = round(one["ts"] * 1000), round(one["dur"] * 1000)
            rows.setdefault((one["pid"], one["tid"]), []).append((begin, -(begin + length), one["name"]))
    for row in rows.values():
        around: list[tuple[int, str]] = []
        for begin, last, name in sorted(row):
            while around and around[-1][0] <= begin:
                around.pop()
            assert not around or -last <= around[-1][0], (name, "begins in, and ends after", around[-1][1])
            around.append((-last, name))


def check_analytics(file: Path, pid: int) -> None:
    """They have each timestep after its announcement, and their tasks run meanwhile."""

    def tasks(step: int) -> list[dict[str, Any]]:
        return [one for one in read(file) if one["name"].startswith("dask:") and one["args"]["step"] == step]

    until(lambda: of(read(file), "analyse", -1, 2) and tasks(2), "what the analytics have done")
    for step in range(3):
        wait, analyse = (of(read(file), name, -1, step) for name in ("wait for a timestep", "analyse"))
        assert wait["pid"] == analyse["pid"] == pid
        assert wait["ts"] + wait["dur"] == pytest.approx(analyse["ts"], abs=1.0)
        assert of(read(file), "announce", 0, step)["ts"] < analyse["ts"]
        for task in tasks(step):
            assert analyse["ts"] < task["ts"]
            assert task["ts"] + task["dur"] < analyse["ts"] + analyse["dur"]
            assert task["pid"] not in (pid, of(read(file), "announce", 0, step)["pid"])
    names = [one["args"]["name"] for one in read_all(file) if one["ph"] == "M"]
    assert {"rank 0", "rank 1", "worker of the analytics"} < set(names), names
    assert names.count("analytics") == 1


def test_a_file_that_cannot_be_written_is_named(simulation: Simulation) -> None:
    with pytest.raises(AssertionError, match=r"/no/such/folder/trace\.json"):
        simulation.start(1, lambda rank: {"TRACE": "/no/such/folder/trace.json"})
