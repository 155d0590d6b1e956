"""Feedback: values that deisa-ray's analytics set, read by ranks in C and in Java."""

from __future__ import annotations

import json
import os
import re
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray as ray_api
from conftest import java_program
from local_ray import LocalRay
from processes import Child
from programs.feedback_values import VALUES, text
from simulation import (
    CONTRACT,
    NAMESPACE,
    OK,
    PROGRAMS,
    Rank,
    Simulation,
    joined,
    succeed,
    together,
    until,
)

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

NOT_FOUND, UNSUPPORTED = 2, -7
LATEST = -(2**63)
COLLECTIVE, CHUNKED, ALL = 1, 2, 4
ARGUMENT, TIMEOUT = -1, -3
RUNS = int(os.environ.get("DEISA_STEERING_RUNS", "2"))
STEPS = 12
MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    with joined(128 << 20) as local:
        yield local


def start_analytics(simulation: Simulation, start) -> Child:
    script = str(PROGRAMS / "feedback_values.py")
    return start("analytics", [sys.executable, "-P", script, "field"], simulation.cluster.environment)


def start_ranks(simulation: Simulation, size: int = 1, interval: float = 0.0) -> list[Rank]:
    """With an interval of 0 each read asks the head actor: what was set just now is read."""
    ranks = simulation.start(size, lambda rank: {"ERRORS": "return", "FEEDBACK_INTERVAL": str(interval)})
    for i, rank in enumerate(ranks):
        field = {"chunk_shape": [1], "nb_chunks_per_dim": [size], "chunk_position": [i], "dtype": "float64"}
        rank.ok("define " + json.dumps({"field": field}))
    succeed(simulation.ready(ranks))
    return ranks


def get(rank: Rank, key: str, timestep: int = LATEST, flags: int = 0) -> str | None:
    """The value as text; None: there is none."""
    result = rank.call(f"get {key} {timestep} {flags}")
    assert result["status"] in (OK, NOT_FOUND), result
    return result["value"] if result["status"] == OK else None


def set_value(key: str, value: object, timestep: int) -> None:
    """What Deisa.set does."""
    ray_api.get(ray_api.get_actor("simulation_head", NAMESPACE).set_feedback.remote(key, timestep, value))


def test_every_kind_of_value_in_c(simulation: Simulation, start):
    analytics = start_analytics(simulation, start)
    first, second = start_ranks(simulation, 2)
    for key, value in VALUES.items():
        assert get(first, key) == text(value), key
    # Nobody has sent anything, so the analytics wait; a value that is not there is not waited for.
    assert get(first, "absent") is None
    # By timestep, and the newest.
    set_value("pace", 1, 3)
    set_value("pace", 2, 5)
    assert [get(second, "pace", t) for t in (LATEST, 3, 5, 4)] == ["2", "1", "2", None]
    # Gone on this node, until there is a newer one.
    second.ok("delete pace", "delete absent")
    assert get(first, "pace") is None and get(first, "pace", 3) is None
    set_value("pace", 3, 6)
    assert get(first, "pace") == "3" and get(first, "pace", 5) is None
    # All ranks get what rank 0 reads.
    for result in together([first, second], f"get map {LATEST} {COLLECTIVE}"):
        assert result["status"] == OK and result["value"] == text(VALUES["map"])
    for result in together([first, second], f"get absent {LATEST} {COLLECTIVE}"):
        assert result["status"] == NOT_FOUND
    refused = first.call(f"get map {LATEST} {CHUNKED}")
    assert refused["status"] == UNSUPPORTED and "chunked is not implemented" in refused["message"]
    set_value("odd", {1: 2}, 0)
    refused = first.call(f"get odd {LATEST} 0")
    assert refused["status"] == UNSUPPORTED and "str keys only" in refused["message"]
    succeed(together([first, second], "close 0"))
    assert analytics.wait(60) == 0, analytics.lines
    assert first.call(f"get map {LATEST} 0")["status"] == CONTRACT


def test_all_kept_values_as_deisa_ray_gives_them(simulation: Simulation, start):
    start_analytics(simulation, start)
    first, second = start_ranks(simulation, 2)
    assert get(first, "pace", flags=ALL) is None
    for t in (3, 5):
        set_value("pace", t * t, t)
    queue = ray_api.get(ray_api.get_actor("simulation_head", NAMESPACE).get_feedback.remote("pace", None))
    assert get(first, "pace", flags=ALL) == text(queue[1]) == "[[3,9],[5,25]]"
    for result in together([first, second], f"get pace {LATEST} {COLLECTIVE + ALL}"):
        assert result["value"] == "[[3,9],[5,25]]"
    refused = first.call(f"get pace 3 {ALL}")
    assert refused["status"] == ARGUMENT and "expected DEISA_LATEST" in refused["message"]


def test_a_plain_read_asks_nobody(simulation: Simulation, start):
    """Changes come by themselves; so many reads make no more look-ups than the time that they take allows."""
    start_analytics(simulation, start)
    first, second = start_ranks(simulation, 2, interval=0.1)
    set_value("pace", 1, 1)
    until(lambda: get(first, "pace") == "1" and get(second, "pace") == "1", "the first value")
    before, begun = simulation.node_status()["feedback_lookups"], time.monotonic()
    resident = memory(first.process.pid, "RssAnon")
    first.ok("reads pace 100000")
    assert memory(first.process.pid, "RssAnon") - resident < 5.0
    second.ok("reads pace 100000")
    elapsed = time.monotonic() - begun
    assert simulation.node_status()["feedback_lookups"] - before <= elapsed / 0.1 + 2
    set_value("pace", 2, 2)
    until(lambda: get(first, "pace") == "2" and get(second, "pace") == "2", "the second value")
    second.ok("delete pace")
    assert get(first, "pace") is None
    set_value("pace", 3, 3)
    until(lambda: get(first, "pace") == "3" and get(second, "pace") == "3", "the third value")


