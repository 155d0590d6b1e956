"""Sets of chunks that can never be complete, because a rank has died or skipped its chunk: what a
node knows of them, and how the nodes notify each other.

The node that finds out notifies the node actor of bridge 0, the master, which notifies all others. Each node
then releases such sets: it discards its own chunks of them, removes those that the head actor has already,
and refuses more. A set never becomes valid again, so neither order nor repetition of the notifications
matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Broken:
    """Sets that can never be complete, and why."""

    text: str
    """For the ranks. The same for all sets of one cause, so that it is reported once."""
    arrays: tuple[tuple[str, int, int], ...]
    """Name, first and last timestep."""
    node: str = ""
    """Where it was found."""
    death: bool = False
    """A rank has died: all ranks are notified, whatever they have sent."""

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "arrays": self.arrays, "node": self.node, "death": self.death}

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Broken:
        arrays = tuple((str(name), int(first), int(last)) for name, first, last in given["arrays"])
        return cls(str(given["text"]), arrays, str(given["node"]), bool(given["death"]))


class BrokenSets:
    """All the broken sets that one node knows. A pure state machine."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[tuple[int, int, str]]] = {}  # array -> first, last, text
        self._deaths: set[str] = set()

    def add(self, one: Broken) -> bool:
        """Returns whether it was new."""
        news = one.death and one.text not in self._deaths
        if one.death:
            self._deaths.add(one.text)
        for name, first, last in one.arrays:
            known = self._ranges.setdefault(name, [])
            if (first, last, one.text) not in known:
                known.append((first, last, one.text))
                news = True
        return news

    def why(self, array: str, timestep: int) -> str:
        """Why the set can never be complete, or ""."""
        for first, last, text in self._ranges.get(array, ()):
            if first <= timestep <= last:
                return text
        return ""

    def forget(self, before: int) -> None:
        """No rank can send anything older any more."""
        for name, known in self._ranges.items():
            if any(last < before for _, last, _ in known):
                self._ranges[name] = [one for one in known if one[1] >= before]

    def __iter__(self) -> Iterator[tuple[str, int, int, str]]:
        return iter(sorted((name, *one) for name, known in self._ranges.items() for one in known))
