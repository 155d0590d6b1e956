"""The structs and numbers of the bridge in Python are those of deisa.h."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deisa_bridge.rank import library

INITIALISED = {
    "OPTIONS": ("deisa_options", library.Options),
    "LAYOUT": ("deisa_layout", library.Layout),
    "SOURCE": ("deisa_source", library.Source),
    "GET_OPTIONS": ("deisa_get_options", library.GetOptions),
    "STATISTICS": ("deisa_statistics", library.Counters),
}
OTHERS = {
    "deisa_error": library.Error,
    "deisa_communicator": library.Communicator,
    "deisa_value": library.Value,
}
NUMBERS = {
    **{f"DEISA_{name.upper()}": code for code, name in enumerate(library.DTYPES, 1)},
    **{f"DEISA_ACK_{name.upper()}": code for name, code in library.ACKNOWLEDGE.items()},
    **{f"DEISA_WHEN_FULL_{name.upper()}": code for name, code in library.WHEN_FULL.items()},
    **{
        f"DEISA_{name}": getattr(library, name)
        for name in dir(library)
        if name in ("OK", "SKIPPED", "NOT_FOUND", "REPORTED", "PENDING", "VALUE_PICKLE")
        or name.startswith(("ERROR_", "ERRORS_"))
    },
    "DEISA_MAX_DIMENSIONS": library.MAX_DIMENSIONS,
    "DEISA_NO_TIMESTEP": library.NO_TIMESTEP,
    "DEISA_LATEST": library.NO_TIMESTEP,
}


def members(struct: type) -> list[str]:
    return [name for name, _ in struct._fields_]


def test_structs_and_numbers(root: Path, tmp_path: Path):
    body = []
    for macro, (name, _) in INITIALISED.items():
        body.append(
            f'{{static const {name} s = DEISA_{macro}_INIT; printf("{name} init"); '
            'for (size_t i = 0; i < sizeof(s); ++i) printf(" %d", ((const unsigned char*)&s)[i]); puts("");}'
        )
    for name, struct in {**OTHERS, **dict(INITIALISED.values())}.items():
        offsets = "".join(f", (int)offsetof({name}, {member})" for member in members(struct))
        body.append(f'printf("{name} at{" %d" * len(members(struct))} %d\\n"{offsets}, (int)sizeof({name}));')
    body += [f'printf("{name} %lld\\n", (long long){name});' for name in NUMBERS]
    source = tmp_path / "structs.c"
    source.write_text(
        "#include <deisa/deisa.h>\n#include <stdio.h>\nint main(void) {" + "\n".join(body) + "}"
    )
    binary = tmp_path / "structs"
    subprocess.run(["cc", f"-I{root / 'include'}", str(source), "-o", str(binary)], check=True, timeout=60)
    said = subprocess.run([binary], capture_output=True, text=True, check=True, timeout=20).stdout

    expected = []
    for name, struct in INITIALISED.values():
        expected.append(" ".join([f"{name} init", *map(str, bytes(struct()))]))
    for name, struct in {**OTHERS, **dict(INITIALISED.values())}.items():
        at = [getattr(struct, member).offset for member in members(struct)]
        expected.append(f"{name} at {' '.join(map(str, at))} {library.ctypes.sizeof(struct)}")
    expected += [f"{name} {number}" for name, number in NUMBERS.items()]
    assert said.splitlines() == expected
