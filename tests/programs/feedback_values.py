"""Analytics that set a feedback value of every kind, with deisa-ray as published: feedback_values.py ARRAY

`text` says a value as programs/rank.c and programs/ReadValues.java do.
"""

from __future__ import annotations

import json
import struct
import sys
from typing import Any

import numpy as np

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128"

VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "most": 2**63 - 1,
    "least": -(2**63),
    "unsigned": 2**64 - 1,
    "number": -0.1,
    "infinite": float("inf"),
    "numpy_number": np.float32(0.5),
    "numpy_integer": np.int16(-7),
    "complex": np.complex128(1 - 2j),
    "empty": "",
    "text": "Größe 温",
    "long": "x" * 70000,
    "bytes": b"\0\xff",
    "list": [1, [2.5, "x"], []],
    "tuple": (1, None),
    "map": {"b": {"c": [None, True]}, "a": np.arange(3), "": {}},
    "scalar_array": np.array(3.25),
    "no_elements": np.zeros((0, 4), dtype=np.int32),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(12, dtype=">i4").reshape(3, 4)[::2, ::-1],
    "large": np.arange(100_000, dtype=np.float64),
    **{dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES.split()},
}


def tree(value: Any) -> Any:
    """The value in JSON's types: texts, bytes and numbers as hexadecimal digits of their bytes."""
    if isinstance(value, np.generic) and not isinstance(value, np.complexfloating):
        value = value.item()
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(np.shape(value))
        return {"array": [array.dtype.name, list(array.shape), array.tobytes().hex()]}
    if isinstance(value, float):
        return {"number": struct.pack(">d", value).hex()}
    if isinstance(value, str):
        return {"text": value.encode().hex()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"map": [[key.encode().hex(), tree(one)] for key, one in sorted(value.items())]}
    if isinstance(value, (list, tuple)):
        return [tree(one) for one in value]
    return value


def text(value: Any) -> str:
    return json.dumps(tree(value), separators=(",", ":"))


def main() -> None:
    from deisa.ray import Deisa
    from deisa.ray.types import Window

    deisa = Deisa()
    deisa.register(Window(sys.argv[1]))(lambda **windows: None)
    for key, value in VALUES.items():
        deisa.set(key, value, 0)
    deisa.execute_callbacks()


if __name__ == "__main__":
    main()
