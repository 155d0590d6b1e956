"""The commands of the example: which process runs with which options, environment and node."""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from processes import Child

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


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


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mpi_command(arguments: argparse.Namespace, ranks: list[Rank], report: Path) -> list[str]:
    """mpirun, with one part per rank that has environment variables of its own."""
    name = {"c": "heat", "fortran": "heat_fortran"}[arguments.language]
    program = [str(ROOT / "build" / "bin" / name), "--comm", arguments.comm, "--report", str(report)]
    program += ["--size", str(arguments.size), "--steps", str(arguments.steps), "--pace", str(arguments.pace)]
    command = ["mpirun", "--oversubscribe"] + (["--allow-run-as-root"] if os.geteuid() == 0 else [])
    if not any(rank.environment for rank in ranks):
        return [*command, "-n", str(len(ranks)), *program]
    for rank in ranks:
        variables = [f"{name}={value}" for name, value in rank.environment.items()]
        command += ([":"] if rank.number else []) + ["-n", "1", "env", *variables, *program]
    return command


def java_command(arguments: argparse.Namespace, rank: Rank, report: Path) -> list[str]:
    """One Java rank. Class path: the example, the bridge and what it needs, and the installed Ray's jar."""
    home = os.environ.get("DEISA_JAVA_HOME") or os.environ.get("JAVA_HOME")
    target = ROOT / "java" / "target"
    ray = importlib.util.find_spec("ray")
    if ray is None or ray.origin is None:
        raise RuntimeError(f"{sys.executable} has no package ray")
    ray_jar = Path(ray.origin).parent / "jars" / "ray_dist.jar"
    jars = [target / "deisa-bridge-0.1.0-linux-x86_64.jar", target / "lib" / "*", ray_jar]
    command = [f"{home}/bin/java" if home else "java", "--add-opens=java.base/java.nio=ALL-UNNAMED"]
    command += ["-XX:-UsePerfData", "-Xmx512m", f"-Ddeisa.library.path={ROOT / 'build' / 'lib'}"]
    command += ["-cp", ":".join(map(str, [ROOT / "build" / "classes", *jars])), "Heat", str(rank.number)]
    command += [str(arguments.ranks), str(arguments.size), str(arguments.steps), str(arguments.pace)]
    return [*command, str(report)]


def start_analytics(
    arguments: argparse.Namespace, environment: dict[str, str], fields: Path, threshold: float
) -> Child:
    """The analytics, which write one file per timestep into `fields`."""
    command = [sys.executable, str(HERE / "analytics.py"), "--output", str(fields)]
    command += ["--threshold", str(threshold), "--slow", str(arguments.slow_analytics)]
    command += ["--no-flux"] if arguments.language == "java" else []
    return Child("analytics", command, environment)


def start_simulation(arguments: argparse.Namespace, environment: dict[str, str], report: Path) -> list[Child]:
    """The simulation: mpirun, or one process per Java rank. Rank 0 writes `report` at its end."""
    ranks = place_ranks(arguments)
    if arguments.comm == "gloo" or arguments.language == "java":
        master = {"DEISA_MASTER_ADDRESS": "127.0.0.1", "DEISA_MASTER_PORT": str(free_port())}
        environment = environment | master
    if arguments.language != "java":
        return [Child("simulation", mpi_command(arguments, ranks, report), environment)]
    return [
        Child(f"rank {rank.number}", java_command(arguments, rank, report), environment | rank.environment)
        for rank in ranks
    ]
