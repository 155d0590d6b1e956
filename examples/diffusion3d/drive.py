"""Runs the 3-D diffusion on a Ray of its own: Ray, analytics, simulation. Ends all that it starts."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

from local_ray import LocalRay
from processes import Child, adopt_orphans, end_children, fail, stop_on_signals

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="examples/diffusion3d/run", description=__doc__)
    parser.add_argument("--ranks", type=int, default=4, help="ranks of the simulation (%(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="timesteps (%(default)s)")
    parser.add_argument(
        "--cells", type=int, nargs=3, default=(17, 13, 11), metavar="N", help="layers, rows, columns"
    )
    parser.add_argument(
        "--build", type=Path, default=ROOT / "build", help="folder of the native build (%(default)s)"
    )
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds, for all of it (%(default)s)")
    arguments = parser.parse_args()
    if min(arguments.ranks, arguments.steps, *arguments.cells) < 1:
        parser.error("expected at least 1 everywhere")
    return arguments


def wait(children: list[Child], deadline: float) -> None:
    """Until all have ended well. Fails as soon as one of them fails, or at the deadline."""
    while True:
        for child in children:
            if child.status() not in (None, 0):
                child.wait_output()
                fail(f"the {child.name} failed, with exit status {child.status()}")
        running = [child.name for child in children if child.status() is None]
        if not running:
            break
        if time.monotonic() > deadline:
            fail(f"not finished within --timeout: {', '.join(running)}")
        time.sleep(0.05)
    for child in children:
        child.wait_output()


def main() -> None:
    arguments = read_arguments()
    deadline = time.monotonic() + arguments.timeout
    numbers = [str(number) for number in (*arguments.cells, arguments.steps)]
    as_root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    mpirun = ["mpirun", "--oversubscribe", *as_root, "-n", str(arguments.ranks)]
    adopt_orphans()
    stop_on_signals()
    try:
        with LocalRay(cpus=2) as ray, contextlib.ExitStack() as cleanup:
            children = []
            for name, command in (
                ("analytics", [sys.executable, str(HERE / "analytics.py"), *numbers]),
                ("simulation", [*mpirun, str(arguments.build / "bin" / "diffusion"), *numbers]),
            ):
                children.append(Child(name, command, ray.environment))
                cleanup.callback(children[-1].end)
            wait(children, deadline)
    except RuntimeError as error:
        fail(str(error))
    finally:
        with contextlib.suppress(RuntimeError):
            end_children()
    print(children[0].lines[-1], flush=True)


if __name__ == "__main__":
    main()
