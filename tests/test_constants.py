"""What two languages must know alike is the same in each: the C headers say it, the others repeat it."""

from __future__ import annotations

import ast
import ctypes
import re
from pathlib import Path

import pytest
from deisa_bridge import control, status
from deisa_bridge.node import library
from deisa_bridge.node import values as packing

ROOT = Path(__file__).resolve().parents[1]
JAVA = ROOT / "java" / "src" / "main" / "java" / "io" / "deisa" / "bridge"
INT64_MIN = -(2**63)


def text_of(*path: str) -> str:
    """A source of C or Java, without its comments."""
    text = (ROOT / Path(*path)).read_text()
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


DEISA = text_of("include/deisa/deisa.h")
NODE = text_of("native/ipc/node.h")
WIRE = text_of("native/ipc/wire.hpp")


def enum_of(text: str, name: str, prefix: str) -> dict[str, int]:
    """The values of an enumeration of C, C++ or Java, by name without its prefix."""
    body = re.search(rf"enum (?:class )?{name}\b[^{{]*{{(.*?)[;}}]", text, re.DOTALL)
    assert body, f"there is no enum {name}"
    values: dict[str, int] = {}
    for item in re.findall(r"(\w+)(?:\s*=\s*(-?\w+)|\((-?\d+)[^)]*\))?\s*(?:,|$)", body[1].strip()):
        written = item[1] or item[2]
        values[item[0].removeprefix(prefix)] = (
            int(written, 0) if written else max(values.values(), default=-1) + 1
        )
    assert values
    return values


def constant(text: str, name: str) -> int:
    """A #define or constant of C, C++ or Java."""
    found = re.search(rf"\b{name}(?: = |\s+)\(?(-?\w+(?:\.\w+)?)", text)
    assert found, f"there is no {name}"
    minimum = {"INT64_MIN": INT64_MIN, "Long.MIN_VALUE": INT64_MIN}
    return minimum[found[1]] if found[1] in minimum else int(found[1].rstrip("u"), 0)


STATUS = {
    name.removeprefix("ERROR_"): value for name, value in enum_of(DEISA, "deisa_status", "DEISA_").items()
}
DTYPE = enum_of(DEISA, "deisa_dtype", "DEISA_")


def fortran_parameters() -> dict[str, int]:
    text = re.sub(r"&\s*\n", "", (ROOT / "native/fortran/deisa_c.f90").read_text())
    values = {}
    for line in re.findall(r"^ *integer(?:\(\w+\))?, parameter, public :: (.*)$", text, re.MULTILINE):
        values |= {name: int(value) for name, value in re.findall(r"(\w+) = (-?\d+)", line)}
    return values


def test_statuses() -> None:
    assert enum_of(text_of(JAVA / "Status.java"), "Status", "") == STATUS
    assert {name: one.value for name, one in status.Status.__members__.items()}.items() <= STATUS.items()


def test_kinds_of_errors_of_the_control_process() -> None:
    """Each language says the names of statuses, and the library understands each that is said."""
    understood = set(re.findall(r'kind == "(\w+)"', text_of("native/control/control_process.cc"))) | {
        "connection"
    }
    assert understood <= {name.lower() for name in STATUS}
    java = enum_of(text_of(JAVA / "control/ControlException.java"), "Kind", "")
    assert {name.lower() for name in java} <= understood
    said = set()
    for path in (ROOT / "python/deisa_bridge").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            name = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
            place = {"BridgeError": 1, "ControlError": 0}.get(name)
            if place is not None and len(call.args) > place and isinstance(call.args[place], ast.Constant):
                said.add(call.args[place].value)
    assert said - {"busy"} <= understood, "busy stays among the node actors"
    assert "timeout" in said


@pytest.mark.parametrize(
    ("c", "prefix", "java", "setting"),
    [
        ("deisa_acknowledge", "DEISA_ACK_", "Acknowledge", "acknowledge"),
        ("deisa_when_full", "DEISA_WHEN_FULL_", "WhenFull", "when_full"),
        ("deisa_error_mode", "DEISA_ERRORS_", "ErrorMode", "error_mode"),
        ("deisa_order", "DEISA_ORDER_", "Order", None),
    ],
)
def test_enumerations(c: str, prefix: str, java: str, setting: str | None) -> None:
    expected = enum_of(DEISA, c, prefix)
    assert enum_of(text_of(JAVA / f"{java}.java"), java, "") == expected
    if setting:
        row = re.search(
            rf'Type::kChoice, "{setting}", "\w+",\s*"([^"]*)"', text_of("native/settings/settings.cc")
        )
        assert row
        assert row[1].upper().split(" | ") == sorted(expected, key=expected.__getitem__)


