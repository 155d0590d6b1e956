"""A cluster for the tests of a module, of which this process is a driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from local_ray import LocalRay
from simulation import joined


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    with joined(256 << 20) as local:
        yield local
