"""Puts PyArrow's arrays into the steps of a bridge, through ctypes and the C Data Interface.

send_pyarrow.py LIBDEISA: prints a JSON object for each case of CASES: {"case", "status", "array", "message",
"released": how often the array's and the schema's release callback were called, "kept": bytes that PyArrow
has more than before, once Python has let go}. The case's number is the timestep; the arrays are named
"written-<case>".
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


class Error(ctypes.Structure):
    _fields_ = (
        ("status", ctypes.c_int),
        ("rank", ctypes.c_int32),
        ("timestep", ctypes.c_int64),
        ("array", ctypes.c_char * 256),
        ("message", ctypes.c_char * 4096),
    )


class ArrowArray(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class ArrowSchema(ctypes.Structure):
    _fields_ = (
        ("format", ctypes.c_void_p),
        ("name", ctypes.c_void_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class Source(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("ndim", ctypes.c_int32),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("loan", ctypes.c_void_p),
        ("array", ctypes.POINTER(ArrowArray)),
        ("schema", ctypes.POINTER(ArrowSchema)),
    ]


Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Counted:
    """Both structs of an exported array, whose release callbacks are PyArrow's own, and counted."""

    def __init__(self, array: pa.Array) -> None:
        self.array, self.schema = ArrowArray(), ArrowSchema()
        array._export_to_c(ctypes.addressof(self.array), ctypes.addressof(self.schema))
        self.released = [0, 0]
        self._kept = [self._count(0, self.array), self._count(1, self.schema)]

    def _count(self, which: int, struct: ArrowArray | ArrowSchema) -> Callable[[int], None]:
        original = Release(struct.release)

        def release(pointer: int) -> None:
            self.released[which] += 1
            original(pointer)

        counted = Release(release)
        struct.release = ctypes.cast(counted, ctypes.c_void_p).value
        return counted


def nested(values: np.ndarray) -> pa.Array:
    """Fixed-size lists, one inside the other, for the dimensions after the first."""
    array = pa.array(values.ravel())
    for extent in reversed(values.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, extent)
    return array


@dataclass(frozen=True)
class Case:
    """The array's dtype and shape as they are defined, and what is put: all of it is made from `values`."""

    dtype: str
    shape: tuple[int, ...]
    make: Callable[[], pa.Array]


def counting(dtype: str, *shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).astype(dtype).reshape(shape)


NUMBERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
NUMBERS += ["float16", "float32", "float64"]
CASES = {dtype: Case(dtype, (5,), lambda dtype=dtype: pa.array(counting(dtype, 5))) for dtype in NUMBERS}
CASES |= {
    "sliced": Case("int32", (5,), lambda: pa.array(counting("int32", 16)).slice(3, 5)),
    "lists": Case("float64", (4, 3, 2), lambda: nested(counting("float64", 4, 3, 2))),
    "sliced-lists": Case("float64", (2, 3), lambda: nested(counting("float64", 4, 3)).slice(1, 2)),
    "tensor": Case(
        "float32",
        (2, 3, 4),
        lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(counting("float32", 1, 2, 3, 4)),
    ),
    "two-tensors": Case(
        "float64",
        (2, 3, 4),
        lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(counting("float64", 2, 3, 4)),
    ),
    "bool8": Case(
        "bool",
        (4,),
        lambda: pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, 0, 1], pa.int8())),
    ),
    "complex": Case("complex128", (3,), lambda: nested(counting("float64", 3, 2))),
    "bits": Case("bool", (3,), lambda: pa.array([True, False, True])),
    "nulls": Case("float64", (3,), lambda: pa.array([0.0, None, 2.0])),
    "dictionary": Case("int64", (3,), lambda: pa.array([7, 7, 8]).dictionary_encode()),
    "other-type": Case("float32", (3,), lambda: pa.array(counting("float64", 3))),
    "other-length": Case("float64", (3,), lambda: pa.array(counting("float64", 4))),
    "text": Case("float64", (1,), lambda: pa.array(["one"])),
    "variable-lists": Case("int64", (2, 1), lambda: pa.array([[1], [2]])),
}


class Bridge:
    """The few functions that are needed, as they are in deisa.h."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self.error = Error()
        self._handle = ctypes.c_void_p()
        self.call("deisa_open", None, ctypes.byref(self._handle))

    def call(self, name: str, *arguments: object) -> int:
        return getattr(self._library, name)(*arguments, ctypes.byref(self.error))

    def on_it(self, name: str, *arguments: object) -> None:
        if self.call(name, self._handle, *arguments) != 0:
            raise RuntimeError(f"{name}: {self.error.message.decode()}")

    def put(self, name: str, exported: Counted) -> int:
        source = Source(array=ctypes.pointer(exported.array), schema=ctypes.pointer(exported.schema))
        source.struct_size = ctypes.sizeof(source)
        return self.call("deisa_put_from", self._handle, name.encode(), ctypes.byref(source))

    def close(self, timestep: int) -> None:
        self.call("deisa_close", ctypes.byref(self._handle), ctypes.c_int64(timestep))


def main() -> None:
    bridge = Bridge(sys.argv[1])
    metadata = {
        f"written-{name}": {
            "chunk_shape": case.shape,
            "nb_chunks_per_dim": [1] * len(case.shape),
            "chunk_position": [0] * len(case.shape),
            "dtype": case.dtype,
        }
        for name, case in CASES.items()
    }
    bridge.on_it("deisa_define_json", json.dumps(metadata).encode())
    bridge.on_it("deisa_ready")
    for timestep, (name, case) in enumerate(CASES.items()):
        before = pa.total_allocated_bytes()
        bridge.on_it("deisa_begin_step", ctypes.c_int64(timestep))
        exported = Counted(case.make())
        bridge.error = Error()
        status = bridge.put(f"written-{name}", exported)
        released = exported.released
        bridge.on_it("deisa_end_step", None)
        del exported
        gc.collect()
        error = bridge.error
        found = {
            "case": name,
            "status": status,
            "array": error.array.decode(),
            "message": error.message.decode(),
        }
        kept = pa.total_allocated_bytes() - before
        print(json.dumps(found | {"released": released, "kept": kept}), flush=True)
    bridge.on_it("deisa_flush")
    bridge.close(len(CASES))


if __name__ == "__main__":
    main()
