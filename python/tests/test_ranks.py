"""What ranks say about themselves is checked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from deisa_bridge.node.ranks import parse_define, parse_hello

GOOD = {
    "name": "field",
    "dtype": "float32",
    "chunk_shape": [3, 4],
    "nb_chunks_per_dim": [2, 1],
    "chunk_position": [1, 0],
}


def test_a_definition_becomes_a_chunk_of_tuples():
    array = parse_define(json.dumps(GOOD))
    assert (array.name, array.shape, array.grid, array.position) == ("field", (3, 4), (2, 1), (1, 0))
    assert array.dtype == np.float32 and array.nbytes == 48


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"dtype": "str"}, "dtype"),
        ({"dtype": 3}, "dtype"),
        ({"chunk_shape": [0, 4]}, "chunk_shape"),
        ({"chunk_shape": [3, True]}, "chunk_shape"),
        ({"chunk_shape": 3}, "chunk_shape"),
        ({"chunk_shape": []}, "chunk_shape"),
        ({"nb_chunks_per_dim": [2]}, "length"),
        ({"chunk_position": [2, 0]}, "outside"),
        ({"chunk_position": [-1, 0]}, "chunk_position"),
    ],
)
def test_a_wrong_definition_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        parse_define(json.dumps(GOOD | change))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"bridge_id": -1}', '{"bridge_id": true}', "{}"])
def test_a_wrong_hello_is_refused(text):
    with pytest.raises(ValueError):
        parse_hello(1, text)


def test_a_hello_has_defaults():
    rank = parse_hello(4, '{"bridge_id": 2, "step_timeout": "soon"}')
    assert (rank.connection, rank.bridge, rank.step_timeout) == (4, 2, 120.0)
