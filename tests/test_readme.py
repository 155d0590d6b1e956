"""README.md: its programs run as printed. What CONTRIBUTING.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT, run

README = (ROOT / "README.md").read_text()


def block(language: str, number: int = 0) -> str:
    """A fenced block of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[number]


def test_first_programs_are_those_that_are_built():
    assert block("c") == (ROOT / "examples" / "first" / "first.c").read_text()
    assert block("fortran") == (ROOT / "examples" / "first" / "first.f90").read_text()
    assert block("python") == (ROOT / "examples" / "first" / "first.py").read_text()


@pytest.mark.ray
@pytest.mark.parametrize(
    ("language", "source", "compiler"), [("c", "first.c", "cc"), ("fortran", "first.f90", "gfortran")]
)
def test_first_program_runs_as_printed(built, ray, start, tmp_path, language, source, compiler):
    (tmp_path / source).write_text(block(language))
    (tmp_path / "first.py").write_text(block("python"))
    lines = [line for number in (0, 1) for line in block("sh", number).splitlines()]
    compile_line = next(line for line in lines if line.startswith(f"{compiler} "))
    program = tmp_path / "first"
    command = compile_line.replace(source, f"{tmp_path}/{source}").replace("-o first", f"-o {program}")
    done = run(["/bin/sh", "-c", f"cd {ROOT} && {command} -Wall -Wextra -Wpedantic -Werror"])
    assert done.returncode == 0, done.stdout
    analytics = start(
        "analytics", [ray.environment["DEISA_PYTHON"], str(tmp_path / "first.py")], ray.environment
    )
    done = run([str(program)], ray.environment | {"DEISA_CONTROL": "auto"}, timeout=80)
    assert (done.returncode, done.stdout) == (0, "")
    assert analytics.wait(60) == 0
    for step in range(10):
        assert f"timestep {step} mean {100.0 * step + 11.5}" in analytics.lines


def test_paths_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("## Layout") : text.index("## Build and test")]
    names = [
        name
        for path in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", path)
    ]
    assert len(names) > 10
    for name in names:
        assert Path(ROOT / name).exists() or name in ("build/", "java/target/", "out/"), name
