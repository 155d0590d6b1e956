"""What must hold with each supported version of Ray, with both kinds of control, with tokens and without.

./test --all-rays runs it with each of three, by that version's own Python; ./test with the default one,
without what is marked all_rays.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run
from ports import free_port
from processes import Child

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
all_rays = pytest.mark.all_rays
RANKS, STEPS, CELLS = 3, 6, 256
RAY = importlib.metadata.version("ray")


def heat(root: Path, output: Path, *options: str, **variables: str) -> str:
    """Runs the heat example with this Python; what it printed."""
    drive = [sys.executable, str(root / "dev" / "drive.py")]
    options = ("--steps", "4", "--size", "32", "--pace", "0", *options)
    done = run(
        [*drive, *options, "--output", str(output), "--timeout", "200"], os.environ | variables, timeout=220
    )
    assert done.returncode == 0, f"Ray {RAY}: {done.stdout[-6000:]}"
    assert done.stdout.splitlines()[-1] == "4 of 4 timesteps analysed, all values match"
    return done.stdout


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("--control java --nodes 2"),
        pytest.param("--control python --nodes 2", marks=all_rays),
        pytest.param("--control python --language java --ranks 2"),
    ],
)
def test_heat(root, built, tmp_path, options):
    printed = heat(root, tmp_path, *options.split())
    # What Ray prints while a driver starts differs between versions. A C simulation's output is its own.
    foreign = [line for line in printed.splitlines() if line.startswith("[simulation]")]
    assert not [line for line in foreign if "sent, source" not in line], printed


def with_token(folder: Path) -> dict[str, str]:
    """A home folder with a token in it."""
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    return {"HOME": str(folder), "RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": ""}


@pytest.mark.parametrize("control", [pytest.param("java", marks=all_rays), "python"])
def test_cluster_with_a_token(root, built, tmp_path, control):
    """Of the versions that know it; the older ones go on without."""
    heat(root, tmp_path / "out", "--control", control, RAY_AUTH_MODE="token", **with_token(tmp_path))


@pytest.mark.parametrize("control", ["java", pytest.param("python", marks=all_rays)])
def test_token_for_another_cluster(root, built, tmp_path, monkeypatch, control):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    heat(root, tmp_path / "out", "--control", control, **with_token(tmp_path))


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 90.0
    while not condition():
        assert time.monotonic() < end, f"Ray {RAY}: waited 90 s for {what}"
        time.sleep(0.02)


def test_killed_simulation_loses_nothing(built, ray, start, tmp_path):
    """All ranks are killed when their last send has returned; the analytics read afterwards."""
    gate = tmp_path / "gate"
    arrays = {"a0": list(range(RANKS)), "a1": [0, 2]}
    asked = {"arrays": arrays, "cells": CELLS, "gate": str(gate)}
    program = Path(__file__).resolve().parent / "programs" / "formula_analytics.py"
    analytics = start("analytics", [sys.executable, str(program), json.dumps(asked)], ray.environment)
    environment = ray.environment | {"DEISA_MASTER_PORT": str(free_port())}
    ranks: list[Child] = []
    for number in range(RANKS):
        command = [str(built / "bin" / "formula"), f"rank={number}", f"world={RANKS}", f"cells={CELLS}"]
        command += [f"array={','.join(map(str, members))}" for members in arrays.values()]
        command += [f"steps={STEPS}", f"hold={tmp_path / 'never'}"]
        ranks.append(start(f"rank {number}", command, environment))

    def said(rank: Child, word: str) -> bool:
        assert rank.status() is None, f"Ray {RAY}: {rank.name} has ended: {rank.lines}"
        return any(line.split(" ")[1] == word for line in list(rank.lines))

    until(lambda: all(said(rank, "held") for rank in ranks), "the ranks to send everything")
    shown = run([str(built / "bin" / "deisa-info"), "--status", "--json"], ray.environment)
    (session,) = json.loads(shown.stdout)["sessions"]
    assert session["steps"]["sent"] == STEPS - 1 and session["problems"] == [], shown.stdout
    assert [one["pid"] for one in session["ranks"]] == [rank.pid for rank in ranks], shown.stdout
    for rank in ranks:
        os.kill(rank.pid, signal.SIGKILL)
    for rank in ranks:
        assert rank.wait(30) == -signal.SIGKILL
    events = [json.loads(line) for line in analytics.lines if line.startswith('{"event"')]
    assert [event["event"] for event in events] == ["started"], "nothing was to be read before"

    gate.touch()
    assert analytics.wait(90) == 0, f"Ray {RAY}: {analytics.lines[-30:]}"
    events = [json.loads(line) for line in analytics.lines if line.startswith('{"event"')]
    read = [(event["t"], event["name"], event["right"]) for event in events if event["event"] == "array"]
    assert sorted(read) == [(t, name, True) for t in range(STEPS) for name in arrays], analytics.lines[-30:]
    assert [t for t, _, _ in read] == sorted(t for t, _, _ in read)
    assert events[-1]["event"] == "ended"
