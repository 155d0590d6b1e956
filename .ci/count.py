"""Adds up test results: what ctest, Maven (JUnit) and pytest wrote.

    count.py ctest:build/results/ctest.xml java:FOLDER pytest:FILE ...

Prints one line per failed test, one per suite, and last `N passed, N failed, N skipped`. A suite without a
result, or without a single test, counts as one failure: it did not run. Exit status 1 when anything failed.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Results:
    """Names of the tests of one suite, by what became of them."""

    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.passed) + len(self.failed) + len(self.skipped)

    def add(self, other: Results, prefix: str = "") -> None:
        self.passed |= {prefix + name for name in other.passed}
        self.failed |= {prefix + name for name in other.failed}
        self.skipped |= {prefix + name for name in other.skipped}


GTEST_LINE = re.compile(r"^\[ *(OK|FAILED|SKIPPED) *\] ([\w/]+\.[\w/]+)", re.MULTILINE)


def gtest(output: str) -> Results:
    """The tests in a GoogleTest program's output. Of several ranks together: failed if one failed it."""
    found: dict[str, set[str]] = {"OK": set(), "FAILED": set(), "SKIPPED": set()}
    for outcome, name in GTEST_LINE.findall(output):
        found[outcome].add(name)
    skipped = found["SKIPPED"] - found["FAILED"]
    return Results(found["OK"] - found["FAILED"] - skipped, found["FAILED"], skipped)


def read_ctest(path: Path) -> Results:
    """`ctest --output-junit`: each entry is a program; the output of a GoogleTest one tells its tests."""
    results = Results()
    for case in ElementTree.parse(path).iter("testcase"):
        name = case.get("name", "?")
        inner = gtest(case.findtext("system-out") or "")
        status = case.get("status")
        if status in ("disabled", "notrun") or case.find("skipped") is not None:
            # "notrun": its program is missing, or it was skipped by its own return code.
            (results.skipped if status == "disabled" else results.failed).add(name)
        elif status == "run" and case.find("failure") is None:
            results.add(inner if len(inner) else Results(passed={name}), f"{name}: " if len(inner) else "")
        else:
            results.add(inner, f"{name}: ")
            if not inner.failed:  # it crashed, timed out, or is not a GoogleTest program
                results.failed.add(name)
    return results


def read_junit(paths: list[Path]) -> Results:
    """JUnit's XML, as surefire and pytest write it."""
    results = Results()
    for path in paths:
        for case in ElementTree.parse(path).iter("testcase"):
            name = f"{case.get('classname', '')}.{case.get('name', '')}"
            if case.find("failure") is not None or case.find("error") is not None:
                results.failed.add(name)
            elif case.find("skipped") is not None:
                results.skipped.add(name)
            else:
                results.passed.add(name)
        results.passed -= results.failed
    return results


def read(kind: str, path: Path) -> Results:
    if kind == "ctest":
        return read_ctest(path)
    return read_junit(sorted(path.glob("TEST-*.xml")) if path.is_dir() else [path])


def main(arguments: list[str]) -> int:
    passed = failed = skipped = 0
    for argument in arguments:
        kind, _, where = argument.partition(":")
        try:
            results = read(kind, Path(where))
        except (OSError, ElementTree.ParseError) as error:
            results = Results()
            print(f"{kind}: no result: {error}")
        for name in sorted(results.failed):
            print(f"FAILED {kind}: {name}")
        for name in sorted(results.skipped):
            print(f"skipped {kind}: {name}")
        if len(results) == 0:
            results.failed.add("the suite did not run")
            print(f"FAILED {kind}: the suite {where} did not run")
        print(
            f"{kind} ({where}): {len(results.passed)} passed, {len(results.failed)} failed, "
            f"{len(results.skipped)} skipped"
        )
        passed += len(results.passed)
        failed += len(results.failed)
        skipped += len(results.skipped)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
