"""What a node exports to Prometheus: names, values and kinds, without Ray."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deisa_bridge.node.gate import Gate, Limits, Usage
from deisa_bridge.node.gather import Gather
from deisa_bridge.node.holds import Holds
from deisa_bridge.node.metrics import METRICS, Exporter, Kind, as_text, samples
from deisa_bridge.node.progress import Progress


@pytest.fixture
def session() -> Any:
    """Rank 0 has sent two timesteps, of which one is stored; a rank is held."""
    gather, gate, progress = Gather(), Gate(), Progress()
    for bridge in (0, 1):
        gather.add_bridge(bridge, ["t"], 60.0)
        gate.add_rank(bridge, 100, 1)
    for step in (3, 4):
        gather.step(0, step, [("t", None)], True, 0.0)
    progress.stored("t", 3, 100, 0.0)
    gate.begin(Limits(threshold=0.5))
    gate.measured(Usage(900, 1000, 7), gate.mark(), 0.0)
    gate.settle()
    gate.ask(0, 1, 5, waits=True, now=1.0)
    counters = {"chunks_stored": 1, "chunks_failed": 0, "sets_announced": 0}
    return SimpleNamespace(
        node="n", gather=gather, gate=gate, progress=progress, counters=counters, live=lambda: [0, 1]
    )


def test_they_are_what_the_node_actor_counts(session):
    assert samples(session, Holds()) == {
        ("deisa_stored_chunks", ("n",)): 1,
        ("deisa_failed_chunks", ("n",)): 0,
        ("deisa_announced_chunk_sets", ("n",)): 0,
        ("deisa_held_seconds", ("n",)): 0.0,
        ("deisa_held_ranks", ("n",)): 1,
        ("deisa_live_ranks", ("n",)): 2,
        ("deisa_waiting_chunk_sets", ("n",)): 2,
        ("deisa_store_used_bytes", ("n",)): 900,
        ("deisa_store_capacity_bytes", ("n",)): 1000,
        ("deisa_store_spilled_bytes", ("n",)): 7,
        ("deisa_stored_bytes", ("n", "t")): 100,
        ("deisa_sent_timestep", ("n", "t")): 4,
    }, "and what is not known is left out"


def test_the_text_is_that_of_prometheus(session):
    session.node = 'n"1'
    text = as_text(samples(session, Holds()))
    assert text["deisa_stored_bytes"] == [
        "# HELP ray_deisa_stored_bytes_total bytes put into the object store",
        "# TYPE ray_deisa_stored_bytes_total counter",
        r'ray_deisa_stored_bytes_total{node="n\"1",array="t"} 100',
    ]
    held = ["# TYPE ray_deisa_held_ranks gauge", r'ray_deisa_held_ranks{node="n\"1"} 1']
    assert text["deisa_held_ranks"][1:] == held


def test_counters_get_what_was_added_and_gauges_the_value(session):
    calls: list[tuple] = []

    def make(name: str, kind: Kind) -> Any:
        add = lambda value, tags: calls.append((name, value, tags))  # noqa: E731
        return SimpleNamespace(**{"inc" if kind.type == "counter" else "set": add})

    exporter = Exporter(make)
    for stored in (1, 1, 5):
        session.counters["chunks_stored"] = stored
        exporter.update(samples(session, Holds()))
    assert [call for call in calls if call[0] == "deisa_stored_chunks"] == [
        ("deisa_stored_chunks", 1, {"node": "n"}),
        ("deisa_stored_chunks", 4, {"node": "n"}),
    ]
    timesteps = [call for call in calls if call[0] == "deisa_sent_timestep"]
    assert timesteps == [("deisa_sent_timestep", 4, {"node": "n", "array": "t"})] * 3


def test_the_dashboard_shows_metrics_that_there_are():
    file = Path(__file__).parents[2] / "examples" / "grafana" / "deisa.json"
    shown = re.findall(
        r"\bray_(deisa_\w+)",
        " ".join(
            target["expr"] for panel in json.loads(file.read_text())["panels"] for target in panel["targets"]
        ),
    )
    kinds = {name + ("_total" if kind.type == "counter" else "") for name, kind in METRICS.items()}
    assert set(shown) <= kinds and len(set(shown)) > 8


def test_every_metric_is_made_of_known_parts():
    for name, kind in METRICS.items():
        assert name.startswith("deisa_") and kind.type in ("counter", "gauge") and kind.text
