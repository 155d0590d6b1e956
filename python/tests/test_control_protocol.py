"""Both control processes, Java's and Python's, against docs/control.md."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HERE, PACKAGE_ROOT, clean_environment, node_library

LANGUAGES = ["java", "python"]


def control_jar() -> Path:
    """DEISA_JAR, else where the build puts it."""
    target = HERE.parent.parent / "java" / "target"
    found = sorted(target.glob("deisa-bridge-*[0-9].jar"))
    if "DEISA_JAR" in os.environ:
        return Path(os.environ["DEISA_JAR"])
    if not found:
        pytest.fail(f"there is no jar in {target}: run mvn package, or set DEISA_JAR to its path")
    return found[-1]


class ControlProcess:
    """One of them, started as native/control does."""

    def __init__(self, language: str, cache: Path, *options: str) -> None:
        command = [sys.executable, "-P", "-m", "deisa_bridge.control"]
        if language == "java":
            import ray

            ray_jar = Path(ray.__file__).parent / "jars" / "ray_dist.jar"
            opens = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("nio", "lang")]
            command = ["java", *opens, "-Xmx128m", "-XX:+UseSerialGC", "-XX:ErrorFile=/dev/null"]
            command += [f"-Ddeisa.cache={cache}", *options, f"--class-path={control_jar()}:{ray_jar}"]
            command += ["io.deisa.bridge.control.Main"]
        variables = {"PYTHONPATH": PACKAGE_ROOT, "RAY_AUTH_MODE": "disabled"}
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                command,
                env=clean_environment() | variables,
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
        ours.settimeout(60.0)
        self.socket = ours
        self._in = ours.makefile("rb")

    def send(self, line: bytes) -> None:
        self.socket.sendall(line + b"\n")

    def receive(self) -> dict[str, Any]:
        line = self._in.readline()
        assert line.endswith(b"\n"), f"the control process ended: {self.process.wait(10)}"
        return json.loads(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        self.send(json.dumps({"id": 7, "timeout": 50} | request).encode())
        reply = self.receive()
        assert reply["id"] == 7
        return reply

    def connect(self, address: str) -> dict[str, Any]:
        return self.ask(method="connect", address=address, node_ip="", python_path=PACKAGE_ROOT)

    def end(self) -> None:
        """Closes the socket, at which it ends within a moment."""
        self._in.close()
        self.socket.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail("the control process did not end with its parent")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def address(ray_address: str) -> str:
    """As Ray itself has it; the fixture's names the loopback."""
    import ray

    return ray.get_runtime_context().gcs_address


@contextlib.contextmanager
def started(language: str, cache: Path, *options: str) -> Iterator[ControlProcess]:
    control = ControlProcess(language, cache, *options)
    try:
        yield control
    finally:
        control.end()


def is_error(reply: dict[str, Any], kind: str, *texts: str) -> None:
    assert set(reply) == {"id", "error"} and set(reply["error"]) == {"kind", "message"}, reply
    assert reply["error"]["kind"] == kind, reply
    for text in texts:
        assert text in reply["error"]["message"], reply


@pytest.mark.parametrize("language", LANGUAGES)
def test_garbage_is_answered_with_an_error(language, cache):
    with started(language, cache) as control:
        control.send(b"the first may come before the hello")
        assert control.receive() == {"hello": "deisa-control", "version": 1, "language": language}
        is_error(control.receive(), "argument", "not a JSON object")
        objects = [
            b"",
            b"[]",
            b"7",
            b"null",
            b'{"id":1',
            b'{"id":1}x',
            b"{'id':1}",
            b'{"id":NaN}',
            b"\xff\x00",
        ]
        for line in [*objects, b'{"id":1,"a":' + b"[" * 100_000]:
            control.send(line)
            reply = control.receive()
            assert reply["id"] is None
            is_error(reply, "argument", "not a JSON object")
        for line, text in [
            (b"{}", '"method" is missing'),
            (b'{"method":7}', '"method" is 7'),
            (b'{"method":"stop"}', '"stop": expected connect, run or call'),
            (b'{"method":"run","function":"prepare","request":{},"timeout":1}', "connect comes first"),
            (b'{"method":"call","timeout":1}', "connect comes first"),
            (b'{"method":"connect","timeout":1}', '"address" is missing'),
            (b'{"method":"connect","address":"h:1","node_ip":1,"timeout":1}', '"node_ip" is 1'),
            (b'{"method":"connect","address":"h:1","node_ip":"","python_path":""}', '"timeout" is missing'),
            (
                b'{"method":"connect","address":"h:1","node_ip":"","python_path":"","timeout":0}',
                '"timeout" is 0',
            ),
        ]:
            control.send(line)
            is_error(control.receive(), "argument", text)
        control.send('{"id":"\\u00e9\\n\\"","method":"é"}'.encode())
        reply = control.receive()
        assert reply["id"] == 'é\n"'
        is_error(reply, "argument", '"é"')


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_ends_with_its_parent_before_it_is_asked(language, cache):
    control = ControlProcess(language, cache)
    control.end()
    control = ControlProcess(language, cache)
    control.receive()
    control.end()


