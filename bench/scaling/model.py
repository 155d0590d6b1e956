"""From constants measured on this machine to 1,000 nodes of 128 ranks: what each part costs.

Every figure is either counted from the design (connections, calls, bytes), or a measured constant times a
count. The constants are upper bounds: clients and servers shared this machine's cores when they were taken.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

import numpy as np

NODES, RANKS = 1000, 128


def medians(records: list[dict[str, Any]], keys: tuple[str, ...], value: str) -> dict[tuple, float]:
    """The median of `value` over the rounds, by `keys`."""
    groups: dict[tuple, list[float]] = defaultdict(list)
    for one in records:
        groups[tuple(one[key] for key in keys)].append(one[value])
    return {key: statistics.median(values) for key, values in groups.items()}


def fit(points: dict[float, float]) -> tuple[float, float]:
    """Constant and slope of a line through them."""
    slope, constant = np.polyfit(list(points), list(points.values()), 1)
    return float(constant), float(slope)


def constants(found: dict[str, Any]) -> dict[str, float]:
    seconds = medians(found["rendezvous"], ("nodes", "per_node", "order"), "seconds")
    # Nodes of 128 ranks give the cost of a rank; many small nodes, with the ranks taken off, that of a pair.
    ranks = {n * m: s for (n, m, order), s in seconds.items() if order == "block" and m == 128}
    _, per_rank = fit(ranks)
    many = [(n, m, s) for (n, m, order), s in seconds.items() if order == "block" and m < 128]
    per_pair = max((max(s - per_rank * n * m, 0.0) / (n * (n - 1) / 2) for n, m, s in many), default=0.0)
    ready = medians(found["registration"], ("ranks", "arrays"), "ready")
    step = medians(found["registration"], ("ranks", "arrays"), "step")
    registered, per_registered = fit({r: s for (r, a), s in ready.items() if a == 1})
    _, per_chunk = fit({r: s for (r, a), s in step.items() if a == 1})
    announce = medians(found["head"], ("chunks",), "announce")
    register = medians(found["head"], ("chunks",), "register")
    announce_call, announce_chunk = fit({chunks: s for (chunks,), s in announce.items()})
    register_call, register_chunk = fit({chunks: s for (chunks,), s in register.items()})
    # The store is measured at full size, the worse of the two orders.
    largest = max((one["nodes"], one["per_node"]) for one in found["store"])
    full = [one for one in found["store"] if (one["nodes"], one["per_node"]) == largest]
    return {
        "rendezvous_pair": per_pair,
        "store_cpu": max(medians(full, ("order",), "store_cpu").values()),
        "store_bytes": max(medians(full, ("order",), "bytes").values()),
        "ready": registered,
        "ready_rank": max(per_registered, 0.0),
        "node_chunk": max(per_chunk, 0.0),
        "head_announce": max(announce_call, 0.0),
        "head_announce_chunk": max(announce_chunk, 0.0),
        "head_register": max(register_call, 0.0),
        "head_register_chunk": max(register_chunk, 0.0),
    }


def project(found: dict[str, Any], nodes: int = NODES, ranks: int = RANKS) -> str:
    """The table, as Markdown."""
    c = constants(found)
    total, pairs = nodes * ranks, nodes * (nodes - 1) // 2
    announce = c["head_announce"] + ranks * c["head_announce_chunk"]
    register = c["head_register"] + ranks * c["head_register_chunk"]
    rows = [
        ("start", "TCP connections to rank 0's rendezvous store", f"{nodes:,}", "its limit of open files"),
        (
            "start",
            "ranks register and get the list of nodes",
            f"{c['store_cpu']:.1f} s",
            "rank 0's thread",
        ),
        (
            "start",
            "bytes that the store sends and receives",
            f"{c['store_bytes'] / 1e6:.0f} MB",
            "rank 0's link",
        ),
        (
            "start",
            "Gloo connections of one leader; of all",
            f"{nodes - 1:,}; {pairs:,}",
            "open files of a leader",
        ),
        (
            "start",
            "leaders connect (in parallel on real nodes)",
            f"{2 * pairs / nodes * c['rendezvous_pair']:.1f} s",
            "each leader's own",
        ),
        ("start", "JVMs, Ray jobs, node actors", f"{nodes:,} each", "Ray's control store"),
        (
            "start",
            "`deisa_ready` of one node (in parallel)",
            f"{c['ready'] + ranks * c['ready_rank']:.1f} s",
            "JVM and node actor",
        ),
        ("start", "head actor: registrations of one array", f"{nodes * register:.1f} s", "the head actor"),
        (
            "step and array",
            "node actor: from the last send to the announcement (in parallel)",
            f"{1e3 * ranks * c['node_chunk']:.0f} ms",
            "the node actor's Python",
        ),
        ("step and array", "calls of the head actor", f"{nodes:,}, {total:,} references", "the head actor"),
        ("step and array", "head actor: announcements", f"{nodes * announce:.1f} s", "the head actor"),
    ]
    lines = ["| when | what | " + f"{nodes:,} nodes x {ranks} ranks | limited by |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
