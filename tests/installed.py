"""What projects outside of this tree do with an installation: build against it, and ask its deisa-info."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from conftest import ROOT, run
from processes import Child

BUILD = Path(os.environ.get("DEISA_BUILD") or ROOT / "build")
CONSUMERS = ROOT / "tests" / "consumers"
DISABLED = {"DEISA_DISABLE": "1"}


def succeed(
    command: list[str | Path], environment: dict[str, str] | None = None, timeout: float = 90.0
) -> str:
    """Runs to the end, which must be a good one; returns what it said."""
    variables = {**os.environ, **(environment or {})}
    done = run([str(part) for part in command], variables, timeout)
    assert done.returncode == 0, done.stdout
    return done.stdout


def configure(source: Path, build: Path, prefix: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(build), f"-DCMAKE_PREFIX_PATH={prefix}"]
    return run([*command, *options], timeout=90)


def build_consumer(name: str, tmp_path: Path, package: Path, *options: str) -> Path:
    """Builds a project that finds the package by CMake; returns its program."""
    done = configure(CONSUMERS / name, tmp_path / name, package, *options)
    assert done.returncode == 0, done.stdout
    succeed(["cmake", "--build", tmp_path / name])
    return tmp_path / name / "consumer"


def analysed(consumer: Path, analytics: Child, environment: dict[str, str]) -> None:
    """The analytics, programs/analytics.py, get what the consumer sends."""
    assert succeed([consumer], environment, timeout=200) == "done\n"
    assert analytics.wait(100) == 0, analytics.lines
    timesteps = [line for line in analytics.lines if line.startswith("timestep")]
    assert len(timesteps) == 3 and all("right=True" in line for line in timesteps), analytics.lines
    assert analytics.lines[-1] == "end: [0, 1, 2]"


def local_repository(folder: Path) -> Path:
    """A local repository that has what the user's has, but nothing of this project, and leaves that alone."""
    theirs = Path.home() / ".m2" / "repository"
    (folder / "io").mkdir(parents=True)
    for group in theirs.iterdir():
        if group.name != "io" and group.is_dir():
            (folder / group.name).symlink_to(group)
    for group in (theirs / "io").iterdir():
        if group.name != "deisa":
            (folder / "io" / group.name).symlink_to(group)
    return folder


def build_java_consumer(folder: Path, repository: Path) -> Path:
    """consumers/java with the sources of examples/java, built with an installation's Maven repository."""
    consumer = folder / "consumer"
    shutil.copytree(CONSUMERS / "java", consumer)
    shutil.copytree(ROOT / "examples" / "java" / "src" / "main", consumer / "src" / "main")
    command = ["mvn", "-q", "-B", f"-Dmaven.repo.local={local_repository(folder / 'repository')}"]
    command += [f"-Ddeisa.repository={repository.as_uri()}", "package"]
    done = subprocess.run(
        command, cwd=consumer, timeout=400, text=True, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return consumer


def java_consumer(consumer: Path, cache: Path) -> list[str]:
    """Its command. `cache` keeps the unpacked libraries out of the user's."""
    java = Path(shutil.which("java") or "java").resolve()
    command = [str(java), "--add-opens=java.base/java.nio=ALL-UNNAMED"]
    command += [f"-Dorg.bytedeco.javacpp.cachedir={cache}"]
    return [
        *command,
        "-cp",
        f"{consumer}/target/consumer-1.jar:{consumer}/target/lib/*",
        "io.deisa.examples.Heat",
    ]


def missing(done: subprocess.CompletedProcess[str]) -> set[str]:
    """What deisa-info misses, but for room in /dev/shm, which is this machine's business."""
    last = done.stdout.splitlines()[-1]
    names = set(last.removeprefix("missing: ").split(", ")) if last != "all is there" else set()
    assert done.returncode == (1 if names else 0), done.stdout
    return names - {"object store"}
