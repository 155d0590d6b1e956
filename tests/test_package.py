"""What `cmake --install` makes: moved to another folder, found by CMake and pkg-config, and used by projects
outside of this tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ANALYTICS, ROOT, mpirun, run
from installed import BUILD, CONSUMERS, DISABLED, analysed, build_consumer, configure, missing, succeed
from local_ray import LocalRay

pytestmark = [pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation that was moved after it was installed."""
    folder = tmp_path_factory.mktemp("package")
    done = run(["cmake", "--install", str(BUILD), "--prefix", str(folder / "installed")], timeout=120)
    assert done.returncode == 0, done.stdout
    assert "deisa-bridge.jar" in done.stdout
    return (folder / "installed").rename(folder / "moved")


def test_c_project_by_cmake(package, tmp_path):
    assert succeed([build_consumer("c", tmp_path, package)], DISABLED) == "done\n"


def test_fortran_project_by_cmake(package, tmp_path):
    consumer = build_consumer("fortran", tmp_path, package)
    assert succeed([consumer], DISABLED).split() == ["done"]


def test_fortran_needs_the_compiler_of_its_module_files(package, tmp_path):
    source = project(tmp_path / "p", "find_package(deisa REQUIRED COMPONENTS fortran)", "C")
    done = configure(source, tmp_path / "build", package)
    assert done.returncode != 0
    message = " ".join(done.stdout.split())
    assert "built for GNU compilers" in message and "share/deisa/fortran" in message
    assert next(package.glob("share/deisa/fortran/deisa.F90"))


def test_cpp_project_by_cmake(package, tmp_path):
    consumer = build_consumer("cpp", tmp_path, package)
    assert succeed(mpirun(2, str(consumer)), DISABLED) == "done\n"


def test_c_project_by_pkg_config_and_make(package, tmp_path):
    shutil.copytree(CONSUMERS, tmp_path / "consumers")
    found = {"PKG_CONFIG_PATH": str(next(package.glob("**/pkgconfig")))}
    succeed(["make", "-C", tmp_path / "consumers" / "make"], found)
    assert succeed([tmp_path / "consumers" / "make" / "consumer"], DISABLED) == "done\n"


def test_a_module_makes_compilers_and_shells_find_it(package, tmp_path):
    """A program is compiled without any option that names the folder."""
    shutil.copy(CONSUMERS / "c" / "main.c", tmp_path)
    script = f"""
      set -e
      eval "$(/usr/bin/modulecmd bash use {package}/share/deisa/modulefiles)"
      eval "$(/usr/bin/modulecmd bash load deisa/0.2.0)"
      cd {tmp_path}
      cc main.c -ldeisa -o consumer
      DEISA_DISABLE=1 ./consumer
      command -v deisa-info
      pkg-config --modversion deisa
      echo "$CMAKE_PREFIX_PATH"
      eval "$(/usr/bin/modulecmd bash unload deisa)"
      echo "[$CMAKE_PREFIX_PATH]"
    """
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = run(["bash", "-c", script], variables)
    assert done.stdout.splitlines() == ["done", f"{package}/bin/deisa-info", "0.2.0", str(package), "[]"]


def test_pkg_config_knows_every_component(package):
    found = {"PKG_CONFIG_PATH": str(next(package.glob("**/pkgconfig")))}
    flags = succeed(["pkg-config", "--libs", "deisa-mpi", "deisa-gloo", "deisa-fortran"], found)
    assert {"-ldeisa", "-ldeisa_mpi", "-ldeisa_gloo", "-ldeisa_fortran"} <= set(flags.split())
    assert succeed(["pkg-config", "--modversion", "deisa"], found) == "0.2.0\n"


def project(folder: Path, find: str, languages: str = "C") -> Path:
    """A project that does nothing but look for the package."""
    text = f"cmake_minimum_required(VERSION 3.20)\nproject(p LANGUAGES {languages})\n{find}\n"
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("find", "message"),
    [
        ("COMPONENTS tensors", "'tensors' is not part of .* has: core, mpi, gloo"),
        ("COMPONENTS mpi gloo missing", "'missing' is not part of"),
        ("9.0", "9.0"),
        ("0.3", "0.3"),
    ],
)
def test_what_is_not_there_is_named(package, tmp_path, find, message):
    source = project(tmp_path / "p", f"find_package(deisa {find} REQUIRED)")
    done = configure(source, tmp_path / "build", package)
    assert done.returncode != 0
    assert re.search(message, " ".join(done.stdout.split())), done.stdout


