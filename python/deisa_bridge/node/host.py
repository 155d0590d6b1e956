"""The part of the node actor that outlives a simulation: its requests, deisa-ray's object, its exit."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import sys
import time
import traceback
from typing import Any

import ray

from deisa_bridge import head as head_actor
from deisa_bridge.claim import claim
from deisa_bridge.node import metrics, report
from deisa_bridge.node.analytics_trace import trace_analytics
from deisa_bridge.node.broken import Broken
from deisa_bridge.node.liveness import Liveness
from deisa_bridge.node.ranks import register
from deisa_bridge.node.scheduler import provide
from deisa_bridge.node.service import Service
from deisa_bridge.node.shutdown import end_alone
from deisa_bridge.node.socket_path import socket_path
from deisa_bridge.node_actor import load_base
from deisa_bridge.starting import Starting
from deisa_bridge.status import HEAD_ACTOR, BridgeError, actor_name, creation_failed
from deisa_bridge.versions import check_deisa_ray, driver_is_gone, job_is_over

logger = logging.getLogger(__name__)

UNUSED_POLL = 1.0
UNUSED_GRACE = 30.0
"""Seconds past the deadline of its start after which a session without a rank is removed."""
CLAIM_POLL = 0.5
END_WAIT = 30.0
"""Seconds that deisa-ray's object may take to be created where it is not needed."""
ANALYTICS_POLL = 1.0
CLAIM_WAIT = 60.0
"""Seconds to wait until analytics that serve another simulation, which has ended, have exited too."""


