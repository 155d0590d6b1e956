"""Where the wheel's libraries, headers and jars are: python -m deisa_bridge --help. And its deisa-info."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from deisa_bridge import __version__

PREFIX = Path(__file__).resolve().parent / "prefix"

# Each is one option: its help text, and the place.
FOLDERS: dict[str, tuple[str, Callable[[], Path | None]]] = {
    "--prefix": ("the folder of all of it, as for CMAKE_PREFIX_PATH", lambda: PREFIX),
    "--cmake-dir": ("as for deisa_DIR, for find_package(deisa)", lambda: _one("lib*/cmake/deisa")),
    "--pkg-config-dir": ("as for PKG_CONFIG_PATH", lambda: _one("lib*/pkgconfig")),
    "--jar": ("the Java classes, without native libraries", lambda: _one("share/deisa/deisa-bridge.jar")),
    "--maven-dir": ("a Maven repository, for Java simulations", lambda: _one("share/deisa/maven")),
    "--fortran-dir": ("sources of the Fortran module", lambda: _one("share/deisa/fortran")),
}


def _one(pattern: str) -> Path | None:
    return next(PREFIX.glob(pattern), None)


def _fail_without_libraries() -> None:
    if not (PREFIX / "include" / "deisa" / "deisa.h").exists():
        sys.exit(
            f"{PREFIX.parent} is the node actor alone, without the libraries. "
            f"Expected them in {PREFIX}, where the wheel that dev/wheel builds has them"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m deisa_bridge",
        description="Says where what is installed with deisa-bridge lies, one line for each option.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    for option, (text, _) in FOLDERS.items():
        parser.add_argument(option, dest="asked", action="append_const", const=option, help=text)
    asked = parser.parse_args().asked
    if not asked:
        parser.error("expected at least one option")
    _fail_without_libraries()
    for option in asked:
        found = FOLDERS[option][1]()
        if found is None:
            sys.exit(f"{option}: this installation was built without it")
        print(found)


def info() -> None:
    """The command deisa-info."""
    _fail_without_libraries()
    program = str(PREFIX / "bin" / "deisa-info")
    os.execv(program, ["deisa-info", *sys.argv[1:]])


if __name__ == "__main__":
    main()
