"""The wheel that dev/wheel makes, installed in an environment of its own: what it holds, and programs in C,
Fortran and Java that are built against it and run."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest
from conftest import ANALYTICS, ROOT, mpirun, run
from installed import (
    BUILD,
    CONSUMERS,
    analysed,
    build_consumer,
    build_java_consumer,
    java_consumer,
    missing,
    succeed,
)
from local_ray import LocalRay
from ports import free_port, free_ports
from processes import Child

pytestmark = [pytest.mark.timeout(600)]

# What a machine must have: its C and C++ libraries; for who uses them, an MPI, a Fortran run time, ADIOS2.
OUTSIDE = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2"}
OUTSIDE |= {"libmpi.so.40", "libgfortran.so.5", "libadios2_cxx.so.2.12", "libadios2_core.so.2.12"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of what is built already."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, ROOT / "dev" / "packaging" / "wheel.py", "--build", BUILD, "--output", folder]
    return Path(succeed(command, timeout=500).splitlines()[-1])


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python environment with the wheel alone: nothing here needs its dependencies."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    succeed([sys.executable, "-m", "venv", "--without-pip", folder])
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--disable-pip-version-check"]
    succeed([*pip, "install", "-q", "--no-deps", "--no-index", wheel])
    return folder


def ask(environment: Path, option: str) -> Path:
    # -I: not the package in the folder that this runs in, nor what PYTHONPATH names.
    return Path(succeed([environment / "bin" / "python", "-I", "-m", "deisa_bridge", option]).strip())


@pytest.fixture(scope="module")
def prefix(environment: Path) -> Path:
    return ask(environment, "--prefix")


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = Parser().parsestr(archive.read(next(n for n in names if n.endswith("/METADATA"))).decode())
    assert about["Name"] == "deisa-bridge" and about["License-Expression"] == "Apache-2.0"
    assert about["License-File"] == "LICENSE"
    assert re.fullmatch(r"deisa_bridge-0\.2\.0-py3-none-manylinux_2_\d+_x86_64\.whl", wheel.name)


def test_the_package_says_where_everything_lies(environment, prefix):
    assert prefix.is_relative_to(environment)
    assert (ask(environment, "--cmake-dir") / "deisaConfig.cmake").exists()
    assert (ask(environment, "--pkg-config-dir") / "deisa.pc").exists()
    assert ask(environment, "--jar").name == "deisa-bridge.jar"
    assert (ask(environment, "--fortran-dir") / "deisa.F90").exists()
    assert (ask(environment, "--maven-dir") / "io" / "deisa").is_dir()
    assert str(ask(environment, "--version")) == "0.2.0"


def test_the_node_actor_alone_says_that_there_are_no_libraries():
    done = run([sys.executable, "-m", "deisa_bridge", "--prefix"], {"PYTHONPATH": str(ROOT / "python")})
    assert done.returncode == 1
    assert "without the libraries" in done.stdout and "dev/wheel" in done.stdout


def needed(library: Path) -> set[str]:
    return set(re.findall(r"NEEDED.*\[(.*)\]", succeed(["readelf", "-d", library])))


def test_libraries_find_each_other_and_need_only_what_every_machine_has(prefix, tmp_path):
    jar = next(prefix.glob("share/deisa/maven/**/*-linux-x86_64.jar"))
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(tmp_path / "jar")
    for folder in (prefix / "lib", next(tmp_path.glob("jar/io/deisa/bridge/linux-x86_64"))):
        libraries = [path for path in folder.glob("*.so*") if path.read_bytes()[:4] == b"\x7fELF"]
        names = {path.name for path in libraries}
        assert {"libdeisa.so.0.2", "libdeisa_gloo.so", "libdeisa_node.so", "libdeisa_yaml.so"} <= names
        assert "libdeisa_adios2.so" in names or folder != prefix / "lib"
        for name in ("gloo", "yaml-cpp"):
            assert [library for library in names if library.startswith(f"lib{name}-")], names
        for library in libraries:
            assert needed(library) <= names | OUTSIDE, library
            found = re.findall(r"R(?:UN)?PATH.*\[(.*)\]", succeed(["readelf", "-d", library]))
            assert found in (["$ORIGIN"], ["$ORIGIN/"]) or "jnideisa" in library.name, (library, found)
        assert not [name for name in names if name.startswith(("libmpi", "libgfortran"))]


def test_gloo_comes_from_the_wheel(environment, prefix):
    load = f"import ctypes; ctypes.CDLL('{prefix}/lib/libdeisa_gloo.so'); "
    program = load + "print(open('/proc/self/maps').read())"
    maps = succeed([environment / "bin" / "python", "-I", "-c", program])
    libraries = {line.split()[-1] for line in maps.splitlines() if "libgloo" in line}
    assert len(libraries) == 1 and libraries.pop().startswith(f"{prefix}/lib/libgloo-")


@pytest.mark.parametrize("language", ["c", "fortran"])
def test_a_project_by_cmake(environment, language, tmp_path, bare_environment):
    """Found by --cmake-dir alone; its settings are YAML, its chunks become NumPy files."""
    folder = ask(environment, "--cmake-dir")
    consumer = build_consumer(language, tmp_path, tmp_path / "nowhere", f"-Ddeisa_DIR={folder}")
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"backend: file\nfile_folder: {tmp_path / 'files'}\n")
    done = run([str(consumer)], bare_environment | {"DEISA_CONFIG": str(settings)})
    assert (done.returncode, done.stdout.split()) == (0, ["done"]), done.stdout
    files = sorted((tmp_path / "files" / "temperature").glob("*.npy"))
    assert [int(file.stem) for file in files] == [0, 1, 2]
    for file in files:
        values = np.load(file)
        assert np.array_equal(values, 1e6 * int(file.stem) + np.arange(6.0).reshape(2, 3))


def test_a_c_project_by_pkg_config_and_make(environment, tmp_path, bare_environment):
    for name in ("c", "make"):
        (tmp_path / name).mkdir()
        for file in (CONSUMERS / name).iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    found = {"PKG_CONFIG_PATH": str(ask(environment, "--pkg-config-dir"))}
    succeed(["make", "-C", tmp_path / "make"], found)
    done = run([str(tmp_path / "make" / "consumer")], bare_environment | {"DEISA_BACKEND": "null"})
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stdout


MPI = """
program consumer
  use mpi_f08, only: MPI_Init, MPI_Finalize, MPI_COMM_WORLD
  use deisa
  implicit none
  type(deisa_bridge) :: bridge
  call MPI_Init()
  call bridge%open(comm=MPI_COMM_WORLD)
  call bridge%abandon()
  call MPI_Finalize()
  print '(a)', 'done'
