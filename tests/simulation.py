"""A simulation whose ranks do what a test says, call by call, its analytics, and a look at both from Ray."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
from local_ray import LocalRay
from ports import free_port
from processes import Child, kill_tree
from ray._raylet import GcsClientOptions, GlobalStateAccessor
from ray.core.generated import gcs_pb2

PROGRAMS = Path(__file__).resolve().parent / "programs"
NAMESPACE = "deisa_ray"
PATIENCE = 120.0
"""Seconds for anything that ought to happen soon."""

OK, REPORTED, CONTRACT, TIMEOUT, COMMUNICATOR, CONNECTION = 0, 3, -2, -3, -4, -5


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true result of condition()."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)
    return result


class Rank:
    """A process of programs/rank.c. `errors` is what it wrote on stderr. `before`: of the command."""

    def __init__(self, program: Path, environment: dict[str, str], before: Sequence[str] = ()) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*before, str(program)],
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
        )
        self.errors: list[str] = []
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _read_errors(self) -> None:
        for line in self.process.stderr:
            self.errors.append(line.rstrip("\n"))

    def ask(self, call: str) -> None:
        """Makes the call, and does not wait for it."""
        self.process.stdin.write(call + "\n")
        self.process.stdin.flush()

    def answer(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """What the oldest call that was asked for returned."""
        result = self._answers.get(timeout=seconds)
        assert result is not None, ["the rank has ended", self.process.poll(), *self.errors]
        return result

    @property
    def has_answered(self) -> bool:
        return not self._answers.empty()

    def call(self, call: str, seconds: float = PATIENCE) -> dict[str, Any]:
        self.ask(call)
        return self.answer(seconds)

    def ok(self, *calls: str) -> None:
        """Calls that succeed."""
        for call in calls:
            result = self.call(call)
            assert result["status"] == OK, [call, result, *self.errors]

    def kill(self) -> None:
        """As a crash: at once, whatever it does."""
        kill_tree([self.process.pid])
        self.end()

    def end(self) -> int:
        """Closes its input, at which it leaves; kills it if it does not. Its exit status."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(20.0)
        except subprocess.TimeoutExpired:
            kill_tree([self.process.pid])
            self.process.wait()
        for reader in self._readers:
            reader.join(10.0)
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode


class Watch:
    """A process of programs/watch.py."""

    def __init__(self, environment: dict[str, str], arrays: list[str], begin: Path | None = None) -> None:
        command = [sys.executable, "-P", str(PROGRAMS / "watch.py"), ",".join(arrays)]
        self.child = Child("analytics", command + ([str(begin)] if begin else []), environment, show=False)

    def of(self, event: str) -> list[dict[str, Any]]:
        said = [json.loads(line) for line in list(self.child.lines) if line.startswith('{"event"')]
        return [one for one in said if one["event"] == event]

    def wait_started(self) -> None:
        until(lambda: self.of("started") or self.child.status() is not None, "the analytics to start")
        assert self.of("started"), self.child.lines

    def finish(self) -> dict[str, dict[int, dict[str, Any]]]:
        """Waits for the end. What was seen, by array and timestep; each array's timesteps came in order."""
        until(lambda: self.child.status() is not None, "the analytics to end")
        self.child.wait_output()
        assert self.of("ended"), "\n".join(self.child.lines)
        seen: dict[str, dict[int, dict[str, Any]]] = {}
        newest: dict[str, int] = {}
        for one in self.of("step"):
            assert one["t"] >= newest.get(one["array"], one["t"]), self.child.lines
            newest[one["array"]] = one["t"]
            seen.setdefault(one["array"], {})[one["t"]] = one
        return seen


