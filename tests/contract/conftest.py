"""A cluster for the tests of a module, of which this process is a driver, and a simulation for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray as ray_api
from local_ray import LocalRay
from simulation import NAMESPACE, Simulation


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    with LocalRay(object_store_bytes=256 << 20) as local:
        ray_api.init(address=local.address, namespace=NAMESPACE, log_to_driver=False)
        try:
            yield local
        finally:
            ray_api.shutdown()


@pytest.fixture
def simulation(cluster: LocalRay, built: Path) -> Iterator[Simulation]:
    one = Simulation(cluster, built)
    try:
        yield one
    finally:
        one.end()