def test_a_read_waits_and_says_for_what(simulation: Simulation, start):
    start_analytics(simulation, start)
    (rank,) = start_ranks(simulation)
    late = rank.call("get pace 7 0 0.2")
    assert late["status"] == TIMEOUT, late
    assert "'pace'" in late["message"] and "for timestep 7" in late["message"], late
    rank.ask("get pace 7 0 60")
    set_value("pace", 1, 3)
    set_value("pace", 2, 7)
    assert rank.answer()["value"] == "2"


@pytest.mark.parametrize("run", range(RUNS))
def test_a_steering_loop_repeats_bit_for_bit(simulation: Simulation, start, run: int):
    """What the ranks compute depends on what the analytics made of the timestep before: the same in each run,
    and as computed here without them. DEISA_STEERING_RUNS: how often."""
    script = str(PROGRAMS / "steering.py")
    analytics = start("analytics", [sys.executable, "-P", script], simulation.cluster.environment)
    ranks = start_ranks(simulation, 2, interval=0.1)
    values, expected, said = [1.0, 2.0], [1.0, 2.0], []
    gains = []
    for t in range(STEPS):
        for rank, value in zip(ranks, values, strict=True):
            rank.ok(f"send field {t} 1 {value!r}")
        gains.append(1.0 / (1.0 + (expected[0] + expected[1]) / 2))
        if t == 0:
            continue
        # Of the timestep before: the analytics work on this one meanwhile.
        results = together(ranks, f"get gain {t - 1} {COLLECTIVE} 60")
        succeed(results)
        (word,) = {json.loads(result["value"])["number"] for result in results}
        (gain,) = struct.unpack(">d", bytes.fromhex(word))
        values = [3.0 * gain * value + 0.1 for value in values]
        expected = [3.0 * gains[t - 1] * value + 0.1 for value in expected]
        said.append(word)
    assert values == expected
    print("run", run, *said[-3:], *(struct.pack(">d", value).hex() for value in values))
    succeed(together(ranks, f"close {STEPS}"))
    assert analytics.wait(60) == 0, analytics.lines


def test_every_kind_of_value_in_java(simulation: Simulation, start, built):
    analytics = start_analytics(simulation, start)
    # Not the cache of the user, which another checkout may fill at the same time.
    options = [f"-Dorg.bytedeco.javacpp.cachedir={simulation.folder}", "-Dfile.encoding=UTF-8"]
    program = java_program(PROGRAMS / "ReadValues.java", built / "lib", *options)
    command = [*program, "field", *VALUES]
    rank = start("rank", command, simulation.environment)
    assert rank.wait(120) == 0, rank.lines
    said = dict(line.split(" ", 1) for line in rank.lines if " " in line)
    for key, value in VALUES.items():
        assert said[key] == text(value), key
    assert said["absent"] == said["deleted"] == text("the fallback")
    assert said["at_0"] == "0" and said["at_1"] == text("no such value")
    assert said["typed"] == f"-0.1 {VALUES['text']} true {-(2**63)}"
    assert said["collective"] == text(VALUES["list"])
    assert said["chunked"] == "UNSUPPORTED"
    assert analytics.wait(60) == 0, analytics.lines


def memory(pid: int, key: str) -> float:
    """MiB, of VmHWM (the most that was ever resident), or of RssAnon."""
    return int(re.search(rf"{key}:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def test_many_reads_move_one_value_and_leave_nothing_behind(simulation: Simulation, start):
    start_analytics(simulation, start)
    (rank,) = start_ranks(simulation)
    head = ray_api.get_actor("simulation_head", NAMESPACE)
    # 63 MiB of history, and a value that does not fit into one message.
    for t in range(1000):
        set_value("field", np.full(1 << 16, t % 251, np.uint8), t)
    head_pid = ray_api.get(head.__ray_call__.remote(lambda _: __import__("os").getpid()))
    actor_pid = simulation.node_status()["pid"]
    pids = {"rank": rank.process.pid, "node actor": actor_pid, "head actor": head_pid}
    highest = memory(actor_pid, "VmHWM")
    rank.ok("reads field 250", "reads zero 250")
    descriptors = len(os.listdir(f"/proc/{rank.process.pid}/fd"))
    before = {name: memory(pid, "RssAnon") for name, pid in pids.items()}
    # Each asks the head actor: some ms, and more on a busy machine.
    rank.ok(*["reads field 250"] * 8, *["reads zero 250"] * 4)
    grown = {name: memory(pid, "RssAnon") - before[name] for name, pid in pids.items()}
    assert max(grown.values()) < 5.0, grown
    assert len(os.listdir(f"/proc/{rank.process.pid}/fd")) == descriptors
    assert memory(actor_pid, "VmHWM") - highest < 32.0, "it took the whole history"
    assert get(rank, "field") == text(np.full(1 << 16, 999 % 251, np.uint8))
