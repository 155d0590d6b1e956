"""The actor's class loads in processes that have neither this package nor the actor's state."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from deisa_bridge.node_actor import DEISA_METHODS, OWN_METHODS, load_base, make_actor_class, package_root
from deisa_bridge.status import BridgeError

LOADER = """
import sys, pickle
sys.modules["deisa_bridge"] = None  # any import of it fails
cls = pickle.loads(sys.stdin.buffer.read())
assert "dask" not in sys.modules and "deisa.ray" not in sys.modules
print(",".join(n for n in dir(cls) if not n.startswith("__")))
print(cls.__ray_call__(cls, lambda self: 42))
"""


def load_elsewhere(cls: type) -> list[str]:
    """The lines that another process prints after loading the class as Ray exports it."""
    from ray import cloudpickle
    from ray.actor import _modify_class

    done = subprocess.run(
        [sys.executable, "-P", "-c", LOADER],
        input=cloudpickle.dumps(_modify_class(cls)),
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        cwd="/",
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def test_the_class_loads_without_this_package():
    names, answer = load_elsewhere(make_actor_class())
    assert set(DEISA_METHODS) | set(OWN_METHODS) | {"ready"} <= set(names.split(","))
    assert answer == "42"


def test_every_method_is_a_coroutine_so_that_the_actor_is_asynchronous():
    cls = make_actor_class()
    for name in (*DEISA_METHODS, *OWN_METHODS, "ready", "__init__"):
        assert inspect.iscoroutinefunction(getattr(cls, name)), name


def test_making_the_class_imports_neither_deisa_ray_nor_dask():
    program = (
        "import sys; from deisa_bridge import preparing; preparing.make_actor_class(); "
        "print([m for m in ('dask', 'deisa.ray', 'deisa_bridge.node.service') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=os.environ | {"PYTHONPATH": package_root()},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_methods_passed_on_are_all_that_deisa_ray_has():
    public = {
        name for name, _ in inspect.getmembers(load_base(""), inspect.isfunction) if not name.startswith("_")
    }
    assert public == set(DEISA_METHODS) | {"ready"}


def test_the_actor_options_are_deisa_rays():
    from deisa.ray.utils import get_node_actor_options

    from deisa_bridge.preparing import actor_options

    assert actor_options("n") == get_node_actor_options("sched-n", "deisa_ray")


def test_another_class_passes_its_own_methods_on():
    cls = make_actor_class("deisa.ray.scheduling_actor:NodeActor")
    assert hasattr(cls, "add_chunk") and hasattr(cls, "deisa_serve")
    assert not hasattr(cls, "schedule_graph")


@pytest.mark.parametrize(
    "base", ["no.such.module:Class", "deisa.ray.scheduling_actor:Nothing", "json:dumps", "json"]
)
def test_a_class_that_cannot_be_loaded_is_named(base):
    with pytest.raises(BridgeError, match=base.split(":")[0]) as caught:
        load_base(base)
    assert caught.value.kind == "contract"
