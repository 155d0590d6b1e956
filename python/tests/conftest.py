"""A private Ray cluster for the tests marked `ray`, and what a simulation needs on it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_rank import FakeRank
from local_ray import LocalRay

HERE = Path(__file__).resolve().parent
PACKAGE_ROOT = str(HERE.parent)
NAMESPACE = "deisa_ray"

# A token that Ray has left in ~/.ray is for other clusters: `ray start` would use it, and a driver that is
# given an address would not.
os.environ["RAY_AUTH_MODE"] = "disabled"


def node_library() -> str:
    """libdeisa_node.so: DEISA_NODE_LIBRARY, else where the build puts it."""
    given = os.environ.get("DEISA_NODE_LIBRARY")
    path = Path(given) if given else HERE.parent.parent / "build" / "lib" / "libdeisa_node.so"
    if not path.exists():
        pytest.fail(f"{path} is missing: build the target deisa_node, or set DEISA_NODE_LIBRARY to its path")
    return str(path)


def clean_environment() -> dict[str, str]:
    """Of a process that is not ours: without this package."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("RAY_")}
    return kept | {"RAY_AUTH_MODE": "disabled"}


def until(condition, seconds: float, what: str):
    """The first true result of condition()."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return result


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """A cluster of its own; this process is a driver with a code search path, as a Java driver is."""
    import ray
    from ray.job_config import JobConfig

    with LocalRay(cpus=4, object_store_bytes=300_000_000) as local:
        config = JobConfig(code_search_path=[PACKAGE_ROOT])
        ray.init(address=local.address, job_config=config, log_to_driver=False)
        try:
            yield local.address
        finally:
            ray.shutdown()


class Analytics:
    """A process of analytics.py."""

    def __init__(self, address: str, **options) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(HERE / "analytics.py"), json.dumps(options)],
            env=clean_environment() | {"RAY_ADDRESS": address},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict] = []
        self._errors = ""
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            if line.startswith("{"):
                self.events.append(json.loads(line))

    def _read_errors(self) -> None:
        self._errors = self.process.stderr.read()

    def of(self, event: str) -> list[dict]:
        return [one for one in self.events if one["event"] == event]

    def wait_for(self, condition, seconds: float, what: str):
        def check():
            result = condition(self)
            assert result or self.process.poll() is None or self._readers[0].is_alive(), self._errors
            return result

        return until(check, seconds, what)

    def finish(self, seconds: float = 60.0) -> list[dict]:
        """Waits for the end of the process. Returns the steps: the last report of each timestep, in order."""
        self.process.wait(seconds)
        for reader in self._readers:
            reader.join(10)
        assert self.of("ended"), f"{self.events[-1:]} {self._errors}"
        order = [one["t"] for one in self.of("step")]
        assert order == sorted(order)
        return list({one["t"]: one for one in self.of("step")}.values())

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for reader in self._readers:
            reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


class Simulation:
    """Node actors and ranks of one simulation on the private cluster."""

    def __init__(self, address: str, folder: str) -> None:
        self.address = address
        self.session = uuid.uuid4().hex
        self.folder = folder
        self.nodes: dict[str, dict] = {}  # node id as asked for -> reply of prepare
        self.ranks: list[FakeRank] = []
        self.analytics: Analytics | None = None

    def request(self) -> dict:
        """For a node actor."""
        return {
            "node_id": "",
            "node_actor": "",
            "session": self.session,
            "init_retries": 2,
            "deadline": 60.0,
            "library": node_library(),
            "socket_dir": self.folder,
        }

    def prepare(self, node: str = "", **request) -> dict:
        import ray

        from deisa_bridge import preparing

        wanted = self.request() | {"node_id": node} | request
        task = ray.remote(num_cpus=0)(preparing.prepare)
        reply = json.loads(ray.get(task.remote(json.dumps(wanted)), timeout=90))
        self.nodes[node] = reply
        return reply

    def start_analytics(self, **options) -> Analytics:
        self.analytics = Analytics(self.address, **options)
        return self.analytics

    def rank(self, bridge: int, chunks: list, node: str = "", **options) -> FakeRank:
        rank = FakeRank(self.nodes[node]["socket"], bridge, self.session, chunks, **options)
        rank.node = node
        self.ranks.append(rank)
        return rank

    def call(self, method: str, node: str = "", **request) -> dict:
        import ray

        actor = ray.get_actor(self.nodes[node]["actor"], NAMESPACE)
        reply = getattr(actor, method).remote(json.dumps({"session": self.session} | request))
        return json.loads(ray.get(reply, timeout=100))

    def finalise(self, uniform: bool = True, deadline: float = 60.0, **request) -> list[dict]:
        ids = [reply["node_id"] for reply in self.nodes.values()]
        master = self.nodes[next(r.node for r in self.ranks if r.bridge == 0)]["node_id"]
        return [
            self.call(
                "deisa_finalise",
                node,
                bridges=[r.bridge for r in self.ranks if r.node == node],
                world_size=len(self.ranks),
                nodes=ids,
                master_node=master,
                uniform=uniform,
                deadline=deadline,
                **request,
            )
            for node in self.nodes
        ]


@pytest.fixture
def simulation(ray_address, tmp_path_factory):
    """One simulation; afterwards the cluster is as before."""
    import ray

    folder = tempfile.mkdtemp(prefix="dS", dir="/tmp")
    one = Simulation(ray_address, folder)
    yield one
    if one.analytics is not None:
        one.analytics.kill()
    for rank in one.ranks:
        rank.die()

    def gone():
        names = [
            a["name"] for a in ray.util.list_named_actors(all_namespaces=True) if a["namespace"] == NAMESPACE
        ]
        for name in names:
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, NAMESPACE))
        return not names

    until(gone, 30.0, "the actors to end")
    shutil.rmtree(folder, ignore_errors=True)