class Host:
    """What a node actor does. Made and used on the actor's event loop."""

    def __init__(self, node: str, base: str) -> None:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s")
        self._node = node
        self._base = base
        self._service: Service | None = None
        self._path = ""
        self._job, self._process = "", None  # of the process that requested the session: its driver, its pid
        self._serving = asyncio.Lock()
        self._finalising = asyncio.Lock()
        self._finalised = False
        self._leaving = False
        self._meeting: float | None = None  # since when the analytics are waited for
        self._ends = False  # it was made to end the session of node actors that have died
        self._head: Any = None
        self._inner: Any = None
        self._tasks: set[asyncio.Task] = set()
        self._init_retries = 1
        self._starting: asyncio.Task | None = None
        self._trace = Starting()
        self._trace_file = ""
        self._start()
        self._spawn(self._leave_if_unasked())

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
        with self._trace.span("import deisa-ray"):
            base = await head_actor.in_thread(load_base, self._base)
        if not self._base:
            check_deisa_ray(base)
        with self._trace.span("wait for the head actor"):
            head = await head_actor.wait_for_head(head_actor.HEAD_WAIT)
        with self._trace.span("make deisa-ray's object"):
            inner = base.__new__(base)
            made = base.__init__(inner, actor_id=self._node)
            if inspect.isawaitable(made):
                await made
        self._head, self._inner = head, inner

    async def _base_ready(self, deadline: float) -> None:
        """Waits for it, up to init_retries attempts. Raises BridgeError."""
        if await self._met_others():
            self._head = self._starting = None
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

    async def _met_others(self) -> bool:
        """The head actor that it found is not there any more, or is another one: other analytics have
        started."""
        if self._head is None:
            return False
        head = await head_actor.find_actor(HEAD_ACTOR)
        return head is None or head._actor_id != self._head._actor_id

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
        async with self._serving:
            return await self._serve(request)

    async def _serve(self, request: dict) -> dict:
        session = str(request["session"])
        # Checked first: from here to the end nothing else runs, and no rank connects.
        starting = bool(self._job) and not await _has_ended(self._job)
        service = self._service
        if self._leaving or self._ends:
            raise BridgeError("it is ending, after the simulation before", "busy")
        if service is not None and service.id != session:
            if live := service.live():
                ranks = ", ".join(f"{rank.bridge} (process {rank.pid})" for rank in live[:8])
                raise BridgeError(
                    f"it serves session {service.id} of another simulation, whose ranks are connected: "
                    f"{ranks}. Run one simulation at a time on a Ray cluster, or wait until that one ends.",
                    "contract",
                )
            if self._finalised:
                raise BridgeError(
                    f"it still has the data of session {service.id}, whose simulation has ended and "
                    "whose analytics have not",
                    "busy",
                )
            if starting:
                raise BridgeError(
                    f"it serves session {service.id} of another simulation, which is starting: process "
                    f"{self._process}. Run one simulation at a time on a Ray cluster.",
                    "busy",
                )
            # That session never got past its start, and no process of it is left.
            service.stop()
            self._service = None
        if self._service is None:
            self._open(request, session)
            self._init_retries = max(1, int(request.get("init_retries") or 3))
        return {
            "actor": actor_name(self._node),
            "node_id": self._node,
            "socket": self._path,
            "log": report.log_file(),
        }

    def _open(self, request: dict, session: str) -> None:
        from deisa_bridge.node.receiver import Receiver

        path = socket_path(request.get("socket_dir") or "")
        library = request.get("library") or "libdeisa_node.so"
        try:
            receiver = Receiver(path, library)
            if request.get("trace"):
                receiver.trace(request["trace"], f"node actor {self._node}")
                self._trace_file = request["trace"]
            self._trace.serve(receiver, request.get("task") or {})
        except Exception as error:
            raise BridgeError(f"the socket {path} cannot be served with {library}: {error}") from error
        delay = float(request.get("announce_delay") or 0.0)
        interval = float(request.get("feedback_interval") or 0.0)
        self._service, self._path = Service(receiver, session, self._node, delay, interval), path
        self._job, self._process = str(request.get("job") or ""), request.get("process")
        seconds = float(request.get("deadline") or 600.0) + UNUSED_GRACE
        self._spawn(self._leave_if_unused(self._service, seconds, self._job))
        logger.info("serving session %s at %s", session, path)

    async def _deisa_finalise(self, request: dict) -> dict:
        """Waits for the head actor and registers the arrays of this node's bridges. Repeating it is
        harmless."""
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
            await service.back_pressure.check(request)
            with self._trace.span("find the analytics"):
                await self._meet_analytics(request, deadline)
            if not self._base:
                await provide(self._head, self._node, ray.get_runtime_context().get_node_id())
            with self._trace.span("register the arrays"):
                await register(self._head, self._inner, self._node, list(service.ranks.values()), deadline)
                await service.back_pressure.begin(self._head)
            service.begin(self._head, self._inner, request)
            if self._trace_file and service.is_master:
                await trace_analytics(service, self._trace_file)
            self._finalised = True
            # Every rank is connected, and no other one may come: if this actor is killed, no file is left.
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._spawn(self._depart(service))
        return {}

    async def _meet_analytics(self, request: dict, deadline: float) -> None:
        """Waits for the analytics, and claims them for this simulation."""
        self._meeting = time.monotonic()
        patience = min(deadline, time.monotonic() + CLAIM_WAIT)
        while True:
            await self._base_ready(deadline)
            try:
                await self._analytics_ready(deadline)
                await claim(self._head, request["session"], request.get("nodes") or [self._node])
                return
            except head_actor.ActorGone:
                pass  # those analytics have ended: wait for the next
            except BridgeError as error:
                if error.kind != "busy":
                    raise
                if time.monotonic() > patience:
                    raise BridgeError(str(error), "contract") from None
            await asyncio.sleep(min(CLAIM_POLL, max(deadline - time.monotonic(), 0.0)))

    async def _analytics_ready(self, deadline: float) -> None:
        """Until they have called Deisa.execute_callbacks(). Raises ActorGone if they have ended, after
        removing the head actor, which would be in the way of the next."""
        what = "waiting for the analytics to call Deisa.execute_callbacks()"
        ready = self._head.wait_until_analytics_ready.remote()
        waiting = asyncio.ensure_future(head_actor.call(ready, deadline - time.monotonic(), what))
        try:
            while not (await asyncio.wait({waiting}, timeout=ANALYTICS_POLL))[0]:
                if await head_actor.in_thread(driver_is_gone, self._head):
                    logger.warning("removing the head actor of analytics that have ended")
                    await head_actor.in_thread(ray.kill, self._head)
                    raise head_actor.ActorGone("the analytics have ended")
            await waiting
        finally:
            waiting.cancel()

    async def _deisa_status(self, request: dict) -> dict:
        """Counters and what is waited for, for people and tests. With "progress": true, what
        `deisa-info --status` shows, too."""
        about = {
            "node_id": self._node,
            "socket": self._path,
            "pid": os.getpid(),
            "finalised": self._finalised,
            "ends": self._ends,
            "job": self._job,
        }
        service = self._service
        if service is None:
            return about
        if not request.get("progress"):
            return about | service.status()
        if service.peers is not None:
            await service.back_pressure.read()
        about |= {"log": report.log_file(), "progress": await report.describe(service)}
        about["metrics"] = metrics.as_text(metrics.samples(service, service.back_pressure.holds))
        if self._meeting is not None and not self._finalised:
            wait = ("the simulation waits for the analytics to start", time.monotonic() - self._meeting)
            about["progress"]["waits"].append(wait)
        return about | service.status()

    async def _deisa_watermark(self, request: dict) -> dict:
        """From the node actor of another node; see peers.py."""
        service = await self._begun(request, 15.0)
        return await service.peers.answer_watermark(request)

    async def _deisa_broken(self, request: dict) -> dict:
        """From another node actor: sets that can never be complete; see broken.py."""
        service = await self._begun(request, 15.0)
        service.spread.hear([Broken.parse(one) for one in request["broken"]], request["node"])
        return {}

    async def _deisa_lacking(self, request: dict) -> dict:
        """From the node actor of bridge 0: which of these sets will never be announced here; see holes.py."""
        service = await self._begun(request, 0.0)
        return {"broken": [one.to_json() for one in service.gather.lacking(request["sets"])]}

    async def _deisa_note(self, request: dict) -> dict:
        """From another node actor: a line for the session's log."""
        self._of_session(request).note(str(request["text"]))
        return {}

    async def _deisa_room(self, request: dict) -> dict:
        """From another node actor that may share the object store; see gate.py."""
        service = await self._begun(request, 0.0)
        return service.back_pressure.room()

    async def _deisa_drain(self, request: dict) -> dict:
        """From the node actor of bridge 0: announce everything, the end marker comes next."""
        service = await self._begun(request, 0.0)
        wait = min(float(request.get("wait", 0.0)), 30.0)
        return await service.shutdown.drain_for_another(str(request.get("reason", "")), wait)

    async def _deisa_end(self, request: dict) -> dict:
        """For a session whose node actors have all died: sends the end marker to its analytics. This actor
        serves no rank; it owns the end marker, and exits when they have exited."""
        if self._service is not None or self._leaving:
            raise BridgeError("it serves a session itself, or is ending", "busy")
        if self._ends:  # it has done so, or is about to
            return {"ended": False}
        self._ends = True
        # A handle of the head actor makes Python import deisa-ray, which must not happen twice at a time.
        # So nothing but the list of names says whether it is still there.
        begun, head, told = time.monotonic(), None, False
        while (there := await head_actor.is_listed(HEAD_ACTOR)) and time.monotonic() - begun < END_WAIT:
            done, _ = await asyncio.wait({self._start()}, timeout=UNUSED_POLL)
            if done:
                break
        if there:
            head = await head_actor.find_actor(HEAD_ACTOR)
        try:
            if head is not None:
                newest = request.get("newest")
                told = await end_alone(head, str(request["session"]), self._node, newest)
        finally:
            self._spawn(self._leave_after(head if told else None))
        return {"ended": told}

    async def _leave_after(self, head: Any | None) -> None:
        """Ends this actor when the analytics of the head actor have ended, which is removed then."""
        over = False
        while not over:
            await asyncio.sleep(UNUSED_POLL)  # in which the reply is on its way, too
            over = head is None or await head_actor.in_thread(driver_is_gone, head)
        if head is not None:
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                await head_actor.in_thread(ray.kill, head)
        await self._leave()

    def _of_session(self, request: dict) -> Service:
        if self._service is None:
            raise BridgeError("it serves no session: call deisa_serve first", "contract")
        if self._service.id != request.get("session"):
            raise BridgeError(
                f"it serves session {self._service.id}, not {request.get('session')}", "contract"
            )
        return self._service

    async def _begun(self, request: dict, seconds: float) -> Any:
        """The service, once its arrays are registered: nodes get there at different times."""
        service = self._of_session(request)
        end = time.monotonic() + seconds
        while service.peers is None:
            if (left := end - time.monotonic()) <= 0:
                raise BridgeError("its arrays are not registered", "contract")
            await asyncio.sleep(min(0.05, left))
        return service

    # ---- Exit --------------------------------------------------------------------------------------------

    async def _leave_if_unasked(self) -> None:
        """Ends this actor if the driver that created it has exited without requesting a session."""
        job = ray.get_runtime_context().get_job_id()
        while self._service is None and not self._ends:
            await asyncio.sleep(UNUSED_POLL)
            if await _has_ended(job) and self._service is None and not self._ends:
                logger.warning("job %s, which made this node actor, ended at its start: it ends too", job)
                await self._leave()

    async def _leave_if_unused(self, service: Service, seconds: float, job: str) -> None:
        """Ends this actor if the session never gets past its start: no rank is left, and the driver that
        requested it has exited too, or the time is over."""
        end = time.monotonic() + seconds
        while self._service is service and not self._finalised:
            await asyncio.sleep(UNUSED_POLL)
            over = bool(job) and await _has_ended(job)
            unused = self._service is service and not self._finalised and not service.live()
            if unused and (over or time.monotonic() > end):
                logger.warning("session %s never started: the node actor ends", service.id)
                await self._leave()

    async def _depart(self, service: Service) -> None:
        await Liveness(service, self._head, service.shutdown.take_over).until_over()
        logger.info("session %s is over: the node actor ends", service.id)
        await self._leave()

    async def _leave(self) -> None:
        """Ends this detached actor, so that its name is free, and removes its socket."""
        self._leaving = True
        self.stop()
        await head_actor.in_thread(ray.kill, ray.get_runtime_context().current_actor)


async def _has_ended(job: str) -> bool:
    """Whether a driver has exited. False when Ray does not say."""
    try:
        return await head_actor.in_thread(job_is_over, job)
    except Exception as error:
        logger.warning("job %s cannot be looked up: %s", job, error)
        return False
