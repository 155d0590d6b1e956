"""Each component of native/ includes only what docs/architecture.md lets it use."""

from __future__ import annotations

import re
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
    "settings": {"base", "control"},
    "backend": {"base", "chunk", "ipc", "settings"},
    "bridge": {"base", "chunk", "comm", "ipc", "control", "settings", "backend"},
    "capi": {"base", "chunk", "comm", "ipc", "control", "settings", "backend", "bridge"},
    "info": {"base", "comm", "control", "settings"},
    "cpp": set(),
    "fortran": set(),
}


def product_files(component: str) -> list[Path]:
    """The component's sources, without its tests."""
    return [
        path
        for path in sorted((NATIVE / component).rglob("*"))
        if path.suffix in {".c", ".cc", ".h", ".hpp"}
        and not path.stem.endswith("_test")
        and "testing" not in path.parts
        and not path.stem.startswith("test_")
    ]


def test_every_component_has_its_rule() -> None:
    assert {path.name for path in NATIVE.iterdir() if path.is_dir()} == set(MAY_USE)


@pytest.mark.parametrize("component", MAY_USE)
def test_a_component_includes_only_what_it_may_use(component: str) -> None:
    wrong = []
    for path in product_files(component):
        for used in re.findall(r'^#include "([a-z]+)/', path.read_text(), re.MULTILINE):
            if used not in MAY_USE[component] | {component, "deisa"}:
                wrong.append(f"{path.relative_to(ROOT)} includes {used}/")
    assert not wrong


@pytest.mark.parametrize("component", [name for name, used in MAY_USE.items() if used or name == "base"])
def test_the_documentation_says_the_same(component: str) -> None:
    row = re.search(
        rf"^\| `native/{component}/` \|.*\|(.*)\|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    )
    assert row, f"docs/architecture.md has no row for native/{component}/"
    if row[1].strip() != "all of the above":
        assert set(re.findall(r"`(\w+)`", row[1])) == MAY_USE[component]
