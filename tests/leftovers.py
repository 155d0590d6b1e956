"""What sessions could leave on a machine: counted before and after."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from processes import descendants

if TYPE_CHECKING:
    from cluster import Cluster


@dataclass(frozen=True)
class Leftovers:
    """Of all sessions on a cluster that has folders of its own."""

    actors: frozenset[str]
    sockets: frozenset[str]
    files: frozenset[str]
    """In the folder for temporary files."""
    workers: int
    """Processes of Ray's that run an actor or a task."""
    slots: int
    """Mappings of the ranks' shared memory, by any process of Ray's."""
    stored: int
    """Bytes that are in use in the object store."""

    @classmethod
    def of(cls, cluster: Cluster) -> Self:
        import ray

        processes = [Path("/proc") / str(pid) for pid in descendants(cluster.pid)]
        titles = [_read(process / "cmdline") for process in processes]
        store = "object_store_memory"
        free = ray.available_resources().get(store, 0.0)
        return cls(
            frozenset(cluster.actors()),
            frozenset(str(path) for path in Path(cluster.folder).rglob("deisa-*.sock")),
            frozenset(os.path.join(at, name) for at, _, names in os.walk(cluster.scratch) for name in names),
            sum(title.startswith("ray::") and not title.startswith("ray::IDLE") for title in titles),
            sum(_read(process / "maps").count("/memfd:deisa") for process in processes),
            int(ray.cluster_resources()[store] - free),
        )

    def more_than(self, before: Self) -> str:
        """What there is now and was not before, or ""."""
        more = [
            f"{name}: {sorted(mine - theirs)}"
            for name in ("actors", "sockets", "files")
            if (mine := getattr(self, name)) - (theirs := getattr(before, name))
        ]
        more += [
            f"{name}: {getattr(self, name)} instead of {getattr(before, name)}"
            for name in ("workers", "slots", "stored")
            if getattr(self, name) > getattr(before, name)
        ]
        return "; ".join(more)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""
