"""Which versions of Ray and deisa-ray are supported, and what in this package differs between them.

The native library and .ci/setup read the constants below from this file; docs/versions.md lists the
differences. Nothing here fails because an internal of Ray has changed: the feature that uses it is then
disabled.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from deisa_bridge.status import BridgeError

OLDEST_RAY = "2.48"
NEWEST_RAY = "2.60"
OLDEST_DEISA_RAY = "0.1.5"

logger = logging.getLogger(__name__)


def check_ray(version: str, any_version: bool) -> None:
    """Refuses a version of Ray, such as "2.60.0", outside the range, unless `any_version`; development builds
    ("3.0.0.dev0") too. Raises BridgeError."""
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
        inside = _pair(OLDEST_RAY) <= (major, minor) <= _pair(NEWEST_RAY)
    except ValueError:
        inside = False
    if inside:
        return
    text = f"Ray {version} is not supported: expected {OLDEST_RAY} to {NEWEST_RAY}."
    if not any_version:
        raise BridgeError(f"{text} To try it all the same, set DEISA_RAY_ANY=1.", "unsupported")
    logger.warning("%s It is tried because of DEISA_RAY_ANY=1.", text)


def _pair(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def check_deisa_ray(actor_class: type) -> None:
    """Refuses a deisa-ray whose node actor speaks an older protocol: up to 0.1.2, its arrays are registered
    with another signature and feedback is kept in the node actor. Goes by what the class offers, because
    a class of the user's own has no version. Raises BridgeError."""
    if hasattr(actor_class, "finalize_registration"):
        return
    try:
        found = f"deisa-ray {importlib.metadata.version('deisa-ray')}"
    except importlib.metadata.PackageNotFoundError:
        found = "deisa-ray of an unknown version"
    raise BridgeError(
        f"the node actor's class {actor_class.__module__}.{actor_class.__qualname__} ({found}) has no "
        f"method finalize_registration: expected that of deisa-ray {OLDEST_DEISA_RAY} or newer. Install it "
        "in the cluster's Python: pip install 'deisa-ray>=0.1.8'",
        "unsupported",
    )


def raw_class(found: Any) -> Any:
    """The class below @ray.remote, else what was given. Ray wraps it in a class of its own, which names it in
    one of two attributes."""
    metadata = getattr(found, "__ray_metadata__", None)
    if metadata is None:
        return found
    modified = metadata.modified_class
    return getattr(modified, "__ray_actor_class__", modified)


def driver_is_gone(actor: Any) -> bool:
    """Whether the driver that created a detached actor has exited. False when this Ray does not say, so that
    nothing is removed that may be in use. Blocks."""
    try:
        return job_is_over(actor._actor_id.job_id.hex())
    except AttributeError as error:
        logger.warning("this Ray does not tell which job made an actor: %r", error)
        return False


def driver_of(actor: Any) -> str:
    """The driver that made a detached actor, in words. Blocks."""
    try:
        return driver_of_job(actor._actor_id.job_id.hex())
    except AttributeError as error:
        logger.warning("this Ray does not tell which driver made an actor: %r", error)
        return "a driver that this Ray does not name"


def driver_of_job(job: str) -> str:
    """The driver of a job, in words. Blocks."""
    driver = _driver(job)
    if driver is None:
        return "a driver that this Ray does not name"
    pid, host = driver
    return f"process {pid} on {host}" if pid else f"job {job}"


def driver_pid(actor: Any) -> int:
    """The process of the driver that made a detached actor; 0 when this Ray does not say. Blocks."""
    try:
        job = actor._actor_id.job_id.hex()
    except AttributeError as error:
        logger.warning("this Ray does not tell which driver made an actor: %r", error)
        return 0
    return (_driver(job) or (0, ""))[0]


def _driver(job: str) -> tuple[int, str] | None:
    """Process and address of a job's driver, (0, "") if there is no such job; None if this Ray does not say.
    Blocks."""
    try:
        from ray._private.state import state

        for entry in state.job_table():
            if entry["JobID"] == job:
                return entry["DriverPid"], entry["DriverIPAddress"]
        return 0, ""
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        logger.warning("this Ray does not tell which driver made an actor: %r", error)
        return None


class Task(NamedTuple):
    """A task that has run: its name, its process, and when, in nanoseconds of time.time_ns()."""

    name: str
    pid: int
    begin: int
    end: int


def tasks_since(begin: int, prefix: str) -> list[Task]:
    """The tasks of the cluster with such a name that began after `begin`, as far as Ray has heard of them and
    still keeps them. Empty when this Ray does not say. Blocks."""
    try:
        from ray._private.state import state

        return [
            Task(one.task_info.name, one.state_updates.worker_pid, event.start_time, event.end_time)
            for one in _task_events(state)
            if one.task_info.name.startswith(prefix)
            for event in one.profile_events.events
            if event.event_name == "task:execute" and event.start_time >= begin
        ]
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        logger.warning("this Ray does not tell which tasks have run: %r", error)
        return []


def _task_events(state: Any) -> Iterable[Any]:
    """Everything that Ray has kept of tasks, as its own profile_events() reads it in each version."""
    if hasattr(state, "_get_all_task_events"):
        return state._get_all_task_events()
    from ray.core.generated.gcs_pb2 import TaskEvents

    if hasattr(state, "_connect_and_get_accessor"):
        accessor = state._connect_and_get_accessor()
    else:
        state._check_connected()
        accessor = state.global_state_accessor
    return map(TaskEvents.FromString, accessor.get_task_events())


def makers_of(name: str) -> list[str]:
    """The jobs, by their hexadecimal ids, whose drivers made the living actors of this name. Needs no handle,
    for which this process would import what the actor's class needs. Empty when this Ray does not say.
    Blocks."""
    try:
        from ray._private.state import state

        living = state.actor_table(None, None, "ALIVE").values()
        return [entry["JobID"] for entry in living if entry["Name"] == name]
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        logger.warning("this Ray does not tell which job made an actor: %r", error)
        return []


def job_is_over(job: str) -> bool:
    """Whether the driver of a job, given by its hexadecimal id, has exited. False when this Ray does not say.
    Blocks."""
    try:
        from ray._private.state import state

        return any(entry["JobID"] == job and entry["IsDead"] for entry in state.job_table())
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        logger.warning("this Ray does not tell whether a driver has ended: %r", error)
        return False


def runner(actor: Any) -> Any | None:
    """A method of the actor that runs a function given to it there, or None if this Ray has none."""
    return getattr(actor, "__ray_call__", None)
