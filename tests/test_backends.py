"""DEISA_BACKEND=null and file: whole simulations without Ray, and what is in the files by NumPy."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import serial
import test_fortran
import test_mixed
from conftest import mpirun, run
from launch import mpi_command, place_ranks
from ports import free_port

SIZE, STEPS, RANKS = 20, 4, 3  # 20 rows over 3 ranks: uneven
STATUS = "{0} sent, {0} stored, {0} announced, 0 failed, 0 lost, 0 in flight, {1} filtered"


@pytest.fixture
def no_ray(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of Ray would be found."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    return kept | {"RAY_TMPDIR": str(tmp_path), "DEISA_STATUS": "1"}


def heat(language: str, environment: dict[str, str], report: Path) -> str:
    arguments = Namespace(
        language=language, comm="mpi", size=SIZE, steps=STEPS, pace=0.0, ranks=RANKS, nodes=1, delay_node=0.0
    )
    done = run(mpi_command(arguments, place_ranks(arguments), report), environment, timeout=90)
    assert done.returncode == 0, done.stdout
    return done.stdout


def load(folder: Path, name: str) -> dict[int, np.ndarray]:
    """The complete timesteps of an array."""
    return {int(path.stem): np.load(path) for path in sorted((folder / name).glob("*.npy"))}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("language", ["c", "fortran"])
def test_files_hold_what_the_simulation_computed(built, no_ray, tmp_path, language):
    folder = tmp_path / "files"
    said = heat(
        language,
        no_ray | {"DEISA_BACKEND": "file", "DEISA_FILE_FOLDER": str(folder)},
        tmp_path / "report.json",
    )
    temperature, flux = load(folder, "temperature"), load(folder, "flux")
    assert list(temperature) == list(flux) == list(range(STEPS))
    for fields in serial.solve(SIZE, STEPS):
        for seen, expected in ((temperature, fields.temperature), (flux, fields.flux)):
            found = seen[fields.timestep]
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    assert sorted(path.name for path in folder.iterdir()) == ["closed", "deisa.json", "flux", "temperature"]
    for rank in range(RANKS):
        assert f"deisa: rank {rank} of {RANKS} closed" in said
    assert said.count(STATUS.format(2 * STEPS, 0)) == RANKS


@pytest.mark.timeout(120)
def test_every_kind_of_array(built, no_ray, tmp_path):
    """Complex, bool, float32, ghost cells, reversed strides and scalars: the arrays of sections.f90."""
    environment = no_ray | {"DEISA_BACKEND": "file", "DEISA_FILE_FOLDER": str(tmp_path / "files")}
    done = run(mpirun(test_fortran.RANKS, str(built / "bin" / "sections")), environment, timeout=90)
    assert done.returncode == 0, done.stdout
    for step in range(test_fortran.STEPS):
        for name, values in test_fortran.expected(step).items():
            seen = load(tmp_path / "files", name)[step]
            assert seen.dtype == values.dtype, name
            np.testing.assert_array_equal(seen, values, err_msg=name)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("backend", ["null", "file"])
def test_languages_in_one_simulation(built, no_ray, start, tmp_path, backend):
    """C, Fortran and Java, which meet by Gloo; a settings file in YAML chooses the backend."""
    settings = tmp_path / "settings.yaml"
    # Unquoted, null is not a text in YAML: it means the backend all the same.
    settings.write_text(f"backend: {backend}\nfile_folder: {tmp_path}/files\ncomm_timeout: 100\n")
    common = no_ray | {"DEISA_CONFIG": str(settings), "DEISA_MASTER_PORT": str(free_port())}
    languages = ["c", "java", "fortran"]
    children = [
        start(language, [*test_mixed.command(built, language), str(number), "3"], common)
        for number, language in enumerate(languages)
    ]
    for child in children:
        assert child.wait(120) == 0, child.lines
    if backend == "null":
        assert not (tmp_path / "files").exists()
        return
    for step in range(test_mixed.STEPS):
        for name, values in test_mixed.expected(step, len(languages)).items():
            np.testing.assert_array_equal(load(tmp_path / "files", name)[step], values)


@pytest.mark.timeout(120)
def test_null_needs_nothing(built, no_ray, tmp_path):
    report = tmp_path / "report.json"
    said = heat("c", no_ray | {"DEISA_BACKEND": "null"}, report)
    assert '"steps": 4' in report.read_text()
    assert said.count(STATUS.format(2 * STEPS, 0)) == RANKS


@pytest.mark.timeout(120)
def test_choices_apply_to_files_too(built, no_ray, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text('{"arrays": {"temperature": {"every": 3}, "flux": {"send": false}}}')
    environment = no_ray | {
        "DEISA_BACKEND": "file",
        "DEISA_CONFIG": str(settings),
        "DEISA_FILE_FOLDER": str(tmp_path / "files"),
    }
    said = heat("c", environment, tmp_path / "report.json")
    assert list(load(tmp_path / "files", "temperature")) == [0, 3]
    assert load(tmp_path / "files", "flux") == {}
    assert said.count(STATUS.format(2, 6)) == RANKS


@pytest.mark.timeout(60)
def test_a_wrong_file_stops_every_rank_with_what_is_wrong(built, no_ray, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("send_timout: 5\nacknowledge: soon\n")
    command = mpirun(2, str(built / "bin" / "heat"), "--size", "16", "--steps", "2")
    done = run(command, no_ray | {"DEISA_CONFIG": str(settings), "DEISA_BACKEND": "null"})
    assert done.returncode != 0
    assert f'{settings}: "send_timout" = 5: there is no such setting' in done.stdout
    assert f'acknowledge = "soon" (from {settings}): expected one of received stored announced' in done.stdout


def resident(program: list[str], environment: dict[str, str]) -> int:
    """Peak resident memory of a program, in KiB."""
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = run([sys.executable, "-c", code, *program], environment)
    assert done.returncode == 0, done.stdout
    return int(done.stdout.split()[-1])


def test_a_settings_file_costs_little_memory(built, no_ray, tmp_path):
    """JSON nothing to speak of, YAML the library that is loaded to read it."""
    first = [str(built / "bin" / "first")]
    texts = {"settings.json": '{"comm_timeout": 100}', "settings.yaml": "comm_timeout: 100\n"}
    environment = no_ray | {"DEISA_BACKEND": "null"}
    without = resident(first, environment)
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        more = resident(first, environment | {"DEISA_CONFIG": str(tmp_path / name)}) - without
        print(f"{name}: {more} KiB more than {without} KiB")
        assert more < 4096
