"""The node actor's class, and what it does when it starts.

Ray hands the class to every process that gets a handle of the actor: the head actor and the analytics too,
and those do not have this package. So it is built inside a function, which makes Ray send it by value, and
none of its methods refers to anything of this package before the actor runs it.

It has no base class either. deisa-ray's own actor is a second object inside it, which is made in the
background: importing deisa-ray takes more than a second, and its `__init__` waits for the head actor with
time.sleep in the event loop. The methods that others call on deisa-ray's actor are passed on to that object.
"""

from __future__ import annotations

import importlib
import inspect
import os
from typing import Any

from deisa_bridge.status import BridgeError
from deisa_bridge.versions import raw_class

DEISA_METHODS = (
    "register_chunk_meta",
    "finalize_registration",
    "add_chunk",
    "schedule_graph",
    "substitute_graph_values_with_refs",
    "get_value",
)
"""The methods of deisa-ray's SchedulingActor that are passed on, as of deisa-ray 0.1.8. `ready` answers at
once."""

OWN_METHODS = (
    "deisa_serve",
    "deisa_finalise",
    "deisa_status",
    "deisa_watermark",
    "deisa_broken",
    "deisa_lacking",
    "deisa_note",
    "deisa_room",
    "deisa_drain",
    "deisa_end",
)
"""The methods that this package adds. Each takes and returns JSON text; see docs/architecture.md."""


def package_root() -> str:
    """The folder that has to be on sys.path for this package to be found."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def load_base(base: str) -> type:
    """The raw class of deisa-ray's actor, or of `base`, "module:Class". Raises BridgeError."""
    module_name, _, class_name = (base or "deisa.ray.scheduling_actor:SchedulingActor").partition(":")
    try:
        found = importlib.import_module(module_name)
        for part in class_name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise BridgeError(
            f"the node actor's class '{module_name}:{class_name}' cannot be loaded "
            f'({type(error).__name__}: {error}): expected "module:Class" that Ray\'s workers can import',
            "contract",
        ) from error
    found = raw_class(found)
    if not isinstance(found, type):
        raise BridgeError(f"the node actor's class '{module_name}:{class_name}' is not a class", "contract")
    return found


def make_actor_class(base: str = "") -> type:
    """The class to make the node actor of. `base` is "module:Class", or "" for deisa-ray's own actor; the
    methods of another class are found by importing it here."""
    passed_on = DEISA_METHODS
    if base:
        members = inspect.getmembers(load_base(base), inspect.isfunction)
        passed_on = tuple(name for name, _ in members if not name.startswith("_") and name != "ready")
    root = package_root()

    class NodeActor:
        """deisa-ray's actor of a node, which also takes chunks from a socket."""

        async def __init__(self, actor_id, arrays_metadata=None):
            import sys

            if root not in sys.path:
                sys.path.append(root)
            from deisa_bridge.node.host import Host

            self._deisa_host = Host(actor_id, base)

        async def ready(self):
            return None

        def __ray_shutdown__(self):
            self._deisa_host.stop()

    def pass_on(name: str) -> Any:
        async def method(self, *args, **kwargs):
            return await self._deisa_host.call_inherited(name, args, kwargs)

        return method

    def own(name: str) -> Any:
        async def method(self, request="{}"):
            return await self._deisa_host.answer(name, request)

        return method

    for make, names in ((pass_on, passed_on), (own, OWN_METHODS)):
        for name in names:
            method = make(name)
            method.__name__ = name
            method.__qualname__ = f"NodeActor.{name}"
            setattr(NodeActor, name, method)
    return NodeActor
