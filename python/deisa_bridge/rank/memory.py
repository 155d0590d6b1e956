"""NumPy arrays as what the library sends from, and its loans as NumPy arrays."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from deisa_bridge.rank import library
from deisa_bridge.rank.errors import contract_error

_CODES = {np.dtype(name): code for code, name in enumerate(library.DTYPES, 1)}
_EXTENTS = [ctypes.c_int64 * n for n in range(library.MAX_DIMENSIONS + 1)]


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def as_array(name: str, chunk: Any) -> np.ndarray:
    """The chunk as an array of an element type that can be sent; its own memory, unless its bytes have the
    other order. Raises ContractError."""
    array = np.asarray(chunk)
    if array.dtype in _CODES and array.dtype.isnative:
        return array
    native = array.dtype.newbyteorder("=")
    if native not in _CODES:
        raise contract_error()(
            f"array '{name}': a chunk of {array.dtype} was given: expected one of "
            f"{', '.join(library.DTYPES)}",
            library.ERROR_CONTRACT,
            array=name,
        )
    return array.astype(native)


def source_of(array: np.ndarray) -> library.Source:
    """Valid as long as the array. Strided memory is packed in the library's one copy."""
    extents = _EXTENTS[array.ndim] if array.ndim <= library.MAX_DIMENSIONS else ctypes.c_int64 * array.ndim
    source = library.Source(
        data=_address(array),
        dtype=_CODES[array.dtype],
        ndim=array.ndim,
        shape=extents(*array.shape),
    )
    if not array.flags.c_contiguous:
        source.strides = extents(*array.strides)
    return source


class Loans:
    """The memory that the library has lent, by array."""

    def __init__(self, call: Callable[..., int], functions: ctypes.CDLL) -> None:
        self._call = call
        self._library = functions
        self._mapped: dict[str, library.Arrow] = {}
        self._lent: dict[str, np.ndarray] = {}

    def get(self, name: str) -> np.ndarray:
        """The array to compute in; the same one until it is sent."""
        if name not in self._lent:
            address, layout = ctypes.c_void_p(), library.Layout()
            encoded = name.encode()
            self._call(self._library.deisa_loan, encoded, ctypes.byref(address), ctypes.byref(layout))
            if not address.value:  # under DEISA_DISABLE
                raise contract_error()(f"unknown array '{name}'", library.ERROR_CONTRACT, array=name)
            dtype = np.dtype(library.DTYPES[layout.dtype - 1])
            shape = tuple(layout.chunk_shape[: layout.ndim])
            nbytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            buffer = (ctypes.c_char * nbytes).from_address(address.value)
            # An array keeps its buffer, and the buffer the mapping, also after the bridge has ended.
            buffer.mapping = self._mapping(name)
            self._lent[name] = np.frombuffer(buffer, dtype).reshape(shape)
        return self._lent[name]

    def find(self, name: str, chunk: np.ndarray) -> library.Source | None:
        """For sending the chunk without a copy, if it is the whole of the loan."""
        lent = self._lent.get(name)
        if lent is None or _address(chunk) != _address(lent):
            return None
        if chunk.dtype != lent.dtype or chunk.shape != lent.shape or not chunk.flags.c_contiguous:
            return None
        address = ctypes.c_void_p(_address(lent))
        return library.Source(loan=ctypes.pointer(address))

    def sent(self, name: str, source: library.Source) -> None:
        """After the call: what was taken must not be written any more."""
        lent = self._lent[name]
        if source.loan[0] != _address(lent):
            lent.flags.writeable = False
            del self._lent[name]

    def _mapping(self, name: str) -> library.Arrow:
        """Keeps every loan of the array mapped, as an export to Arrow does."""
        if name not in self._mapped:
            array, schema = library.Arrow(), library.Arrow()
            self._call(self._library.deisa_export, name.encode(), ctypes.byref(array), ctypes.byref(schema))
            schema.release(library.SCHEMA_RELEASE)
            # The struct is moved, as Arrow allows: the finalizer must not hold what it waits for.
            moved = library.Arrow.from_buffer_copy(array)
            weakref.finalize(array, moved.release, library.ARRAY_RELEASE).atexit = False
            self._mapped[name] = array
        return self._mapped[name]
