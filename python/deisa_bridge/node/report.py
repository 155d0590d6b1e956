"""How far a session is on this node, for `deisa-info --status`: what it has, how fast, who waits for whom.

Everything is derived from what the node actor keeps anyway, when somebody asks.
"""

from __future__ import annotations

import os
import time
from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.node.holds import Holds
from deisa_bridge.node.session import Session
from deisa_bridge.status import END_MARKER_ARRAY, BridgeError
from deisa_bridge.versions import runner

ANSWER = 2.0
"""Seconds that the head actor may take to say what the analytics have read."""


def log_file() -> str:
    """What the standard error of this process goes to, where Ray has made it a file; else ""."""
    target = os.readlink("/proc/self/fd/2")
    return target if target.startswith("/") and os.path.isfile(target) else ""


async def describe(session: Session) -> dict[str, Any]:
    """What is so on this node, for people. On the node of bridge 0 with the analytics' progress."""
    analytics = None
    if session.is_master:
        analytics = await _of_analytics(session)
    now = time.monotonic()
    newest = session.gather.newest_of_bridges()
    return {
        "ranks": [
            {
                "rank": rank.bridge,
                "pid": rank.pid,
                "state": rank.gone or "alive",
                "step": newest.get(rank.bridge),
            }
            for rank in sorted(session.ranks.values(), key=lambda one: one.bridge)
        ],
        "arrays": _arrays(session),
        "waits": session.gather.waits(now) + session.gate.waits(now),
        "rates": session.progress.history(now),
        "analytics": analytics,
    }


def _arrays(session: Session) -> dict[str, dict[str, Any]]:
    """By name. `extents`: for each dimension, those of the chunks along it, by their position."""
    found: dict[str, dict[str, Any]] = {}
    for rank in session.ranks.values():
        for array in rank.arrays:
            if array.name == END_MARKER_ARRAY or not array.sent:
                continue
            if array.name not in found:
                found[array.name] = {
                    "dtype": array.dtype and array.dtype.name,
                    "grid": array.grid,
                    "extents": [{} for _ in array.grid],
                    "stored": session.progress.newest_stored.get(array.name),
                    **session.gather.newest_of_array(array.name),
                }
            all_extents = found[array.name]["extents"]
            for extents, position, extent in zip(all_extents, array.position, array.shape, strict=True):
                extents[position] = extent
    return found


def describe_arrays(session: Session) -> list[str]:
    """A line for each, for the log."""
    lines = []
    for name, array in _arrays(session).items():
        chunks = sum(any(one.name == name for one in rank.arrays) for rank in session.ranks.values())
        dtype = array["dtype"] or "a dtype that comes with the first chunk"
        grid = " x ".join(map(str, array["grid"]))
        boxes = {one.box for rank in session.ranks.values() for one in rank.arrays if one.name == name}
        into = "" if boxes == {None} else f", in {len(boxes)} object{'s' if len(boxes) > 1 else ''}"
        lines.append(f"array '{name}': {dtype}, {chunks} of {grid} chunks{into}")
    return lines


def statistics(session: Session, holds: Holds) -> str:
    """What the log says at the end."""
    counters = session.counters
    return (
        f"{counters['chunks_stored']} chunks stored, {counters['chunks_failed']} failed, "
        f"{counters['sets_announced']} chunk sets announced; "
        f"back-pressure held ranks {holds.count} times, {holds.seconds:.1f} s in all"
    )


def _queue_reader() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value. The timesteps that wait for the analytics, and whether the analytics wait for one."""

    def look(head: Any, end_marker: str) -> tuple[list[int], bool]:
        queue = head.arrays_ready
        waiting = {timestep for name, timestep, _ in list(queue._queue) if name != end_marker}
        for name, array in head.registered_arrays.items():
            if name != end_marker:
                waiting.update(array.chunk_refs)
        return sorted(waiting), any(not getter.done() for getter in queue._getters)

    return look


async def _of_analytics(session: Session) -> dict[str, Any]:
    """The newest timestep that the analytics have read, how many were sent and not read, and whether they
    wait for the next. {"problem": text} when the head actor does not say."""
    call = runner(session.head)
    if call is None:
        return {"problem": "this version of Ray does not tell"}
    try:
        what = "asking the head actor what the analytics have read"
        waiting, idle = await head_actor.call(call.remote(_queue_reader(), END_MARKER_ARRAY), ANSWER, what)
    except BridgeError as error:
        return {"problem": str(error)}
    first = min(waiting, default=None)
    read = [one for one in session.progress.steps if first is None or one < first]
    behind = {one.timestep for one in session.gather.pending} | set(waiting)
    return {"read": read[-1] if read else None, "behind": len(behind), "idle": idle}
