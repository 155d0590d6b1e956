"""Each component includes or imports only what docs/architecture.md lets it use."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "native"

MAY_USE: dict[str, set[str]] = {
    "base": set(),
    "chunk": {"base"},
    "comm": {"base"},
    "ipc": {"base"},
    "control": {"base"},
    "settings": {"base", "chunk", "control"},
    "backend": {"base", "chunk", "comm", "ipc"},
    "backend/file": {"base", "chunk", "comm", "backend"},
    "backend/ray": {"base", "chunk", "comm", "ipc", "control", "backend"},
    "bridge": {"base", "chunk", "comm", "backend"},
    "capi": {
        "base",
        "chunk",
        "comm",
        "ipc",
        "control",
        "settings",
        "backend",
        "backend/file",
        "backend/ray",
        "bridge",
    },
    "info": {"base", "comm", "control", "settings"},
    "cpp": set(),
    "adios2": set(),
    "fortran": set(),
}


def component_of(path: str) -> str:
    """The component of a file below native/: the longest name that its path begins with."""
    return max((name for name in MAY_USE if path.startswith(name + "/")), key=len, default=path.split("/")[0])


def product_files(component: str) -> list[Path]:
    """The component's sources, without its tests."""
    return [
        path
        for path in sorted((NATIVE / component).rglob("*"))
        if path.suffix in {".c", ".cc", ".h", ".hpp"}
        and component_of(path.relative_to(NATIVE).as_posix()) == component
        and not path.stem.endswith("_test")
        and "testing" not in path.parts
        and not path.stem.startswith("test_")
    ]


def test_every_component_has_its_rule() -> None:
    assert {path.name for path in NATIVE.iterdir() if path.is_dir()} == {
        name for name in MAY_USE if "/" not in name
    }


@pytest.mark.parametrize("component", MAY_USE)
def test_a_component_includes_only_what_it_may_use(component: str) -> None:
    wrong = []
    for path in product_files(component):
        for included in re.findall(r'^#include "([a-z_/]+/)', path.read_text(), re.MULTILINE):
            used = component_of(included)
            if used not in MAY_USE[component] | {component, "deisa"}:
                wrong.append(f"{path.relative_to(ROOT)} includes {used}/")
    assert not wrong


def test_no_circle_of_components() -> None:
    assert list(TopologicalSorter(MAY_USE).static_order())


@pytest.mark.parametrize("component", [name for name, used in MAY_USE.items() if used or name == "base"])
def test_the_documentation_says_the_same(component: str) -> None:
    row = re.search(
        rf"^\| `native/{component}/` \|.*\|(.*)\|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    )
    assert row, f"docs/architecture.md has no row for native/{component}/"
    if row[1].strip() != "all of the above":
        assert set(re.findall(r"`([\w/]+)`", row[1])) == MAY_USE[component]


PYTHON = ROOT / "python" / "deisa_bridge"
# service.py makes these, and lets the session call them: they know the session, and not each other.
PARTS = {
    *("analytics_trace", "back_pressure", "holes", "liveness"),
    *("metrics", "publisher", "report", "shutdown", "spread"),
}


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a module imports when it is loaded, also those only for types."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        for one in [node, *(node.body if isinstance(node, ast.If) else [])]:
            if isinstance(one, ast.ImportFrom) and (one.module or "").startswith("deisa_bridge"):
                for name in (one.module, *(f"{one.module}.{alias.name}" for alias in one.names)):
                    if (PYTHON.parent / (name.replace(".", "/") + ".py")).exists():
                        found.add(name)
    return found


def python_modules() -> dict[str, set[str]]:
    paths = {
        ".".join(path.relative_to(PYTHON.parent).with_suffix("").parts): path for path in PYTHON.rglob("*.py")
    }
    return {name: imports_of(path) for name, path in paths.items()}


def test_no_circle_of_imports_in_python() -> None:
    modules = python_modules()
    while leaves := [name for name, used in modules.items() if not used & modules.keys()]:
        for name in leaves:
            del modules[name]
    assert not modules


def test_parts_of_the_node_actor_do_not_know_each_other() -> None:
    for part in PARTS:
        used = {name.rpartition(".")[2] for name in imports_of(PYTHON / "node" / f"{part}.py")}
        assert "session" in used
        assert not used & (PARTS | {"service", "host"}), part


def test_the_bridge_in_python_knows_nothing_of_the_node_actor() -> None:
    for path in (PYTHON / "rank").glob("*.py"):
        others = {name for name in imports_of(path) if not name.startswith("deisa_bridge.rank.")}
        assert not others, path.name
        text = path.read_text()
        assert not re.search(r"^ *(import|from) (ray|deisa|dask|msgpack)\b", text, re.MULTILINE), path.name
