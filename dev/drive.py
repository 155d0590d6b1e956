"""Runs the heat example from beginning to end: Ray, analytics, simulation, comparison, picture.

./run prepares everything and starts this. All that is started here is ended here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path

from launch import start_analytics, start_simulation
from local_ray import LocalRay
from picture import draw
from processes import Child, adopt_orphans, end_children, fail, stop_on_signals
from progress import Progress
from verify import Comparison, compare

ROOT = Path(__file__).resolve().parent.parent

# Of the mean temperature, in kelvin; it starts at 0.24 and gains 0.07 per timestep.
THRESHOLD = 0.5

BEGIN = time.monotonic()


def read_arguments() -> argparse.Namespace:
    ray = importlib.metadata.version("ray")
    parser = argparse.ArgumentParser(prog="run", description="Runs the heat example on a Ray of its own.")
    parser.add_argument("--ranks", type=int, default=4, help="ranks of the simulation (%(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="timesteps (%(default)s)")
    parser.add_argument("--size", type=int, default=256, help="cells per dimension (%(default)s)")
    parser.add_argument(
        "--comm", choices=("mpi", "gloo"), default="mpi", help="how bridges meet (%(default)s)"
    )
    parser.add_argument(
        "--language",
        choices=("c", "fortran", "java", "python"),
        default="c",
        help="of the simulation (%(default)s)",
    )
    parser.add_argument(
        "--adios2", action="store_true", help="the simulation writes with ADIOS2, and knows nothing of deisa"
    )
    parser.add_argument(
        "--control", choices=("auto", "java", "python"), help="what joins Ray for the simulation (auto)"
    )
    parser.add_argument("--class-path", metavar="PATHS", help="of the Java simulation (what is built here)")
    parser.add_argument(
        "--pace", type=float, default=0.3, metavar="SECONDS", help="least time per timestep (%(default)s)"
    )
    parser.add_argument(
        "--slow-analytics",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="spent on each timestep by the analytics",
    )
    parser.add_argument("--nodes", type=int, default=1, help="node actors, all on this machine (%(default)s)")
    parser.add_argument(
        "--delay-node",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="the last node actor announces this late",
    )
    parser.add_argument(
        "--show", action="store_true", help="a picture of each timestep when it is there, in OUTPUT/live.png"
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "out", help="folder of the results (%(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="for all of it (what the options need)"
    )
    parser.add_argument(
        "--ray",
        default=ray,
        metavar="VERSION",
        help="of Ray, which ./run installs in an environment of its own (%(default)s)",
    )
    arguments = parser.parse_args()
    if not f"{ray}.".startswith(f"{arguments.ray}."):
        parser.error(f"--ray {arguments.ray}: {sys.executable} has Ray {ray}; ./run --ray chooses another")
    for name in ("ranks", "steps", "size", "nodes"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} {getattr(arguments, name)}: expected at least 1")
    for name in ("pace", "slow_analytics", "delay_node"):
        if not 0.0 <= getattr(arguments, name) < math.inf:
            parser.error(
                f"--{name.replace('_', '-')} {getattr(arguments, name)}: expected seconds, at least 0"
            )
    if arguments.adios2 and (arguments.language != "c" or arguments.nodes > 1 or arguments.delay_node > 0.0):
        parser.error("--adios2: expected neither --language, --nodes nor --delay-node beside it")
    if arguments.adios2:
        arguments.language = "adios2"
    if arguments.nodes > arguments.ranks:
        parser.error(f"--nodes {arguments.nodes}: expected at most one per rank, that is {arguments.ranks}")
    if arguments.timeout is None:
        per_step = arguments.pace + arguments.slow_analytics + arguments.delay_node + 2.0
        arguments.timeout = 300.0 + arguments.steps * per_step
    return arguments


def say(what: str) -> None:
    """One line about a step, with the seconds since this program began."""
    print(f"run: [{time.monotonic() - BEGIN:3.0f} s] {what}", flush=True)


def wait(analytics: Child, simulation: list[Child], deadline: float, progress: Progress) -> None:
    """Until all have ended well. Fails as soon as one of them fails, or at the deadline."""
    everyone = [analytics, *simulation]
    simulation_ended = False
    latest_end = deadline
    while running := [child for child in everyone if child.status() is None]:
        for child in everyone:
            if child.status() not in (None, 0):
                child.wait_output()
                fail(f"the {child.name} failed, with exit status {child.status()}")
        if analytics.status() == 0:  # the simulation has sent its last message, and need not wait for anyone
            latest_end = min(latest_end, time.monotonic() + 30.0)
        if not simulation_ended and running == [analytics]:
            simulation_ended = True
            progress.clear()
            say("the simulation has ended; the analytics go on with what it left")
        if time.monotonic() > latest_end:
            names = ", ".join(child.name for child in running)
            why = "within --timeout" if latest_end == deadline else "30 s after the analytics"
            fail(f"not finished {why}: {names}")
        progress.update(simulation[0], analytics)
        time.sleep(0.05)
    progress.clear()
    for child in everyone:
        child.wait_output()
        if child.status() != 0:
            fail(f"the {child.name} failed, with exit status {child.status()}")


def check(arguments: argparse.Namespace, fields: Path, report: Path) -> tuple[Comparison, int]:
    """Compares the stored fields with a serial computation.

    Returns also the timestep at which the feedback took effect, -1 if it did not.
    """
    try:
        source_off_step = int(json.loads(report.read_text())["source_off_step"])
    except (OSError, ValueError, KeyError) as error:
        fail(f"the simulation left no usable report in {report}: {error}")
    names = ("temperature", "flux")
    return compare(fields, arguments.size, arguments.steps, source_off_step, names), source_off_step


def summarise(
    arguments: argparse.Namespace, comparison: Comparison, off: int, report: Path, seconds: float
) -> None:
    numbers = json.loads(report.read_text())
    cells = f"{arguments.size} x {arguments.size} cells"
    print(
        f"\n{arguments.ranks} ranks, {arguments.steps} timesteps of {cells}, in {seconds:.1f} s with start-up"
    )
    if "seconds_blocked" in numbers:
        per_step = 1000.0 * numbers["seconds_blocked"] / arguments.steps
        print(f"rank 0 sent {numbers['chunks_sent']} chunks and was blocked {per_step:.2f} ms per timestep")
    asked = next((step for step, mean in comparison.means.items() if mean > THRESHOLD), None)
    if off >= 0:
        print(f"feedback: the mean passed {THRESHOLD} at timestep {asked}; source off from timestep {off}")
    elif arguments.language == "adios2":
        print("feedback: a program that writes with ADIOS2 reads none")
    elif asked is not None:
        print("feedback: it came after the simulation's last timestep, so the source was never off")
    else:
        print("feedback: the threshold was never passed, so the source was never off")


def run(arguments: argparse.Namespace, scratch: Path) -> str:
    """The whole run. Returns the last line to print."""
    deadline = time.monotonic() + arguments.timeout
    fields, report = scratch / "fields", scratch / "report.json"
    say("starting Ray")
    with LocalRay(cpus=2, worker_output=True) as ray, contextlib.ExitStack() as cleanup:
        say(f"Ray runs at {ray.address}; starting the analytics and {arguments.ranks} ranks")
        live = arguments.output / "live.png" if arguments.show else None
        if live is not None:
            arguments.output.mkdir(parents=True, exist_ok=True)
            say(f"the newest timestep as a picture: {live}")
        start = time.monotonic()
        analytics = start_analytics(arguments, ray.environment, fields, THRESHOLD, live)
        cleanup.callback(analytics.end)
        simulation = start_simulation(arguments, ray.environment, report)
        for child in simulation:
            cleanup.callback(child.end)
        progress = Progress(arguments.steps)
        progress.follow(analytics, *simulation)
        wait(analytics, simulation, deadline, progress)
        seconds = time.monotonic() - start
        say("stopping Ray")

    say("comparing what the analytics got with a serial computation")
    comparison, off = check(arguments, fields, report)
    summarise(arguments, comparison, off, report, seconds)
    if comparison.means:
        picture = arguments.output / "heat.png"
        draw(picture, comparison.pictures, comparison.means, THRESHOLD, off)
        print(f"picture: {picture}")
    if comparison.problems:
        for problem in comparison.problems[:20]:
            print(f"  {problem}", file=sys.stderr)
        fail(
            f"{comparison.analysed} of {arguments.steps} timesteps analysed, "
            f"{comparison.matching} of them with the right values, {len(comparison.problems)} problems"
        )
    return f"{comparison.analysed} of {arguments.steps} timesteps analysed, all values match"


def main() -> None:
    arguments = read_arguments()
    adopt_orphans()
    stop_on_signals()
    scratch = Path(tempfile.mkdtemp(prefix="deisa-heat-", dir="/tmp"))
    try:
        last_line = run(arguments, scratch)
    except RuntimeError as error:
        fail(str(error))
    finally:
        with contextlib.suppress(RuntimeError):
            end_children()
        shutil.rmtree(scratch, ignore_errors=True)
    print(last_line, flush=True)


if __name__ == "__main__":
    main()