end program consumer
"""


def test_a_fortran_program_with_mpi(environment, tmp_path):
    """With this machine's MPI: the library of the module opens libdeisa_mpi when it is asked for."""
    (tmp_path / "consumer.f90").write_text(MPI)
    found = {"PKG_CONFIG_PATH": str(ask(environment, "--pkg-config-dir"))}
    flags = succeed(["pkg-config", "--cflags", "--libs", "deisa-fortran"], found).split()
    libraries = succeed(["pkg-config", "--variable=libdir", "deisa"], found).strip()
    program = tmp_path / "consumer"
    succeed(["mpifort", "-o", program, tmp_path / "consumer.f90", *flags, f"-Wl,-rpath,{libraries}"])
    assert succeed(mpirun(2, str(program)), {"DEISA_BACKEND": "null"}).split() == ["done", "done"]


def test_a_java_project(environment, tmp_path, bare_environment):
    """Two ranks, which meet by the Gloo that is in the jar."""
    consumer = build_java_consumer(tmp_path / "java", ask(environment, "--maven-dir"))
    command = java_consumer(consumer, tmp_path / "cache")
    variables = bare_environment | {
        "DEISA_BACKEND": "null",
        "DEISA_MASTER_ADDRESS": "127.0.0.1",
        "DEISA_MASTER_PORT": str(free_port()),
    }
    command += ["--ranks", "2", "--steps", "2", "--size", "8", "--halo-port", str(free_ports(2))]
    ranks = [Child(f"rank {rank}", [*command, "--rank", str(rank)], variables) for rank in (0, 1)]
    try:
        for rank in ranks:
            assert rank.wait(240) == 0, rank.lines
    finally:
        for rank in ranks:
            rank.end()
    assert [line for line in ranks[0].lines if "sent" in line] == [
        f"timestep {step} sent, source on" for step in (0, 1)
    ]
    unpacked = {path.name for path in (tmp_path / "cache").rglob("*.so*")}
    assert [name for name in unpacked if name.startswith("libgloo-")]


PYTHON = """
import sys
sys.path.append(sys.argv[1])  # for NumPy, which the wheel needs and this environment lacks
import numpy as np
from deisa_bridge import Bridge
array = {"chunk_shape": (2, 3), "global_shape": (2, 3), "chunk_position": (0, 0)}
with Bridge(None, {"temperature": array}) as bridge:
    bridge.send("temperature", np.zeros((2, 3)), 0)
    bridge.close(1)
print(bridge._library._name, "ray" in sys.modules)
"""


def test_a_python_program(environment, prefix, bare_environment):
    numpy = Path(np.__file__).parents[1]
    command = [str(environment / "bin" / "python"), "-I", "-c", PYTHON, str(numpy)]
    done = run(command, bare_environment | {"DEISA_BACKEND": "null"})
    assert (done.returncode, done.stdout) == (0, f"{prefix}/lib/libdeisa.so.0.2 False\n"), done.stdout


def info(environment: Path, variables: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return run([str(environment / "bin" / "deisa-info"), *options], variables)


def test_info(environment, prefix, bare_environment):
    done = info(environment, bare_environment | {"DEISA_PYTHON": sys.executable}, "--no-cluster")
    assert missing(done) == set(), done.stdout
    for path in (
        "share/deisa/deisa-bridge.jar",
        "share/deisa/python",
        "lib/libdeisa_node.so",
        "lib/libdeisa_gloo.so",
    ):
        assert re.search(rf"ok .* {prefix}/{path}\n", done.stdout), done.stdout
    assert info(environment, bare_environment, "--version").stdout == "0.2.0\n"


@pytest.mark.ray
def test_a_c_project_reaches_ray(environment, prefix, tmp_path, start):
    consumer = build_consumer("c", tmp_path, prefix)
    with LocalRay(object_store_bytes=256 << 20, variables={"DEISA_CONTROL": "auto"}) as ray:
        done = info(environment, ray.environment)
        assert missing(done) == set(), done.stdout
        assert str(ROOT) not in re.sub(r"DEISA_PYTHON=.*|.*/build/venv/.*", "", done.stdout), done.stdout
        analysed(consumer, start("analytics", ANALYTICS, ray.environment), ray.environment)
