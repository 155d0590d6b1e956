"""The version stands in deisa.h; where a tool wants it written down once more, it is the same."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from conftest import HEADER, ROOT, VERSION

PARTS = ("MAJOR", "MINOR", "PATCH")
MAVEN = "{http://maven.apache.org/POM/4.0.0}"


def test_macros():
    """The parts are those of the text, and of the name that Java links to."""
    parts = [re.search(rf"^#define DEISA_VERSION_{part} (\d+)$", HEADER, re.MULTILINE)[1] for part in PARTS]
    assert ".".join(parts) == VERSION
    binding = (ROOT / "java/src/main/java/io/deisa/bridge/internal/Binding.java").read_text()
    assert f'link = "deisa@.{parts[0]}.{parts[1]}"' in binding


@pytest.mark.parametrize("pom", ["pom.xml", "java/pom.xml", "examples/java/pom.xml"])
def test_maven(pom):
    project = ElementTree.parse(ROOT / pom).getroot()
    own, parent = project.find(f"{MAVEN}version"), project.find(f"{MAVEN}parent/{MAVEN}version")
    assert {one.text for one in (own, parent) if one is not None} == {VERSION}


def test_python():
    assert f'__version__ = "{VERSION}"\n' in (ROOT / "python" / "deisa_bridge" / "__init__.py").read_text()


def test_spack():
    """Its options are CMake's, too."""
    recipe = (ROOT / "dev/packaging/spack/spack_repo/deisa/packages/deisa_bridge/package.py").read_text()
    assert f'version("{VERSION}")\n' in recipe
    options = set(re.findall(r'"(DEISA_[A-Z_]+)"', recipe))
    known = set(re.findall(r"^option\((\w+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE))
    assert len(options) == 4 and options <= known


def test_documentation():
    assert f"<version>{VERSION}</version>" in (ROOT / "docs" / "java.md").read_text()
