"""Runs the benchmarks of the parts, and of the crossing from Java; writes one file as Google Benchmark does.

parts.py [--filter REGEX] [--seconds S] [--repetitions N] [--build FOLDER] FILE

`ninja -C build benchmarks` runs it with FILE out/parts.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def native(build: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """What deisa_bench says. Medians of interleaved repetitions, so that what else the machine does falls on
    all of them."""
    command = [
        str(build / "bin" / "deisa_bench"),
        f"--benchmark_filter={arguments.filter}",
        f"--benchmark_min_time={arguments.seconds}",
        f"--benchmark_repetitions={arguments.repetitions}",
        f"--benchmark_enable_random_interleaving={str(arguments.repetitions > 1).lower()}",
        "--benchmark_report_aggregates_only=true",
        "--benchmark_format=json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout, check=False)
    if done.returncode != 0:
        raise SystemExit(f"deisa_bench failed with status {done.returncode}: {done.stderr[-1000:]}")
    found = json.loads(done.stdout)
    if broken := [one["name"] for one in found["benchmarks"] if one.get("error_occurred")]:
        raise SystemExit(f"these benchmarks failed: {', '.join(broken)}")
    return found


def crossing(arguments: argparse.Namespace) -> dict[str, Any]:
    """What Crossing.java says."""
    target = ROOT / "java" / "target"
    jars = [*target.glob("deisa-bridge-*.jar"), *target.glob("lib/javacpp-*.jar")]
    if not jars:
        raise SystemExit(f"no jars in {target}: run .ci/setup first")
    calls = str(max(1000, int(arguments.seconds * 10_000_000)))
    classes = ":".join(str(jar) for jar in jars)
    source = str(ROOT / "bench" / "native" / "Crossing.java")
    command = ["java", "-cp", classes, source, str(arguments.repetitions), calls]
    done = subprocess.run(
        command,
        env={**os.environ, "DEISA_DISABLE": "1"},
        capture_output=True,
        text=True,
        timeout=arguments.timeout,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"Crossing.java failed with status {done.returncode}: {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="parts", description=__doc__)
    parser.add_argument("--filter", default=".", help="benchmarks whose names match")
    parser.add_argument("--seconds", type=float, default=0.1, help="at least, for each repetition")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds, for all of it")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    found = native(arguments.build, arguments)
    if re.search(arguments.filter, "jni_disabled"):
        found["benchmarks"].append(crossing(arguments))
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text(json.dumps(found, indent=1) + "\n")
    for one in found["benchmarks"]:
        if one.get("aggregate_name") == "median":
            rate = one.get("bytes_per_second")
            text = f"{rate / 1e9:8.2f} GB/s" if rate else ""
            print(f"{one['run_name']:<42} {one['real_time']:>14.1f} {one['time_unit']} {text}".rstrip())
    print(f"wrote {arguments.file}", file=sys.stderr)


if __name__ == "__main__":
    main()
