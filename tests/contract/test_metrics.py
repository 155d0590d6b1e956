"""Metrics as a real Prometheus gets them from a Ray that exports them, compared with what ranks have sent and
with what the node actors count; and what the dashboard for Grafana asks for."""

from __future__ import annotations

import json
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import run
from local_ray import LocalRay
from ports import free_port
from processes import Child
from simulation import PROGRAMS, Simulation, define_row, joined, succeed, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

TOOLS = Path(sys.prefix).parent / "metrics"
"""What .ci/setup puts there: the Python packages of Ray's exporters, and Debian's prometheus."""

Values = dict[tuple[str, ...], float]
"""By name of the metric, node and, if it has one, array."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    assert (TOOLS / "prometheus").exists(), f"{TOOLS} is not there: run .ci/setup, which makes it"
    with joined(256 << 20, {"PYTHONPATH": str(TOOLS / "python")}, dashboard=True) as local:
        yield local


class Prometheus:
    """Scrapes a Ray as Ray's own configuration for Prometheus says, but each second."""

    def __init__(self, ray: LocalRay, folder: Path, start: Callable[..., Child]) -> None:
        of_ray = Path(ray.folder, "session_latest", "metrics", "prometheus", "prometheus.yml")
        until(of_ray.exists, f"Ray's dashboard to write {of_ray}")
        config = folder / "prometheus.yml"
        config.write_text(of_ray.read_text().replace("10s", "1s"))
        self._url = f"http://127.0.0.1:{free_port()}"
        command = [str(TOOLS / "prometheus"), f"--config.file={config}"]
        command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={self._url[7:]}"]
        self._child = start("prometheus", command, {})

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What it answers to a query; nothing while it starts."""
        assert self._child.status() is None, self._child.lines
        time.sleep(0.2)  # it scrapes each second
        url = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=20) as reply:
                return json.load(reply)["data"]["result"]
        except OSError:
            return []

    def values(self) -> Values:
        """The newest of deisa's."""
        found: Values = {}
        for one in self.ask('{__name__=~"ray_deisa_.+"}'):
            key = key_of(one["metric"]["__name__"], one["metric"])
            assert key not in found, f"two of {key}: {one}"
            found[key] = float(one["value"][1])
        return found


def key_of(name: str, tags: dict[str, str]) -> tuple[str, ...]:
    return (name, tags["node"], tags["array"]) if "array" in tags else (name, tags["node"])


@pytest.fixture
def counted(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Values]:
    """What the node actors count, by `deisa-info --status --prometheus`."""
    monkeypatch.syspath_prepend(TOOLS / "python")
    from prometheus_client.parser import text_string_to_metric_families

    def count() -> Values:
        command = [str(simulation.build / "bin" / "deisa-info"), "--status", "--prometheus"]
        done = run(command, simulation.cluster.environment)
        assert done.returncode == 0, done.stdout
        samples = [one for family in text_string_to_metric_families(done.stdout) for one in family.samples]
        return {key_of(one.name, one.labels): one.value for one in samples}

    return count


def test_prometheus_has_what_was_sent_and_counted(
    simulation: Simulation,
    start: Callable[..., Child],
    counted: Callable[[], Values],
    root: Path,
    tmp_path: Path,
) -> None:
    prometheus = Prometheus(simulation.cluster, tmp_path, start)
    allowed = tmp_path / "allowed"
    allowed.write_text("2")  # then the analytics hold timestep 2
    paced = [sys.executable, "-P", str(PROGRAMS / "paced.py"), "field", str(allowed)]
    start("analytics", paced, simulation.cluster.environment)
    ranks = simulation.start(3, lambda rank: {"MAX_AHEAD": "4", "NODE_ID": "AAB"[rank]})
    for number, rank in enumerate(ranks):
        rank.ok(define_row("field", number, 3))
    succeed(simulation.ready(ranks))
    for step in range(7):
        for number, rank in enumerate(ranks):
            rank.ok(f"send field {step} 4 {1000 * step + number}")
    ranks[0].ask("send field 7 4 7000")

    def expect(expected: Values, what: str) -> None:
        last: Values = {}

        def look() -> bool:
            last.clear()
            last.update(prometheus.values())
            return expected.items() <= last.items()

        try:
            until(look, what)
        except AssertionError as error:
            raise AssertionError({key: (value, last.get(key)) for key, value in expected.items()}) from error

    expected: Values = {}
    for node, count in (("A", 2.0), ("B", 1.0)):  # ranks
        expected |= {
            ("ray_deisa_live_ranks", node): count,
            ("ray_deisa_stored_chunks_total", node): 7 * count,
            ("ray_deisa_stored_bytes_total", node, "field"): 7 * 32 * count,
            ("ray_deisa_announced_chunk_sets_total", node): 7.0,
            ("ray_deisa_sent_timestep", node, "field"): 6.0,
            ("ray_deisa_announced_timestep", node, "field"): 6.0,
            ("ray_deisa_waiting_chunk_sets", node): 0.0,
        }
    expect(expected | {("ray_deisa_held_ranks", "A"): 1.0}, "seven timesteps, and a rank that is held")

    held = '1 < ray_deisa_held_seconds_total{node="A"}'
    until(lambda: prometheus.ask(held), "the time for which it is held, though that is not over")

    allowed.write_text("100")
    assert ranks[0].answer()["status"] == 0
    ranks[1].kill()
    left = {("ray_deisa_failed_chunks_total", "A"): 1.0, ("ray_deisa_live_ranks", "A"): 1.0}
    expect(left, "a chunk that cannot be announced, since its neighbour died")

    # A counter comes with its first increment.
    def agree() -> bool:
        of_nodes = {key: value for key, value in counted().items() if value or not key[0].endswith("_total")}
        return prometheus.values() == of_nodes

    until(agree, "Prometheus and the node actors to agree")
    check_dashboard(prometheus, json.loads((root / "examples" / "grafana" / "deisa.json").read_text()))


def check_dashboard(prometheus: Prometheus, dashboard: dict[str, Any]) -> None:
    """Each query is answered with data, which has the labels that its legend names."""
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert targets
    for target in targets:
        result = prometheus.ask(target["expr"])
        assert result, f"no data for {target['expr']}"
        for label in ("array", "node"):
            if f"{{{{{label}}}}}" in target["legendFormat"]:
                assert all(one["metric"][label] for one in result), (target, result)
