"""When ranks were held, and for how long: what the log says of back-pressure."""

from __future__ import annotations

from collections.abc import Callable

NOTABLE = 1.0
"""Seconds from which on a hold is worth a line."""


class Holds:
    """Holds that follow each other. Times are the caller's, in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._since: float | None = None
        self._seen = 0.0  # until when `seconds` has the present one
        self._told = False

    def update(self, holding: bool, reason: Callable[[], str], now: float) -> str:
        """After any change, and now and then while ranks are held: what is to be logged, or ""."""
        if holding:
            if self._since is None:
                self._since, self._seen, self._told = now, now, False
            self._see(now)
            if not self._told and now - self._since >= NOTABLE:
                self._told = True
                return f"back-pressure holds ranks: {reason()}"
        elif self._since is not None:
            seconds, self._since = now - self._since, None
            self.count += 1
            self._see(now)
            if self._told:
                return f"back-pressure ends after {seconds:.1f} s"
        return ""

    def _see(self, now: float) -> None:
        self.seconds += now - self._seen
        self._seen = now
