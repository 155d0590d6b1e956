"""Metrics as Prometheus gets them from a Ray that exports them, compared with what the node actor counts."""

from __future__ import annotations

import time
import urllib.request

import pytest
import ray as ray_api
from conftest import run
from simulation import Simulation, define_row, succeed, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
parser = pytest.importorskip("prometheus_client.parser", reason="exporting needs ray[default]")


def deisa(text: str) -> dict[str, float]:
    """The values of one node by metric, as Prometheus reads them."""
    families = parser.text_string_to_metric_families(text)
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("ray_deisa_")
    }


def test_a_scrape_has_what_the_node_actor_counts(simulation: Simulation) -> None:
    simulation.analytics("field")
    ranks = simulation.start(2)
    for number, rank in enumerate(ranks):
        rank.ok(define_row("field", number))
    succeed(simulation.ready(ranks))
    for step in range(5):
        for rank in ranks:
            rank.ok(f"send field {step} 4 1.0")
    until(lambda: simulation.node_status()["sets_announced"] == 5, "the last announcement")
    node = ray_api.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"

    def scrape() -> dict[str, float]:
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return deisa(answer.read().decode())
        except OSError:  # Ray's agent has just started
            return {}

    expected = {
        "ray_deisa_stored_chunks_total": 10.0,
        "ray_deisa_announced_chunk_sets_total": 5.0,
        "ray_deisa_stored_bytes_total": 5 * 64.0,
        "ray_deisa_sent_timestep": 4.0,
        "ray_deisa_announced_timestep": 4.0,
        "ray_deisa_live_ranks": 2.0,
        "ray_deisa_waiting_chunk_sets": 0.0,
        "ray_deisa_store_capacity_bytes": float(simulation.node_status()["store_capacity"]),
    }
    until(lambda: expected.items() <= scrape().items(), f"these metrics at {url}: {expected}")
    command = [str(simulation.build / "bin" / "deisa-info"), "--status", "--prometheus"]
    done = run(command, simulation.cluster.environment)
    assert done.returncode == 0 and expected.items() <= deisa(done.stdout).items(), done.stdout
