"""Arrays that were defined without a dtype: their first chunk brings it, and all ranks must send that one."""

from __future__ import annotations

from typing import Any

import numpy as np

from deisa_bridge import head as head_actor
from deisa_bridge.node.ranks import Rank, with_dtype
from deisa_bridge.node.receiver import Define
from deisa_bridge.node.session import Session
from deisa_bridge.status import BridgeError
from deisa_bridge.versions import runner

TIMEOUT = 20.0
"""Seconds that the head actor may take to compare."""


def _first_word() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value. It keeps what a rank of any node has said first, and returns that."""

    def first(head: Any, session: str, array: str, said: tuple[str, int]) -> tuple[str, int]:
        words = head.__dict__.setdefault("_deisa_bridge_dtypes", {})
        return words.setdefault((session, array), said)

    return first


async def learn(session: Session, rank: Rank, event: Define) -> None:
    """Takes the dtype of one rank's chunks. Raises BridgeError when it is not that of the other ranks."""
    try:
        array = with_dtype(rank.arrays[event.array], event.json)
    except ValueError as error:
        raise BridgeError(str(error), "contract") from error
    assert array.dtype is not None
    known = rank.arrays[event.array].dtype
    _compare(array.name, array.dtype, rank.bridge, known, rank.bridge)
    for other in session.ranks.values():
        for one in other.arrays:
            if one.name == array.name:
                _compare(array.name, array.dtype, rank.bridge, one.dtype, other.bridge)
    if session.peers is not None and session.peers.others and runner(session.head) is not None:
        said = (array.dtype.name, rank.bridge)
        call = runner(session.head).remote(_first_word(), session.id, array.name, said)
        name, bridge = await head_actor.call(call, TIMEOUT, f"comparing the dtype of array '{array.name}'")
        _compare(array.name, array.dtype, rank.bridge, np.dtype(name), bridge)
    rank.arrays[event.array] = array
    session.gate.resize(rank.bridge, rank.step_bytes)


def _compare(name: str, dtype: np.dtype, bridge: int, other: np.dtype | None, other_bridge: int) -> None:
    if other is None or other == dtype:
        return
    raise BridgeError(
        f"array '{name}': dtype = {dtype.name} on rank {bridge}, but {other.name} on rank {other_bridge}: "
        "expected the same dtype on every bridge, at every timestep",
        "contract",
    )
