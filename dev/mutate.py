#!/usr/bin/env python3
"""Switches off each check of a native source in turn, and lists which test noticed.

A check is a statement that reports a problem or raises a violation of the contract, or one of several
conditions that lead to it. The statement is replaced by an empty one, the condition by `false`; the file is
compiled with the build's own command and linked before the components' libraries, the tests run, and those
that fail are listed, with the case of the table where it is one. Status 1 when nobody missed a check.

Takes a quarter of an hour, so ./test leaves it out. The result is in docs/contract.md.

    dev/mutate.py [--build build] [--only metadata.cc] [--markdown]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# In the order in which they are tried: the first that notices ends the search.
TESTS = {
    "metadata.cc": ["metadata_test", "api_test"],
    "options.cc": ["options_test", "settings_test"],
    "plan.cc": ["plan_test", "backends_test", "world_test", "admission_test"],
    "bridge.cc": ["memory_test", "loan_test", "api_test", "world_test"],
    "end.cc": ["api_test", "world_test"],
}
CHECK = re.compile(r"\b(problem|missing|problems_?\.add|throw contract|throw failed_before)\(")
REPORTER = re.compile(r"^ *(void (problem|missing)|Error Bridge::contract)\(.*$", re.MULTILINE)
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Check:
    source: str
    start: int
    end: int
    line: int
    text: str
    instead: str

    @property
    def words(self) -> str:
        """A statement's words, without the code around them; a condition, or what has no words, as it is."""
        if self.instead == "false":
            return f"`if {self.text}`".replace("||", "or")
        words = (word.replace("\\0", "0").strip(": ") for word in STRING.findall(self.text))
        return " … ".join(word for word in words if word.strip(": ,'()=[]")) or f"`{self.text}`"


