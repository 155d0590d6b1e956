"""The commands of the example: which process runs with which options, environment and node."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ports import free_port, free_ports
from processes import Child

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Rank:
    """One rank, and the environment variables that are its own."""

    number: int
    environment: dict[str, str]


def place_ranks(arguments: argparse.Namespace) -> list[Rank]:
    """Spreads the ranks over the nodes, in blocks, as a batch system does."""
    ranks = []
    for number in range(arguments.ranks):
        environment = {}
        if arguments.nodes > 1 or arguments.delay_node > 0.0:
            node = number * arguments.nodes // arguments.ranks
            environment["DEISA_NODE_ID"] = f"heat-{node}"
            if node == arguments.nodes - 1 and arguments.delay_node > 0.0:
                environment["DEISA_ANNOUNCE_DELAY"] = str(arguments.delay_node)
        ranks.append(Rank(number, environment))
    return ranks


def mpi_command(arguments: argparse.Namespace, ranks: list[Rank], report: Path) -> list[str]:
    """mpirun, with one part per rank that has environment variables of its own."""
    programs = {
        "c": [str(ROOT / "build" / "bin" / "heat")],
        "fortran": [str(ROOT / "build" / "bin" / "heat_fortran")],
        "adios2": [
            str(ROOT / "build" / "bin" / "heat_adios2"),
            str(ROOT / "examples" / "heat" / "adios2" / "adios2.xml"),
        ],
        "python": [sys.executable, str(ROOT / "examples" / "python" / "heat.py")],
    }
    program = [*programs[arguments.language], "--comm", arguments.comm, "--report", str(report)]
    program += ["--size", str(arguments.size), "--steps", str(arguments.steps), "--pace", str(arguments.pace)]
    command = ["mpirun", "--oversubscribe"] + (["--allow-run-as-root"] if os.geteuid() == 0 else [])
    if not any(rank.environment for rank in ranks):
        return [*command, "-n", str(len(ranks)), *program]
    for rank in ranks:
        variables = [f"{name}={value}" for name, value in rank.environment.items()]
        command += ([":"] if rank.number else []) + ["-n", "1", "env", *variables, *program]
    return command


def java_command(arguments: argparse.Namespace, rank: Rank, halo_port: int, report: Path) -> list[str]:
    """One Java rank. Its class path: the example, and its one dependency with what that needs."""
    home = os.environ.get("DEISA_JAVA_HOME") or os.environ.get("JAVA_HOME")
    target = ROOT / "examples" / "java" / "target"
    # The one flag that it needs.
    command = [f"{home}/bin/java" if home else "java", "--add-opens=java.base/java.nio=ALL-UNNAMED"]
    class_path = arguments.class_path
    if class_path is None:
        # These keep it small and out of /tmp, and take the libraries that were built last as they are:
        # without the last one they would be unpacked from the dependency, into the user's cache.
        command += ["-Xmx512m", "-XX:-UsePerfData", f"-Ddeisa.library.path={ROOT / 'build' / 'lib'}"]
        class_path = f"{target}/deisa-example-heat-0.2.0.jar:{target}/lib/*"
    command += ["-cp", class_path, "io.deisa.examples.Heat"]
    command += ["--rank", str(rank.number), "--ranks", str(arguments.ranks), "--size", str(arguments.size)]
    command += ["--steps", str(arguments.steps), "--pace", str(arguments.pace)]
    return [*command, "--halo-port", str(halo_port), "--report", str(report)]


def start_analytics(
    arguments: argparse.Namespace,
    environment: dict[str, str],
    fields: Path,
    threshold: float,
    live: Path | None = None,
) -> Child:
    """The analytics, which write one file per timestep into `fields`, and draw the newest into `live`."""
    command = [sys.executable, str(ROOT / "examples" / "heat" / "analytics.py"), "--output", str(fields)]
    command += ["--threshold", str(threshold), "--slow", str(arguments.slow_analytics)]
    if live is not None:
        command += ["--live", str(live)]
    return Child("analytics", command, environment)


def start_simulation(arguments: argparse.Namespace, environment: dict[str, str], report: Path) -> list[Child]:
    """The simulation: mpirun, or one process per Java rank. Rank 0 writes `report` at its end."""
    ranks = place_ranks(arguments)
    if arguments.control is not None:
        environment = environment | {"DEISA_CONTROL": arguments.control}
    if arguments.language == "adios2":
        environment = environment | {"ADIOS2_PLUGIN_PATH": str(ROOT / "build" / "lib")}
    if arguments.comm == "gloo" or arguments.language in ("java", "adios2"):
        master = {"DEISA_MASTER_ADDRESS": "127.0.0.1", "DEISA_MASTER_PORT": str(free_port())}
        environment = environment | master
    if arguments.language == "python":
        environment = environment | {"PYTHONPATH": str(ROOT / "python")}
    if arguments.language != "java":
        return [Child("simulation", mpi_command(arguments, ranks, report), environment)]
    halo_port = free_ports(arguments.ranks)
    return [
        Child(
            f"rank {rank.number}",
            java_command(arguments, rank, halo_port, report),
            environment | rank.environment,
        )
        for rank in ranks
    ]
