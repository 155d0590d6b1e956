"""What a host program may do, and what it may do wrong."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from conftest import ANALYTICS, run
from local_ray import LocalRay

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]
ALL_TRUE = "right=True readonly,borrowed,in_store=[[True, True, True]]"


def analysed(analytics) -> list[str]:
    """The output of the analytics, once they have ended."""
    assert analytics.wait(60) == 0, "\n".join(analytics.lines)
    return analytics.lines


@pytest.mark.parametrize("mode", ["plain", "stack", "signals", "misuse"])
def test_host_program(host, ray, analytics, mode):
    command = ["/bin/bash", "-c", f"ulimit -s 262144; exec {host} {mode}"]
    done = run(command, ray.environment, timeout=80)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] == "done"
    if mode == "plain":
        # Neither Ray's start-up lines nor Java's reach the simulation's output.
        assert lines == ["ready", "done"]
    if mode == "misuse":
        for call in ("unknown array", "wrong dtype", "wrong size", "the same timestep twice", "an old end"):
            assert re.search(
                f"^{call}: contract violation: .*temperature|^{call}: contract violation: ", done.stdout, re.M
            )
    output = analysed(analytics)
    assert output[-1] == "end: [0, 1, 2]"
    for timestep in range(3):
        assert f"timestep {timestep}: {ALL_TRUE}" in output


def test_one_session_after_the_other_on_one_cluster(host, ray, start):
    """The first one leaves nothing that stands in the way of the second, and nothing at the end."""
    for number in (1, 2):
        analytics = start(f"analytics {number}", ANALYTICS, ray.environment)
        done = run([host], ray.environment, timeout=80)
        assert done.returncode == 0, done.stdout
        assert analysed(analytics)[-1] == "end: [0, 1, 2]"
    deadline = time.monotonic() + 30
    while sockets := [path.name for path in Path(ray.folder).rglob("deisa-*.sock")]:
        assert time.monotonic() < deadline, f"the node actor has not gone: {sockets}"
        time.sleep(0.1)


def test_a_cluster_that_wants_a_token(host, start):
    """The token alone is enough, as for Ray's Python; without it, the error says what to do."""
    token = {"RAY_AUTH_TOKEN": "f" * 64}
    with LocalRay(object_store_bytes=256 << 20, variables=token | {"RAY_AUTH_MODE": "token"}) as ray:
        stranger = {name: value for name, value in ray.environment.items() if not name.startswith("RAY_AUTH")}
        stranger["HOME"] = ray.folder  # ~/.ray/auth_token is not there either
        analytics = start("analytics", ANALYTICS, ray.environment)
        refused = run([host], stranger, timeout=80)
        assert refused.returncode == 1
        assert re.search("connection failure: .*RAY_AUTH", refused.stdout, re.S), refused.stdout
        done = run([host], stranger | token, timeout=80)
        assert (done.returncode, done.stdout) == (0, "ready\ndone\n")
        assert analysed(analytics)[-1] == "end: [0, 1, 2]"
