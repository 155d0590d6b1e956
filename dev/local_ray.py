"""A Ray of one's own on this machine: free ports, a private folder, gone at the end."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ports import free_port
from processes import Child

LOGS = Path(__file__).resolve().parent.parent / "build" / "logs"


class LocalRay:
    """Starts a one-node Ray on entry of its `with` block, and stops it on exit.

    `address` is its host:port, `folder` holds its files, `environment` is that of processes which use it.
    `variables` are added to that environment. Each of the `cpus` costs the start of workers, seconds of a
    processor. With `worker_output`, drivers print what Ray's workers do, which takes a process more. The
    `dashboard` needs ray[default].
    """

    def __init__(
        self,
        cpus: int = 1,
        object_store_bytes: int = 1 << 30,
        timeout: float = 120.0,
        variables: dict[str, str] | None = None,
        dashboard: bool = False,
        worker_output: bool = False,
    ) -> None:
        self._cpus = cpus
        self._worker_output = worker_output
        self._object_store_bytes = object_store_bytes
        self._timeout = timeout
        self._variables = variables or {}
        self._dashboard = dashboard
        self._child: Child | None = None
        self.folder = ""
        self.address = ""
        self.environment: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """The process whose descendants are Ray's."""
        assert self._child is not None
        return self._child.pid

    def spills(self, timeout: float = 60.0) -> int:
        """How often Ray has written objects to disk since it started, by its own next report. Ray reports
        every 10 s, unless RAY_debug_dump_period_milliseconds is among `variables`."""
        report = Path(self.folder, "session_latest", "logs", "debug_state.txt")
        asked, deadline = time.time(), time.monotonic() + timeout
        while time.monotonic() < deadline:
            if report.exists() and report.stat().st_mtime >= asked:
                found = re.search(r"cumulative spill requests: (\d+)", report.read_text())
                if found:
                    return int(found[1])
            time.sleep(0.05)
        raise RuntimeError(f"Ray has not written {report} within {timeout:.0f} s")

    def __enter__(self) -> Self:
        # Short: Ray puts Unix sockets below it, whose paths may have 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="deisa-", dir="/tmp")
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        """With one more try: on a busy machine Ray's parts sometimes miss each other."""
        try:
            self._start_once()
        except RuntimeError as error:
            print(f"{error}\nRay is started once more.", file=sys.stderr, flush=True)
            self._stop()
            os.mkdir(self.folder, mode=0o700)
            self._start_once()

    def _start_once(self) -> None:
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("RAY_ADDRESS", "DEISA_RAY_ADDRESS", "PYTHONPATH")
        }
        environment |= self._variables
        # A token of the user's is for other clusters, and a driver that is given an address ignores it.
        environment.setdefault("RAY_AUTH_MODE", "disabled")
        # Else whatever else this machine does goes before Ray's workers, and they miss their deadlines.
        environment.setdefault("RAY_worker_niceness", "0")
        environment["RAY_USAGE_STATS_ENABLED"] = "0"
        # What Ray waits for its own parts, 10 and 30 s, is too short when the machine is busy.
        environment.setdefault("RAY_raylet_start_wait_time_s", str(round(self._timeout / 2)))
        environment.setdefault("RAY_gcs_server_port_wait_time_s", str(round(self._timeout / 2)))
        environment.setdefault("RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT", str(self._timeout / 2))
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '/usr/bin:/bin')}"
        # Port 0 everywhere: Ray takes free ones, so several Rays can live side by side.
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            *("--node-ip-address=127.0.0.1", "--port=0"),
            *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
            *("--disable-usage-stats", f"--temp-dir={self.folder}"),
            # The monitor would start further nodes.
            *("--no-monitor", f"--include-log-monitor={self._worker_output}"),
            *(f"--num-cpus={self._cpus}", f"--object-store-memory={self._object_store_bytes}"),
            f"--include-dashboard={str(self._dashboard).lower()}",
        ]
        if self._dashboard:  # and with it the server of Ray Client, which does not know port 0
            command += ["--dashboard-port=0", f"--ray-client-server-port={free_port()}"]
        self._child = Child("ray", command, environment, show=False)
        found = Path(self.folder) / "ray_current_cluster"
        deadline = time.monotonic() + self._timeout
        while not (self._named(found) and any("Ray runtime started" in line for line in self._child.lines)):
            if self._child.status() is not None or time.monotonic() > deadline:
                raise RuntimeError(self._failure())
            time.sleep(0.05)
        self.address = self._named(found)
        self.environment = environment | {
            "RAY_ADDRESS": self.address,
            "DEISA_PYTHON": sys.executable,
        }

    @staticmethod
    def _named(file: Path) -> str:
        """The address in this file of Ray's; "" until it is written, since the empty file is there before."""
        return file.read_text().strip() if file.exists() else ""

    def _failure(self) -> str:
        """Why Ray did not start, in a few lines; all that it said goes to a file."""
        assert self._child is not None
        what = f"did not start within {self._timeout:.0f} s"
        if self._child.status() is not None:
            self._child.wait_output()
            what = f"ended while it started, with exit status {self._child.status()}"
        said = [line.strip() for line in self._child.lines if line.strip()] or ["nothing"]
        reason = next(
            (line for line in reversed(said) if re.match(r"[\w.]*(Error|Exception)\b", line)), said[-1]
        )
        log = LOGS / "ray-start.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("\n".join([*self._child.lines, ""]))
        load = f"the machine has {os.cpu_count()} processors and a load of {os.getloadavg()[0]:.0f}"
        return f"Ray {what}: {reason}\n({load}. Try it when it is less busy; all that Ray said: {log})"

    def _stop(self) -> None:
        try:
            # Ray has nothing to put in order: asked to end, it takes 10 s and more.
            if self._child is not None:
                self._child.end(grace=0.0)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
