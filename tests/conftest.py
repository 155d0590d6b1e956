"""Fixtures of the end-to-end tests, and where things lie."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from local_ray import LocalRay
from processes import Child

ROOT = Path(__file__).resolve().parent.parent
HEADER = (ROOT / "include" / "deisa" / "deisa.h").read_text()
VERSION = re.search(r'^#define DEISA_VERSION "(.+)"$', HEADER, re.MULTILINE)[1]

if TYPE_CHECKING:
    from simulation import Simulation

# How long a rank waits on a busy machine is no matter of a test: notices of it stay out of its output.
os.environ["DEISA_WAIT_NOTICE"] = "0"
# A shell starts what is to run in the background with Ctrl-C ignored, and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Java takes three times as many seconds of a processor. Tests to which the control process matters say so.
os.environ.setdefault("DEISA_CONTROL", "python")

ANALYTICS = [sys.executable, str(ROOT / "tests" / "programs" / "analytics.py")]


LONGEST = ["run", "deaths", "kills", "nodes", "analytics", "back_pressure", "broken_sets", "sessions"]
"""Files that come first, so that none of them runs alone at the end beside an idle worker."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def built(root: Path) -> Path:
    """The build tree: DEISA_BUILD, else where ./test builds."""
    build = Path(os.environ.get("DEISA_BUILD") or root / "build")
    assert (build / "lib" / "libdeisa.so").exists(), "run ./test, which builds the libraries first"
    return build


@pytest.fixture(scope="module")
def rays() -> Iterator[LocalRay]:
    """The Ray of a test module, see `ray`."""
    from simulation import joined  # brings Ray, which not every test needs

    with joined(256 << 20) as local:
        yield local


@pytest.fixture
def ray(rays: LocalRay) -> Iterator[LocalRay]:
    """A Ray without actors: those of the module's tests are gone before the next one begins."""
    from simulation import end_actors

    yield rays
    end_actors(patience=20.0)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Child]]:
    """start(name, command, environment): a process that is ended with the test."""
    children: list[Child] = []

    def start_child(name: str, command: list[str], environment: dict[str, str]) -> Child:
        children.append(Child(name, command, environment))
        return children[-1]

    yield start_child
    for child in reversed(children):
        child.end(grace=2.0)


@pytest.fixture
def analytics(ray: LocalRay, start: Callable[..., Child]) -> Child:
    """Plain deisa-ray analytics of the array `temperature`, see programs/analytics.py."""
    return start("analytics", ANALYTICS, ray.environment)


@pytest.fixture
def simulation(cluster: LocalRay, built: Path) -> Iterator[Simulation]:
    """On the `cluster` of the test's module."""
    from simulation import Simulation  # brings Ray, which not every test needs

    one = Simulation(cluster, built)
    try:
        yield one
    finally:
        one.end()


@pytest.fixture
def host(built: Path) -> str:
    """The program programs/host.c."""
    return str(built / "bin" / "host")


@pytest.fixture
def bare_environment(tmp_path: Path) -> dict[str, str]:
    """No Ray, Java or Python on PATH, and no Ray that was started here."""
    return {"PATH": str(tmp_path / "nothing"), "RAY_TMPDIR": str(tmp_path), "HOME": str(tmp_path)}


def run(
    command: list[str], environment: dict[str, str] | None = None, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Runs to the end; output and errors together in `stdout`."""
    return subprocess.run(
        command,
        env=environment,
        timeout=timeout,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def run_example(output: Path, *options: str, timeout: float = 240.0) -> subprocess.CompletedProcess[str]:
    """./run with these options; results go to `output`."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    limit = str(timeout - 20.0)
    command = [str(ROOT / "run"), *options, "--output", str(output), "--timeout", limit]
    return run(command, environment, timeout)


def java_program(source: Path, libraries: Path, *options: str, class_path: str = "") -> list[str]:
    """A program in one file, with what was built here: its jar, and the native libraries of a folder."""
    home = os.environ.get("DEISA_JAVA_HOME") or os.environ.get("JAVA_HOME")
    target = ROOT / "java" / "target"
    java = [f"{home}/bin/java" if home else "java", "--add-opens=java.base/java.nio=ALL-UNNAMED"]
    java += ["-Xmx256m", "-XX:-UsePerfData", f"-Ddeisa.library.path={libraries}", *options]
    jar = target / f"deisa-bridge-{VERSION}-linux-x86_64.jar"  # those of earlier versions may lie beside it
    return [*java, "-cp", f"{jar}:{target}/lib/*{class_path}", str(source)]


def mpirun(ranks: int, *command: str) -> list[str]:
    as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return [shutil.which("mpirun") or "mpirun", "--oversubscribe", *as_root, "-n", str(ranks), *command]
