"""How far an example is, in one line at the bottom of a terminal: timesteps, rate, time left."""

from __future__ import annotations

import re
import sys
import time
from typing import TextIO

from processes import Child

SENT = re.compile(r"timestep \d+ sent")
ANALYSED = re.compile(r"timestep \d+ analysed")
CLEAR = "\r\x1b[K"


class _Count:
    """How many lines match; those that are added are looked at once."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._seen = self._count = 0

    def of(self, lines: list[str]) -> int:
        new = lines[self._seen :]
        self._seen += len(new)
        self._count += sum(1 for line in new if self._pattern.match(line))
        return self._count


class Progress:
    """Counts the lines in which simulation and analytics report a timestep, and shows these lines no more.
    Where the output is no terminal it does nothing."""

    def __init__(self, steps: int, stream: TextIO = sys.stdout) -> None:
        self._steps = steps
        self._stream = stream if stream.isatty() else None
        self._sent, self._analysed = _Count(SENT), _Count(ANALYSED)
        self._first: tuple[int, float] | None = None  # how many had been analysed when it was seen first
        self._shown = ""

    def follow(self, *children: Child) -> None:
        """These report timesteps."""
        if self._stream is not None:
            for child in children:
                child.hidden, child.lead = re.compile(f"{SENT.pattern}|{ANALYSED.pattern}"), CLEAR

    def update(self, simulation: Child, analytics: Child) -> None:
        """To be called again and again."""
        if self._stream is None:
            return
        sent, analysed = self._sent.of(simulation.lines), self._analysed.of(analytics.lines)
        self._draw(self.text(sent, analysed, time.monotonic()))

    def text(self, sent: int, analysed: int, now: float) -> str:
        """What is shown when so many have been sent and analysed."""
        text = f"{sent} of {self._steps} timesteps sent, {analysed} analysed"
        if analysed and self._first is None:
            self._first = (analysed, now)
        if self._first is not None and analysed > self._first[0] and now > self._first[1]:
            rate = (analysed - self._first[0]) / (now - self._first[1])
            text += f", {rate:.1f} per second, {(self._steps - analysed) / rate:.0f} s left"
        return text

    def clear(self) -> None:
        """Before other lines."""
        self._draw("")

    def _draw(self, text: str) -> None:
        if self._stream is not None and text != self._shown:
            self._stream.write(CLEAR + text)
            self._stream.flush()
            self._shown = text
