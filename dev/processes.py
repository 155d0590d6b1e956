"""Child processes that are surely ended: all their descendants, by process id, whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36


class Stopped(SystemExit):
    """Raised in the main thread when this process is asked to end, so that `finally` blocks run."""


def adopt_orphans() -> None:
    """Makes processes whose parent ends children of this one, so that `descendants` misses none."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def stop_on_signals() -> None:
    """Turns SIGTERM, SIGHUP and Ctrl-C into Stopped in the main thread; a second one changes nothing."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, stop)


def cpu_seconds(pid: int) -> float:
    """That a process has used of the processors, up to now. OSError: it has ended."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descendants(root: int | None = None) -> list[int]:
    """Process ids of all living descendants of `root` (this process)."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name, in parentheses, may hold anything: the fields that count follow its end.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it has ended meanwhile
        if state != "Z":
            children.setdefault(int(parent), []).append(int(folder.name))
    found, queue = [], [os.getpid() if root is None else root]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(child)
            queue.append(child)
    return found


def is_alive(pid: int) -> bool:
    """True while the process exists and has not ended (a zombie has)."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_tree(pids: list[int], timeout: float = 10.0) -> None:
    """Kills the processes `pids` and all their descendants, and waits until they are gone."""
    doomed: set[int] = set()
    # Stopped first, so that none of them starts another one meanwhile.
    while new := {pid for root in pids for pid in [root, *descendants(root)] if is_alive(pid)} - doomed:
        _send(new, signal.SIGSTOP)
        doomed |= new
    _send(doomed, signal.SIGKILL)
    deadline = time.monotonic() + timeout
    while alive := sorted(pid for pid in doomed if is_alive(pid)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"these processes do not end, though they were killed: {alive}")
        time.sleep(0.02)


def end_children(grace: float = 5.0) -> None:
    """Ends every descendant of this process: SIGTERM, and after `grace` seconds SIGKILL."""
    _send(descendants(), signal.SIGTERM)
    deadline = time.monotonic() + grace
    while descendants() and time.monotonic() < deadline:
        time.sleep(0.05)
    kill_tree(descendants())


class Child:
    """A process whose output is passed on line by line, each with `[name]` before it, and kept."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        show: bool = True,
        cwd: str | None = None,
    ) -> None:
        self.name = name
        self.lines: list[str] = []
        self.hidden: re.Pattern[str] | None = None
        """Lines that are kept, and not passed on; see progress.py."""
        self.lead = ""
        """Written before each line."""
        self._show = show
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            if self._show and not (self.hidden and self.hidden.match(line)):
                print(f"{self.lead}[{self.name}] {line}", end="", flush=True)

    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """Waits for its end and its last line. Returns status()."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            self.wait_output()
        return self.status()

    def wait_output(self, seconds: float = 5.0) -> None:
        """After the end: waits until its last line has been read."""
        self._reader.join(seconds)

    def end(self, grace: float = 10.0) -> None:
        """Ends it and all its descendants, silently; SIGTERM first, for `grace` seconds."""
        self._show = self._show and self.status() is not None
        if self.status() is None and grace > 0.0:
            self._process.terminate()
            deadline = time.monotonic() + grace
            while self.status() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        if self.status() is None:
            kill_tree([self.pid])
            self._process.wait()
        self.wait_output()


def fail(message: str) -> None:
    """Says what went wrong, and ends with status 1."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    raise SystemExit(1)
