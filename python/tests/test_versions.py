"""Which versions are served, and how the others are refused."""

from __future__ import annotations

import json

import pytest

from deisa_bridge import preparing, versions
from deisa_bridge.node_actor import load_base
from deisa_bridge.status import BridgeError


@pytest.mark.parametrize("version", ["2.48.0", "2.55.1", "2.60.0", "2.60.7"])
def test_versions_inside_the_range(version):
    versions.check_ray(version, any_version=False)


@pytest.mark.parametrize("version", ["2.47.1", "2.61.0", "3.0.0.dev0", "1.60.0", "nonsense"])
def test_versions_outside_the_range(version, caplog):
    with pytest.raises(BridgeError, match=f"Ray {version} .*2.48 to 2.60.*DEISA_RAY_ANY=1") as refused:
        versions.check_ray(version, any_version=False)
    assert refused.value.kind == "unsupported"
    versions.check_ray(version, any_version=True)
    assert version in caplog.text


def test_prepare_refuses_a_cluster_outside_the_range(monkeypatch):
    monkeypatch.setattr("ray.__version__", "2.61.0")
    reply = json.loads(preparing.prepare(json.dumps({"session": "00", "any_ray": False})))
    assert reply["kind"] == "unsupported"
    assert "2.61.0" in reply["error"]


def test_installed_deisa_ray_is_served():
    versions.check_deisa_ray(load_base(""))


def test_node_actor_of_the_older_protocol_is_refused():
    class SchedulingActor:
        """As of deisa-ray 0.1.2."""

        def register_bridge(self): ...

        async def add_chunk(self): ...

    with pytest.raises(BridgeError, match=r"finalize_registration.*0.1.5 or newer.*pip install"):
        versions.check_deisa_ray(SchedulingActor)


def test_a_ray_that_cannot_tell_whether_a_driver_has_ended(caplog):
    assert versions.driver_is_gone(object()) is False
    assert "does not tell" in caplog.text


def test_an_actor_that_runs_no_functions():
    assert versions.runner(object()) is None
