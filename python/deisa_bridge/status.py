"""Numbers and names that the node actor shares with the C ABI and the wire format."""

from __future__ import annotations

from enum import IntEnum

NO_TIMESTEP = -(2**63)
"""The wire's kNoTimestep: the newest value, for GET."""

NO_SLOT = 0xFFFFFFFF
"""The wire's kNone: no slot, and no array."""

MAX_DIMENSIONS = 32
"""DEISA_MAX_DIMENSIONS."""

END_MARKER_ARRAY = "__deisa_last_iteration_array"
"""The array whose arrival ends the analytics; bridge 0 defines it."""

HEAD_ACTOR = "simulation_head"
NAMESPACE = "deisa_ray"


class Status(IntEnum):
    """`deisa_status` of include/deisa/deisa.h, as far as the node actor uses it."""

    OK = 0
    NOT_FOUND = 2
    PENDING = 4
    ARGUMENT = -1
    CONTRACT = -2
    TIMEOUT = -3
    CONNECTION = -5
    RESOURCE = -6
    UNSUPPORTED = -7
    INTERNAL = -8


class BridgeError(Exception):
    """An error with the kind that the control requests report: contract, timeout or connection."""

    def __init__(self, text: str, kind: str = "connection") -> None:
        super().__init__(text)
        self.kind = kind


def creation_failed(node_id: str, cause: BridgeError) -> BridgeError:
    """The message when a node's actor cannot be created, or never gets ready."""
    text = f"Failed to create/ready scheduling actor for node {node_id}: {cause}"
    return BridgeError(text, cause.kind)


def actor_name(node_id: str) -> str:
    """The name of a node's actor in namespace `deisa_ray`."""
    return f"sched-{node_id}"
