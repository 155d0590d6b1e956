"""The oldest timestep that any node of a simulation may still announce."""

from __future__ import annotations

from collections.abc import Iterable

from deisa_bridge.node.gather import ANYTHING


class Watermark:
    """Kept by the master: the minimum of the nodes' bounds. It never decreases, since no bound does. A pure
    state machine, as Gather."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._bounds = dict.fromkeys(nodes, ANYTHING)
        self.value = ANYTHING

    def __contains__(self, node: str) -> bool:
        return node in self._bounds

    def report(self, node: str, bound: int) -> bool:
        """A node will announce nothing older than `bound`. Returns whether the watermark has moved."""
        self._bounds[node] = max(bound, self._bounds[node])
        least = min(self._bounds.values())
        moved = least > self.value
        self.value = max(self.value, least)
        return moved