def test_a_component_that_was_not_built_is_named(package, tmp_path):
    """An installation without MPI."""
    without = shutil.copytree(package, tmp_path / "without", symlinks=True)
    next(without.glob("**/deisa-mpi.cmake")).unlink()
    source = project(tmp_path / "p", "find_package(deisa REQUIRED COMPONENTS mpi)")
    done = configure(source, tmp_path / "build", without)
    assert done.returncode != 0
    assert "DEISA_BUILD_MPI" in done.stdout
    optional = project(
        tmp_path / "q", "find_package(deisa REQUIRED OPTIONAL_COMPONENTS mpi)\nmessage(<${deisa_mpi_FOUND}>)"
    )
    done = configure(optional, tmp_path / "build-q", without)
    assert done.returncode == 0, done.stdout
    assert "<FALSE>" in done.stdout


def test_nothing_knows_where_it_was_installed_or_built(package):
    """No path of this tree or of the first folder: in what projects read, and where libraries look."""
    texts = [*package.glob("**/*.cmake"), *package.glob("**/*.pc"), *package.glob("include/**/*")]
    assert len(texts) > 10
    for path in texts:
        if path.is_file():
            text = path.read_text()
            assert str(ROOT) not in text and str(package.parent) not in text, path
    libraries = [*package.glob("**/*.so"), package / "bin" / "deisa-info"]
    assert len(libraries) >= 5
    for library in libraries:
        dynamic = succeed(["readelf", "-d", library])
        folders = re.findall(r"R(?:UN)?PATH.*\[(.*)\]", dynamic)
        assert folders, library
        for folder in folders[0].split(":"):
            assert folder.startswith(("$ORIGIN", "/usr/", "/opt/")), (library, folder)


@pytest.mark.parametrize("name", ["libdeisa", "libdeisa_mpi", "libdeisa_fortran"])
def test_libraries_have_a_version_of_their_abi(package, name):
    library = next(package.glob(f"**/{name}.so"))
    assert library.is_symlink()
    assert f"[{name}.so.0.2]" in succeed(["readelf", "-d", library])


def info(package: Path, environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return run([str(package / "bin" / "deisa-info"), *options], environment)


def test_info_names_what_is_missing(package, bare_environment):
    environment = {**bare_environment, "DEISA_JAVA_HOME": "/var/empty", "DEISA_SECRET": "hush"}
    done = info(package, environment)
    assert missing(done) == {"Java", "Ray's jar", "Ray's Python", "cluster", "process"}
    for advice in ("Install a JRE", "set DEISA_PYTHON", "ray start --head"):
        assert advice in done.stdout
    assert f"ok       libdeisa       0.2.0, {package}/" in done.stdout
    assert f"{package}/share/deisa/deisa-bridge.jar" in done.stdout
    assert "DEISA_JAVA_HOME=/var/empty" in done.stdout
    assert "hush" not in done.stdout


def test_info_does_not_need_a_cluster(package, bare_environment):
    done = info(package, {**bare_environment, "DEISA_PYTHON": sys.executable}, "--no-cluster")
    assert "cluster" not in done.stdout
    assert missing(done) == set(), done.stdout


def test_info_explains_its_arguments(package):
    done = info(package, {}, "--everything")
    assert done.returncode == 2
    assert "unknown argument --everything" in done.stdout and "usage:" in done.stdout
    assert info(package, {}, "--version").stdout == "0.2.0\n"
    assert "Exit status" in info(package, {}, "--help").stdout


@pytest.mark.ray
def test_the_moved_package_reaches_ray(package, tmp_path, start):
    """Jar, Python package and the node actor's library are those of the moved folder."""
    with LocalRay(object_store_bytes=256 << 20, variables={"DEISA_CONTROL": "auto"}) as ray:
        done = info(package, ray.environment)
        assert missing(done) == set(), done.stdout
        for path in ("share/deisa/deisa-bridge.jar", "share/deisa/python", "lib/libdeisa_node.so"):
            assert re.search(rf"ok .* {package}/{path}\n", done.stdout), done.stdout
        assert f"{ray.address} answers" in done.stdout

        analytics = start("analytics", ANALYTICS, ray.environment)
        analysed(build_consumer("c", tmp_path, package), analytics, ray.environment)
