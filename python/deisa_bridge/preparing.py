"""How a driver gets the node actor of its node: `prepare`, see control.py.

It imports neither deisa-ray nor Dask, which would take more than a second: the node actor does, in the
background.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from deisa_bridge.node_actor import make_actor_class
from deisa_bridge.starting import process_began
from deisa_bridge.status import HEAD_ACTOR, NAMESPACE, BridgeError, actor_name, creation_failed
from deisa_bridge.versions import check_ray, driver_is_gone, job_is_over, makers_of

logger = logging.getLogger(__name__)

BUSY_WAIT = 60.0
"""Seconds to wait until the analytics of the previous simulation have exited."""
RETRY_WAIT = 10.0
"""Seconds to wait, at most, between two attempts to make a node actor."""


def prepare(request_json: str) -> str:
    """Creates or gets the node actor, and has it open its socket. Request and reply as in
    docs/architecture.md; "ray_node_id" in the request is the node to pin the actor to, else that of this
    process. Never raises."""
    try:
        task = {"process": process_began(), "begin": time.monotonic_ns()}
        return json.dumps(_prepare(json.loads(request_json) | {"task": task}))
    except BridgeError as error:
        return json.dumps({"error": str(error), "kind": error.kind})
    except Exception as error:
        trace = "".join(traceback.format_exception(error)[-2:])
        return json.dumps({"error": f"prepare failed: {error}\n{trace}", "kind": "connection"})


def _prepare(request: dict) -> dict:
    check_ray(ray.__version__, bool(request.get("any_ray")))
    remove_stale_head()
    # A little earlier than the caller's own wait, so that it gets the reply.
    deadline = time.monotonic() + float(request.get("deadline", 600.0)) * 0.95
    ray_node = request.get("ray_node_id") or ray.get_runtime_context().get_node_id()
    node = request.get("node_id") or ray_node
    try:
        return _create(request, node, ray_node, deadline)
    except BridgeError as error:
        raise creation_failed(node, error) from error


def _create(request: dict, node: str, ray_node: str, deadline: float) -> dict:
    options = actor_options(node) | place(request, node, ray_node)
    actor_class = ray.remote(make_actor_class(request.get("node_actor") or ""))
    busy_until = time.monotonic() + min(BUSY_WAIT, (deadline - time.monotonic()) / 2)
    failed: list[Exception] = []
    attempts = max(1, int(request.get("init_retries", 3)))
    while len(failed) < attempts and time.monotonic() < deadline:
        try:
            reply = _serve(actor_class, options, node, request, deadline)
        except ray.exceptions.GetTimeoutError:
            raise BridgeError(
                f"{actor_name(node)} did not answer in time. Is the node overloaded, or is no worker process "
                "free?",
                "timeout",
            ) from None
        except (ray.exceptions.RayError, ValueError) as error:
            failed.append(error)
            logger.warning("the node actor of node %s could not be made: %s", node, error)
            wait_until_free(actor_name(node), min(RETRY_WAIT, deadline - time.monotonic()))
            continue
        if "error" not in reply:
            return reply
        if reply.get("kind") == "busy" and time.monotonic() < busy_until:
            time.sleep(0.25)  # until its analytics have ended; then it ends too
            continue
        raise BridgeError(
            reply["error"], "contract" if reply.get("kind") == "busy" else reply.get("kind", "connection")
        )
    if not failed:
        raise BridgeError("the deadline has passed", "timeout")
    raise BridgeError(f"attempt {len(failed)} of {attempts} failed: {failed[-1]}") from failed[-1]


def remove_stale_head() -> bool:
    """Removes the head actor of analytics whose driver has exited, if there is one: the next analytics
    could not start beside it. Returns whether it did."""
    if not any(map(job_is_over, makers_of(HEAD_ACTOR))):
        return False  # without its handle, for which deisa-ray would be imported
    try:
        head = ray.get_actor(HEAD_ACTOR, NAMESPACE)
    except ValueError:
        return False
    if not driver_is_gone(head):
        return False
    logger.warning("removing the head actor of analytics that have ended")
    ray.kill(head)
    return True


def place(request: dict, node: str, ray_node: str) -> dict[str, Any]:
    """The option that pins an actor to the node. An invented name is no node of Ray: then the actor
    may be anywhere."""
    if request.get("node_id") and not any(one["NodeID"] == node and one["Alive"] for one in ray.nodes()):
        return {}
    at = node if request.get("node_id") else ray_node
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=at, soft=False)}


def wait_until_free(name: str, seconds: float) -> None:
    """Returns when no actor has the name, or after so many seconds. An exiting actor of the previous
    simulation keeps it for a moment."""
    end, delay = time.monotonic() + seconds, 0.1
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(delay, left))
        delay = min(2 * delay, 1.0)
        try:
            ray.get_actor(name, NAMESPACE)
        except (ray.exceptions.RayError, ValueError):
            return


def actor_options(node: str) -> dict[str, Any]:
    """As deisa.ray.utils.get_node_actor_options, which cannot be imported without Dask."""
    return {
        "name": actor_name(node),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "max_concurrency": 1_000_000_000,
        "num_cpus": 0,
        "enable_task_events": False,
    }


def _serve(actor_class: Any, options: dict, node: str, request: dict, deadline: float) -> dict:
    actor = actor_class.options(**options).remote(node)
    if not hasattr(actor, "deisa_serve"):
        raise BridgeError(
            f"the actor {actor_name(node)} of node {node} is deisa-ray's own, made by its Python bridge: "
            "it has no socket. Let that simulation end and remove the actor, or use another Ray cluster.",
            "contract",
        )
    keys = ("session", "process", "library", "socket_dir", "trace", "deadline", "init_retries")
    wanted = {key: request.get(key) for key in (*keys, "announce_delay", "feedback_interval")}
    wanted["task"] = request.get("task")
    wanted["job"] = ray.get_runtime_context().get_job_id()  # of the rank that asks, since this is its task
    return json.loads(
        ray.get(actor.deisa_serve.remote(json.dumps(wanted)), timeout=deadline - time.monotonic())
    )