def test_a_python_without_ray_is_named(cache, monkeypatch, tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError('no ray for a test')")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE_ROOT", f"{tmp_path}:{PACKAGE_ROOT}")
    with started("python", cache) as control:
        control.receive()
        is_error(
            control.connect("127.0.0.1:1"), "connection", "no ray for a test", sys.executable, "DEISA_PYTHON"
        )


def prepare(folder: Path, **request: Any) -> dict[str, Any]:
    wanted = {"session": "00" * 8, "library": node_library(), "socket_dir": str(folder), "deadline": 40.0}
    return {"method": "run", "function": "prepare", "request": wanted | request}


@pytest.mark.ray
@pytest.mark.parametrize("language", LANGUAGES)
def test_it_joins_ray_and_makes_the_node_actor(language, cache, address, simulation):
    archive = cache / f"classes-{language}"
    options = [f"-Ddeisa.archive={archive}", "-XX:+RecordDynamicDumpInfo"]
    with started(language, cache, *options) as control:
        control.receive()
        joined = control.connect(address)
        assert len(joined["result"]["ray_node_id"]) == 56, joined
        is_error(control.connect(address), "argument", "joined Ray before")
        folder = Path(simulation.folder)
        refused = control.ask(**prepare(folder, node_actor="no.such:Class"))
        assert refused["result"]["kind"] == "contract" and "no.such:Class" in refused["result"]["error"], (
            refused
        )
        made = control.ask(**prepare(folder))
        assert made["result"]["node_id"] == joined["result"]["ray_node_id"], made
        unknown = control.ask(method="run", function="shout", request={})
        assert unknown["result"]["kind"] == "unsupported", unknown
        assert 'no function "shout"' in unknown["result"]["error"], unknown

        call = {"method": "call", "actor": made["result"]["actor"], "actor_method": "deisa_status"}
        status = control.ask(**call, request={})
        assert status["result"]["socket"] == made["result"]["socket"], status
        assert archive.exists() == (language == "java")
        is_error(control.ask(**call | {"actor": "nobody"}, request={}), "connection", "no actor nobody")
        # The node actor waits for the analytics.
        finalise = {"session": "00" * 8, "bridges": [], "world_size": 1, "nodes": [], "deadline": 40.0}
        slow = call | {"actor_method": "deisa_finalise", "request": finalise, "timeout": 0.3}
        is_error(control.ask(**slow), "timeout", "deisa_finalise", made["result"]["actor"], "0.3 s")
        control.send(json.dumps({"id": 8} | slow | {"timeout": 40}).encode())
        # In the middle of this call it ends.


@pytest.mark.ray
@pytest.mark.parametrize("language", LANGUAGES)
def test_it_ends_with_its_parent_while_it_joins(language, cache, address):
    """A raylet that does not answer holds Ray's Python with the interpreter's lock held."""
    raylets = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_raylet(pid, address)]
    assert raylets
    for raylet in raylets:
        os.kill(raylet, signal.SIGSTOP)
    try:
        with started(language, cache) as control:
            control.receive()
            control.socket.settimeout(1.0)
            with pytest.raises(TimeoutError):
                control.connect(address)
    finally:
        for raylet in raylets:
            os.kill(raylet, signal.SIGCONT)


def is_raylet(pid: int, address: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False
    return words[0].endswith("/raylet") and any(address in word for word in words)
