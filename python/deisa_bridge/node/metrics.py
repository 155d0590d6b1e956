"""Metrics of a node, which Ray exports to Prometheus where the cluster has its agent (`ray[default]`).

The values are those that the node actor keeps anyway; they are read every few seconds, and never for a chunk.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from deisa_bridge.node.holds import Holds
from deisa_bridge.node.session import Session

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two updates."""
OF_NODE, OF_ARRAY = ("node",), ("node", "array")

Tags = tuple[str, ...]


class Kind(NamedTuple):
    """What a metric is: Prometheus' type, its tags, and a description."""

    type: str
    tags: tuple[str, ...]
    text: str


METRICS = {
    "deisa_stored_chunks": Kind("counter", OF_NODE, "chunks put into the object store"),
    "deisa_failed_chunks": Kind("counter", OF_NODE, "chunks that were refused or can never be announced"),
    "deisa_announced_chunk_sets": Kind("counter", OF_NODE, "chunk sets that the head actor knows"),
    "deisa_stored_bytes": Kind("counter", OF_ARRAY, "bytes put into the object store"),
    "deisa_held_seconds": Kind("counter", OF_NODE, "seconds for which back-pressure has held ranks"),
    "deisa_held_ranks": Kind("gauge", OF_NODE, "ranks that back-pressure holds"),
    "deisa_live_ranks": Kind("gauge", OF_NODE, "ranks that are connected"),
    "deisa_waiting_chunk_sets": Kind("gauge", OF_NODE, "chunk sets that are not announced yet"),
    "deisa_sent_timestep": Kind("gauge", OF_ARRAY, "newest timestep that a rank has sent"),
    "deisa_announced_timestep": Kind("gauge", OF_ARRAY, "newest timestep that the head actor knows"),
    "deisa_store_used_bytes": Kind("gauge", OF_NODE, "bytes in use in the object store"),
    "deisa_store_capacity_bytes": Kind("gauge", OF_NODE, "bytes of the object store"),
    "deisa_store_spilled_bytes": Kind("gauge", OF_NODE, "bytes that Ray has spilled to disk"),
}


def samples(session: Session, holds: Holds) -> dict[tuple[str, Tags], float]:
    """By name and values of the tags. What is not known is left out."""
    node = (session.node,)
    gate = session.gate.status()
    found: dict[tuple[str, Tags], float | None] = {
        ("deisa_stored_chunks", node): session.counters["chunks_stored"],
        ("deisa_failed_chunks", node): session.counters["chunks_failed"],
        ("deisa_announced_chunk_sets", node): session.counters["sets_announced"],
        ("deisa_held_seconds", node): holds.seconds,
        ("deisa_held_ranks", node): len(gate["waiting_at_gate"]),
        ("deisa_live_ranks", node): len(session.live()),
        ("deisa_waiting_chunk_sets", node): len(session.gather.pending),
        ("deisa_store_used_bytes", node): gate["store_used"],
        ("deisa_store_capacity_bytes", node): gate["store_capacity"],
        ("deisa_store_spilled_bytes", node): gate["store_spilled"],
    }
    for array, nbytes in session.progress.bytes_of.items():
        tags = (session.node, array)
        newest = session.gather.newest_of_array(array)
        found["deisa_stored_bytes", tags] = nbytes
        found["deisa_sent_timestep", tags] = newest["sent"]
        found["deisa_announced_timestep", tags] = newest["announced"]
    return {key: value for key, value in found.items() if value is not None}


def as_text(found: dict[tuple[str, Tags], float]) -> dict[str, list[str]]:
    """For each metric its lines in Prometheus' text format, as Ray exports them."""
    lines: dict[str, list[str]] = {}
    for (name, values), value in sorted(found.items()):
        kind = METRICS[name]
        full = f"ray_{name}_total" if kind.type == "counter" else f"ray_{name}"
        head = [f"# HELP {full} {kind.text}", f"# TYPE {full} {kind.type}"]
        pairs = zip(kind.tags, values, strict=True)
        tags = ",".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in pairs)
        lines.setdefault(name, head).append(f"{full}{{{tags}}} {value}")
    return lines


class Exporter:
    """Hands them to Ray. `make(name, kind)`: a metric of ray.util.metrics."""

    def __init__(self, make: Callable[[str, Kind], Any]) -> None:
        self._metrics = {name: make(name, kind) for name, kind in METRICS.items()}
        self._counted: dict[tuple[str, Tags], float] = {}

    def update(self, found: dict[tuple[str, Tags], float]) -> None:
        """Ray's counters take what was added."""
        for (name, values), value in found.items():
            kind = METRICS[name]
            tags = dict(zip(kind.tags, values, strict=True))
            if kind.type == "gauge":
                self._metrics[name].set(value, tags)
            elif (more := value - self._counted.get((name, values), 0.0)) > 0:
                self._metrics[name].inc(more, tags)
                self._counted[name, values] = value


def _make(name: str, kind: Kind) -> Any:
    from ray.util import metrics

    make = metrics.Counter if kind.type == "counter" else metrics.Gauge
    return make(name, kind.text, kind.tags)


async def export(session: Session, holds: Holds) -> None:
    """For ever. On the event loop."""
    try:
        exporter = Exporter(_make)
        while True:
            exporter.update(samples(session, holds))
            await asyncio.sleep(INTERVAL)
    except Exception:
        logger.exception("this node exports no metrics")
