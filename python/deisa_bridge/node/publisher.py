"""Announces complete sets to the head actor in order."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.node.gather import Chunk, ChunkSet
from deisa_bridge.node.ranks import ChunkOfArray
from deisa_bridge.node.session import HEAD_TIMEOUT, Session
from deisa_bridge.status import BridgeError, Status

logger = logging.getLogger(__name__)


async def publish(session: Session) -> None:
    """Announces what the session gathers, for ever: the sets of one timestep together, those of the next only
    when the head actor has answered for all of them. On the event loop."""
    assert session.peers is not None
    while True:
        batch = []
        while (one := session.gather.next_ready(session.peers.watermark)) is not None:
            batch.append(one)
        if not batch:
            await session.change(60.0)
            continue
        if session.announce_delay:
            await asyncio.sleep(session.announce_delay)
        await asyncio.gather(*(_announce_one(session, one) for one in batch))
        del batch  # and with it this actor's references: the head actor has its own
        session.settle()


async def _announce_one(session: Session, one: ChunkSet) -> None:
    """Announces a set, and notifies its bridges of the result. Never raises."""
    begin = time.monotonic_ns()
    try:
        await _announce_set(session, one)
    except Exception as error:
        logger.error("array '%s', timestep %d was not announced: %s", one.array, one.timestep, error)
        reason = f"the head actor could not be notified: {error}"
        if isinstance(error, head_actor.ActorGone):
            reason = await head_actor.how_it_ended(session.head)
            session.lose(reason)
        # Not TIMEOUT, whatever it was: that would say that the chunk is kept.
        session.gather.announce_failed(one, Status.CONNECTION, reason)
        if isinstance(error, BridgeError) and error.kind == "timeout":
            # It may still come to it: what is announced after that could be overtaken by this.
            session.lose(f"the head actor of the analytics does not answer: {error}")
        return
    if session.receiver.traces:
        session.receiver.span("announce", one.chunks, one.array, one.timestep, begin, overlaps=True)
    known = session.gather.announced(one)
    session.gate.announced(one.timestep)
    if not known:  # it has broken on another node meanwhile: its ranks are notified of that
        session.forget_at_head([(one.array, one.timestep, one.timestep)])
        return
    session.counters["sets_announced"] += 1
    session.progress.announced(one.timestep, time.monotonic())
    for bridge, chunk in one.chunks.items():
        session.receiver.announced(session.ranks[bridge].connection, chunk.tag.sequence, chunk.tag.array)


async def _announce_set(session: Session, one: ChunkSet) -> None:
    """Notifies the head actor directly, not through the inherited add_chunk: that waits in one call per
    chunk, for ever if the head actor fails the last of them, and keeps an entry per timestep. A class that
    has an add_chunk of its own still gets every chunk."""
    arrays = {bridge: session.ranks[bridge].array(one.array) for bridge in one.chunks}
    dtype = next(iter(arrays.values())).dtype
    inner = session.inner
    if not _has_own_add_chunk(inner):
        # The chunks of a box have one place, and one payload.
        references = {arrays[bridge].place[1]: chunk.payload for bridge, chunk in one.chunks.items()}
        await session.tell_head(one.array, one.timestep, references, dtype)
        return
    calls = [
        asyncio.ensure_future(inner.add_chunk(bridge, one.array, [chunk.payload], dtype, one.timestep))
        for bridge, chunk in _one_of_each_place(arrays, one).items()
    ]
    done, pending = await asyncio.wait(calls, timeout=HEAD_TIMEOUT, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    partial = getattr(inner, "partial_arrays", {})
    if one.array in partial:
        partial[one.array].per_timestep_arrays._data.pop(one.timestep, None)
    for task in done:
        task.result()
    if pending:
        raise BridgeError(f"{type(inner).__name__}.add_chunk took more than {HEAD_TIMEOUT:.0f} s", "timeout")


def _one_of_each_place(arrays: dict[int, ChunkOfArray], one: ChunkSet) -> dict[int, Chunk]:
    """The chunks that are registered: of a box, that of the lowest bridge."""
    lowest: dict[tuple[int, ...], int] = {}
    for bridge in sorted(one.chunks):
        lowest.setdefault(arrays[bridge].place[1], bridge)
    return {bridge: one.chunks[bridge] for bridge in lowest.values()}


def _has_own_add_chunk(inner: Any) -> bool:
    from deisa.ray.scheduling_actor import NodeActorBase

    own = getattr(type(inner), "add_chunk", None)
    return own is not None and own is not NodeActorBase.add_chunk
