"""A Maven project outside of the tree: one dependency, from the repository that `cmake --install` makes, and
one flag of the JVM. It is the heat equation, and its numbers are those of ./run --language java."""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, run
from installed import BUILD, DISABLED, build_java_consumer, java_consumer

pytestmark = [pytest.mark.timeout(600)]
NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, built against an installation that was moved after it was installed."""
    folder = tmp_path_factory.mktemp("java")
    done = run(["cmake", "--install", str(BUILD), "--prefix", str(folder / "first")], timeout=120)
    assert done.returncode == 0, done.stdout
    installed = (folder / "first").rename(folder / "installed")
    return build_java_consumer(folder, installed / "share" / "deisa" / "maven")


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
    assert {"io/deisa/bridge/Bridge.java", "io/deisa/bridge/internal/Native.java"} <= names["sources"]
    assert {"index.html", "io/deisa/bridge/Bridge.html"} <= names["javadoc"]
    # What is not for simulations is in the sources alone.
    assert not [name for name in names["javadoc"] if name.startswith("io/deisa/bridge/internal")]


def test_disabled_it_needs_nothing_else(project, tmp_path, bare_environment):
    command = java_consumer(project, tmp_path / "cache")
    done = run([*command, "--steps", "2", "--size", "8"], bare_environment | DISABLED, timeout=60)
    assert done.returncode == 0, done.stdout
    assert done.stdout == "timestep 0 sent, source on\ntimestep 1 sent, source on\n"


@pytest.mark.ray
def test_heat(project, tmp_path):
    """The comparison of ./run: every value of every timestep, to the last bit."""
    java = f"-Dorg.bytedeco.javacpp.cachedir={tmp_path / 'cache'}"
    environment = os.environ | {"DEISA_CONTROL": "auto", "JDK_JAVA_OPTIONS": java}
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
