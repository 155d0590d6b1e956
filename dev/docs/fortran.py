"""The sources of the module deisa as FORD is to show them: fortran.py FOLDER writes them there.

The module that is compiled has a specific procedure for each of 12 kinds of elements and 8 ranks. Here they
are those of real(real64) arrays of rank 2, and each generic procedure has the comment that names it: where
it is written down, a comment is in front of the private procedures, or of all that CMake generates.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def comments_by_name(lines: list[str], known: set[str]) -> dict[str, list[str]]:
    """A comment is of the procedures that it begins with: `send(name, array) and put(name, array): ...`."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in lines:
        text = line.strip().removeprefix("!>").strip()
        if (match := re.match(r"(\w+)\(", text)) and match[1] in known:
            names = re.findall(r"(\w+)\(", re.split(r":(?: |$)|, then ", text)[0])
        for name in names:
            found.setdefault(name, []).append(f"    !> {text}")
    return found


def bindings(section: str) -> str:
    """The bindings of a type: first the private procedures, then each generic one once, then the others."""
    private, others, generic, comments = [], [], {}, []
    loose: list[str] = []
    for line in re.sub(r"&\n *", "", section).splitlines():
        match = re.match(r" *generic :: (\w+) => (.*)", line)
        if line.strip().startswith("!>"):
            loose.append(line)
            continue
        if match:
            wanted = [name for name in match[2].split(", ") if not re.search(r"_real64_[013-7](_|$)", name)]
            generic.setdefault(match[1], []).extend(wanted)
        elif "procedure, private" in line:
            private.append(line)
            comments += loose
            loose = []
            continue
        elif line.strip() and "assignment" not in line:
            own = not any(re.match(r" *!> *\w+\(", comment) for comment in loose)
            others += [*(loose if own else []), line]
            comments += [] if own else loose
            loose = []
            continue
        comments += loose
        loose = []
    comments += loose
    by_name = comments_by_name(comments, set(generic))
    lines = [*private, *others]
    for name, specifics in generic.items():
        lines += [*by_name.get(name, []), f"    generic :: {name} => {', '.join(specifics)}"]
    return "\n".join(lines) + "\n"


def shown(source: str) -> str:
    source = re.sub(r"^#.*\n", "", source, flags=re.MULTILINE)
    pattern = re.compile(
        r"(?<=\n)(  type :: deisa_bridge\n.*?\n  contains\n)(.*?)(?=  end type\n)", re.DOTALL
    )
    return pattern.sub(lambda match: match[1] + bindings(match[2]), source)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    module = folder / "deisa.F90"
    subprocess.run(["cmake", f"-DTO={module}", "-P", str(ROOT / "dev/docs/fortran.cmake")], check=True)
    module.write_text(shown(module.read_text()))
    # Of the module below it, the constants.
    constants = (ROOT / "native/fortran/deisa_c.f90").read_text()
    (folder / "deisa_c.f90").write_text(
        re.sub(r"\n  interface\n.*?\n  end interface", "", constants, flags=re.DOTALL)
    )


if __name__ == "__main__":
    main()
