"""The control process in Python (`python -m deisa_bridge.control`), see docs/control.md, and the functions
that it and the one in Java run. The latter names `run` by module and function, as a Ray task.

Nothing of Ray is imported with this module: the process must first be able to end when its parent does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib
import json
import os
import queue
import re
import select
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from deisa_bridge.status import NAMESPACE

FUNCTIONS = {"prepare": "preparing", "clean": "cleaning", "end_session": "cleaning"}
"""What `run` can run, and the module of this package that it is in. Each takes and returns a JSON object as
text; "ray_node_id" is added to the request. It never raises, and observes the "deadline" in its request
(seconds), because nothing here can interrupt it."""

COLOUR = re.compile("\x1b\\[[0-9;]*m")
LONGEST = 3500


class ControlError(Exception):
    """An error with its kind of docs/control.md."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def run(function: str, request_json: str) -> str:
    """Runs a function of FUNCTIONS. That there is none is a reply too: an exception that leaves a Ray task
    loses its kind."""
    if function not in FUNCTIONS:
        text = f'there is no function "{function}" to run: expected one of {", ".join(FUNCTIONS)}'
        return json.dumps({"error": text, "kind": "unsupported"})
    module = importlib.import_module(f"deisa_bridge.{FUNCTIONS[function]}")
    return getattr(module, function)(request_json)


def describe(error: BaseException) -> str:
    """The reason first, which for an error from another process is its last line; then all of it."""
    text = COLOUR.sub("", str(error)).strip() or type(error).__name__
    reason = text.splitlines()[-1].strip()
    text = text if text == reason else f"{reason}\n{text}"
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}\n[...]\n{text[-half:]}"


def _advice(error: Exception) -> str:
    """What to do when Ray cannot be imported."""
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        return "raise the limit of open files where the simulation is started (`ulimit -n`)"
    short = ("failed to map segment", "annot allocate memory")  # of libraries
    if isinstance(error, MemoryError) or any(text in str(error) for text in short):
        return "raise the limit of the address space (`ulimit -v`), or of the job"
    return "install it there, or set DEISA_PYTHON to the Python that Ray is installed in"


