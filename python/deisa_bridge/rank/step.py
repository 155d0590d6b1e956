"""Steps and requests."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from deisa_bridge.rank import library


class Request:
    """An asynchronous send, or a step, on its way. One that is neither waited for nor tested is finished by
    `Bridge.flush` and `Bridge.close`."""

    def __init__(self, call: Callable[..., int], functions: ctypes.CDLL, number: ctypes.c_uint64) -> None:
        self._call = call
        self._library = functions
        self._number = number

    def wait(self) -> None:
        """Waits until it has reached the level of `acknowledge`, up to send_timeout. Raises
        DeisaTimeoutError, after which it may be waited for again, and what is reported about the chunks."""
        self._call(self._library.deisa_wait, ctypes.byref(self._number))

    def test(self) -> bool:
        """Whether it is finished, without waiting. Raises as `wait` does."""
        return self._call(self._library.deisa_test, ctypes.byref(self._number)) != library.PENDING

    def __repr__(self) -> str:
        return f"<Request {self._number.value}>" if self._number else "<Request, finished>"


class Step:
    """One timestep in a `with` statement: `put` as many arrays as you like; it is handed over, in one
    message, when the block ends, and abandoned when an exception leaves it."""

    def __init__(self, bridge: Any, timestep: int, wait: bool) -> None:
        self._bridge = bridge
        self._wait = wait
        self.timestep = timestep
        self.skipped = False
        """Back-pressure leaves the timestep out: what is put does nothing, and need not be computed."""
        self.request: Request | None = None
        """After the block, with wait=False."""

    def put(self, array_name: str, chunk: Any) -> None:
        """As `Bridge.put`."""
        self._bridge.put(array_name, chunk)

    def __enter__(self) -> Self:
        self.skipped = not self._bridge.begin_step(self.timestep)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._bridge.abandon_step()
        elif self._wait:
            self._bridge.end_step()
        else:
            self.request = self._bridge.end_step_async()