def test_dtypes() -> None:
    assert enum_of(text_of(JAVA / "DType.java"), "DType", "") == DTYPE
    names = [name.lower() for name in sorted(DTYPE, key=DTYPE.__getitem__)]
    assert re.findall(r'DEISA_\w+, \d+, "(\w+)"', text_of("native/chunk/dtype.cc")) == names
    assert set(names) == packing.DTYPES
    fortran = re.search(
        r"dtype_names\(\d+\) = \[.*?::(.*?)\]", (ROOT / "native/fortran/deisa_c.f90").read_text(), re.DOTALL
    )
    assert fortran
    assert re.findall(r"'(\w+)'", fortran[1]) == names


def test_fortran() -> None:
    fortran = fortran_parameters()
    expected = {}
    for name in ("deisa_status", "deisa_acknowledge", "deisa_when_full", "deisa_error_mode", "deisa_dtype"):
        expected |= {key.lower(): value for key, value in enum_of(DEISA, name, "").items()}
    assert {key: value for key, value in fortran.items() if key.startswith("deisa_")} == expected
    values = {key.lower(): value for key, value in enum_of(DEISA, "deisa_value_kind", "DEISA_").items()}
    kinds = {key: value for key, value in fortran.items() if key.startswith("value_")}
    assert kinds
    assert kinds.items() <= values.items()


def test_kinds_of_values_in_java() -> None:
    read = re.findall(r"case Native\.DEISA_VALUE_(\w+):", text_of(JAVA / "internal/Values.java"))
    expected = enum_of(DEISA, "deisa_value_kind", "DEISA_VALUE_")
    assert read == [name for name in expected if name != "PICKLE"], "of Python only"


def test_extensions_of_messagepack() -> None:
    feedback = text_of("native/capi/feedback.cc")
    assert constant(feedback, "kArrayExtension") == packing.ARRAY_EXTENSION
    assert constant(feedback, "kPickleExtension") == packing.PICKLE_EXTENSION


def test_no_timestep_and_nothing() -> None:
    assert {
        constant(DEISA, "DEISA_NO_TIMESTEP"),
        constant(DEISA, "DEISA_LATEST"),
        constant(WIRE, "kNoTimestep"),
        constant(text_of(JAVA / "Failure.java"), "NO_TIMESTEP"),
        status.NO_TIMESTEP,
    } == {INT64_MIN}
    assert "latest = ibset(0_c_int64_t, 63)" in (ROOT / "native/fortran/deisa_c.f90").read_text()
    assert constant(WIRE, "kNone") == constant(NODE, "DEISA_NODE_NONE") == status.NO_SLOT


def test_events_of_the_receiver() -> None:
    expected = enum_of(NODE, "deisa_node_event_kind", "DEISA_NODE_")
    assert {name: one.value for name, one in library.EventKind.__members__.items()} == expected
    assert constant(WIRE, "kLastOfStep") == library.LAST_OF_STEP


C_TYPES = {
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "const void*": ctypes.c_void_p,
    "const char*": ctypes.c_char_p,
}


@pytest.mark.parametrize(
    ("c", "python"),
    [
        ("deisa_node_chunk", library.Chunk),
        ("deisa_node_event", library.Event),
        ("deisa_node_counters", library.Counters),
    ],
)
def test_structs_of_the_receiver(c: str, python: type[ctypes.Structure]) -> None:
    body = re.search(rf"typedef struct {c} {{(.*?)}} {c};", NODE, re.DOTALL)
    assert body
    members = re.findall(r"([\w ]+\*?) (\w+);", body[1])
    assert [(name, C_TYPES[kind.strip()]) for kind, name in members] == list(python._fields_)


def test_functions_of_the_receiver() -> None:
    for name, arguments in library.ANSWERS.items():
        found = re.search(rf"\bdeisa_node_{name}\((.*?)\);", NODE, re.DOTALL)
        assert found, name
        types = [re.sub(r"\s*\w+$", "", one.strip()) for one in found[1].split(",")]
        assert types[0] == "deisa_node_receiver*", name
        # Bytes, which ctypes passes as it passes a text.
        expected = [C_TYPES[one.replace("const void*", "const char*")] for one in types[1:]]
        assert arguments == expected, name


def test_limits() -> None:
    members = dict(
        re.findall(r"char (\w+)\[(\d+)\];", re.search(r"struct deisa_error {(.*?)}", DEISA, re.DOTALL)[1])
    )
    fortran = (ROOT / "native/fortran/deisa_c.f90").read_text()
    assert dict(re.findall(r"character\(kind=c_char\) :: (\w+)\((\d+)\)", fortran)) == members
    assert constant(text_of(JAVA / "internal/Errors.java"), "MESSAGE_BYTES") == int(members["message"])
    assert constant(text_of("native/chunk/metadata.cc"), "kMaxNameBytes") == int(members["array"]) - 1
    assert (
        constant(text_of(JAVA / "control/Failures.java"), "LONGEST")
        == control.LONGEST
        < int(members["message"])
    )
    assert constant(DEISA, "DEISA_MAX_DIMENSIONS") == status.MAX_DIMENSIONS


def test_the_end_marker() -> None:
    assert f'kEndMarkerArray = "{status.END_MARKER_ARRAY}"' in text_of("native/chunk/metadata.hpp")
