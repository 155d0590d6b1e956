""".ci/setup and the start of Ray: what they say, and how they go on when interrupted. Nothing is built."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, run
from local_ray import LocalRay


@pytest.fixture
def checkout(tmp_path):
    """Only .ci, with a Python environment whose python notes how it is called, and runs `pip` below it."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    python = tmp_path / "build" / "venv" / "ray-2.60.0" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\n[ "$3" != install ] || exec {tmp_path}/pip\n'
    )
    python.chmod(0o755)
    return tmp_path


def shell(checkout, commands: str) -> list[str]:
    return ["bash", "-uc", f'. "{checkout}/.ci/setup"; {commands}']


def pip(checkout, body: str) -> None:
    (checkout / "pip").write_text(f"#!/bin/sh\n{body}\n")
    (checkout / "pip").chmod(0o755)


def installs(checkout) -> int:
    return (checkout / "calls").read_text().count("pip install")


def test_an_interrupted_installation_is_taken_up_again(checkout):
    pip(checkout, f"touch {checkout}/started; exec sleep 60")
    begun = subprocess.Popen(
        shell(checkout, "deisa_python all"), start_new_session=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not (checkout / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    subprocess.run(["kill", "-INT", "--", f"-{begun.pid}"], check=True)
    # Its end, also of what says how far it is: nothing else keeps standard error open.
    _, said = begun.communicate(timeout=30)
    assert begun.returncode in (-signal.SIGINT, 128 + signal.SIGINT, 1), said

    packages = checkout / "build" / "venv" / "ray-2.60.0" / "lib" / "python3.12" / "site-packages"
    for name in ("whole-1.0.dist-info", "half-1.0.dist-info"):
        (packages / name).mkdir(parents=True)
    (packages / "whole-1.0.dist-info" / "RECORD").touch()
    pip(checkout, "exit 0")
    done = run(shell(checkout, "deisa_python all && deisa_python all && deisa_python examples"))
    assert done.returncode == 0, done.stdout
    assert installs(checkout) == 2, "the second time, and then no more"
    assert [path.name for path in packages.iterdir()] == ["whole-1.0.dist-info"]


def test_what_fails_shows_its_last_words_and_is_done_again(checkout):
    pip(checkout, "echo no such package; exit 1")
    done = run(shell(checkout, "deisa_python examples || deisa_python examples"))
    assert done.returncode == 1
    assert "no such package" in done.stdout
    assert f"the whole output is in {checkout}/build/logs/pip.log" in done.stdout
    assert installs(checkout) == 2


SETUP = """
deisa_packages() { echo "$@"; }; deisa_python() { :; }; deisa_native() { echo native; }
deisa_java() { echo java; }; deisa_say() { echo without; }; deisa_may_install() { ((allowed)); }
deisa_has_java() { ((found)); }
"""
BASE, JAVA = "packages.txt", "packages.txt packages-java.txt"


@pytest.mark.parametrize(
    ("java", "allowed", "found", "does"),
    [
        ("needed", 0, 0, [JAVA, "native", "java"]),
        ("optional", 0, 1, [BASE, "native", "java"]),
        ("optional", 0, 0, [BASE, "native", "without"]),
        ("optional", 1, 1, [JAVA, "native", "java"]),
        ("unused", 1, 1, [BASE, "native"]),
    ],
)
def test_java_is_asked_for_only_where_it_is_needed(checkout, java, allowed, found, does):
    (checkout / "python" / "deisa_bridge").mkdir(parents=True)
    shutil.copy(ROOT / "python" / "deisa_bridge" / "versions.py", checkout / "python" / "deisa_bridge")
    done = run(shell(checkout, f"allowed={allowed} found={found}{SETUP}deisa_setup examples {java}"))
    assert (done.returncode, done.stdout.splitlines()) == (0, does)


def test_ray_that_does_not_start(tmp_path, monkeypatch, capsys):
    """It is tried twice; then one line says why, in the place of a trace."""
    broken = tmp_path / "python"
    broken.write_text(
        f"#!/bin/sh\necho >>{tmp_path}/tries\necho Traceback '(most recent call last):'\n"
        "echo '  File x'\necho 'Exception: The current node timed out.'\nexit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(RuntimeError) as failure, LocalRay() as ray:
        pytest.fail(f"started at {ray.address}")
    assert "exit status 1: Exception: The current node timed out." in str(failure.value)
    assert "Traceback" not in str(failure.value)
    assert f"all that Ray said: {ROOT}/build/logs/ray-start.log)" in str(failure.value)
    assert len((tmp_path / "tries").read_text().splitlines()) == 2
    assert "Ray is started once more" in capsys.readouterr().err
