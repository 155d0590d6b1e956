"""One simulation at a time: the head actor stores which session its analytics serve.

Node actors of two simulations may be on different nodes and never communicate. They share the head actor,
which would mix their chunks.
"""

from __future__ import annotations

import json
from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.status import BridgeError, actor_name
from deisa_bridge.versions import runner

TIMEOUT = 30.0
"""Seconds that the head actor, or a node actor, may take to answer."""


def _claimer() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value. Its loop makes it atomic."""

    def take(head: Any, session: str, nodes: list[str], instead_of: str) -> tuple[str, list[str]]:
        holder = getattr(head, "_deisa_bridge_holder", None)
        if holder is None or holder[0] in (session, instead_of):
            holder = head._deisa_bridge_holder = (session, nodes)
        return holder

    return take


def holder_reader() -> Any:
    """A function to run in the head actor: the session that its analytics serve, or None, and whether
    they have its end marker because its node actors had died."""

    def holder(head: Any) -> tuple[str | None, bool]:
        held = getattr(head, "_deisa_bridge_holder", None)
        session = None if held is None else held[0]
        return session, session is not None and getattr(head, "_deisa_bridge_ended", None) == session

    return holder


def end_taker() -> Any:
    """A function to run in the head actor: None, unless its analytics serve the session and do not have
    its end marker; else the node actor that sends it, and the timesteps that wait for the analytics. That is
    `by`, unless another one than `instead_of` was stored before: it may have died before it sent it."""

    def take(
        head: Any, session: str, end_marker: str, by: str, instead_of: str
    ) -> tuple[str, list[int]] | None:
        holder = getattr(head, "_deisa_bridge_holder", None)
        if holder is None or holder[0] != session or getattr(head, "_deisa_bridge_ended", None) == session:
            return None
        taken = getattr(head, "_deisa_bridge_ends", None)
        if taken is None or taken[0] != session or taken[1] in (by, instead_of):
            taken = head._deisa_bridge_ends = (session, by)
        waiting = [timestep for name, timestep, _ in list(head.arrays_ready._queue) if name != end_marker]
        return taken[1], waiting

    return take


def end_noter() -> Any:
    """A function to run in the head actor, when its analytics got the end marker of the session."""

    def note(head: Any, session: str) -> None:
        head._deisa_bridge_ended = session

    return note


async def claim(head: Any, session: str, nodes: list[str]) -> None:
    """Claims the analytics of `head` for a session, unless they serve another one that is not over: then
    raises BridgeError, "contract" if ranks of it are connected, "busy" if only its analytics still run."""
    ray_call = runner(head)
    if ray_call is None:
        return
    take, instead_of = _claimer(), ""
    what = "asking the head actor which simulation it serves"
    while True:
        holder, at = await head_actor.call(ray_call.remote(take, session, nodes, instead_of), TIMEOUT, what)
        if holder == session:
            return
        for node in at:
            await _refuse_if_served(node, holder)
        instead_of = holder  # nothing is left of it: its start never completed


async def _refuse_if_served(node: str, session: str) -> None:
    actor = await head_actor.find_actor(actor_name(node))
    if actor is None:
        return
    try:
        what = f"asking the node actor {actor_name(node)} which simulation it serves"
        state = json.loads(await head_actor.call(actor.deisa_status.remote(), TIMEOUT, what))
    except head_actor.ActorGone:
        return
    if state.get("session") != session:
        return
    if state.get("live"):
        ranks = ", ".join(map(str, state["live"][:8]))
        raise BridgeError(
            f"the analytics serve session {session} of another simulation, whose ranks {ranks} are connected "
            f"at node {node}. Run one simulation at a time on a Ray cluster, or wait until that one ends.",
            "contract",
        )
    if state.get("begun"):
        raise BridgeError(
            f"the analytics serve session {session} of another simulation; it has ended, they have not",
            "busy",
        )
