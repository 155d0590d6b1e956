"""Sums up a trace: python -m deisa_bridge.trace FILE"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deisa_bridge.trace.file import read
from deisa_bridge.trace.summary import summarise


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m deisa_bridge.trace", description="Sums up a trace.")
    parser.add_argument("file", type=Path, help="what DEISA_TRACE named")
    given = parser.parse_args(arguments)
    try:
        spans, _ = read(given.file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"trace: {given.file}: expected a file that DEISA_TRACE named: {error!r}")
    print(summarise(spans), end="")


if __name__ == "__main__":
    main()
