"""The Slurm script, with srun and scontrol of one machine in the place of Slurm's: programs/slurm/."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from conftest import ROOT, run
from ports import free_port

SCRIPT = ROOT / "examples" / "slurm" / "deisa.sbatch"
EXAMPLE = ROOT / "examples" / "diffusion3d"

pytestmark = [pytest.mark.timeout(240)]


@pytest.fixture
def job(tmp_path: Path, built: Path) -> dict[str, str]:
    """What Slurm would set, and the settings of a small job of one node."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY", "DEISA_"))}
    path = f"{ROOT / 'tests' / 'programs' / 'slurm'}:{os.environ['PATH']}"
    return environment | {
        "PATH": path,
        "SRUN_LOG": str(tmp_path / "srun.log"),
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_ID": uuid.uuid4().hex[:8],
        "RAY_PORT": str(free_port()),
        "PREFIX": str(built),
        "VENV": str(Path(sys.executable).parent.parent),
        "ANALYTICS": f"python {EXAMPLE / 'analytics.py'} 5 4 3 3",
        "SIMULATION": f"{built / 'bin' / 'diffusion'} 5 4 3 3",
        "RANKS_PER_NODE": "2",
    }


def submit(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = run(["bash", str(SCRIPT)], environment, timeout=220)
    assert not Path(f"/tmp/ray-{environment['SLURM_JOB_ID']}").exists(), "left behind"
    return done


def test_script_is_valid():
    done = run(["bash", "-n", str(SCRIPT)])
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.ray
def test_job_of_one_node(job):
    done = submit(job)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "3 of 3 timesteps match the serial computation" in done.stdout
    assert "deisa.sbatch: done" in done.stdout.splitlines()
    asked = Path(job["SRUN_LOG"]).read_text().splitlines()
    assert any("--nodes=1 --ntasks=2 --ntasks-per-node=2" in line and "diffusion" in line for line in asked)
    assert any(line.endswith("deisa-info") for line in asked)


@pytest.mark.ray
def test_job_ends_with_what_is_missing(job):
    done = submit(job | {"DEISA_JAVA_HOME": "/var/empty"})
    assert done.returncode == 1
    assert "missing: Java" in done.stdout
    assert "deisa.sbatch: deisa-info found something missing" in done.stdout
    assert "diffusion" not in Path(job["SRUN_LOG"]).read_text(), "the simulation was started"


def test_head_must_be_reachable(job):
    done = submit(job | {"SLURM_JOB_NODELIST": "localhost,other", "HEAD_IP": "127.0.1.1"})
    assert done.returncode == 1
    assert "set HEAD_IP" in done.stdout


def test_job_without_ray_ends_at_once(job, tmp_path):
    done = submit(job | {"VENV": str(tmp_path), "PATH": f"{job['PATH'].split(':')[0]}:/usr/bin:/bin"})
    assert done.returncode == 1
    assert "Ray's head on localhost has ended" in done.stdout
