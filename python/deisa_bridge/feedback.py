"""GET and DELETE: values that the analytics set, read at the head actor."""

from __future__ import annotations

from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge import values
from deisa_bridge.versions import runner

GET_TIMEOUT = 20.0
"""Seconds that one look-up at the head actor may take."""
WHAT = "the look-up at the head actor"


def _newest_reader() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value. It moves one value instead of the history that get_feedback(key) returns."""

    def newest(head: Any, key: str) -> tuple:
        queue = head.feedback_queues.get(key)
        return (True, *queue[-1]) if queue else (False, None, None)

    return newest


class Feedback:
    """Reads feedback for the bridges of this node. On the event loop."""

    def __init__(self) -> None:
        self._hidden: dict[str, Any] = {}  # key -> its newest timestep when it was deleted
        self._newest = _newest_reader()

    async def get(self, head: Any, key: str, timestep: int | None) -> bytes | None:
        """The value as MessagePack, or None if there is none. `timestep` None: the newest.
        Raises BridgeError or UnsupportedValue."""
        if timestep is None:
            found, at, value = await self._latest(head, key)
        else:
            found, value = await head_actor.call(head.get_feedback.remote(key, timestep), GET_TIMEOUT, WHAT)
            at = timestep
        if not found or self._is_hidden(key, at):
            return None
        # A large value takes a while to encode, and other ranks wait for the loop.
        return await head_actor.in_thread(values.encode, value)

    async def delete(self, head: Any, key: str) -> None:
        """Hides what is there under `key` now; a missing key is fine."""
        found, at, _ = await self._latest(head, key)
        if found:
            self._hidden[key] = at

    async def _latest(self, head: Any, key: str) -> tuple[bool, Any, Any]:
        ray_call = runner(head)
        if ray_call is not None:
            try:
                return await head_actor.call(ray_call.remote(self._newest, key), GET_TIMEOUT, WHAT)
            except head_actor.BridgeError as error:
                if error.kind == "timeout":
                    raise
        # A head actor that cannot run our function: the whole history has to come.
        found, history = await head_actor.call(head.get_feedback.remote(key, None), GET_TIMEOUT, WHAT)
        return (True, *history[-1]) if found and history else (False, None, None)

    def _is_hidden(self, key: str, timestep: Any) -> bool:
        if key not in self._hidden:
            return False
        try:
            return bool(timestep <= self._hidden[key])
        except TypeError:  # timesteps of other types than numbers
            return timestep == self._hidden[key]
