"""The same simulation through deisa-ray's Python bridge and through this one, in turn.

Every run has a Ray of its own, configured alike, and the same analytics. Prints each figure with its ratio
and its target. The exit status says whether everything could be measured, not whether the targets are met.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from comparing import cases, matrix, plots, records, report
from processes import adopt_orphans, end_children, stop_on_signals

ROOT = Path(__file__).resolve().parent.parent

DOCUMENT = ROOT / "docs" / "performance.md"


def processor() -> str:
    """Its name, as the kernel has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer timesteps, and the target cases only")
    parser.add_argument("--targets", action="store_true", help="all timesteps, and the target cases only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records to FILE")
    parser.add_argument("--case", action="append", default=[], help="only this case; may be repeated")
    parser.add_argument("--output", type=Path, default=ROOT / "out", help="folder of the pictures (out)")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="compare with FILE, which an earlier run wrote with --json, case by case",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="measure nothing: put FILE's table into docs/performance.md",
    )
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds, for one run")
    arguments = parser.parse_args()
    known = [case for case, _ in cases.TARGETS]
    for case in arguments.case:
        if case not in known:
            parser.error(f"--case {case}: expected one of {', '.join(known)}")
    return arguments


def main() -> None:
    arguments = read_arguments()
    if arguments.report:
        report.rewrite(DOCUMENT, arguments.report, f"{os.cpu_count()} CPUs ({processor()}).")
        print(f"rewrote the table of {DOCUMENT}")
        return
    before = records.read(arguments.against) if arguments.against else []
    adopt_orphans()
    stop_on_signals()
    begin = time.monotonic()
    try:
        wanted = cases.needs(arguments.case, arguments.quick)
        if not (arguments.quick or arguments.targets or arguments.case):
            wanted |= matrix.runs(pace=0.05)
        results = cases.do(wanted, arguments.timeout, lambda text: print(text, flush=True))
        found = cases.records(results, arguments.case)
        found += matrix.records(results.outcomes, results.errors)
    finally:
        end_children()
    load = os.getloadavg()[0]
    print(f"\n{os.cpu_count()} CPUs, load {load:.1f}, {time.monotonic() - begin:.0f} s\n")
    print("\n".join(records.lines(found)))
    if before:
        print(f"\nbefore: {arguments.against}\n")
        print("\n".join(records.changes(before, found)))
    for one in found:
        if one.error:
            print(f"{one.case}: {one.error}", file=sys.stderr)
    for picture in plots.draw(arguments.output, found, results.outcomes):
        print(f"picture: {picture}")
    if arguments.json:
        records.write(arguments.json, found)
        print(f"wrote {arguments.json}")
    sys.exit(1 if any(one.error for one in found) else 0)


if __name__ == "__main__":
    main()
