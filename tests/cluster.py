"""A Ray of a test module's own that serves one simulation after the other, and what is left on it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from formula import until
from local_ray import LocalRay
from processes import is_alive

NAMESPACE = "deisa_ray"


class Cluster:
    """Starts Ray on entry of its `with` block. This process joins it as a driver, to look at it. `scratch`:
    the folder for temporary files of all that runs on it."""

    def __init__(self, object_store_bytes: int = 256 << 20, scratch: Path | None = None) -> None:
        variables = {"RAY_debug_dump_period_milliseconds": "500"}  # so that spills() waits for no longer
        if scratch is not None:
            variables["TMPDIR"] = str(scratch)
        self._local = LocalRay(object_store_bytes=object_store_bytes, variables=variables)
        self.scratch = scratch
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        import ray

        self._local.__enter__()
        try:
            self.environment = self._local.environment
            ray.init(address=self._local.address, log_to_driver=False, namespace=NAMESPACE)
        except BaseException:
            self._local.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        try:
            ray.shutdown()
        finally:
            self._local.__exit__(kind, error, trace)

    @property
    def folder(self) -> str:
        """Ray's files and sockets."""
        return self._local.folder

    @property
    def pid(self) -> int:
        """The process whose descendants are Ray's."""
        return self._local.pid

    def spills(self) -> int:
        """How often Ray has written objects to disk since it started."""
        return self._local.spills()

    def actors(self) -> list[str]:
        """Names of the head actor and the node actors."""
        import ray

        listed = ray.util.list_named_actors(all_namespaces=True)
        return sorted(one["name"] for one in listed if one["namespace"] == NAMESPACE)

    def driver_has_ended(self, pid: int) -> bool:
        """Whether Ray has seen the end of a driver on this machine."""
        from ray._private.state import state

        return any(job["DriverPid"] == pid and job["IsDead"] for job in state.job_table())

    def process_of(self, name: str) -> int:
        """The process of a living actor."""
        from ray._private.state import state

        alive = [one for one in state.actor_table(None).values() if one["State"] == "ALIVE"]
        (pid,) = [one["Pid"] for one in alive if one["Name"] == name]
        return pid

    def kill(self, name: str) -> None:
        """SIGKILL for the process of an actor, as the kernel does when memory runs out."""
        pid = self.process_of(name)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid), f"the end of {name}")

    def wait_until_clean(self) -> float:
        """Waits until none of them is left, so that other analytics can start. Returns the seconds."""
        begin = time.monotonic()
        until(lambda: not self.actors(), "the actors of the session before to end")
        return time.monotonic() - begin

    def logged(self, text: str) -> list[str]:
        """Lines of the logs of Ray's workers that contain `text`."""
        logs = Path(self._local.folder) / "session_latest" / "logs"
        every = [path.read_text(errors="replace") for path in logs.glob("worker-*")]
        return [line for text_of in every for line in text_of.splitlines() if text in line]
