"""The sessions of a cluster, from what their node actors say. docs/watching.md has the keys.

`look` asks; the rest only arranges the answers, and needs no Ray.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from deisa_bridge.status import HEAD_ACTOR, NAMESPACE

NODE_ACTORS = "sched-"
ANSWER = 5.0
"""Seconds that the node actors may take to answer, all together."""
RECENT = 5
"""Seconds that a rate is a mean over."""


def look() -> dict[str, Any]:
    """The state of the cluster that this process has joined."""
    import ray

    from deisa_bridge.versions import driver_of_job, job_is_over, makers_of

    listed = ray.util.list_named_actors(all_namespaces=True)
    names = sorted(one["name"] for one in listed if one["namespace"] == NAMESPACE)
    calls, replies, problems = {}, [], []
    for name in names:
        if not name.startswith(NODE_ACTORS):
            continue
        try:
            actor = ray.get_actor(name, NAMESPACE)
        except ValueError:
            continue  # it has ended meanwhile
        if hasattr(actor, "deisa_status"):
            calls[actor.deisa_status.remote('{"progress": true}')] = name
        else:
            problems.append(f"{name} is deisa-ray's own node actor, which does not say what it does")
    answered, _ = ray.wait(list(calls), num_returns=len(calls), timeout=ANSWER) if calls else ([], [])
    for call, name in calls.items():
        if call not in answered:
            problems.append(f"{name} has not answered within {ANSWER:.0f} s: is its process stopped?")
            continue
        try:
            reply = json.loads(ray.get(call))
        except ray.exceptions.RayError:
            problems.append(f"{name} has died")
            continue
        if "error" in reply:
            problems.append(f"{name}: {reply['error']}")
        else:
            replies.append(reply)
    drivers = [driver_of_job(job) for job in makers_of(HEAD_ACTOR) if not job_is_over(job)]
    return arrange(replies) | {"analytics": drivers, "problems": problems}


def arrange(replies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """{"sessions": [...]}, from the replies of node actors."""
    sessions: dict[str, list[dict[str, Any]]] = {}
    for reply in replies:
        if "progress" in reply:  # else it serves none
            sessions.setdefault(reply["session"], []).append(reply)
    return {"sessions": [_session(name, nodes) for name, nodes in sorted(sessions.items())]}


def _session(name: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    parts = [node["progress"] for node in nodes]
    arrays = _arrays(part["arrays"] for part in parts)
    analytics: dict[str, Any] = next((part["analytics"] for part in parts if part["analytics"]), {})
    steps = {
        key: max((array[key] for array in arrays.values() if array[key] is not None), default=None)
        for key in ("sent", "stored", "announced")
    }
    return {
        "session": name,
        "state": _state(nodes),
        "arrays": arrays,
        "ranks": sorted(
            (rank | {"node": node["node_id"]} for node in nodes for rank in node["progress"]["ranks"]),
            key=lambda rank: rank["rank"],
        ),
        "steps": steps | {"read": analytics.get("read"), "behind": analytics.get("behind")},
        "analytics_wait": analytics.get("idle"),
        "rates": _rates([part["rates"] for part in parts]),
        "waits": [{"what": what, "seconds": s} for part in parts for what, s in part["waits"]],
        "nodes": [_node(node) for node in nodes],
        "metrics": _metrics(node["metrics"] for node in nodes),
        "problems": [analytics["problem"]] if "problem" in analytics else [],
    }


def _state(nodes: list[dict[str, Any]]) -> str:
    lost = next((node["lost"] for node in nodes if node["lost"]), "")
    if lost:
        return f"lost: {lost}"
    if not all(node["begun"] for node in nodes):
        return "starting"
    if any(node["ended"] for node in nodes):
        return "ended"
    return "running" if any(node["live"] for node in nodes) else "left by its ranks"


def _node(node: dict[str, Any]) -> dict[str, Any]:
    return {
        "node": node["node_id"],
        "pid": node["pid"],
        "log": node["log"],
        "gate": node["gate"],
        **{key: node[key] for key in ("store_used", "store_capacity", "store_threshold", "store_spilled")},
    }


def _metrics(of_nodes: Iterable[dict[str, list[str]]]) -> list[str]:
    """Lines in Prometheus' text format: what a metric is stands once, before the values of all nodes."""
    found: dict[str, list[str]] = {}
    for node in of_nodes:
        for name, lines in node.items():
            known = found.setdefault(name, [])
            known += [line for line in lines if line not in known]
    return [line for lines in found.values() for line in lines]


def _arrays(of_nodes: Iterable[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Announced is what every node has announced: the analytics get no part of an array."""
    found: dict[str, dict[str, Any]] = {}
    announced: dict[str, list[int | None]] = {}
    extents: dict[str, list[dict[str, int]]] = {}
    for arrays in of_nodes:
        for name, array in arrays.items():
            known = found.setdefault(name, dict.fromkeys(("dtype", "shape", "grid", "sent", "stored")))
            known["dtype"], known["grid"] = known["dtype"] or array["dtype"], array["grid"]
            for key in ("sent", "stored"):
                known[key] = max((s for s in (known[key], array[key]) if s is not None), default=None)
            announced.setdefault(name, []).append(array["announced"])
            for all_of_dimension, here in zip(
                extents.setdefault(name, [{} for _ in array["grid"]]), array["extents"], strict=True
            ):
                all_of_dimension.update(here)
    for name, known in found.items():
        known["announced"] = None if None in announced[name] else min(announced[name])
        if all(len(one) == n for one, n in zip(extents[name], known["grid"], strict=True)):
            known["shape"] = [sum(one.values()) for one in extents[name]]
    return found


def _rates(of_nodes: list[dict[str, list[int]]]) -> dict[str, Any]:
    """Bytes of all nodes together; timesteps of the node with the most, because all nodes announce the same,
    perhaps one in a second and another in the next."""
    nbytes = [sum(second) for second in zip(*(one["bytes"] for one in of_nodes), strict=True)]
    steps = max((one["steps"] for one in of_nodes), key=sum)
    return {
        "bytes_per_second": sum(nbytes[-RECENT:]) / RECENT,
        "steps_per_second": sum(steps[-RECENT:]) / RECENT,
        "seconds": RECENT,
        "history": {"bytes": nbytes, "steps": steps},
    }
