"""A cluster for the tests of a module, of which this process is a driver, and a simulation for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from local_ray import LocalRay
from simulation import Simulation, joined


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    with joined(256 << 20) as local:
        yield local


@pytest.fixture
def simulation(cluster: LocalRay, built: Path) -> Iterator[Simulation]:
    one = Simulation(cluster, built)
    try:
        yield one
    finally:
        one.end()
