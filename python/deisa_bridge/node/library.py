"""native/ipc/node.h in Python: what `libdeisa_node.so` is made of, for ctypes.

tests/test_constants.py compares both.
"""

from __future__ import annotations

import ctypes
import os
from enum import IntEnum

LAST_OF_STEP = 1


class EventKind(IntEnum):
    """`deisa_node_event_kind` of native/ipc/node.h."""

    HELLO = 1
    DEFINE = 2
    READY = 3
    STEP = 4
    PROGRESS = 5
    GET = 6
    DELETE = 7
    END = 8
    BYE = 9
    LOST = 10
    ASK = 11


class Chunk(ctypes.Structure):
    _fields_ = [
        ("array", ctypes.c_uint32),
        ("slot", ctypes.c_uint32),
        ("address", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("shared", ctypes.c_uint64),
    ]


class Event(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("connection", ctypes.c_uint64),
        ("bridge_id", ctypes.c_int32),
        ("array", ctypes.c_uint32),
        ("sequence", ctypes.c_uint64),
        ("timestep", ctypes.c_int64),
        ("value", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("payload", ctypes.c_void_p),
    ]


class Counters(ctypes.Structure):
    _fields_ = [
        ("connections", ctypes.c_uint64),
        ("accepted", ctypes.c_uint64),
        ("refused", ctypes.c_uint64),
        ("mapped_bytes", ctypes.c_uint64),
        ("received_chunks", ctypes.c_uint64),
        ("received_bytes", ctypes.c_uint64),
        ("queued_events", ctypes.c_uint64),
    ]


_U32, _U64, _I32, _I64 = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_int64
_TEXT = [ctypes.c_char_p, ctypes.c_size_t]
# Arguments after the receiver of the functions that answer a rank.
ANSWERS = {
    "welcome": [_U64, _U64],
    "refuse": [_U64, _I32, *_TEXT],
    "stored": [_U64, _U64, _U32, _U32],
    "announced": [_U64, _U64, _U32],
    "failed": [_U64, _U64, _U32, _U32, _I32, _I64, *_TEXT],
    "value": [_U64, _U64, _I32, _I32, *_TEXT],
    "changed": [_U64, _I32, *_TEXT, *_TEXT],
    "done": [_U64, _U64, _I32, *_TEXT],
    "notice": [_U64, _I32, *_TEXT],
    "final_notice": [_U64, _I32, *_TEXT],
    "gate": [_U64, _U64, _I32, _I64, *_TEXT],
    "trace": [ctypes.c_char_p, ctypes.c_char_p],
    "span": [ctypes.c_char_p, _I32, ctypes.c_char_p, _I64, _I64, _I64, _I32],
    "close": [_U64],
    "release": [_U64],
}


def load(library: str | os.PathLike[str]) -> ctypes.CDLL:
    """The library, its functions declared."""
    lib = ctypes.CDLL(os.fspath(library))
    lib.deisa_node_open.argtypes = [
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    lib.deisa_node_next.argtypes = [ctypes.c_void_p, ctypes.POINTER(Event), _I32]
    lib.deisa_node_get_counters.argtypes = [ctypes.c_void_p, ctypes.POINTER(Counters)]
    lib.deisa_node_get_counters.restype = None
    for name in ("stop", "destroy"):
        function = getattr(lib, f"deisa_node_{name}")
        function.argtypes = [ctypes.c_void_p]
        function.restype = None
    for name, arguments in ANSWERS.items():
        getattr(lib, f"deisa_node_{name}").argtypes = [ctypes.c_void_p, *arguments]
    return lib
