"""DEISA_CACHE: Ray's library and Java's classes are kept once, and damage does no harm."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from local_ray import LocalRay
from simulation import Simulation, succeed, together

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def simulate(cluster: LocalRay, build: Path, cache: str, trace: Path) -> list[str]:
    """Two ranks on two nodes, so that both start Java at the same time. The names of the trace's spans."""
    one = Simulation(cluster, build)
    try:
        watch = one.analytics("t")
        ranks = one.start(
            2,
            lambda rank: {
                "CONTROL": "java",
                "CACHE": cache,
                "NODE_ID": f"cache-{rank}",
                "TRACE": f"{trace}-{rank}",
                "WAIT_NOTICE": "0",  # however slow this machine is
            },
        )
        for number, rank in enumerate(ranks):
            meta = {
                "chunk_shape": [4],
                "nb_chunks_per_dim": [2],
                "chunk_position": [number],
                "dtype": "float64",
            }
            rank.ok("define " + json.dumps({"t": meta}))
        succeed(one.ready(ranks))
        for rank in ranks:
            rank.ok("send t 0 4 1.5")
        succeed(together(ranks, "close 1"))
        assert list(watch.finish()["t"]) == [0]
        for rank in ranks:
            assert rank.end() == 0
            assert rank.errors == [], "nothing of Java is in the simulation's output"
    finally:
        one.end()
    return [event["name"] for rank in (0, 1) for event in json.loads(Path(f"{trace}-{rank}").read_text())]


def files(cache: Path) -> dict[str, tuple[int, int]]:
    """Inode and size by name."""
    return {path.name: (path.stat().st_ino, path.stat().st_size) for path in cache.iterdir()}


def test_one_start_makes_it_and_the_next_uses_it(cluster: LocalRay, built: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    simulate(cluster, built, str(cache), tmp_path / "first")
    made = files(cache)
    archives = [name for name in made if name.startswith("classes-") and name.endswith(".jsa")]
    assert len(archives) in (1, 2), "of two leaders at the same moment"
    library = next(name for name in made if name.startswith("libcore_worker"))
    assert set(made) == {*archives, library}, "nothing unfinished"
    assert min(made[name][1] for name in archives) > 1 << 20 and made[library][1] > 20 << 20

    simulate(cluster, built, str(cache), tmp_path / "second")
    assert files(cache) == made

    for name in (*archives, library):
        os.chmod(cache / name, 0o600)
        with open(cache / name, "r+b") as file:
            file.truncate(1000)
    simulate(cluster, built, str(cache), tmp_path / "third")
    assert files(cache)[library][1] == made[library][1], "whole again"
    (again,) = (
        path for path in cache.glob("classes-*.jsa") if path.name.endswith(f"-{path.stat().st_size}.jsa")
    )

    os.chmod(again, 0o600)
    again.write_bytes(again.read_bytes()[: 1 << 16] + os.urandom(again.stat().st_size - (1 << 16)))
    simulate(cluster, built, str(cache), tmp_path / "fourth")


def test_nothing_is_kept_when_that_is_asked(cluster: LocalRay, built: Path, tmp_path: Path) -> None:
    spans = simulate(cluster, built, "none", tmp_path / "trace")
    assert spans.count("control: join Ray") == 2
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("trace")] == []