class Requests:
    """Answers requests, line by line. Made when Ray has been loaded, as far as it can be."""

    def __init__(self) -> None:
        self._ray: Any = None
        self._load_error = ""
        self._node = ""  # of this driver; "" when it has not joined Ray
        try:
            import ray

            for module in FUNCTIONS.values():
                importlib.import_module(f"deisa_bridge.{module}")
            self._ray = ray
        except Exception as error:
            self._load_error = (
                f"{sys.executable} cannot import the Python package ray ({type(error).__name__}: {error}): "
                + _advice(error)
            )

    def answer(self, line: bytes) -> str:
        """The reply to one request."""
        identity = None
        try:
            request = _parse(line)
            if isinstance(request.get("id"), (int, float, str)):
                identity = request["id"]
            return json.dumps({"id": identity, "result": self._result(request)})
        except ControlError as error:
            return _error(identity, error.kind, str(error))
        except Exception as error:
            trace = "".join(traceback.format_exception(error)[-2:])
            return _error(identity, "internal", f"{describe(error)}\n{trace}")

    def _result(self, request: dict[str, Any]) -> dict[str, Any]:
        method = _member(request, "method", str)
        known = {"connect": self._connect, "run": self._run, "call": self._call}
        if method not in known:
            raise ControlError("argument", f'the method is "{method}": expected connect, run or call')
        if method != "connect" and not self._node:
            raise ControlError("argument", f"{method}: connect comes first")
        return known[method](request, _timeout(request))

    def _connect(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        if self._node:
            raise ControlError("argument", "connect: this process has joined Ray before")
        address = _member(request, "address", str)
        node_ip = _member(request, "node_ip", str)
        _member(request, "python_path", str)  # this package is in the path that Ray hands to its workers
        if self._load_error:
            raise ControlError("connection", self._load_error)
        try:
            self._ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
                **({"_node_ip_address": node_ip} if node_ip else {}),
            )
            self._node = self._ray.get_runtime_context().get_node_id()
        except Exception as error:
            self._ray.shutdown()
            text = f"joining Ray at {address} failed: {type(error).__name__}: {describe(error)}"
            raise ControlError("connection", text) from error
        return {"ray_node_id": self._node}

    def _run(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        function = _member(request, "function", str)
        wanted = _member(request, "request", dict)
        return _reply(run(function, json.dumps(wanted | {"ray_node_id": self._node})))

    def _call(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        name = _member(request, "actor", str)
        method = _member(request, "actor_method", str)
        wanted = json.dumps(_member(request, "request", dict))
        what = f"the call of {method} of the actor {name}"
        try:
            actor = self._ray.get_actor(name, NAMESPACE)
        except ValueError:
            raise ControlError(
                "connection",
                f"there is no actor {name} in Ray's namespace {NAMESPACE}: "
                "it was never created, or it has ended",
            ) from None
        if not hasattr(actor, method):
            raise ControlError("connection", f"{what} failed: it has no such method")
        try:
            return _reply(self._ray.get(getattr(actor, method).remote(wanted), timeout=timeout))
        except self._ray.exceptions.GetTimeoutError:
            raise ControlError("timeout", f"{what} did not return within {timeout} s") from None
        except self._ray.exceptions.RayError as error:
            raise ControlError("connection", f"{what} failed: {describe(error)}") from error


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ControlError("argument", f"not a JSON object: {error}") from None
    if not isinstance(request, dict):
        raise ControlError("argument", "not a JSON object")
    return request


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _reply(text: str) -> dict[str, Any]:
    try:
        reply = json.loads(text)
    except (TypeError, ValueError):
        reply = None
    if not isinstance(reply, dict):
        raise ControlError("internal", f"the reply is not a JSON object: {text}")
    return reply


def _member(request: dict[str, Any], name: str, kind: type) -> Any:
    value = request.get(name)
    if isinstance(value, kind):
        return value
    found = json.dumps(value) if name in request else "missing"
    expected = "a string" if kind is str else "an object"
    raise ControlError("argument", f'"{name}" is {found}: expected {expected}')


def _timeout(request: dict[str, Any]) -> float:
    value = request.get("timeout")
    if type(value) in (int, float) and 0 < value < 1e9:
        return float(value)
    found = json.dumps(value) if "timeout" in request else "missing"
    raise ControlError("argument", f'"timeout" is {found}: expected seconds, more than 0')


def _error(identity: Any, kind: str, text: str) -> str:
    return json.dumps({"id": identity, "error": {"kind": kind, "message": text}})


class Connection:
    """Descriptor 0, which is a socket. At end-of-file this process exits at once, whatever it does. A
    shutdown of Ray may take long, and no process waits for it."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=os.dup(0))
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)  # nothing that Ray starts keeps the socket open
        os.close(null)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        fcntl.fcntl(self._socket, fcntl.F_SETOWN, os.getpid())
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            # Not in recv: the kernel sends no signal to a process that waits there.
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            rest = b""
            while poll.poll() and (received := self._socket.recv(1 << 16)):
                *complete, rest = (rest + received).split(b"\n")
                for line in complete:
                    self._lines.put(line)
        finally:
            os._exit(0)

    def send(self, line: str) -> None:
        self._socket.sendall(line.encode() + b"\n")

    def receive(self) -> bytes:
        return self._lines.get()

    @contextlib.contextmanager
    def watched_by_the_kernel(self) -> Iterator[None]:
        """Meanwhile the end of the socket is a SIGIO, which ends this process: Ray joins a cluster with the
        interpreter's lock held, so that no thread of Python's sees anything. A request would do the same,
        but none is sent before the one before has been answered."""
        flags = fcntl.fcntl(self._socket, fcntl.F_GETFL)
        fcntl.fcntl(self._socket, fcntl.F_SETFL, flags | os.O_ASYNC)
        try:
            if select.select([self._socket], [], [], 0)[0] and not self._socket.recv(1, socket.MSG_PEEK):
                os._exit(0)  # it came before
            yield
        finally:
            fcntl.fcntl(self._socket, fcntl.F_SETFL, flags)


def main() -> None:
    """Answers what comes on descriptor 0. Never returns."""
    connection = Connection()
    try:
        requests = Requests()
        connection.send(json.dumps({"hello": "deisa-control", "version": 1, "language": "python"}))
        while True:
            line = connection.receive()
            with connection.watched_by_the_kernel():
                reply = requests.answer(line)
            connection.send(reply)
    except OSError:
        os._exit(0)  # the parent has gone
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
