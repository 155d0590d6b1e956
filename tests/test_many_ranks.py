"""64 ranks on one machine: one Ray driver, little memory, right values."""

from __future__ import annotations

import measure
import pytest
from simulation import control_store

RANKS, NBYTES, STEPS = 64, 4096, 5


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_64_ranks_share_one_driver(built, ray, start):
    analytics = start("analytics", measure.analytics(RANKS, NBYTES), ray.environment)
    with measure.Ranks(RANKS, NBYTES, STEPS, "announced", ray.environment) as running:
        running.wait_ready()
        running.figures()
        memory = running.memory()
    assert analytics.wait(120) == 0, analytics.lines
    assert f"{STEPS} timesteps analysed, 0 wrong" in analytics.lines
    assert not any(each.has_jvm for each in memory)
    assert all(each.slots > 0 for each in memory)
    largest = max(each.private for each in memory)
    assert largest <= 12 << 20, f"{largest} bytes"
    # Of this test, of the analytics, and of the leader.
    assert len(control_store(ray.address).get_job_table()) == 3
