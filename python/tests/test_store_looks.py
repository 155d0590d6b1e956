"""When the node actor reads the object store. Needs no cluster."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from deisa_bridge.node import back_pressure
from deisa_bridge.node.gate import LOOK, Gate, Limits, Usage

MIB = 1 << 20


class Readings(back_pressure.BackPressure):
    """Instead of the store's."""

    def __init__(self) -> None:
        self.count = 0
        gate = Gate()
        gate.add_rank(0, MIB, 1)
        receiver = SimpleNamespace(gate=lambda *args: True)
        ranks = {0: SimpleNamespace(connection=1)}
        super().__init__(SimpleNamespace(gate=gate, store=None, receiver=receiver, ranks=ranks))

    async def read(self) -> Usage:
        self.count += 1
        usage = Usage(MIB, 100 * MIB)
        self.gate.measured(usage, self.gate.mark(), asyncio.get_running_loop().time())
        return usage


def test_a_chunk_goes_before_a_look_until_the_store_fills_up(monkeypatch):
    monkeypatch.setattr(back_pressure, "QUIET", 3600.0)

    async def run() -> None:
        looks = Readings()
        gate, now = looks.gate, asyncio.get_running_loop().time
        gate.begin(Limits())
        gate.measured(Usage(MIB, 100 * MIB), gate.mark(), now() - 2 * LOOK)
        task = asyncio.ensure_future(looks._look_at_store())
        try:
            gate.received(0, 0, MIB)
            gate.stored(MIB)
            assert gate.wants_store(now())
            looks.settle()
            for _ in range(20):
                await asyncio.sleep(0)
            assert looks.count == 0
            gate.received(0, 1, 40 * MIB)
            gate.stored(40 * MIB)
            looks.settle()
            while looks.count == 0:
                await asyncio.sleep(0)
        finally:
            task.cancel()

    asyncio.run(asyncio.wait_for(run(), 60.0))
