"""What is missing, ends in an error that says what to do: no hang, no crash of the host program."""

from __future__ import annotations

import re
import sys
import time

import pytest
from conftest import mpirun, run

pytestmark = [pytest.mark.timeout(120)]


def refused(command: list[str], environment: dict[str, str], *messages: str, seconds: float = 30.0) -> str:
    """Runs a program that must end by itself with status 1, in time, with all of these in its output."""
    begin = time.monotonic()
    done = run(command, environment, timeout=seconds + 30.0)
    assert time.monotonic() - begin < seconds, done.stdout
    assert done.returncode == 1, done.stdout
    for message in messages:
        assert re.search(message, done.stdout), done.stdout
    return done.stdout


@pytest.fixture
def environment(bare_environment):
    """Java and Ray's Python are there, Ray does not run."""
    return bare_environment | {"PATH": "/usr/bin:/bin", "DEISA_PYTHON": sys.executable}


def test_no_ray_runs(host, environment):
    refused([host], environment, "cannot connect|connection", "ray start --head")


def test_nobody_listens_at_the_address(host, environment):
    begin = time.monotonic()
    refused([host], environment | {"RAY_ADDRESS": "127.0.0.1:1"}, r"127\.0\.0\.1:1", "RAY_ADDRESS")
    assert time.monotonic() - begin < 15, "Ray itself needs 41 s to notice"


def test_address_is_none(host, environment):
    refused([host], environment | {"DEISA_RAY_ADDRESS": "nonsense"}, "nonsense", "host:port")


@pytest.mark.parametrize(
    ("variables", "messages"),
    [
        ({"DEISA_JAVA_HOME": "/var/empty"}, ["DEISA_JAVA_HOME /var/empty", "Install a JRE"]),
        ({"DEISA_PYTHON": "/usr/bin/python3"}, ["DEISA_PYTHON /usr/bin/python3", "has no package ray"]),
        ({"DEISA_RAY_JAR": "/var/empty/ray.jar"}, ["DEISA_RAY_JAR /var/empty/ray.jar", "is not a file"]),
        ({"DEISA_JAR": "/var/empty/deisa.jar"}, ["DEISA_JAR /var/empty/deisa.jar", "DEISA_JAR to the jar"]),
        ({"DEISA_PYTHON_PATH": "/var/empty"}, ["DEISA_PYTHON_PATH /var/empty", "deisa_bridge"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.ray
def test_something_is_missing(host, ray, variables, messages):
    refused([host], ray.environment | {"DEISA_CONTROL": "auto"} | variables, *messages)


@pytest.mark.ray
def test_no_analytics(host, ray):
    # Long enough for the node actor to start on a busy machine: else that is what the time-out is about.
    variables = ray.environment | {"DEISA_READY_TIMEOUT": "30"}
    refused([host], variables, "time-?out|timed out|in time|within", "analytics", seconds=90)


@pytest.mark.ray
def test_every_rank_fails_alike(built, ray):
    """One message for all, though only the node's lowest rank looks for Java."""
    command = mpirun(3, str(built / "bin" / "heat"), "--steps", "2", "--size", "16")
    variables = {"DEISA_CONTROL": "auto", "DEISA_JAVA_HOME": "/var/empty"}
    output = refused(command, ray.environment | variables, "Install a JRE", seconds=60)
    assert output.count("Install a JRE") == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEISA_ACKNOWLEDGE", "maybe"),
        ("DEISA_READY_TIMEOUT", "-1"),
        ("DEISA_MAX_IN_FLIGHT", "many"),
        ("DEISA_MASTER_PORT", "70000"),
        ("DEISA_WORLD_SIZE", "0"),
    ],
)
def test_setting_is_invalid(host, environment, variable, value):
    refused([host], environment | {variable: value}, f"{variable}|{variable[6:].lower()}", re.escape(value))


def test_a_rank_that_never_comes(host, environment):
    """Gloo: bridge 0 of 2 is alone, and says who is missing and where it waited."""
    variables = {
        "DEISA_BRIDGE_ID": "0",
        "DEISA_WORLD_SIZE": "2",
        "DEISA_MASTER_PORT": "29555",
        "DEISA_COMM_TIMEOUT": "3",
    }
    refused([host], environment | variables, "29555", r"\b2\b", "never started|crashed|blocked", seconds=20)
