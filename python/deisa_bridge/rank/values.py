"""What the program gives as the library takes it: metadata of arrays, options, timesteps."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import numpy as np

from deisa_bridge.rank import library
from deisa_bridge.rank.errors import InvalidArgumentError

LAST_TIMESTEP = 2**63 - 2
"""The newest that there can be: one more is reserved."""


class Options(TypedDict, total=False):
    """Options of a bridge, as docs/settings.md has them; None stands for the default."""

    bridge_id: int | None
    world_size: int | None
    master_address: str | None
    master_port: int | None
    ray_address: str | None
    comm_timeout: float | None
    ready_timeout: float | None
    send_timeout: float | None
    node_id: str | None
    node_actor: str | None
    init_retries: int | None
    acknowledge: Literal["received", "stored", "announced"] | None
    max_in_flight: int | None
    when_full: Literal["block", "skip", "fail"] | None
    block_timeout: float | None
    store_threshold: float | None
    max_ahead: int | None
    window: int | None
    feedback_interval: float | None
    _node_id: str | None
    _init_retries: int | None
    _comm_timeout: float | None


_TEXTS = {"master_address", "ray_address", "node_id", "node_actor"}
_CHOICES = {"acknowledge": library.ACKNOWLEDGE, "when_full": library.WHEN_FULL}
_NUMBERS = {"comm_timeout", "ready_timeout", "send_timeout", "block_timeout", "store_threshold"}
_NUMBERS |= {"feedback_interval"}
_INTEGERS = {"bridge_id", "world_size", "master_port", "init_retries", "max_in_flight", "max_ahead", "window"}


def invalid(text: str) -> InvalidArgumentError:
    """The error for an argument that does not get as far as the library."""
    return InvalidArgumentError(text, library.ERROR_ARGUMENT)


def timestep_of(value: Any) -> int:
    """A timestep, also a NumPy integer. Raises InvalidArgumentError."""
    try:
        timestep = operator.index(value)
    except TypeError:
        raise invalid(f"timestep = {value!r}: expected an integer") from None
    if not -(2**63) <= timestep < 2**63:
        raise invalid(f"timestep = {timestep}: expected an integer of 64 bits")
    return timestep


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Members of deisa_options. Raises InvalidArgumentError, and TypeError for a name that there is not."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in Options.__annotations__:
            raise TypeError(f"Bridge() got an unexpected keyword argument '{name}'")
        name = name.removeprefix("_")
        if value is None:
            continue
        try:
            if name in _TEXTS:
                found[name] = str(value).encode()
            elif name in _NUMBERS:
                found[name] = float(value)
            elif name in _INTEGERS:
                found[name] = operator.index(value)
            else:
                found[name] = _CHOICES[name][value]
        except (TypeError, ValueError):
            expected = "a number" if name in _NUMBERS else "an integer"
            raise invalid(f"{name} = {value!r}: expected {expected}") from None
        except KeyError:
            raise invalid(f"{name} = {value!r}: expected one of {', '.join(_CHOICES[name])}") from None
        if name in _INTEGERS and not -(2**31) <= found[name] < 2**31:
            raise invalid(f"{name} = {value!r}: expected an integer of 32 bits")
    return found


def system_options(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options from the older form's system_metadata. Raises InvalidArgumentError."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise invalid(f"system_metadata = {metadata!r}: expected a dict")
    expected = ("world_size", "master_address", "master_port")
    problems = [f"{key} is missing" for key in expected if key not in metadata]
    problems += [f"there is no key {key!r}" for key in metadata if key not in (*expected, "ray_address")]
    if problems:
        keys = f"{', '.join(expected)} and, if need be, ray_address"
        raise invalid(f"system_metadata: {'; '.join(problems)}: expected {keys}")
    return options_of(metadata)


def actor_name(actor: Any) -> str:
    """ "module:Class" of a class, also one under @ray.remote, which Ray wraps in a class of its own."""
    if isinstance(actor, str):
        return actor
    metadata = getattr(actor, "__ray_metadata__", None)
    actor = actor if metadata is None else metadata.modified_class
    actor = getattr(actor, "__ray_actor_class__", actor)
    return f"{actor.__module__}:{actor.__qualname__}"


def metadata_json(arrays_metadata: Any) -> bytes:
    """Metadata of arrays as the library reads it, which also checks it. Raises InvalidArgumentError."""
    if not isinstance(arrays_metadata, Mapping):
        raise invalid(
            f"arrays_metadata = {arrays_metadata!r}: arrays_metadata must be a dict, name -> metadata"
        )
    if wrong := [name for name in arrays_metadata if not isinstance(name, str)]:
        raise invalid(f"arrays_metadata has the key {wrong[0]!r}: expected names of arrays, which are str")
    return json.dumps({name: _of_array(one) for name, one in arrays_metadata.items()}).encode()


def _of_array(metadata: Any) -> Any:
    if not isinstance(metadata, Mapping):
        return _plain(metadata)
    found = {str(key): _plain(value) for key, value in metadata.items()}
    dtype = metadata.get("dtype")
    # As deisa-ray's metadata have none: the first chunk brings it.
    found["dtype"] = None if dtype is None else _dtype_name(dtype)
    return found


def _dtype_name(dtype: Any) -> str:
    try:
        return np.dtype(dtype).name
    except TypeError:
        return str(dtype)


def _plain(value: Any) -> Any:
    """`value` in JSON's own types; what has none, as text, which the library refuses."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return repr(value)
