"""DEISA_DISABLE=1, and what the libraries depend on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import mpirun, run

FOREIGN = re.compile(r"libjvm|libmpi|libopen-(rte|pal)|libgloo|libhiredis|libibverbs|libpython")


def needed(library: Path) -> str:
    done = run(["ldd", str(library)])
    assert done.returncode == 0, done.stdout
    assert "not found" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["libdeisa.so", "libdeisa_node.so"])
def test_library_needs_nothing_foreign(built, name):
    assert not FOREIGN.search(needed(built / "lib" / name))


def test_gloo_and_mpi_are_libraries_of_their_own(built):
    assert "libgloo" in needed(built / "lib" / "libdeisa_gloo.so")
    mpi = needed(built / "lib" / "libdeisa_mpi.so")
    assert "libmpi" in mpi and "libgloo" not in mpi and "libjvm" not in mpi


def test_simulation_runs_with_nothing_installed(built, bare_environment, tmp_path):
    """Every call is a success, and nothing is loaded but the simulation's own MPI."""
    report = tmp_path / "report.json"
    environment = bare_environment | {"DEISA_DISABLE": "1", "LD_DEBUG": "files"}
    heat = [str(built / "bin" / "heat"), "--size", "32", "--steps", "5", "--report", str(report)]
    # Without PATH, Open MPI misses ssh, which it would start further nodes with.
    done = run(mpirun(4, "--mca", "plm", "isolated", *heat), environment)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "timestep 4 sent, source on" in done.stdout
    assert '"steps": 5' in report.read_text()
    opened = re.findall(r"file=(\S+).*generating link map", done.stdout)
    assert any("libdeisa.so" in file for file in opened)
    assert not [file for file in opened if re.search(r"libjvm|libgloo|libhiredis|libpython|/ray/", file)]


@pytest.mark.parametrize("mode", ["plain", "stack", "signals"])
def test_host_program_runs_with_nothing_installed(host, bare_environment, mode):
    done = run(
        ["/bin/bash", "-c", f"ulimit -s 262144; exec {host} {mode}"],
        bare_environment | {"DEISA_DISABLE": "1"},
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("done\n")
