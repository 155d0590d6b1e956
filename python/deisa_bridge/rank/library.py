"""libdeisa.so through ctypes: the structs and functions of include/deisa/deisa.h that the bridge uses.

tests/test_python_structs.py compares the structs and numbers with the header.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_char,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint64,
    c_void_p,
)
from functools import cache
from pathlib import Path

from deisa_bridge import __version__

OK, SKIPPED, NOT_FOUND, REPORTED, PENDING = 0, 1, 2, 3, 4
ERROR_ARGUMENT, ERROR_CONTRACT, ERROR_TIMEOUT, ERROR_COMMUNICATOR = -1, -2, -3, -4
ERROR_CONNECTION, ERROR_RESOURCE, ERROR_UNSUPPORTED, ERROR_INTERNAL = -5, -6, -7, -8

NO_TIMESTEP = -(2**63)
MAX_DIMENSIONS = 32

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
"""Element types, by their NumPy names; deisa_dtype counts from 1."""

ACKNOWLEDGE = {"received": 0, "stored": 1, "announced": 2}
WHEN_FULL = {"block": 0, "skip": 1, "fail": 2}
ERRORS_REPORT, ERRORS_RETURN = 0, 1


class Error(ctypes.Structure):
    """deisa_error."""

    _fields_ = (
        ("status", c_int32),
        ("rank", c_int32),
        ("timestep", c_int64),
        ("array", c_char * 256),
        ("message", c_char * 4096),
        ("earlier", c_int32),
    )


Meanwhile = CFUNCTYPE(None, c_void_p)
Number = CFUNCTYPE(c_int32, c_void_p)
Barrier = CFUNCTYPE(c_int32, c_void_p, c_double, POINTER(Error))
Gather = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t, c_void_p, c_int32, c_double, POINTER(Error))
Broadcast = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t, c_int32, c_double, POINTER(Error))
Release = CFUNCTYPE(None, c_void_p)
BarrierMeanwhile = CFUNCTYPE(c_int32, c_void_p, c_double, Meanwhile, c_void_p, POINTER(Error))
ErrorHandler = CFUNCTYPE(None, c_void_p, POINTER(Error))


class Sized(ctypes.Structure):
    """A struct that starts with its size."""

    def __init__(self, **values: object) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **values)


class Communicator(Sized):
    """deisa_communicator."""

    _fields_ = (
        ("struct_size", c_size_t),
        ("self", c_void_p),
        ("rank", Number),
        ("size", Number),
        ("barrier", Barrier),
        ("gather", Gather),
        ("broadcast", Broadcast),
        ("release", Release),
        ("barrier_meanwhile", BarrierMeanwhile),
    )


class Options(Sized):
    """deisa_options."""

    _fields_ = (
        ("struct_size", c_size_t),
        ("bridge_id", c_int32),
        ("world_size", c_int32),
        ("master_address", c_char_p),
        ("master_port", c_int32),
        ("ray_address", c_char_p),
        ("communicator", POINTER(Communicator)),
        ("comm_timeout", c_double),
        ("ready_timeout", c_double),
        ("send_timeout", c_double),
        ("node_id", c_char_p),
        ("node_actor", c_char_p),
        ("init_retries", c_int32),
        ("acknowledge", c_int32),
        ("max_in_flight", c_int32),
        ("when_full", c_int32),
        ("block_timeout", c_double),
        ("store_threshold", c_double),
        ("max_ahead", c_int32),
        ("window", c_int32),
        ("feedback_interval", c_double),
        ("error_mode", c_int32),
        ("error_handler", ErrorHandler),
        ("error_handler_data", c_void_p),
        ("settings", POINTER(c_char_p)),
    )
    DEFAULTS = {  # noqa: RUF012
        **{"bridge_id": -1, "world_size": -1, "master_port": -1},
        **{"comm_timeout": 120.0, "ready_timeout": 600.0, "send_timeout": 120.0},
        **{"init_retries": 3, "max_in_flight": 2, "block_timeout": -1.0, "store_threshold": 0.5},
        **{"window": 1, "feedback_interval": 0.1},
    }

    def __init__(self, **values: object) -> None:
        super().__init__(**{**self.DEFAULTS, **values})


class Layout(Sized):
    """deisa_layout."""

    _fields_ = (
        ("struct_size", c_size_t),
        ("dtype", c_int32),
        ("ndim", c_int32),
        ("chunk_shape", POINTER(c_int64)),
        ("nb_chunks_per_dim", POINTER(c_int64)),
        ("global_shape", POINTER(c_int64)),
        ("chunk_position", POINTER(c_int64)),
        ("nb_chunks_of_node", c_int64),
        ("strides", POINTER(c_int64)),
        ("offset", c_int64),
        ("halo_before", POINTER(c_int64)),
        ("halo_after", POINTER(c_int64)),
        ("order", c_int32),
        ("start", POINTER(c_int64)),
        ("aggregate", c_char_p),
    )

    def __init__(self) -> None:
        super().__init__(dtype=1 + DTYPES.index("float64"), nb_chunks_of_node=-1)


class Source(Sized):
    """deisa_source."""

    _fields_ = (
        ("struct_size", c_size_t),
        ("data", c_void_p),
        ("dtype", c_int32),
        ("ndim", c_int32),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("loan", POINTER(c_void_p)),
        ("array", c_void_p),
        ("schema", c_void_p),
    )


class GetOptions(Sized):
    """deisa_get_options."""

    _fields_ = (
        ("struct_size", c_size_t),
        ("timestep", c_int64),
        ("wait", c_double),
        ("collective", c_int32),
        ("all", c_int32),
        ("chunked", c_int32),
    )

    def __init__(self, timestep: int = NO_TIMESTEP, **values: object) -> None:
        super().__init__(timestep=timestep, **values)


VALUE_PICKLE = 10


class Value(ctypes.Structure):
    """deisa_value."""

    _fields_ = (
        ("kind", c_int32),
        ("dtype", c_int32),
        ("ndim", c_int32),
        ("integer", c_int64),
        ("unsigned_integer", c_uint64),
        ("number", c_double),
        ("size", c_size_t),
        ("data", c_void_p),
        ("shape", c_void_p),
        ("keys", c_void_p),
        ("items", c_void_p),
    )


class Counters(Sized):
    """deisa_statistics."""

    _fields_ = (
        ("struct_size", c_size_t),
        ("steps_sent", c_int64),
        ("steps_skipped", c_int64),
        ("chunks_sent", c_int64),
        ("chunks_stored", c_int64),
        ("chunks_announced", c_int64),
        ("chunks_failed", c_int64),
        ("chunks_lost", c_int64),
        ("chunks_filtered", c_int64),
        ("chunks_in_flight", c_int64),
        ("bytes_sent", c_int64),
        ("bytes_copied", c_int64),
        ("seconds_blocked", c_double),
        ("errors", c_int64),
        ("errors_earlier", c_int64),
    )


class Arrow(ctypes.Structure):
    """struct ArrowArray (80 bytes) or ArrowSchema (72): only `release` is used."""

    _fields_ = (("words", c_int64 * 10),)

    def release(self, word: int) -> None:
        """Calls the function at this index, unless it has been called."""
        if self.words[word]:
            Release(self.words[word])(ctypes.addressof(self))


ARRAY_RELEASE, SCHEMA_RELEASE = 8, 7
"""Indices of `release` in both structs."""

_BRIDGE, _ERROR = c_void_p, POINTER(Error)
FUNCTIONS: dict[str, list] = {
    "open": [POINTER(Options), POINTER(_BRIDGE), _ERROR],
    "define_json": [_BRIDGE, c_char_p, _ERROR],
    "ready": [_BRIDGE, _ERROR],
    "send_from": [_BRIDGE, c_char_p, POINTER(Source), c_int64, POINTER(c_uint64), _ERROR],
    "begin_step": [_BRIDGE, c_int64, _ERROR],
    "put_from": [_BRIDGE, c_char_p, POINTER(Source), _ERROR],
    "end_step": [_BRIDGE, POINTER(c_uint64), _ERROR],
    "abandon_step": [_BRIDGE, _ERROR],
    "wait": [_BRIDGE, POINTER(c_uint64), _ERROR],
    "test": [_BRIDGE, POINTER(c_uint64), _ERROR],
    "flush": [_BRIDGE, _ERROR],
    "loan": [_BRIDGE, c_char_p, POINTER(c_void_p), POINTER(Layout), _ERROR],
    "export": [_BRIDGE, c_char_p, POINTER(Arrow), POINTER(Arrow), _ERROR],
    "close": [POINTER(_BRIDGE), c_int64, _ERROR],
    "use_pickle": [_BRIDGE, _ERROR],
    "get": [_BRIDGE, c_char_p, POINTER(GetOptions), POINTER(POINTER(Value)), _ERROR],
    "delete": [_BRIDGE, c_char_p, _ERROR],
    "get_statistics": [_BRIDGE, POINTER(Counters), _ERROR],
}
"""Functions that return a deisa_status, without their prefix `deisa_`."""

NAME = f"libdeisa.so.{'.'.join(__version__.split('.')[:2])}"


def places() -> list[Path | str]:
    """Where the library may be, in the order in which it is looked for: DEISA_LIBRARY alone, if it is set;
    else beside the package, as in the wheel; where the system's linker looks (LD_LIBRARY_PATH); beside the
    package in an installed tree (PREFIX/share/deisa/python); a build tree around the package."""
    if named := os.environ.get("DEISA_LIBRARY"):
        return [Path(named)]
    package = Path(__file__).resolve().parent.parent
    found: list[Path | str] = [*package.glob(f"prefix/lib*/{NAME}"), NAME]
    found += package.parent.parent.parent.parent.glob(f"lib*/{NAME}")
    found += package.parent.parent.parent.parent.glob(f"lib/*/{NAME}")
    return [*found, package.parent.parent / "build" / "lib" / NAME]


@cache
def load() -> ctypes.CDLL:
    """The library, with its functions declared. Raises ImportError, which says where it was looked for."""
    problems = []
    for place in places():
        try:
            return _declare(ctypes.CDLL(os.fspath(place)))
        except OSError as error:
            problems.append(f"  {place}: {error}")
    raise ImportError(
        f"{NAME} was not found, or cannot be loaded:\n" + "\n".join(problems) + "\nInstall the wheel of "
        "deisa-bridge, or name the library in DEISA_LIBRARY or its folder in LD_LIBRARY_PATH"
    )


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    library.deisa_version.restype = c_char_p
    version = library.deisa_version().decode()
    if version != __version__:
        raise OSError(f"it is version {version}: expected {__version__}, as the Python package")
    for name, arguments in FUNCTIONS.items():
        function = getattr(library, f"deisa_{name}")
        function.argtypes, function.restype = arguments, c_int32
    library.deisa_abandon.argtypes, library.deisa_abandon.restype = [POINTER(_BRIDGE)], None
    return library


def mpi_library() -> ctypes.CDLL | None:
    """libdeisa_mpi.so beside the library, or None: it is not there, or was built with another MPI than the
    one that this process has loaded."""
    before = _loaded_mpi()
    beside = Path(load()._name)
    name = NAME.replace("libdeisa.", "libdeisa_mpi.")
    try:
        library = ctypes.CDLL(os.fspath(beside.parent / name) if beside.is_absolute() else name)
    except OSError:
        return None
    return library if _loaded_mpi() == before else None


def _loaded_mpi() -> set[str]:
    """The files of the MPI libraries in this process."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.rpartition(" ")[2] for line in lines if "/libmp" in line}
    return {path for path in paths if path.rpartition("/")[2].startswith(("libmpi.so", "libmpich.so"))}
