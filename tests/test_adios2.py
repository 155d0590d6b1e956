"""The engine of ADIOS2: programs that know nothing of deisa, whose configuration sends what they write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import run
from local_ray import LocalRay
from ports import free_port

adios2 = pytest.importorskip("adios2")
PROGRAMS = Path(__file__).resolve().parent / "programs" / "adios2"
STEPS = 4


@pytest.fixture
def writers(built: Path) -> dict[str, list[str]]:
    """The programs, by language."""
    return {
        "C++": [str(built / "bin" / "adios2_writer")],
        "Python": [sys.executable, str(PROGRAMS / "writer.py")],
    }


def config(path: Path, engine: str = "plugin", **settings: object) -> str:
    """An adios2.xml. The engine of BP files, or deisa's with these settings."""
    all_of_it = settings
    if engine == "plugin":
        all_of_it = {"PluginName": "deisa", "PluginLibrary": "deisa_adios2", **settings}
    parameters = "".join(f'<parameter key="{key}" value="{value}"/>' for key, value in all_of_it.items())
    ios = "".join(
        f'<io name="{io}"><engine type="{engine}">{parameters}</engine></io>' for io in ("output", "second")
    )
    path.write_text(f'<?xml version="1.0"?><adios-config>{ios}</adios-config>')
    return str(path)


def environment_of(built: Path, rank: int, ranks: int, port: int) -> dict[str, str]:
    own = {"DEISA_BRIDGE_ID": rank, "DEISA_WORLD_SIZE": ranks, "DEISA_MASTER_PORT": port}
    own |= {"ADIOS2_PLUGIN_PATH": built / "lib", "DEISA_COMM_TIMEOUT": 60}
    return {name: str(value) for name, value in own.items()}


def write(
    command: list[str],
    xml: str,
    output: str,
    ranks: int,
    built: Path,
    *case: str,
    environment: dict[str, str] | None = None,
) -> list[tuple[int, str]]:
    """Runs the ranks, each with a file of its own if it writes one: a serial ADIOS2 shares none. Status and
    output of each."""
    port = free_port()
    processes = [
        subprocess.Popen(
            [*command, xml, f"{output}.{rank}", str(rank), str(ranks), str(STEPS), *case],
            env=(environment or dict(os.environ)) | environment_of(built, rank, ranks, port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        outputs = [process.communicate(timeout=150)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, outputs, strict=True)]


def expected(t: int) -> dict[str, np.ndarray]:
    i, j = np.ogrid[:10, :7]
    return {"field": 1000.0 * t + 10.0 * i + j, "line": (t + np.arange(10)).astype(np.float32)}


def of_bp_files(output: str, ranks: int) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of each step. The file of a rank has zeros where the other ranks' blocks are."""
    total: list[dict[str, np.ndarray]] = []
    for rank in range(ranks):
        with adios2.Stream(f"{output}.{rank}", "r") as stream:
            for t, _ in enumerate(stream.steps()):
                if rank == 0:
                    total.append({})
                for name in ("field", "line"):
                    total[t][name] = total[t].get(name, 0) + stream.read(name)
    yield from total


def check_files(folder: Path, steps: dict[str, list[int]]) -> None:
    for name, timesteps in steps.items():
        found = sorted((folder / name).iterdir())
        assert [path.name for path in found] == [f"{t:09d}.npy" for t in timesteps]
        for t, path in zip(timesteps, found, strict=True):
            np.testing.assert_array_equal(np.load(path), expected(t)[name], strict=True)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("language", ["C++", "Python"])
def test_blocks_of_different_sizes_become_whole_arrays(language, writers, built, tmp_path):
    """With settings as parameters of the engine: here those of the backend that writes NumPy files."""
    folder = tmp_path / "files"
    xml = config(tmp_path / "adios2.xml", backend="file", file_folder=folder)
    done = write(writers[language], xml, "heat", 4, built)
    assert [status for status, _ in done] == [0] * 4, done
    check_files(folder, {"field": list(range(STEPS)), "line": list(range(STEPS))})
    warned = [line for _, text in done for line in text.splitlines() if "are not sent" in line]
    assert len(warned) == 1, "one warning, of rank 0"
    assert "variable 'seconds', a global value" in warned[0]
    if language == "C++":
        assert "attribute 'units'; variable 'own', a local value" in warned[0]


@pytest.mark.timeout(120)
def test_a_step_may_leave_a_variable_out(writers, built, tmp_path):
    folder = tmp_path / "files"
    xml = config(tmp_path / "adios2.xml", backend="file", file_folder=folder)
    done = write(writers["C++"], xml, "heat", 2, built, "sometimes")
    assert [status for status, _ in done] == [0] * 2, done
    check_files(folder, {"field": list(range(STEPS)), "line": [0, 2]})


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "shape",
            "variable 'field' in step 1: shape (11, 7), start (1, 0), count (10, 7): expected (10, 7), "
            "(0, 0), (10, 7), as in the first step",
        ),
        ("two", "a second engine is opened while another one is open in this process"),
    ],
)
def test_what_contradicts_the_first_step_is_refused(case, message, writers, built, tmp_path):
    """As ADIOS2 does: by an exception."""
    xml = config(tmp_path / "adios2.xml", backend="null")
    ((status, text),) = write(writers["C++"], xml, "heat", 1, built, case)
    assert status == 1 and message in text, text


