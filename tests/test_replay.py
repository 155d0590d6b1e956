"""python -m deisa_bridge.replay: what the file backend wrote, once more."""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run
from launch import mpi_command, place_ranks
from verify import compare

SIZE, STEPS, RANKS = 20, 4, 3  # 20 rows over 3 ranks: uneven


def record(built: Path, folder: Path, report: Path) -> None:
    """The heat example, without Ray."""
    arguments = Namespace(
        language="c", comm="mpi", size=SIZE, steps=STEPS, pace=0.0, ranks=RANKS, nodes=1, delay_node=0.0
    )
    environment = os.environ | {"DEISA_BACKEND": "file", "DEISA_FILE_FOLDER": str(folder)}
    done = run(mpi_command(arguments, place_ranks(arguments), report), environment, timeout=90)
    assert done.returncode == 0, done.stdout


def replay(built: Path, folder: Path, *options: str, environment: dict[str, str], timeout: float = 60.0):
    variables = {"PYTHONPATH": str(ROOT / "python"), "DEISA_LIBRARY": str(built / "lib" / "libdeisa.so")}
    command = [sys.executable, "-P", "-m", "deisa_bridge.replay", str(folder), *options]
    return run(command, environment | variables, timeout)


def written(folder: Path, name: str) -> dict[int, np.ndarray]:
    files = [path for path in sorted((folder / name).glob("*.npy")) if re.fullmatch("[0-9]+", path.stem)]
    return {int(path.stem): np.load(path) for path in files}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("options", "timesteps", "closed"),
    [
        ([], {0: 0, 1: 1, 2: 2, 3: 3}, 4),
        (["--loop", "2"], {0: 0, 1: 1, 2: 2, 3: 3, 4: 0, 5: 1, 6: 2, 7: 3}, 8),
        (["--from", "1", "--to", "2", "--loop", "2"], {1: 1, 2: 2, 3: 1, 4: 2}, 5),
        (["--from", "2"], {2: 2, 3: 3}, 4),
    ],
    ids=str,
)
def test_what_is_sent_again(built, tmp_path, options, timesteps, closed):
    """From files into files."""
    record(built, tmp_path / "recorded", tmp_path / "report")
    for stray in ("notes.npy", "1_0.npy", "\u0663.npy"):  # a number for int()
        (tmp_path / "recorded" / "temperature" / stray).write_bytes(b"")
    again = tmp_path / "again"
    environment = os.environ | {"DEISA_BACKEND": "file", "DEISA_FILE_FOLDER": str(again)}
    done = replay(built, tmp_path / "recorded", *options, environment=environment)
    assert done.returncode == 0, done.stdout
    for name in ("temperature", "flux"):
        original, copied = written(tmp_path / "recorded", name), written(again, name)
        assert list(copied) == list(timesteps)
        for t, of in timesteps.items():
            np.testing.assert_array_equal(copied[t], original[of], strict=True)
    assert (again / "closed").read_text() == f"{closed}\n"


@pytest.mark.timeout(120)
def test_timesteps_keep_their_distances(built, tmp_path):
    """A simulation that sent every tenth timestep, was interrupted once, and closed later."""
    recorded, again = tmp_path / "recorded", tmp_path / "again"
    record(built, recorded, tmp_path / "report")
    timesteps = [0, 10, 20, 50]
    for name in ("temperature", "flux"):
        for old, new in reversed([*zip(sorted((recorded / name).glob("*.npy")), timesteps, strict=True)]):
            old.rename(old.with_stem(str(new).zfill(len(old.stem))))
    (recorded / "closed").write_text("57\n")
    environment = os.environ | {"DEISA_BACKEND": "file", "DEISA_FILE_FOLDER": str(again)}
    done = replay(built, recorded, "--loop", "2", environment=environment)
    assert done.returncode == 0, done.stdout
    assert list(written(again, "flux")) == [0, 10, 20, 50, 60, 70, 80, 110]
    assert (again / "closed").read_text() == "117\n"


@pytest.mark.timeout(120)
def test_rate_and_wrong_arguments(built, tmp_path):
    record(built, tmp_path / "recorded", tmp_path / "report")
    environment = os.environ | {"DEISA_BACKEND": "null"}
    done = replay(built, tmp_path / "recorded", "--rate", "4", environment=environment)
    sent = re.search(r"^4 timesteps sent in (\d+\.\d) s$", done.stdout, re.MULTILINE)
    assert done.returncode == 0 and sent, done.stdout
    assert float(sent[1]) >= 0.7, "4 timesteps a second: three pauses"
    for options, message in (
        (["--from", "9"], "it has no complete timestep between --from and --to"),
        (["--rate", "0"], "expected more than 0"),
        (["--loop", "0"], "expected at least 1"),
    ):
        done = replay(built, tmp_path / "recorded", *options, environment=environment)
        assert done.returncode != 0 and message in done.stdout, done.stdout
    done = replay(built, tmp_path, environment=environment)
    assert done.returncode == 1 and "expected a folder that DEISA_BACKEND=file wrote" in done.stdout
    done = replay(built, tmp_path / "recorded", environment=environment | {"DEISA_WINDOW": "0"})
    assert done.returncode == 1 and done.stdout.startswith("replay: "), done.stdout
    assert "DEISA_WINDOW" in done.stdout and "Traceback" not in done.stdout


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_unmodified_analytics_get_the_same(built, ray, start, tmp_path):
    """The analytics of the heat example, compared as ./run does after the simulation itself."""
    record(built, tmp_path / "recorded", tmp_path / "report")
    script = str(ROOT / "examples" / "heat" / "analytics.py")
    fields = tmp_path / "fields"
    command = [sys.executable, "-P", script, "--output", str(fields), "--threshold", "1000"]
    analytics = start("analytics", command, ray.environment)
    done = replay(built, tmp_path / "recorded", environment=ray.environment, timeout=200)
    assert done.returncode == 0, done.stdout
    assert analytics.wait(60) == 0, analytics.lines
    comparison = compare(fields, SIZE, STEPS, -1, ("temperature", "flux"))
    assert (comparison.analysed, comparison.matching, comparison.problems) == (STEPS, STEPS, [])
