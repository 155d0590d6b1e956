"""Several machines on one: network namespaces, each with an address of its own, joined by a switch.

All of it lies in namespaces, so that the machine's own network stays as it is. Needs root, or CAP_NET_ADMIN
and CAP_SYS_ADMIN; where that is not given, the machines are loopback addresses of this one. Namespaces that a
killed test left are removed by the next.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

from ports import free_port
from processes import Child, is_alive, kill_tree

PREFIX = "deisa"
ADDRESSES = "10.88.0."


def ip(*arguments: str) -> str:
    """The output of ip(8), which must succeed."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}. Is this root?")
    return done.stdout


def remove(name: str) -> None:
    """Ends every process in a namespace, and removes it."""
    with contextlib.suppress(RuntimeError):
        kill_tree([int(pid) for pid in ip("netns", "pids", name).split()])
        ip("netns", "del", name)


def network(*names: str) -> Network | Loopback:
    """Namespaces, or loopback addresses where namespaces are not permitted, which a warning then says."""
    try:
        if os.environ.get("DEISA_TEST_NAMESPACES") == "0":
            raise RuntimeError("DEISA_TEST_NAMESPACES is 0")
        with Network("try") as one:
            subprocess.run([*one.inside("try"), "true"], check=True, timeout=30, capture_output=True)
        return Network(*names)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        text = f"no network namespaces ({error}): the nodes are addresses 127.0.0.x of this machine instead"
        warnings.warn(text, stacklevel=2)
        return Loopback(*names)


class Loopback:
    """In place of Network: loopback addresses of this machine."""

    isolated = False

    def __init__(self, *names: str) -> None:
        self.address = {name: f"127.0.0.{i + 2}" for i, name in enumerate(names)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def inside(self, name: str) -> list[str]:
        """What to put before a command that is to run on this machine: nothing."""
        return []


class Network:
    """`names`: one namespace each, which the `with` block has. `address` maps them to their addresses."""

    isolated = True

    def __init__(self, *names: str) -> None:
        self._names = names
        self.address = {name: f"{ADDRESSES}{i + 1}" for i, name in enumerate(names)}

    def _full(self, name: str) -> str:
        return f"{PREFIX}{os.getpid()}-{name}"

    def __enter__(self) -> Self:
        for line in ip("netns", "list").splitlines():
            owner = line.split()[0].removeprefix(PREFIX).split("-")[0]
            if line.startswith(PREFIX) and owner.isdigit() and not is_alive(int(owner)):
                remove(line.split()[0])
        try:
            switch = self._full("switch")
            ip("netns", "add", switch)
            ip("-n", switch, "link", "add", "switch", "type", "bridge")
            ip("-n", switch, "link", "set", "switch", "up")
            for name in self._names:
                self._add(name, switch)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _add(self, name: str, switch: str) -> None:
        space, plug = self._full(name), f"to-{name}"
        ip("netns", "add", space)
        ip("-n", switch, "link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("-n", switch, "link", "set", plug, "master", "switch", "up")
        for link in ("lo", "eth0"):
            ip("-n", space, "link", "set", link, "up")
        ip("-n", space, "addr", "add", f"{self.address[name]}/24", "dev", "eth0")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in (*self._names, "switch"):
            remove(self._full(name))

    def inside(self, name: str) -> list[str]:
        """What to put before a command that is to run in the namespace, under a host name of its own."""
        set_name = f'hostname {self._full(name)} && exec "$@"'
        return ["ip", "netns", "exec", self._full(name), "unshare", "--uts", "sh", "-c", set_name, "sh"]


class RayNodes:
    """A Ray cluster with a raylet on each machine. The first that is started is the head node."""

    def __init__(self, network: Network | Loopback, folder: Path) -> None:
        self.network = network
        self._folder = folder
        self._children: dict[str, Child] = {}
        self.ids: dict[str, str] = {}
        """Ray's ids of the nodes, as far as they were looked up."""
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("RAY_ADDRESS", "DEISA_RAY_ADDRESS", "PYTHONPATH")
        }
        self.environment |= {"RAY_USAGE_STATS_ENABLED": "0", "DEISA_PYTHON": sys.executable}
        self.environment |= {"RAY_AUTH_MODE": "disabled"}
        if not network.isolated:
            self.environment["DEISA_CONTROL"] = "java"  # which can be told its node, see jvm_options
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{self.environment['PATH']}"

    def start(self, name: str, timeout: float = 120.0) -> None:
        """Starts the raylet of a machine, unless it runs, and waits until it has joined."""
        if name in self._children:
            return
        address = self.network.address[name]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        command += [f"--node-ip-address={address}", "--object-store-memory=80000000", "--disable-usage-stats"]
        command += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
        command += ["--no-monitor", "--include-log-monitor=false"]
        if self._children:
            command += [f"--address={self.environment['RAY_ADDRESS']}"]
        else:
            port = 6379 if self.network.isolated else free_port()
            command += ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self._folder}"]
            self.environment["RAY_ADDRESS"] = f"{address}:{port}"
        environment = {key: value for key, value in self.environment.items() if key != "RAY_ADDRESS"}
        child = Child(f"ray {name}", [*self.network.inside(name), *command], environment, show=False)
        self._children[name] = child
        end = time.monotonic() + timeout
        while not any("Ray runtime started" in line for line in child.lines):
            if child.status() is not None or time.monotonic() > end:
                raise RuntimeError("\n".join(["Ray did not start:", *child.lines]))
            time.sleep(0.05)

    def stop(self, name: str) -> None:
        """Kills the raylet and all that it has started."""
        self._children.pop(name).end(grace=0.0)

    def stop_all(self) -> None:
        for name in reversed(list(self._children)):
            self.stop(name)

    def run(self, name: str, *command: str, timeout: float = 60.0) -> str:
        """The output of a command on the machine, which must succeed."""
        done = subprocess.run(
            [*self.network.inside(name), *command],
            env=self.environment,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
