"""What was stored and announced on this node lately: a few numbers for each chunk and set."""

from __future__ import annotations

from collections import deque

HISTORY = 60
"""Seconds that rates are kept for."""
ANNOUNCED = 1000
"""Timesteps that were announced, and that are remembered."""


class Progress:
    """What was stored and announced, and how much of it in each of the last seconds. Times are the caller's,
    in seconds."""

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()  # [second, bytes, timesteps], of those with any
        self.bytes_of: dict[str, int] = {}
        """By array: the bytes that were stored."""
        self.newest_stored: dict[str, int] = {}
        """By array: the newest timestep of which a chunk is in the object store."""
        self.steps: deque[int] = deque(maxlen=ANNOUNCED)
        """The timesteps that were announced, in order."""

    def stored(self, array: str, timestep: int, nbytes: int, now: float) -> None:
        """A chunk is in the object store."""
        self._second(now)[1] += nbytes
        self.bytes_of[array] = self.bytes_of.get(array, 0) + nbytes
        self.newest_stored[array] = max(self.newest_stored.get(array, timestep), timestep)

    def announced(self, timestep: int, now: float) -> None:
        """The head actor knows a set of this timestep."""
        if not self.steps or timestep > self.steps[-1]:
            self.steps.append(timestep)
            self._second(now)[2] += 1

    def history(self, now: float) -> dict[str, list[int]]:
        """Of each of the last HISTORY seconds that are over, the oldest first."""
        first = int(now) - HISTORY
        found: dict[str, list[int]] = {"bytes": [0] * HISTORY, "steps": [0] * HISTORY}
        for second, nbytes, steps in self._seconds:
            if first <= second < int(now):
                found["bytes"][second - first] = nbytes
                found["steps"][second - first] = steps
        return found

    def _second(self, now: float) -> list[int]:
        if not self._seconds or self._seconds[-1][0] != int(now):
            self._seconds.append([int(now), 0, 0])
            while self._seconds[0][0] < int(now) - HISTORY:
                self._seconds.popleft()
        return self._seconds[-1]
