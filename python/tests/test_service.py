"""The node actor's service without Ray: in which order a rank hears what."""

from __future__ import annotations

import asyncio
import json
import queue
from typing import Any

import numpy as np
import pytest

from deisa_bridge.node import receiver as wire
from deisa_bridge.node import session as node_session
from deisa_bridge.node.gate import Limits, Usage
from deisa_bridge.node.service import Service
from deisa_bridge.status import Status

MIB = 2**20


class Receiver:
    """Says what the service tells the ranks."""

    traces = False

    def __init__(self) -> None:
        self.said: list[tuple] = []
        self._events: queue.Queue[None] = queue.Queue()

    def next(self, timeout: float) -> None:
        if self._events.get() is None:
            raise wire.ReceiverClosed("closed")

    def close(self) -> None:
        self._events.put(None)

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **named: self.said.append((name, *args[1:], *named.values()))


class Store:
    """An object store of 100 MiB."""

    usage = Usage(0, 100 * MIB)

    def put(self, value: Any, nbytes: int) -> Any:
        return value

    def read(self) -> Usage:
        return self.usage


class Chunk:
    """One in slot 0."""

    array, slot, bytes, shared = 0, 0, 4 * MIB, 0

    def as_array(self, dtype: Any, shape: tuple) -> np.ndarray:
        return np.zeros(shape, dtype)


@pytest.fixture
def serve(monkeypatch):
    """serve(play): runs play(service, receiver), a coroutine, with one rank that sends 4 MiB per timestep,
    one timestep in flight; 40 MiB are allowed."""
    monkeypatch.setattr(node_session, "Store", Store)

    async def run(play: Any) -> None:
        receiver = Receiver()
        service = Service(receiver, "s", "n")
        try:
            hello = json.dumps({"bridge_id": 0, "session": "s", "max_in_flight": 1})
            array = {"name": "a", "dtype": "uint8", "chunk_shape": [4 * MIB], "nb_chunks_per_dim": [1]}
            define = json.dumps(array | {"chunk_position": [0], "nb_chunks_of_node": 1})
            for event in (
                wire.Hello(1, -1, 1, hello),
                wire.Define(1, 0, 2, 0, define),
                wire.Ready(1, 0, 3),
            ):
                service._handle(event)
            service.gate.begin(Limits(threshold=0.4))
            await play(service, receiver)
        finally:
            service.stop()

    return lambda play: asyncio.run(run(play))


async def measure(service: Service, usage: Usage) -> None:
    service.store.usage = usage
    await service.back_pressure.read()
    service.back_pressure.settle()


def test_a_rank_hears_that_the_gate_has_closed_before_a_slot_is_free(serve):
    """With the slot it would begin the next timestep. The put is over before the loop looks at the event."""

    async def play(service: Service, receiver: Receiver) -> None:
        await measure(service, Usage(33 * MIB, 100 * MIB))
        assert service.gate.open
        step = wire.Step(1, 0, 4, 0, True, (Chunk(),))
        service._begin_puts(step)
        await asyncio.wrap_future(next(iter(service._puts.values())))
        receiver.said.clear()
        service._handle(step)
        kinds = [one[0] for one in receiver.said]
        assert kinds == ["gate", "stored"] and receiver.said[0][2:4] == (False, 0), receiver.said

    serve(play)


def test_a_spill_is_told_once(serve):
    async def play(service: Service, receiver: Receiver) -> None:
        for spilled in (3 * MIB, 5 * MIB):
            await measure(service, Usage(30 * MIB, 100 * MIB, spilled))
        notes = [one for one in receiver.said if one[0] == "notice"]
        assert len(notes) == 1 and notes[0][1] is Status.OK, notes
        for part in ("3.0 MiB", "100.0 MiB", "store_threshold is 0.5", "--object-store-memory"):
            assert part in notes[0][2]

    serve(play)
