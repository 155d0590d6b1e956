"""The part of the node actor that outlives a simulation: its requests, deisa-ray's object, the way out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import glob
import inspect
import json
import logging
import os
import socket
import sys
import tempfile
import time
import traceback
import uuid
from typing import Any

import ray

from deisa_bridge import head as head_actor
from deisa_bridge.node_actor import load_base
from deisa_bridge.ranks import register
from deisa_bridge.service import Service
from deisa_bridge.status import HEAD_ACTOR, BridgeError, actor_name, creation_failed
from deisa_bridge.versions import check_deisa_ray, driver_is_gone

logger = logging.getLogger(__name__)

MAX_SOCKET_PATH = 107
DEPARTURE_POLL = 1.0
UNUSED_GRACE = 30.0
"""Seconds past the deadline of its start after which a session without a rank is given up."""


class Host:
    """What a node actor does. Made and used on the actor's event loop."""

    def __init__(self, node: str, base: str) -> None:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
        self._node = node
        self._base = base
        self._service: Service | None = None
        self._path = ""
        self._finalising = asyncio.Lock()
        self._finalised = False
        self._head: Any = None
        self._inner: Any = None
        self._tasks: set[asyncio.Task] = set()
        self._init_retries = 1
        self._starting: asyncio.Task | None = None
        self._start()

    def _spawn(self, work: Any) -> asyncio.Task:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self) -> None:
        """The actor ends."""
        if self._service is not None:
            self._service.stop()
            self._service = None

    # ---- deisa-ray's object ------------------------------------------------------------------------------

    def _start(self) -> asyncio.Task:
        """The task that makes it: under way, done, or begun anew after it has failed for good."""
        if self._starting is None:
            self._starting = self._spawn(self._start_base())
        return self._starting

    async def _start_base(self) -> None:
        """Makes deisa-ray's object once the head actor is there. Its own wait then ends at once."""
        base = await head_actor.in_thread(load_base, self._base)
        if not self._base:
            check_deisa_ray(base)
        head = await head_actor.wait_for_head(head_actor.HEAD_WAIT)
        inner = base.__new__(base)
        made = base.__init__(inner, actor_id=self._node)
        if inspect.isawaitable(made):
            await made
        self._head, self._inner = head, inner

    async def _base_ready(self, deadline: float) -> None:
        """Waits for it, up to init_retries attempts. Raises BridgeError."""
        for attempt in range(1, self._init_retries + 1):
            await asyncio.wait({self._start()}, timeout=max(deadline - time.monotonic(), 0.0))
            if not self._start().done():
                cause = BridgeError(
                    f"the head actor '{HEAD_ACTOR}' did not answer in time. It is made by the analytics: "
                    "start them (a Python program that uses deisa.ray.Deisa) on the same Ray cluster.",
                    "timeout",
                )
                raise creation_failed(self._node, cause)
            error = self._start().exception()
            if error is None:
                return
            self._starting = None
            if isinstance(error, BridgeError) and error.kind in ("contract", "unsupported"):
                raise creation_failed(self._node, error) from error
            logger.warning("attempt %d to make the node actor's object failed", attempt, exc_info=error)
            text = f"attempt {attempt} of {self._init_retries} failed: {type(error).__name__}: {error}"
            failure = BridgeError(text, error.kind if isinstance(error, BridgeError) else "connection")
        raise creation_failed(self._node, failure) from error

    async def call_inherited(self, name: str, args: tuple, kwargs: dict) -> Any:
        """Calls a method of deisa-ray's object, once that is there."""
        if self._inner is None:
            await asyncio.shield(self._start())
        result = getattr(self._inner, name)(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    # ---- Requests ----------------------------------------------------------------------------------------

    async def answer(self, method: str, request: str) -> str:
        """The reply to a request, both JSON texts. Never raises."""
        try:
            handler = getattr(self, "_" + method)
            return json.dumps(await handler(json.loads(request)))
        except BridgeError as error:
            return json.dumps({"error": f"node actor {actor_name(self._node)}: {error}", "kind": error.kind})
        except Exception as error:
            logger.exception("%s failed", method)
            trace = "".join(traceback.format_exception(error)[-2:])
            text = f"node actor {actor_name(self._node)}: {method} failed: {type(error).__name__}: {error}"
            return json.dumps({"error": f"{text}\n{trace}", "kind": "connection"})

    async def _deisa_serve(self, request: dict) -> dict:
        """Opens the socket for a session. The same session again gets the same socket."""
        session = str(request["session"])
        service = self._service
        if service is not None and service.session != session:
            if live := service.live():
                ranks = ", ".join(f"{rank.bridge} (process {rank.pid})" for rank in live[:8])
                raise BridgeError(
                    f"it serves session {service.session} of another simulation, whose ranks are connected: "
                    f"{ranks}. Run one simulation at a time on a Ray cluster, or wait until that one ends.",
                    "contract",
                )
            if self._finalised:
                raise BridgeError(
                    f"it still holds the data of session {service.session}, whose simulation has ended and "
                    "whose analytics have not",
                    "busy",
                )
            # That session never got further than its start, and nobody is left of it.
            service.stop()
            self._service = None
        if self._service is None:
            self._open(request, session)
            self._init_retries = max(1, int(request.get("init_retries") or 3))
        return {"actor": actor_name(self._node), "node_id": self._node, "socket": self._path}

    def _open(self, request: dict, session: str) -> None:
        from deisa_bridge.receiver import Receiver

        folder = request.get("socket_dir") or tempfile.gettempdir()
        remove_stale_sockets(folder)
        path = os.path.join(folder, f"deisa-{os.getuid()}-{uuid.uuid4().hex[:8]}.sock")
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise BridgeError(
                f"the socket's path {path} is longer than {MAX_SOCKET_PATH} bytes: set DEISA_SOCKET_DIR to a "
                "folder with a shorter name",
                "contract",
            )
        library = request.get("library") or "libdeisa_node.so"
        try:
            receiver = Receiver(path, library)
        except Exception as error:
            raise BridgeError(f"the socket {path} cannot be served with {library}: {error}") from error
        delay = float(request.get("announce_delay") or 0.0)
        self._service, self._path = Service(receiver, session, self._node, delay), path
        self._spawn(
            self._leave_if_unused(self._service, float(request.get("deadline") or 600.0) + UNUSED_GRACE)
        )
        logger.info("serving session %s at %s", session, path)

    async def _deisa_finalise(self, request: dict) -> dict:
        """Meets the head actor and registers the arrays of this node's bridges. Repeating it is harmless."""
        service = self._of_session(request)
        # The caller's own wait ends at its deadline: the reply has to be there a little earlier.
        deadline = time.monotonic() + float(request.get("deadline", 600.0)) * 0.95
        async with self._finalising:
            if self._finalised:
                return {}
            missing = sorted(
                set(request.get("bridges", [])) - {r.bridge for r in service.live() if r.welcomed}
            )
            if missing:
                raise BridgeError(f"ranks {missing} of this node are not connected", "contract")
            await service.admitting.check(request)
            await self._base_ready(deadline)
            what = "waiting for the analytics to call Deisa.execute_callbacks()"
            await head_actor.call(
                self._head.wait_until_analytics_ready.remote(), deadline - time.monotonic(), what
            )
            await register(self._head, self._inner, self._node, list(service.ranks.values()), deadline)
            await service.admitting.begin(self._head)
            service.begin(self._head, self._inner, request)
            self._finalised = True
            self._spawn(self._depart())
        return {}

    async def _deisa_status(self, request: dict) -> dict:
        """Counters and what is waited for, for people and tests."""
        about = {
            "node_id": self._node,
            "socket": self._path,
            "pid": os.getpid(),
            "finalised": self._finalised,
        }
        return about | (self._service.status() if self._service is not None else {})

    async def _deisa_watermark(self, request: dict) -> dict:
        """From the node actor of another node; see peers.py."""
        service = await self._begun(request, 15.0)
        return await service.peers.answer_watermark(request)

    async def _deisa_drain(self, request: dict) -> dict:
        """From the node actor of bridge 0: announce everything, the end marker comes next."""
        service = await self._begun(request, 0.0)
        return {"newest": await service.ending.drain_for_another(str(request.get("reason", "")))}

    def _of_session(self, request: dict) -> Service:
        if self._service is None:
            raise BridgeError("it serves no session: call deisa_serve first", "contract")
        if self._service.session != request.get("session"):
            raise BridgeError(
                f"it serves session {self._service.session}, not {request.get('session')}", "contract"
            )
        return self._service

    async def _begun(self, request: dict, seconds: float) -> Any:
        """The service, once its arrays are registered: nodes get there at different times."""
        service = self._of_session(request)
        end = time.monotonic() + seconds
        while service.peers is None:
            if (left := end - time.monotonic()) <= 0:
                raise BridgeError("its arrays are not registered yet")
            await asyncio.sleep(min(0.05, left))
        return service

    # ---- The way out -------------------------------------------------------------------------------------

    async def _leave_if_unused(self, service: Service, seconds: float) -> None:
        """Ends this actor if the session never got past its start, and no rank is left of it."""
        await asyncio.sleep(seconds)
        while self._service is service and not self._finalised:
            if not service.live():
                logger.warning("session %s never started: the node actor ends", service.session)
                await self._leave()
            await asyncio.sleep(DEPARTURE_POLL)

    async def _leave(self) -> None:
        """Ends this detached actor, so that its name is free, and removes its socket."""
        self.stop()
        await head_actor.in_thread(ray.kill, ray.get_runtime_context().current_actor)

    async def _depart(self) -> None:
        """When the simulation has ended and the analytics' driver too, removes the head actor, which
        deisa-ray would leave, and this actor: the next simulation and the next analytics start afresh."""
        while True:
            await asyncio.sleep(DEPARTURE_POLL)
            service = self._service
            if service is None or service.live() or not service.gather.idle:
                continue
            try:
                head = await head_actor.find_actor(HEAD_ACTOR)
                if head is not None and head._actor_id == self._head._actor_id:
                    if not await head_actor.in_thread(driver_is_gone, head):
                        continue
                    await head_actor.in_thread(ray.kill, head)
            except Exception:
                logger.exception("looking after the head actor failed; trying again")
                continue
            logger.info("session %s is over: the node actor ends", service.session)
            await self._leave()


def remove_stale_sockets(folder: str) -> None:
    """Removes sockets of this user's node actors that were killed."""
    for path in glob.glob(os.path.join(glob.escape(folder), f"deisa-{os.getuid()}-*.sock")):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)
