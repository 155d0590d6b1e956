"""deisa-info --status: python -m deisa_bridge.watching --help"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from deisa_bridge.status import NAMESPACE
from deisa_bridge.watching import state, text

INTERVAL = 1.0
"""Seconds between two looks of --watch."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="deisa-info --status", description="What runs on the cluster.")
    parser.add_argument("--json", action="store_true", help="as JSON, one line; see docs/watching.md")
    parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    parser.add_argument(
        "--prometheus", action="store_true", help="metrics in Prometheus' text format, for node_exporter"
    )
    parser.add_argument("--address", default="auto", help="of the cluster; deisa-info finds it")
    parser.add_argument("--node-ip", default="", help="of this machine in the cluster; deisa-info finds it")
    given = parser.parse_args(arguments)
    watch = _live() if given.watch and not (given.json or given.prometheus) else None
    _join(given.address, given.node_ip)
    with contextlib.suppress(KeyboardInterrupt):
        if watch is not None:
            watch(state.look, INTERVAL)
        while True:
            found = state.look()
            if given.prometheus:
                print(*(line for one in found["sessions"] for line in one["metrics"]), sep="\n")
                return
            print(json.dumps(found) if given.json else text.render(found), flush=True)
            if not given.watch:
                return
            time.sleep(INTERVAL)


def _live() -> Callable[[Callable[[], dict[str, Any]], float], None]:
    """What --watch needs, before anything is contacted."""
    if not sys.stdout.isatty():
        sys.exit("deisa-info: --watch draws on a terminal, and standard output is none: use --watch --json")
    try:
        from deisa_bridge.watching.live import watch
    except ModuleNotFoundError as error:
        sys.exit(
            f"deisa-info: --watch needs the Python package rich ({error}): install it in Ray's Python, "
            f"{sys.executable} -m pip install rich. --status alone, and --watch --json, do without"
        )
    return watch


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """What Ray's native part reports on standard error when it begins is of no interest here."""
    kept = os.dup(2)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _join(address: str, node_ip: str) -> None:
    try:
        with _silent():
            import ray

            ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
                **({"_node_ip_address": node_ip} if node_ip else {}),
            )
    except Exception as error:
        sys.exit(f"deisa-info: joining Ray at {address} failed: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
