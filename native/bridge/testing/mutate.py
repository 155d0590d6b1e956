#!/usr/bin/env python3
"""Switches off each check of the metadata, the options and the plan in turn, and lists which test noticed.

A check is a statement that reports a problem. It is replaced by an empty one, the room's tests are compiled
and run, and the tests that fail are listed. A check that nobody misses ends the program with status 1.

Usage: native/bridge/testing/mutate.py [--build build] [--only metadata.cc]
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOM = Path(__file__).resolve().parents[1]
ROOT = ROOM.parents[1]
SOURCES = {"metadata.cc": "metadata_test", "options.cc": "options_test", "plan.cc": "plan_test"}
REPORT = re.compile(r"\b(problem|missing|problems_?\.add)\(")


def checks(text: str) -> list[tuple[int, int]]:
    """Start and end of every statement that reports a problem; definitions of the reporters are left out."""
    found = []
    for match in REPORT.finditer(text):
        before = text[: match.start()].rsplit("\n", 1)[-1]
        if before.strip().startswith(("void", "//")) or "void " in before:
            continue
        depth, end = 0, match.end() - 1
        while True:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
            if depth == 0:
                break
        if text[end : end + 1] == ";" and not _inside_reporter(text, match.start()):
            found.append((match.start(), end + 1))
    return found


def _inside_reporter(text: str, position: int) -> bool:
    """Whether the call is the body of problem() or missing() itself."""
    head = text[:position].rfind("void ")
    line = text[head : text.find("\n", head)]
    return bool(re.match(r"void (problem|missing)\(", line)) and text.count("}", head, position) == 0


def compile_command(build: Path, source: Path) -> list[str]:
    """The build's own command for a source file."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if Path(entry["file"]) == source:
            return shlex.split(entry["command"])
    raise SystemExit(f"{source} is not in {build}/compile_commands.json: build first")


def run(build: Path, source: Path, test: str, text: str, folder: Path) -> list[str]:
    """Compiles `text` in the place of `source`, links it before the rooms' libraries, runs the test."""
    mutant = folder / source.name
    mutant.write_text(text)
    obj = folder / "mutant.o"
    command = compile_command(build, source)
    command[command.index("-o") + 1] = str(obj)
    command[command.index("-c") + 1] = str(mutant)
    done = subprocess.run([*command, "-w"], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"the mutant does not compile:\n{done.stderr}")
    listed = subprocess.run(
        ["ninja", "-C", str(build), "-t", "commands", test],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # ninja wraps the link in `: && ... && :`.
    link = shlex.split(listed.stdout.strip().splitlines()[-1].removeprefix(": && ").removesuffix(" && :"))
    out = link.index("-o")
    link[out + 1] = str(folder / test)
    first = next(i for i, word in enumerate(link) if word.endswith(".o"))
    subprocess.run([*link[:first], str(obj), *link[first:]], cwd=build, check=True, timeout=300)
    report = folder / "report.json"
    subprocess.run(
        [str(folder / test), f"--gtest_output=json:{report}"], capture_output=True, cwd=build, timeout=300
    )
    failed = []
    for suite in json.loads(report.read_text())["testsuites"]:
        for one in suite["testsuite"]:
            if one.get("failures"):
                # The first line of the table's message is the case.
                cases = re.findall(r"\n([^\n]+?): \n", one["failures"][0]["failure"])
                failed.append(f"{suite['name']}.{one['name']}" + (f" ({cases[-1]})" if cases else ""))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--only", choices=sorted(SOURCES))
    options = parser.parse_args()
    build = options.build.resolve()
    unnoticed = 0
    for name, test in SOURCES.items():
        if options.only not in (None, name):
            continue
        source = ROOM / name
        text = source.read_text()
        found = checks(text)
        if not found:
            raise SystemExit(f"no check found in {name}")
        for start, end in found:
            line = text.count("\n", 0, start) + 1
            what = " ".join(text[start:end].split())[:90]
            mutant = text[:start] + ";" + text[end:]
            with tempfile.TemporaryDirectory() as folder:
                failed = run(build, source, test, mutant, Path(folder))
            unnoticed += not failed
            print(f"{name}:{line}: {what}\n    noticed by: {', '.join(failed) or 'NOBODY'}", flush=True)
    print(f"{unnoticed} checks unnoticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
