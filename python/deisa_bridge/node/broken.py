"""Sets of chunks that can never be complete, because a rank has died or gone on without its chunk: what a
node knows of them, and how the nodes tell each other.

Whichever node finds out tells the node actor of bridge 0, the master, and that tells all others. Each node
then gives such sets up: it drops its own chunks of them, removes those that the head actor has already, and
refuses more. Nothing is ever taken back, so it does not matter in which order the nodes hear of it, or how
often.
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
    """A rank has died: all ranks are told, whatever they have sent."""

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "arrays": self.arrays, "node": self.node, "death": self.death}

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Broken:
        arrays = tuple((str(name), int(first), int(last)) for name, first, last in given["arrays"])
        return cls(str(given["text"]), arrays, str(given["node"]), bool(given["death"]))


class BrokenSets:
    """All that one node knows of. A pure state machine."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[tuple[int, int, str]]] = {}  # array -> first, last, text
        self._deaths: set[str] = set()

    def add(self, one: Broken) -> bool:
        """Returns whether it was news."""
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
        """Nobody can send anything older any more."""
        for name, known in self._ranges.items():
            if any(last < before for _, last, _ in known):
                self._ranges[name] = [one for one in known if one[1] >= before]

    def __iter__(self) -> Iterator[tuple[str, int, int, str]]:
        return iter(sorted((name, *one) for name, known in self._ranges.items() for one in known))
