"""The handle of an open bridge: calls of the library, and what becomes of their failures."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from deisa_bridge.rank import library
from deisa_bridge.rank.communicator import Given
from deisa_bridge.rank.errors import DeisaError, from_c

ExceptionHandler = Callable[[BaseException], None]


def report(error: BaseException) -> None:
    """The default exception handler: the calls that led to it and the error, on stderr. The simulation goes
    on, as with deisa-ray's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    where = "".join(traceback.format_stack(frame))
    what = "".join(traceback.format_exception_only(error))
    sys.stderr.write(f"Traceback (most recent call last):\n{where}{what}")


class Handle:
    """An open bridge of the library. When it is collected, or the interpreter exits, the bridge is
    abandoned; in a forked child that does nothing."""

    def __init__(self, options: dict[str, Any], comm: Any, handler: ExceptionHandler | None) -> None:
        self.library = library.load()
        self._handler = handler or report
        failures: list[DeisaError] = []
        self._failures = failures
        # The library may call it from any function, and Python code must not run inside of one.
        keep = library.ErrorHandler(lambda _, error: failures.append(from_c(error[0])))
        given = Given(comm)
        self.rank = given.rank
        values = library.Options(error_handler=keep, **options)
        if given.is_given:
            values.communicator = ctypes.pointer(given.table)
        self._bridge = ctypes.c_void_p()
        error = library.Error()
        if self.library.deisa_open(ctypes.byref(values), ctypes.byref(self._bridge), ctypes.byref(error)) < 0:
            given.release()
            raise from_c(error)
        # Holds what the library calls until the end.
        self._end = weakref.finalize(self, _abandon, self.library, self._bridge, given, keep)

    @property
    def is_open(self) -> bool:
        """Neither closed nor abandoned."""
        return bool(self._bridge)

    def call(self, function: Any, *arguments: Any) -> int:
        """The status, if it is none of an error. Raises DeisaError; failures that are not the caller's go to
        the exception handler."""
        error = library.Error()
        status = function(self._bridge, *arguments, ctypes.byref(error))
        return self._ended(status, error)

    def close(self, timestep: int) -> None:
        """deisa_close."""
        error = library.Error()
        status = self.library.deisa_close(ctypes.byref(self._bridge), timestep, ctypes.byref(error))
        if not self._bridge:
            self._end.detach()
        self._ended(status, error)

    def abandon(self) -> None:
        """deisa_abandon."""
        self._end()
        self._deliver()

    def _ended(self, status: int, error: library.Error) -> int:
        try:
            if status < 0:
                raise from_c(error)
        finally:
            self._deliver()
        return status

    def _deliver(self) -> None:
        while self._failures:
            self._handler(self._failures.pop(0))


def _abandon(functions: ctypes.CDLL, bridge: ctypes.c_void_p, *kept: Any) -> None:
    functions.deisa_abandon(ctypes.byref(bridge))


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """While the library waits, Python does not see Ctrl-C: so the process ends by it, as one in C does."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
