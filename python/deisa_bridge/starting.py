"""What the node actor did before it could know whether there is a trace, see DEISA_TRACE."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deisa_bridge.status import NO_TIMESTEP

NOBODY = -1
"""As the rank of a span that is of no rank."""


def process_began() -> int:
    """When this process was made, in nanoseconds of time.monotonic_ns()."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


class Starting:
    """Spans that are kept until there is a receiver, which has the trace. Made when the process has begun."""

    def __init__(self) -> None:
        self._receiver: Any = None
        self._kept: list[tuple[str, int, int]] | None = []
        self.add("start of its process", process_began(), time.monotonic_ns())

    def add(self, what: str, begin: int, end: int) -> None:
        if self._receiver is not None:
            # If it was closed meanwhile, this span is not needed.
            with contextlib.suppress(RuntimeError, OSError, ValueError):
                self._receiver.span(what, [NOBODY], "", NO_TIMESTEP, begin, end, overlaps=True)
        elif self._kept is not None:
            self._kept.append((what, begin, end))

    @contextlib.contextmanager
    def span(self, what: str) -> Iterator[None]:
        begin = time.monotonic_ns()
        try:
            yield
        finally:
            self.add(what, begin, time.monotonic_ns())

    def serve(self, receiver: Any, task: dict[str, int]) -> None:
        """The receiver is there; `task` says when the task that asks for it began, and its process."""
        kept, self._kept = self._kept or [], None
        self._receiver = receiver if receiver.traces else None
        if self._receiver is None:
            return
        if task:
            kept.append(("task: start of its process", task["process"], task["begin"]))
            kept.append(("task: make the node actor", task["begin"], time.monotonic_ns()))
        for span in kept:
            self.add(*span)
