"""The oldest timestep that any node of a simulation may still announce."""

from __future__ import annotations

from collections.abc import Iterable

from deisa_bridge.node.gather import ANYTHING, NEVER


class Watermark:
    """Kept by the master: the minimum of the nodes' bounds. It never decreases, since no bound does. A pure
    state machine, as Gather."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._bounds = dict.fromkeys(nodes, ANYTHING)
        self._newest = dict(self._bounds)
        """But NEVER."""
        self.value = ANYTHING

    def __contains__(self, node: str) -> bool:
        return node in self._bounds

    def report(self, node: str, bound: int) -> bool:
        """A node will announce nothing older than `bound`. Returns whether the watermark has moved."""
        self._bounds[node] = max(bound, self._bounds[node])
        if bound != NEVER:
            self._newest[node] = max(bound, self._newest[node])
        least = min(self._bounds.values())
        moved = least > self.value
        self.value = max(self.value, least)
        return moved

    def bound(self, node: str) -> int:
        """The newest that the node has reported."""
        return self._bounds[node]

    def newest(self, node: str) -> int:
        """The newest but NEVER: what the node has announced is not newer."""
        return self._newest[node]