@pytest.mark.timeout(120)
def test_one_engine_after_the_other_and_what_is_refused(built, tmp_path):
    """In one process: sessions one after the other, reading, wrong settings, blocks that overlap."""
    script = """
import adios2, numpy as np, sys
def opened(name, mode="w", **settings):
    io = adios2.Adios().declare_io(name)
    io.set_engine("plugin")
    io.set_parameters({"PluginName": "deisa", "PluginLibrary": "deisa_adios2", **settings})
    return adios2.Stream(io, name, mode)
for number in range(2):
    with opened(f"io{number}", backend="file", file_folder=f"{sys.argv[1]}/{number}") as stream:
        for _ in stream.steps(2):
            stream.write("a", np.arange(6.0), [6], [0], [6])
for words, call in (
    ("reads nothing", lambda: opened("reads", "r")),
    ("comm_timeot=3': there is no such setting: expected comm_", lambda: opened("odd", comm_timeot="3")),
    ("comm_timeout = 'soon' (from the program's settings)", lambda: opened("soon", comm_timeout="soon")),
):
    try:
        call()
        print("accepted:", words)
    except Exception as error:
        print("refused" if words in str(error) else error)
with opened("gap", backend="null") as stream:
    stream.begin_step()
    stream.write("a", np.arange(4.0), [6], [1], [4])
    try:
        stream.end_step()
    except Exception as error:
        print("refused" if "no bridge has the indices 0" in str(error) else error)
"""
    environment = {**os.environ, "ADIOS2_PLUGIN_PATH": str(built / "lib")}
    done = run([sys.executable, "-c", script, str(tmp_path)], environment, timeout=100)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-4:] == ["refused"] * 4, done.stdout
    for number in range(2):
        for t in range(2):
            np.testing.assert_array_equal(np.load(tmp_path / f"{number}/a/{t:09d}.npy"), np.arange(6.0))


@pytest.mark.timeout(120)
def test_calls_in_any_order(built, tmp_path):
    environment = {**os.environ, "ADIOS2_PLUGIN_PATH": str(built / "lib")}
    done = run([sys.executable, str(PROGRAMS / "calls.py"), str(tmp_path)], environment, timeout=100)
    assert done.returncode == 0, done.stdout
    (warned,) = done.stdout.splitlines()
    assert "are not sent" in warned and "variable 'late', which came after the first step" in warned
    written = {int(path.stem): np.load(path).tolist() for path in (tmp_path / "puts" / "a").iterdir()}
    assert written == {t: [first + i for i in range(4)] for t, first in enumerate((10.0, 10.0, 20.0))}
    assert not (tmp_path / "puts" / "empty").exists()
    assert [(tmp_path / name / "closed").read_text() for name in ("puts", "none")] == ["3\n", "0\n"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    from simulation import joined

    with joined(256 << 20) as local:
        yield local


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("language", "ranks"), [("C++", 4), ("Python", 2)])
def test_analytics_get_what_a_bp_file_gets(language, ranks, simulation, writers, built, tmp_path):
    """Only adios2.xml and ADIOS2_PLUGIN_PATH differ between the two runs."""
    output = str(tmp_path / "heat")
    done = write(writers[language], config(tmp_path / "bp.xml", "BP5"), output, ranks, built)
    assert [status for status, _ in done] == [0] * ranks, done
    watch = simulation.analytics("field", "line")
    xml = config(tmp_path / "deisa.xml", send_timeout=100)
    done = write(writers[language], xml, output, ranks, built, environment=simulation.environment)
    assert [status for status, _ in done] == [0] * ranks, done
    seen = watch.finish()
    in_files = list(of_bp_files(output, ranks))
    assert len(in_files) == STEPS
    for t, arrays in enumerate(in_files):
        for name, values in arrays.items():
            assert seen[name][t]["dtype"] == str(values.dtype)
            np.testing.assert_array_equal(np.array(seen[name][t]["values"], values.dtype), values)
            np.testing.assert_array_equal(values, expected(t)[name])
    timesteps = {name: sorted(of) for name, of in seen.items()}
    assert timesteps == {"field": list(range(STEPS)), "line": list(range(STEPS))}
    if ranks == 4:
        assert seen["field"][0]["chunks"] == [[5, 5], [3, 4]]
