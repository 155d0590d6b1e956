"""Connects a running simulation to deisa-ray analytics.

`Bridge` is for simulations in Python: `from deisa_bridge import Bridge`. Nothing of it is loaded before it is
used, since the processes of the node actor import this package, too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from deisa_bridge.rank.bridge import LATEST, Bridge, Statistics
    from deisa_bridge.rank.errors import (
        CommunicatorError,
        ContractError,
        DeisaConnectionError,
        DeisaError,
        DeisaTimeoutError,
        InvalidArgumentError,
        ResourceError,
        UnsupportedError,
    )
    from deisa_bridge.rank.step import Request, Step

__all__ = [
    "LATEST",
    "Bridge",
    "CommunicatorError",
    "ContractError",
    "DeisaConnectionError",
    "DeisaError",
    "DeisaTimeoutError",
    "InvalidArgumentError",
    "Request",
    "ResourceError",
    "Statistics",
    "Step",
    "UnsupportedError",
]

_MODULES = {"bridge": ("LATEST", "Bridge", "Statistics"), "step": ("Request", "Step")}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "errors")
    return getattr(importlib.import_module(f"{__name__}.rank.{module}"), name)
