"""A Maven project outside of the tree: one dependency, from the repository that `cmake --install` makes, and
one flag of the JVM. It is the heat equation, and its numbers are those of ./run --language java."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, run

pytestmark = [pytest.mark.timeout(300)]
NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, built against an installation that was moved after it was installed."""
    folder = tmp_path_factory.mktemp("java")
    build = Path(os.environ.get("DEISA_BUILD") or ROOT / "build")
    done = run(["cmake", "--install", str(build), "--prefix", str(folder / "first")], timeout=120)
    assert done.returncode == 0, done.stdout
    installed = (folder / "first").rename(folder / "installed")
    consumer = folder / "consumer"
    shutil.copytree(ROOT / "tests" / "consumers" / "java", consumer)
    shutil.copytree(ROOT / "examples" / "java" / "src" / "main", consumer / "src" / "main")
    command = ["mvn", "-q", "-B", f"-Dmaven.repo.local={local_repository(folder / 'repository')}"]
    command += [f"-Ddeisa.repository={(installed / 'share' / 'deisa' / 'maven').as_uri()}", "package"]
    done = subprocess.run(
        command, cwd=consumer, timeout=200, text=True, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return consumer


def test_one_dependency_brings_what_it_needs(project):
    dependencies = ET.parse(project / "pom.xml").findall("./m:dependencies/m:dependency", NAMESPACE)
    assert len(dependencies) == 1
    jars = sorted(path.name for path in (project / "target" / "lib").iterdir())
    assert "deisa-bridge-0.2.0-linux-x86_64.jar" in jars
    # Ray's jar is the installed Ray's, at run time; and no second copy of the bridge's own classes.
    assert not [name for name in jars if name.startswith("ray") or name == "deisa-bridge-0.2.0.jar"]


def test_sources_and_documentation_are_beside_the_classes(project):
    """Where Maven and development environments look for them."""
    bridge = project.parent / "installed/share/deisa/maven/io/deisa/deisa-bridge/0.2.0/deisa-bridge-0.2.0"
    names = {
        classifier: set(zipfile.ZipFile(f"{bridge}-{classifier}.jar").namelist())
        for classifier in ("sources", "javadoc")
    }
    assert {"io/deisa/bridge/Bridge.java", "io/deisa/bridge/internal/Deisa.java"} <= names["sources"]
    assert {"index.html", "io/deisa/bridge/Bridge.html"} <= names["javadoc"]
    # What is not for simulations is in the sources alone.
    assert not [name for name in names["javadoc"] if name.startswith("io/deisa/bridge/internal")]


def test_disabled_it_needs_nothing_else(project, tmp_path, bare_environment):
    java = Path(shutil.which("java") or "java").resolve()
    environment = bare_environment | {"DEISA_DISABLE": "1"}
    # The second option keeps the unpacked libraries out of the user's cache.
    command = [str(java), "--add-opens=java.base/java.nio=ALL-UNNAMED"]
    command += [f"-Dorg.bytedeco.javacpp.cachedir={tmp_path / 'cache'}"]
    command += ["-cp", f"{project}/target/consumer-1.jar:{project}/target/lib/*", "io.deisa.examples.Heat"]
    done = run([*command, "--steps", "2", "--size", "8"], environment, timeout=60)
    assert done.returncode == 0, done.stdout
    assert done.stdout == "timestep 0 sent, source on\ntimestep 1 sent, source on\n"


@pytest.mark.ray
def test_heat(project, tmp_path):
    """The comparison of ./run: every value of every timestep, to the last bit."""
    environment = os.environ | {"JDK_JAVA_OPTIONS": f"-Dorg.bytedeco.javacpp.cachedir={tmp_path / 'cache'}"}
    # Only what the project has: no path of this tree is given to the ranks.
    classes = f"{project}/target/consumer-1.jar:{project}/target/lib/*"
    command = [sys.executable, str(ROOT / "dev" / "drive.py"), "--language", "java"]
    command += ["--class-path", classes, "--steps", "8", "--size", "65", "--output", str(tmp_path / "out")]
    done = run(command, environment, timeout=240)
    assert done.returncode == 0, done.stdout[-6000:]
    assert done.stdout.splitlines()[-1] == "8 of 8 timesteps analysed, all values match"
    assert len(re.findall(r"^\[rank 0\] timestep \d+ sent", done.stdout, re.MULTILINE)) == 8
    # The node actor's library and Python package came out of the one jar, and the control process's classes.
    unpacked = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    libraries = {"libdeisa.so.0.2", "libjnideisa.so", "libdeisa_gloo.so", "libdeisa_node.so"}
    assert libraries | {"host.py", "deisa-bridge.jar"} <= unpacked
