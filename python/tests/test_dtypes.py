"""Arrays whose first chunk brings the dtype: the same one on every rank of every node."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from deisa_bridge.node.dtypes import learn
from deisa_bridge.node.ranks import Rank, parse_define
from deisa_bridge.node.receiver import Define
from deisa_bridge.status import BridgeError

ARRAY = '{"name": "t", "dtype": null, "chunk_shape": [3], "nb_chunks_per_dim": [4], "chunk_position": [0]}'


class Head:
    """In the place of the head actor, which runs functions for the node actors."""

    def __init__(self) -> None:
        self.__ray_call__ = SimpleNamespace(remote=self._run)

    async def _run(self, function, *arguments):
        return function(self, *arguments)


def node(head: Head, *bridges: int) -> SimpleNamespace:
    ranks = {bridge: Rank(bridge, bridge, arrays=[parse_define(ARRAY)]) for bridge in bridges}
    sizes: dict[int, int] = {}
    gate = SimpleNamespace(resize=sizes.__setitem__)
    return SimpleNamespace(
        id="session",
        ranks=ranks,
        head=head,
        peers=SimpleNamespace(others=["another"]),
        gate=gate,
        sizes=sizes,
    )


def said(session: SimpleNamespace, bridge: int, dtype: str) -> str:
    """What a rank hears."""
    event = Define(bridge, bridge, 1, 0, f'{{"dtype": "{dtype}"}}')
    try:
        asyncio.run(learn(session, session.ranks[bridge], event))
    except BridgeError as error:
        assert error.kind == "contract"
        return str(error)
    return ""


def test_one_node():
    session = node(Head(), 0, 1)
    assert session.ranks[0].step_bytes == 24, "counted as float64"
    assert said(session, 0, "float32") == ""
    assert session.ranks[0].arrays[0].dtype == np.float32 and session.sizes == {0: 12}
    text = "array 't': dtype = float64 on rank 1, but float32 on rank 0: expected the same dtype"
    assert said(session, 1, "float64").startswith(text)
    assert session.ranks[1].arrays[0].dtype is None
    assert said(session, 1, "float32") == ""


def test_two_nodes():
    head = Head()
    first, second = node(head, 0), node(head, 5)
    assert said(first, 0, "int8") == ""
    assert "dtype = bool on rank 5, but int8 on rank 0" in said(second, 5, "bool")
    assert said(second, 5, "int8") == ""
    other = node(head, 0)
    other.id = "another session"
    assert said(other, 0, "bool") == ""


@pytest.mark.parametrize("dtype", ["object", "float128"])
def test_no_dtype(dtype: str):
    assert "expected one of" in said(node(Head(), 0), 0, dtype)
