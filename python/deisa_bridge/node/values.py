"""Feedback values as MessagePack, the way ranks read them.

None, bool, int, float, str, bytes, lists (tuples become lists) and dicts with str keys; NumPy scalars become
Python's; a NumPy array is extension type 1: MessagePack [dtype name, shape, raw bytes in C order].
For a rank in Python, a value is extension type 2: its pickle, so that it may be anything.
"""

from __future__ import annotations

import pickle
from typing import Any

import msgpack
import numpy as np

ARRAY_EXTENSION = 1
PICKLE_EXTENSION = 2

DTYPES = frozenset(
    [
        *["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"],
        *["float16", "float32", "float64", "complex64", "complex128"],
    ]
)
"""Names of the element types that a chunk or a feedback array may have."""


class UnsupportedValue(ValueError):
    """The value has a part that no rank could read; the text says which."""


def encode(value: Any) -> bytes:
    """MessagePack of `value`. Raises UnsupportedValue."""
    try:
        return msgpack.packb(_plain(value, "value"), use_bin_type=True)
    except (OverflowError, ValueError) as error:
        if isinstance(error, UnsupportedValue):
            raise
        raise UnsupportedValue(f"the value cannot be encoded: {error}") from error


def encode_pickle(value: Any) -> bytes:
    """MessagePack of the pickle of `value`: by cloudpickle, which takes what the analytics' main program
    defines along. Raises UnsupportedValue."""
    import cloudpickle  # with Dask

    try:
        return msgpack.packb(msgpack.ExtType(PICKLE_EXTENSION, cloudpickle.dumps(value)))
    except Exception as error:  # whatever a class raises in it
        raise UnsupportedValue(f"the value cannot be pickled: {type(error).__name__}: {error}") from error


def decode(packed: bytes) -> Any:
    """The inverse of encode() and encode_pickle(), with NumPy arrays."""

    def extension(code: int, data: bytes) -> Any:
        if code == PICKLE_EXTENSION:
            return pickle.loads(data)
        if code != ARRAY_EXTENSION:
            return msgpack.ExtType(code, data)
        dtype, shape, raw = msgpack.unpackb(data)
        return np.frombuffer(raw, dtype=dtype).reshape(shape)

    return msgpack.unpackb(packed, ext_hook=extension, strict_map_key=False)


def _plain(value: Any, where: str) -> Any:
    """`value` in MessagePack's own types; `where` names it in errors."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return _builtin(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, np.ndarray):
        return _array(value, where)
    if isinstance(value, np.generic):
        if isinstance(value, np.complexfloating):
            return _array(np.asarray(value), where)
        return _plain(value.item(), where)
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise UnsupportedValue(f"{where} has the key {key!r}: expected str keys only")
        return {str(key): _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise UnsupportedValue(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}: expected None, bool, int, float, "
        "str, bytes, list, dict or a NumPy array. Convert it before Deisa.set()."
    )


def _builtin(value: Any) -> Any:
    """Subclasses, such as an IntEnum or numpy.float64, as the plain type."""
    for plain in (bool, int, float, str, bytes):
        if isinstance(value, plain):
            return value if type(value) is plain else plain(value)
    return value


def _array(value: np.ndarray, where: str) -> msgpack.ExtType:
    name = value.dtype.name
    if name not in DTYPES:
        raise UnsupportedValue(f"{where} is an array of {name}: expected one of {', '.join(sorted(DTYPES))}")
    native = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
    packed = msgpack.packb([name, list(value.shape), native.tobytes()])
    return msgpack.ExtType(ARRAY_EXTENSION, packed)
