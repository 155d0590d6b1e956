"""Feedback values survive the way to a rank."""

from __future__ import annotations

import enum

import msgpack
import numpy as np
import pytest

from deisa_bridge.node.values import DTYPES, UnsupportedValue, decode, encode


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**64 - 1,
        -(2**63),
        1.5,
        float("inf"),
        "",
        "Größe",
        b"\0\xff",
        [],
        [1, [2, "x"]],
        {},
        {"a": {"b": [None]}},
    ],
)
def test_plain_values_come_back(value):
    back = decode(encode(value))
    assert back == value and type(back) is type(value)


def test_tuples_and_numpy_scalars_become_plain():
    assert decode(encode((1, np.float32(0.5), np.int8(-3), np.bool_(True)))) == [1, 0.5, -3, True]
    assert decode(encode(np.float64(0.25))) == 0.25
    assert type(decode(encode(np.bool_(False)))) is bool

    class Level(enum.IntEnum):
        HIGH = 7

    assert decode(encode(Level.HIGH)) == 7


@pytest.mark.parametrize("name", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
def test_arrays_come_back(name, shape):
    array = np.arange(int(np.prod(shape)), dtype="int64").reshape(shape).astype(name)
    back = decode(encode({"field": array}))["field"]
    assert back.dtype == array.dtype and back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_strided_and_foreign_byte_order_arrays_are_made_native():
    array = np.arange(12, dtype=">f4").reshape(3, 4)[::2, ::-1]
    back = decode(encode(array))
    assert back.dtype == np.dtype("float32")
    np.testing.assert_array_equal(back, array)


def test_the_array_extension_is_as_documented():
    extension = msgpack.unpackb(encode(np.array([1, 2], dtype="int16")))
    assert extension.code == 1
    assert msgpack.unpackb(extension.data) == ["int16", [2], b"\x01\x00\x02\x00"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1: 2}, "str keys"),
        ([object()], r"value\[0\]"),
        ({"a": {1, 2}}, r"value\['a'\]"),
        (2**64, "cannot be encoded"),
        (np.array(["x"]), "array of"),
        (np.array([object()]), "array of object"),
    ],
)
def test_unsupported_values_are_named(value, words):
    with pytest.raises(UnsupportedValue, match=words):
        encode(value)
