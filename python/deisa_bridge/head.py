"""The head actor, which the analytics create, as the node actor sees it. No call here blocks the event
loop."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import ray

from deisa_bridge.status import HEAD_ACTOR, NAMESPACE, BridgeError
from deisa_bridge.versions import driver_is_gone

logger = logging.getLogger(__name__)

HEAD_WAIT = 180.0
"""Seconds that a node actor waits for the head actor."""


class ActorGone(BridgeError):
    """Ray reports that the actor has died: it will never answer."""


async def in_thread(function: Any, *args: Any) -> Any:
    """The result of a function that blocks."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


async def find_actor(name: str) -> Any | None:
    """The actor's handle, or None."""
    try:
        return await in_thread(ray.get_actor, name, NAMESPACE)
    except ValueError:
        return None


async def is_listed(name: str) -> bool:
    """Whether the actor is there, without a handle of it: that would import its class."""
    listed = await in_thread(ray.util.list_named_actors, True)
    return {"name": name, "namespace": NAMESPACE} in listed


async def wait_for_head(seconds: float) -> Any:
    """The head actor, once it answers. One whose analytics have exited is removed: deisa-ray leaves it
    behind, and the next analytics cannot start beside it. Raises BridgeError past `seconds`."""
    start, delay = time.monotonic(), 0.1
    while (left := start + seconds - time.monotonic()) > 0:
        head = await find_actor(HEAD_ACTOR)
        if head is not None:
            try:
                if await in_thread(driver_is_gone, head):
                    logger.warning("removing the head actor of analytics that have ended")
                    await in_thread(ray.kill, head)
                else:
                    await asyncio.wait_for(_answer(head.ready.remote()), min(left, 10.0))
                    return head
            except (ray.exceptions.RayError, TimeoutError) as error:
                logger.info("the head actor does not answer yet: %s", error)
        await asyncio.sleep(min(delay, max(left, 0.0)))
        delay = min(delay * 1.5, 2.0)
    raise BridgeError(
        f"the head actor '{HEAD_ACTOR}' was not found in namespace '{NAMESPACE}' within {seconds:.0f} s. "
        "It is made by the analytics: start them (a Python program that uses deisa.ray.Deisa) on the same "
        "Ray cluster.",
        "timeout",
    )


async def how_it_ended(head: Any) -> str:
    """Why it answers no more, in words. The first node actor that sees the exit of the analytics removes it,
    so another one may see its end first."""
    gone = await in_thread(driver_is_gone, head)
    return "the analytics have ended" if gone else "the head actor of the analytics has died"


async def _answer(reference: Any) -> Any:
    return await reference


async def call(reference: Any, seconds: float, what: str) -> Any:
    """The result of a remote call. Raises BridgeError, which names `what`, when it fails or takes too
    long."""
    try:
        return await asyncio.wait_for(_answer(reference), max(seconds, 0.0))
    except TimeoutError:
        raise BridgeError(f"{what} took more than {seconds:.0f} s", "timeout") from None
    except ray.exceptions.ActorDiedError as error:
        raise ActorGone(f"{what}: the actor is gone ({_brief(error)})") from error
    except ray.exceptions.RayError as error:
        raise BridgeError(f"{what}: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    """The last line of Ray's text, which contains the cause."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