class Simulation:
    """One simulation on a cluster that is shared, and whatever a test needs to know of it."""

    def __init__(self, cluster: LocalRay, build: Path) -> None:
        self.cluster = cluster
        self.build = build
        self.ranks: list[Rank] = []
        self.watches: list[Watch] = []
        self.folder = Path(tempfile.mkdtemp(prefix="dC", dir="/tmp"))
        self.environment = {**cluster.environment, "DEISA_SOCKET_DIR": str(self.folder)}

    def analytics(self, *arrays: str, begin: Path | None = None) -> Watch:
        self.watches.append(Watch(self.cluster.environment, list(arrays), begin))
        return self.watches[-1]

    def start(self, size: int, options: Callable[[int], dict[str, str]] = lambda rank: {}) -> list[Rank]:
        """Ranks with an open bridge each; `options` of a rank: DEISA_* variables without the DEISA_."""
        common = {"WORLD_SIZE": str(size), "MASTER_PORT": str(free_port())}
        ranks = []
        for rank in range(size):
            own = common | {"BRIDGE_ID": str(rank)} | options(rank)
            environment = self.environment | {f"DEISA_{key}": value for key, value in own.items()}
            ranks.append(Rank(self.build / "bin" / "rank", environment))
        self.ranks += ranks
        for one in ranks:
            one.ok("open")
        return ranks

    def ready(self, ranks: list[Rank]) -> list[dict[str, Any]]:
        """deisa_ready on all of them."""
        return together(ranks, "ready")

    def node_actors(self) -> list[str]:
        return sorted(name for name in named_actors() if name.startswith("sched-"))

    def call(self, actor: str, method: str, **request: Any) -> dict[str, Any]:
        handle = ray.get_actor(actor, NAMESPACE)
        return json.loads(ray.get(getattr(handle, method).remote(json.dumps(request)), timeout=PATIENCE))

    def node_status(self) -> dict[str, Any]:
        (actor,) = self.node_actors()
        return self.call(actor, "deisa_status")

    def end(self) -> None:
        """Ends all of it; afterwards the cluster is as before."""
        for rank in self.ranks:
            if rank.process.poll() is None:
                rank.kill()
        for watch in self.watches:
            watch.child.end(grace=0.0)
        end_actors()
        shutil.rmtree(self.folder, ignore_errors=True)


def named_actors() -> list[str]:
    """The head actor and the node actors."""
    named = ray.util.list_named_actors(all_namespaces=True)
    return [one["name"] for one in named if one["namespace"] == NAMESPACE]


def end_actors(patience: float = 0.0) -> None:
    """Kills the head actor and the node actors that are left after so many seconds; returns at their end."""
    begin = time.monotonic()

    def gone() -> bool:
        names = named_actors()
        if time.monotonic() >= begin + patience:
            for name in names:
                with contextlib.suppress(ValueError):
                    ray.kill(ray.get_actor(name, NAMESPACE))
        return not names

    until(gone, "the actors to end")


def define_row(array: str, number: int, count: int = 2, cells: int = 4) -> str:
    """The call that defines a row of `count` chunks, each of `cells` numbers, and this rank's place."""
    place = {"nb_chunks_per_dim": [count], "chunk_position": [number]}
    return "define " + json.dumps({array: {"chunk_shape": [cells], "dtype": "float64", **place}})


def together(ranks: list[Rank], call: str) -> list[dict[str, Any]]:
    """A collective call: what it returned to each rank."""
    for rank in ranks:
        rank.ask(call)
    return [rank.answer() for rank in ranks]


def succeed(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["status"] == OK, result


@contextlib.contextmanager
def joined(
    object_store_bytes: int, variables: dict[str, str] | None = None, dashboard: bool = False
) -> Iterator[LocalRay]:
    """A Ray of the caller's own, of which this process is a driver."""
    with LocalRay(object_store_bytes=object_store_bytes, variables=variables, dashboard=dashboard) as local:
        ray.init(address=local.address, namespace=NAMESPACE, log_to_driver=False)
        try:
            yield local
        finally:
            ray.shutdown()


def control_store(address: str = "") -> GlobalStateAccessor:
    """Ray's control store, by default that of this driver, as Ray's own state API reads it (which needs the
    dashboard)."""
    address = address or ray.get_runtime_context().gcs_address
    options = GcsClientOptions.create(address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
    accessor = GlobalStateAccessor(options)
    assert accessor.connect()
    return accessor


def actor_entry(actor: str) -> gcs_pb2.ActorTableData:
    """What Ray's control store has about an actor."""
    found = control_store().get_actor_info(ray.get_actor(actor, NAMESPACE)._actor_id)
    return gcs_pb2.ActorTableData.FromString(found)


def task_events() -> list[tuple[str, bytes]]:
    """Name and actor (b"" for a plain task) of every task whose events Ray has kept."""
    events = [gcs_pb2.TaskEvents.FromString(one) for one in control_store().get_task_events()]
    return [(one.task_info.name, one.task_info.actor_id) for one in events]
