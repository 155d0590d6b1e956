"""What the analytics do when, for DEISA_TRACE: which timestep they have, and their tasks on Ray.

They run unmodified, so this is seen from outside: the head actor notes when they ask for a timestep and when
they get it, and Ray when it runs which of Dask's tasks. Both use the clock of the day, which all machines
have; here it is turned into the monotonic clock of this machine, that of all other spans.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.node.session import Session
from deisa_bridge.status import END_MARKER_ARRAY, NO_TIMESTEP, BridgeError
from deisa_bridge.trace import file as trace_file
from deisa_bridge.trace.file import Event
from deisa_bridge.versions import driver_pid, runner, tasks_since

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two looks."""
REPORTED = 1.1
"""Seconds until Ray's workers have reported their tasks: task_events_report_interval_ms."""
ANSWER = 20.0
"""Seconds that the head actor may take to answer."""


def _noter() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value. Begins to note, or returns what was noted since the last call: array, timestep, when the analytics
    asked for it and when they got it; and since when they wait for the next, or 0."""

    def note(head: Any) -> tuple[list[tuple[str, int, int, int]], int]:
        import time

        queue = head.arrays_ready
        notes = getattr(head, "_deisa_bridge_notes", None)
        if notes is None:
            notes = head._deisa_bridge_notes = {"asked": 0, "got": []}
            if any(not getter.done() for getter in queue._getters):
                notes["asked"] = time.time_ns()
            get, take = queue.get, queue._get

            async def asking() -> Any:
                notes["asked"] = time.time_ns()
                return await get()

            def taking() -> Any:
                item, now = take(), time.time_ns()
                notes["got"].append((item[0], item[1], notes["asked"] or now, now))
                notes["asked"] = 0
                return item

            queue.get, queue._get = asking, taking
        got, notes["got"] = notes["got"], []
        return got, notes["asked"]

    return note


async def trace_analytics(session: Session, file: str) -> None:
    """Begins, before anything is announced. On the event loop of the node actor of bridge 0."""
    trace = AnalyticsTrace(session.head, file)
    await trace.look()
    session.before_head_goes = trace.finish
    session.spawn(trace.watch())


class AnalyticsTrace:
    """Adds to the trace what the analytics do."""

    def __init__(self, head: Any, file: str) -> None:
        self._head = head
        self._file = file
        self._began = time.time_ns()
        self._offset = time.monotonic_ns() - self._began
        self._noter = _noter()
        self._last: tuple[str, int, int] | None = None  # array, timestep, since when the analytics have it
        self._reads: list[tuple[int, int]] = []  # since when which timestep
        self._known: set[tuple] = set()  # tasks that are in the trace
        self._named: set[int] = set()  # processes
        self._driver = 0  # of the analytics, once it is known

    async def watch(self) -> None:
        """For ever."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def finish(self) -> None:
        """The analytics have ended; the head actor is still there."""
        await asyncio.sleep(REPORTED)
        await self.look()

    async def look(self) -> None:
        """Adds what is new. Never raises: a trace is not worth a failure."""
        try:
            events = await self._reads_since() + await head_actor.in_thread(self._tasks)
            await head_actor.in_thread(trace_file.append, self._file, events)
        except (BridgeError, OSError) as error:
            logger.warning("the trace lacks what the analytics do: %s", error)

    async def _reads_since(self) -> list[Event]:
        call = runner(self._head)
        if call is None:
            return []
        what = "asking the head actor what the analytics have read"
        got, waits_since = await head_actor.call(call.remote(self._noter), ANSWER, what)
        self._driver = pid = self._driver or await head_actor.in_thread(driver_pid, self._head)
        events = self._name(pid, "analytics")
        for array, timestep, asked, now in got:
            events += self._end(pid, asked)
            step = NO_TIMESTEP if array == END_MARKER_ARRAY else timestep
            events.append(self._span("wait for a timestep", pid, asked, now, step, array))
            if array != END_MARKER_ARRAY:
                self._last = (array, timestep, now)
                self._reads.append((now, timestep))
        return events + (self._end(pid, waits_since) if waits_since else [])

    def _end(self, pid: int, now: int) -> list[Event]:
        """The analytics want the next: they have done with the last."""
        if self._last is None:
            return []
        (array, timestep, since), self._last = self._last, None
        return [self._span("analyse", pid, since, now, timestep, array)]

    def _tasks(self) -> list[Event]:
        """Dask's tasks. Blocks."""
        events = []
        for task in tasks_since(self._began, "dask:"):
            if (key := (task.name, task.pid, task.begin)) not in self._known:
                self._known.add(key)
                events += self._name(task.pid, "worker of the analytics")
                step = max((step for since, step in self._reads if since <= task.begin), default=NO_TIMESTEP)
                events.append(self._span(task.name, task.pid, task.begin, task.end, step))
        return events

    def _name(self, pid: int, name: str) -> list[Event]:
        if pid in self._named:
            return []
        self._named.add(pid)
        return [trace_file.process_name(pid, name)]

    def _span(self, name: str, pid: int, begin: int, end: int, step: int, array: str = "") -> Event:
        return trace_file.span(name, pid, begin + self._offset, end + self._offset, step, array)
