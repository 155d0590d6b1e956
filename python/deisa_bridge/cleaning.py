"""Cleans up after dead sessions; functions of control.py, which never raise.

`clean` removes what dead simulations and analytics have left on the cluster, for `deisa-info --clean`.
A rank requests `end_session` when every node actor of its session has died.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from typing import Any

import ray

from deisa_bridge.claim import holder_reader
from deisa_bridge.node_actor import make_actor_class
from deisa_bridge.preparing import actor_options, place, remove_stale_head, wait_until_free
from deisa_bridge.status import HEAD_ACTOR, NAMESPACE, BridgeError, actor_name
from deisa_bridge.versions import driver_is_gone, driver_of, job_is_over, runner

ANSWER = 10.0
"""Seconds that an actor may take to answer."""
NODE_ACTORS = "sched-"


def clean(request_json: str) -> str:
    """{"deadline": seconds} -> {"done": [what was done], "kept": [what stays, and why]}, in words."""
    return _never_raising("clean", _clean, request_json)


def end_session(request_json: str) -> str:
    """{"session", "nodes": [all of the session], "node_id": that of the rank, "newest": the newest timestep
    that it has sent, or null, "deadline": seconds} -> {"ended": whether this sent the end marker}.
    It did not when another node actor of the session lives: that one sends it."""
    return _never_raising("end_session", _end_session, request_json)


def _never_raising(name: str, work: Callable[[dict], dict], request_json: str) -> str:
    try:
        return json.dumps(work(json.loads(request_json)))
    except BridgeError as error:
        return json.dumps({"error": str(error), "kind": error.kind})
    except Exception as error:
        trace = "".join(traceback.format_exception(error)[-2:])
        return json.dumps({"error": f"{name} failed: {error}\n{trace}", "kind": "connection"})


# ---- clean -----------------------------------------------------------------------------------------------


def _clean(request: dict) -> dict:
    done: list[str] = []
    kept: list[str] = []
    sessions: dict[str, str] = {}  # those that node actors serve, and whose
    listed = ray.util.list_named_actors(all_namespaces=True)
    names = [one["name"] for one in listed if one["namespace"] == NAMESPACE]
    head = _find(HEAD_ACTOR)
    analytics_live = head is not None and not driver_is_gone(head)
    for name in sorted(names):
        if name.startswith(NODE_ACTORS):
            _clean_node_actor(name, analytics_live, sessions, done, kept)
    if head is not None:
        _clean_head(head, analytics_live, sessions, request, done, kept)
    return {"done": done, "kept": kept}


def _clean_node_actor(
    name: str, analytics_live: bool, sessions: dict[str, str], done: list[str], kept: list[str]
) -> None:
    actor = _find(name)
    if actor is None:
        return
    if not hasattr(actor, "deisa_status"):
        kept.append(f"{name}: it is deisa-ray's own, made by its Python bridge")
        return
    try:
        status = json.loads(ray.get(actor.deisa_status.remote("{}"), timeout=ANSWER))
    except ray.exceptions.GetTimeoutError:
        kept.append(f"{name}: it has not answered within {ANSWER:.0f} s, so whose it is is not known")
        return
    except ray.exceptions.RayError:
        return  # it has died
    session = status.get("session", "")
    if status.get("live"):
        ranks = ", ".join(map(str, status["live"][:8]))
        kept.append(f"{name}: ranks {ranks} of session {session} are connected (they run)")
    elif status.get("ends"):
        kept.append(f"{name}: it ends the analytics of a session whose node actors have died")
    elif status.get("begun") and analytics_live:
        kept.append(f"{name}: it has the data of session {session}, whose analytics still run")
    elif not status.get("begun") and not job_is_over(status.get("job") or "?"):
        kept.append(f"{name}: a simulation is starting with it")
    else:
        ray.kill(actor)
        done.append(
            f"removed the node actor {name} of session {session or '(none)'}, of which no process is left"
        )
        return
    sessions[session] = name


def _clean_head(
    head: Any,
    analytics_live: bool,
    sessions: dict[str, str],
    request: dict,
    done: list[str],
    kept: list[str],
) -> None:
    driver = driver_of(head)
    if not analytics_live:
        ray.kill(head)
        done.append(f"removed {HEAD_ACTOR}, whose analytics ({driver}) have ended")
        return
    session, ended = _holder(head)
    if ended:
        kept.append(f"{HEAD_ACTOR}: its analytics ({driver}) have the end marker of session {session}")
    elif session is None:
        kept.append(f"{HEAD_ACTOR}: its analytics ({driver}) run, and wait for a simulation")
    elif session in sessions:
        kept.append(f"{HEAD_ACTOR}: its analytics ({driver}) serve session {session} of {sessions[session]}")
    else:
        wanted = request | {"session": session, "node_id": "", "newest": None}
        if not _tell_end(wanted)["ended"]:
            kept.append(f"{HEAD_ACTOR}: another process sends the end marker to its analytics ({driver})")
            return
        done.append(
            f"sent the end marker of session {session} to its analytics ({driver}), as no process of it is "
            f"left; they end, and {HEAD_ACTOR} is removed then"
        )


def _holder(head: Any) -> tuple[str | None, bool]:
    """The session that the analytics serve, and whether they have its end marker."""
    call = runner(head)
    if call is None:
        return None, False
    try:
        holder: tuple[str | None, bool] = ray.get(call.remote(holder_reader()), timeout=ANSWER)
    except ray.exceptions.RayError as error:
        raise BridgeError(f"{HEAD_ACTOR} does not answer: {error}") from error
    return holder


# ---- end_session -----------------------------------------------------------------------------------------


def _end_session(request: dict) -> dict:
    for node in request.get("nodes") or []:
        actor = _find(actor_name(node))
        if actor is None:
            continue
        try:
            status = json.loads(ray.get(actor.deisa_status.remote("{}"), timeout=ANSWER))
        except ray.exceptions.GetTimeoutError:
            return {"ended": False}  # it is slow or stopped, and may still send it
        except ray.exceptions.RayError:
            continue  # it has died
        if status.get("session") == request.get("session") or status.get("ends"):
            return {"ended": False}
    head = _find(HEAD_ACTOR)
    if head is None or driver_is_gone(head):
        remove_stale_head()
        return {"ended": False}
    if _holder(head) != (request.get("session"), False):  # another's, or sent already
        return {"ended": False}
    return _tell_end(request)


def _tell_end(request: dict) -> dict:
    """With a node actor that serves no rank: it owns the end marker, and outlives this process."""
    end = time.monotonic() + float(request.get("deadline", 60.0)) * 0.95
    ray_node = request.get("ray_node_id") or ray.get_runtime_context().get_node_id()
    node = request.get("node_id") or ray_node
    options = actor_options(node) | place(request, node, ray_node)
    wait_until_free(actor_name(node), min(10.0, end - time.monotonic()))
    actor = ray.remote(make_actor_class()).options(**options).remote(node)
    wanted = {"session": request["session"], "newest": request.get("newest")}
    reply = ray.get(actor.deisa_end.remote(json.dumps(wanted)), timeout=max(end - time.monotonic(), 0.1))
    answer: dict = json.loads(reply)
    if "error" in answer:
        raise BridgeError(answer["error"], answer.get("kind", "connection"))
    return answer


def _find(name: str) -> Any | None:
    try:
        return ray.get_actor(name, NAMESPACE)
    except ValueError:
        return None