def body_end(text: str, start: int) -> int:
    """The end of the braces that open first after `start`."""
    depth = 0
    for i in range(text.index("{", start), len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise ValueError("a brace is not closed")


def closing(text: str, start: int) -> int:
    """Behind the parenthesis that closes the one at `start`."""
    depth, i = 0, start
    while True:
        if text[i] == '"':
            i = STRING.match(text, i).end()
            continue
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        i += 1
        if depth == 0:
            return i


def operands(condition: str) -> list[tuple[int, int]]:
    """Where the operands of the outermost `||` are, if there is one; without the space around them."""
    parts, depth, begin = [], 0, 0
    for i, letter in enumerate(condition):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and condition.startswith("||", i):
            parts.append((begin, i))
            begin = i + 2
    parts.append((begin, len(condition)))
    if len(parts) == 1:
        return []
    trimmed = []
    for begin, end in parts:
        part = condition[begin:end]
        trimmed.append((begin + len(part) - len(part.lstrip()), begin + len(part.rstrip())))
    return trimmed


def groups(text: str, opening: int) -> list[tuple[int, int]]:
    """The insides of the parenthesis at `opening`, and of those in it that group and do not call."""
    end = closing(text, opening) - 1
    inner = [i for i in range(opening + 1, end) if text[i] == "(" and not re.match(r"[\w>]", text[i - 1])]
    return [(opening + 1, end)] + [(i + 1, closing(text, i) - 1) for i in inner]


def statement_end(text: str, start: int) -> int:
    """Behind the semicolon that ends the statement at `start`. Strings may hold anything."""
    depth, i = 0, start
    while True:
        if text[i] == '"':
            i = STRING.match(text, i).end()
            continue
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(text[i], 0)
        i += 1
        if text[i - 1] == ";" and depth == 0:
            return i


def find_checks(source: str, text: str) -> list[Check]:
    """Every statement that reports a problem, but for those inside the functions that do the reporting; and
    every operand of an `||` that leads to one."""
    reporters = [(match.start(), body_end(text, match.start())) for match in REPORTER.finditer(text)]
    found = []

    def add(start: int, end: int, instead: str) -> None:
        line = text.count("\n", 0, start) + 1
        found.append(Check(source, start, end, line, " ".join(text[start:end].split()), instead))

    for match in CHECK.finditer(text):
        start = match.start()
        in_comment = "//" in text[text.rfind("\n", 0, start) : start]
        if not in_comment and not any(begin <= start <= end for begin, end in reporters):
            add(start, statement_end(text, start), ";")
    for match in re.finditer(r"\bif \(", text):
        opening = match.end() - 1
        end = closing(text, opening)
        in_braces = text[end:].lstrip()[0] == "{"
        body = text[end : body_end(text, end) if in_braces else statement_end(text, end)]
        if CHECK.search(body) or "good = false" in body:
            for begin, stop in groups(text, opening):
                for left, right in operands(text[begin:stop]):
                    add(begin + left, begin + right, "false")
    return sorted(found, key=lambda check: check.start)


class Build:
    """A build tree whose tests are up to date."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tests = {test for of_source in TESTS.values() for test in of_source}
        ninja = ["ninja", "-C", str(folder), *sorted(tests)]
        subprocess.run(ninja, check=True, timeout=1800, stdout=sys.stderr)
        commands = json.loads((folder / "compile_commands.json").read_text())
        self._compile = {entry["file"]: shlex.split(entry["command"]) for entry in commands}
        self._link = {test: self._link_command(test) for test in tests}

    def _link_command(self, test: str) -> list[str]:
        command = ["ninja", "-C", str(self.folder), "-t", "commands", test]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        # ninja wraps it in `: && ... && :`.
        last = done.stdout.strip().splitlines()[-1]
        return shlex.split(last.removeprefix(": && ").removesuffix(" && :"))

    def compile(self, source: Path, text: str, folder: Path) -> Path:
        """Compiles `text` in the place of `source`; the object file."""
        mutant, out = folder / source.name, folder / "mutant.o"
        mutant.write_text(text)
        command = list(self._compile[str(source)])
        command[command.index("-o") + 1] = str(out)
        command[command.index("-c") + 1] = str(mutant)
        done = subprocess.run([*command, "-w"], cwd=self.folder, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise SystemExit(f"the mutant does not compile:\n{done.stderr}")
        return out

    def failed_tests(self, test: str, mutant: Path, folder: Path) -> list[str]:
        """Runs `test` with `mutant` linked before the libraries: the tests that fail."""
        command = list(self._link[test])
        program = folder / test
        command[command.index("-o") + 1] = str(program)
        first = next(i for i, word in enumerate(command) if word.endswith(".o"))
        command = [*command[:first], str(mutant), *command[first:]]
        subprocess.run(command, cwd=self.folder, check=True, timeout=300)
        report = folder / "report.json"
        report.unlink(missing_ok=True)
        try:
            run = [str(program), f"--gtest_output=json:{report}"]
            # As ctest does: libdeisa_yaml.so is not beside the program.
            environment = os.environ | {"LD_LIBRARY_PATH": str(self.folder / "lib")}
            subprocess.run(run, cwd=self.folder, env=environment, capture_output=True, timeout=240)
        except subprocess.TimeoutExpired:
            return [f"{test} (does not end)"]
        if not report.exists():
            return [f"{test} (crashes)"]
        failed = []
        for suite in json.loads(report.read_text())["testsuites"]:
            for one in suite["testsuite"]:
                if failures := one.get("failures"):
                    name = f"{suite['name']}.{one['name']}"
                    # The table's messages begin with the case.
                    said = " ".join(failure["failure"] for failure in failures)
                    cases = re.findall(r"\[case ([^\]]+)\]", said)
                    failed += [f"{name} ({', '.join(dict.fromkeys(cases))})" if cases else name]
        return failed


def path_of(source: str) -> Path:
    """Where the only file of that name is."""
    (path,) = (ROOT / "native").rglob(source)
    return path


def noticed_by(build: Build, check: Check, text: str) -> list[str]:
    mutant = text[: check.start] + check.instead + text[check.end :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiled = build.compile(path_of(check.source), mutant, folder)
        tests = TESTS[check.source]
        for test in tests:
            if failed := build.failed_tests(test, compiled, folder):
                return failed
        return []


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--only", choices=sorted(TESTS))
    parser.add_argument("--markdown", action="store_true", help="rows of a table, as in docs/contract.md")
    options = parser.parse_args()
    build = Build(options.build.resolve())
    unnoticed = total = 0
    for source in TESTS:
        if options.only not in (None, source):
            continue
        text = path_of(source).read_text()
        checks = find_checks(source, text)
        if not checks:
            raise SystemExit(f"no check found in {source}")
        with ThreadPoolExecutor(2) as pool:
            results = pool.map(lambda check, text=text: noticed_by(build, check, text), checks)
            for check, failed in zip(checks, results, strict=True):
                total += 1
                unnoticed += not failed
                tests = ", ".join(failed) or "NOBODY"
                if options.markdown:
                    print(f"| `{source}` | {check.words} | {tests} |", flush=True)
                else:
                    print(f"{source}:{check.line}: {check.text[:100]}\n    noticed by: {tests}", flush=True)
    print(f"{total} checks, {unnoticed} unnoticed", file=sys.stderr)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
