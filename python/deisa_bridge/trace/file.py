"""Reads a trace, and adds to it as native/base/trace.cc does, whose comment says how the file stays valid."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

START, NEXT, END = b"[\n", b",\n", b"\n]\n"

Event = dict[str, Any]


class Rows:
    """Where spans that overlap are drawn: Perfetto leaves out a span that begins within another one of its
    row and ends after it. Thread-safe."""

    FIRST = 1 << 22
    """Above the number of every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[int] = []

    def free(self, begin: int, end: int) -> int:
        """The number of a row in which all spans so far have ended when this one begins."""
        with self._lock:
            row = next((row for row, last in enumerate(self._ends) if last <= begin), len(self._ends))
            self._ends[row : row + 1] = [end]
            return self.FIRST + row


def append(file: str | os.PathLike[str], events: list[Event]) -> None:
    """Adds events at the end. Blocks while another process does. Raises OSError."""
    if not events:
        return
    text = NEXT.join(json.dumps(event).encode() for event in events)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        begun = size >= len(END)
        written = (NEXT if begun else START) + text + END
        at = size - len(END) if begun else 0
        if os.pwrite(descriptor, written, at) != len(written):  # a full disk: the end of before comes back
            os.ftruncate(descriptor, at)
            os.pwrite(descriptor, END if begun else b"", at)
    finally:
        os.close(descriptor)


def process_name(pid: int, name: str) -> Event:
    """How a process is called in the trace."""
    return {"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}}


def span(name: str, pid: int, begin: int, end: int, step: int, array: str = "") -> Event:
    """What the analytics did from `begin` to `end`, in nanoseconds of time.monotonic_ns()."""
    args: dict[str, Any] = {"rank": -1, "step": step} | ({"array": array} if array else {})
    return {
        "name": name,
        "cat": "analytics",
        "ph": "X",
        "ts": begin / 1000,
        "dur": (end - begin) / 1000,
        "pid": pid,
        "tid": pid,
        "args": args,
    }


def read(file: Path) -> tuple[list[Event], dict[int, str]]:
    """The spans in the order of their begin, and the names of the processes. Blocks while a process adds to
    the file: reading takes several calls. Raises OSError, ValueError."""
    with file.open() as opened:
        fcntl.flock(opened, fcntl.LOCK_SH)
        events = json.loads(opened.read())
    if not isinstance(events, list):
        raise ValueError("it is JSON, but no list of events")
    names = {one["pid"]: one["args"]["name"] for one in events if one["ph"] == "M"}
    return sorted((one for one in events if one["ph"] == "X"), key=lambda one: one["ts"]), names
