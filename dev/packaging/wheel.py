"""Makes the wheel of what CMake and Maven have built: see dev/wheel.

The installed tree becomes the folder `prefix` of the package deisa_bridge. auditwheel puts the libraries that
are needed beside it; the jar for Java simulations, which has native libraries inside, gets the same.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from auditwheel.wheeltools import InWheel

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "deisa_bridge"
PREFIX = f"{PACKAGE}/prefix"

# Not bundled: a program brings its own MPI, Fortran run time and ADIOS2, and must not have a second one.
EXCLUDED = ("libmpi.so.*", "libmpi_*.so.*", "libgfortran.so.*", "libadios2_*.so.*")
HASH = re.compile(r"-[0-9a-f]{8}(?=\.so)")


def run(*command: str | Path) -> None:
    # patchelf lies beside the Python that runs this.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(part) for part in command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\ndev/wheel: {command[0]} failed with status {done.returncode}")


def replace_links(libraries: Path) -> None:
    """A wheel has no symbolic links: libdeisa.so.0.2 is the file, libdeisa.so a text that linkers follow."""
    for link in sorted(libraries.glob("lib*.so")):
        if not link.is_symlink():
            continue
        soname = libraries / link.readlink()
        file = soname.resolve()
        link.unlink()
        soname.unlink()
        file.rename(soname)
        link.write_text(f"INPUT({soname.name})\n")
        for text in libraries.glob("cmake/deisa/*.cmake"):
            text.write_text(text.read_text().replace(f"/{file.name}", f"/{soname.name}"))


def stage(build: Path, folder: Path) -> None:
    """The sources of a wheel: the package, and the installed tree in it."""
    prefix = folder / PREFIX
    run("cmake", "--install", build, "--prefix", prefix, "--strip")
    if not (prefix / "share/deisa/deisa-bridge.jar").exists():
        sys.exit("dev/wheel: no jar was installed. Build it: mvn -DskipTests verify")
    if not (prefix / "lib").is_dir():
        sys.exit(f"dev/wheel: {build} does not install into lib. Configure with -DCMAKE_INSTALL_LIBDIR=lib")
    replace_links(prefix / "lib")
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "python" / PACKAGE, folder / PACKAGE, ignore=without, dirs_exist_ok=True)
    shutil.copy(ROOT / "python" / "pyproject.toml", folder)
    shutil.copy(ROOT / "LICENSE", folder)


def is_library(file: Path) -> bool:
    return file.is_file() and file.read_bytes()[:4] == b"\x7fELF"


def is_bundled(library: Path) -> bool:
    """auditwheel puts a hash into the name of what it adds."""
    return HASH.search(library.name) is not None


def look_here(file: Path, runpath: str) -> None:
    """What it needs and the wheel has lies there; nothing of the machine that built it does."""
    run("patchelf", "--set-rpath", runpath, file)


def complete_jar(jar: Path, libraries: list[Path]) -> None:
    """Puts the repaired libraries and those that they need into the place of the ones in the jar."""
    folder = "io/deisa/bridge/linux-x86_64/"
    repaired = {folder + file.name: file for file in libraries}
    unfinished = jar.with_suffix(".new")
    with zipfile.ZipFile(jar) as old, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            file = repaired.get(entry.filename)
            new.writestr(entry, file.read_bytes() if file else old.read(entry), zipfile.ZIP_DEFLATED)
        for file in filter(is_bundled, libraries):
            # The time of all entries: see project.build.outputTimestamp.
            entry = zipfile.ZipInfo(folder + file.name, (2025, 1, 1, 0, 0, 0))
            new.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    unfinished.replace(jar)


def add_licences(bundled: list[Path], folder: Path) -> None:
    """Those of the bundled libraries, where Debian keeps them."""
    folder.mkdir(exist_ok=True)
    for file in bundled:
        soname = HASH.sub("", file.name)
        package = ""
        if shutil.which("dpkg"):
            found = subprocess.run(["dpkg", "-S", f"*/{soname}*"], capture_output=True, text=True).stdout
            package = found.split(":")[0]
        text = Path("/usr/share/doc") / package / "copyright"
        if not package or not text.exists():
            print(f"the licence of {soname}, which is bundled, was not found: pass it on", file=sys.stderr)
            continue
        shutil.copy(text, folder / f"{package}.txt")


def finish(root: Path) -> None:
    prefix = root / PREFIX
    libraries = sorted(file for file in (prefix / "lib").iterdir() if is_library(file))
    for file in libraries:
        look_here(file, "$ORIGIN")
    look_here(prefix / "bin" / "deisa-info", "$ORIGIN/../lib")
    complete_jar(next(prefix.glob("share/deisa/maven/**/*-linux-x86_64.jar")), libraries)
    add_licences([*filter(is_bundled, libraries)], prefix / "share/deisa/licences")


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev/wheel")
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deisa-wheel-") as name:
        work = Path(name)
        stage(arguments.build.resolve(), work / "source")
        pack = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
        run(*pack, "-Cwheel.platlib=true", "-w", work / "plain", work / "source")
        plain = next((work / "plain").glob("*.whl"))
        excluded = [part for pattern in EXCLUDED for part in ("--exclude", pattern)]
        repair = (sys.executable, "-m", "auditwheel", "repair", *excluded, "--lib-sdir", "/prefix/lib")
        run(*repair, "-w", work / "repaired", plain)
        repaired = next((work / "repaired").glob("*.whl"))
        arguments.output.mkdir(parents=True, exist_ok=True)
        wheel = arguments.output / repaired.name
        with InWheel(repaired, wheel) as root:
            finish(Path(root))
        print(wheel)


if __name__ == "__main__":
    main()
