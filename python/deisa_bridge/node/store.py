"""How full this node's object store is, read on this node alone.

Ray has no call for it that needs neither gRPC (which Ray does not bring along) nor the whole cluster. Its
core worker can ask the store over its Unix socket, in less than 0.1 ms, and logs the answer:
`log_plasma_usage`. The log line is caught. Older Rays, which lack it, log the capacity only: there the
objects that this process owns are counted.

Ray does not count spilled objects as used. So as long as there are files of spilled objects,
what is in use is at least what this process owns, wherever it is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
from typing import Any

import ray
from ray._private import internal_api

from deisa_bridge.node.gate import Usage

logger = logging.getLogger(__name__)

IN_USE = re.compile(r"^- bytes in use: (\d+)$", re.MULTILINE)
CAPACITY = re.compile(r"^\(global lru\) capacity: (\d+)$", re.MULTILINE)
PRUNE = 1024
"""Objects after which those that are gone are looked for, so that their sizes are forgotten."""


class StoreUnreadable(Exception):
    """This version of Ray does not say."""


class _Catch(logging.Filter):
    """Captures what one thread logs while it wants to, and passes on the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._thread: int | None = None
        self._text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        if threading.get_ident() != self._thread:
            return True
        self._text = record.getMessage()
        return False

    def text_of(self, call: Any) -> str:
        """What `call` logs."""
        self._text, self._thread = "", threading.get_ident()
        try:
            call()
        finally:
            self._thread = None
        return self._text


class Store:
    """This node's object store. `put` and `read` may be called by several threads."""

    def __init__(self) -> None:
        self._worker = ray._private.worker.global_worker.core_worker
        self._lock = threading.Lock()  # of _own: a put does not wait for a report
        self._reporting = threading.Lock()
        self._catch = _Catch()
        self._own: dict[bytes, int] = {}  # the sizes of this process's objects; some may be gone
        self._prune_at = PRUNE
        self._spill_folders = _spill_folders()
        self._logger = logging.getLogger("ray._raylet")
        self._report = getattr(self._worker, "log_plasma_usage", None)
        self._counts_own = self._report is None
        if self._counts_own:
            self._report = getattr(self._worker, "dump_object_store_memory_usage", None)

    @property
    def sees_everything(self) -> bool:
        """False: on this Ray, only the objects of this process are seen."""
        return not self._counts_own

    def put(self, value: Any, nbytes: int) -> Any:
        """ray.put: a reference, owned by this process."""
        reference = ray.put(value)
        with self._lock:
            self._own[reference.binary()] = nbytes
            if len(self._own) >= self._prune_at:
                self._own_bytes()
                self._prune_at = 2 * len(self._own) + PRUNE
        return reference

    def read(self) -> Usage:
        """Bytes that are in use, and the capacity. Takes a fraction of a millisecond, but asks another
        process. Raises StoreUnreadable."""
        if self._report is None:
            raise StoreUnreadable("Ray's core worker has no call that reports on the object store")
        with self._reporting:
            if not self._logger.isEnabledFor(logging.WARNING):
                self._logger.setLevel(logging.WARNING)
            self._logger.addFilter(self._catch)
            try:
                text = self._catch.text_of(self._report)
            finally:
                self._logger.removeFilter(self._catch)
            capacity, in_use = CAPACITY.search(text), IN_USE.search(text)
            if capacity is None or (in_use is None and not self._counts_own):
                raise StoreUnreadable(f"Ray's report on the object store was not understood: {text[:500]!r}")
            spilled = self._spilled()
            used = int(in_use[1]) if in_use is not None and not self._counts_own else 0
            if spilled or self._counts_own:
                with self._lock:
                    used = max(used, self._own_bytes())
        return Usage(used, int(capacity[1]), spilled)

    @staticmethod
    def collect_garbage() -> None:
        """Has every Python process of the cluster collect its garbage, as soon as Ray lets it: Dask's graphs
        have cycles, and what they refer to stays in the store until then."""
        internal_api.global_gc()

    def _spilled(self) -> int:
        """Bytes of the files that Ray has spilled objects of this node to. It removes them when all objects
        in them are gone."""
        total = 0
        for folder in self._spill_folders:
            with contextlib.suppress(OSError), os.scandir(folder) as files:
                for file in files:
                    with contextlib.suppress(OSError):
                        total += file.stat().st_size
        return total

    def _own_bytes(self) -> int:
        """Of the objects that this process put and that someone still refers to."""
        alive = {bytes.fromhex(_text(one)) for one in self._worker.get_all_reference_counts()}
        self._own = {key: nbytes for key, nbytes in self._own.items() if key in alive}
        return sum(self._own.values())


def _spill_folders() -> list[str]:
    """Where Ray spills objects of this node to; none that can be seen if that is no file system."""
    try:
        node = ray._private.worker.global_worker.node
        settings = json.loads(getattr(node, "_object_spilling_config", "") or "{}")
        places = settings.get("params", {}).get("directory_path") or node.get_session_dir_path()
        name = "ray_spilled_objects_" + ray.get_runtime_context().get_node_id()
    except Exception as error:
        logger.warning("what Ray spills to disk cannot be seen: %r", error)
        return []
    return [os.path.join(place, name) for place in ([places] if isinstance(places, str) else places)]


def _text(key: Any) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)
