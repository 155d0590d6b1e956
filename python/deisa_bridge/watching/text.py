"""The state of a cluster in words; see state.py."""

from __future__ import annotations

from typing import Any

FEW = 8
"""Ranks up to which each has its line."""
SHORT = 0.5
"""Seconds below which it is no news that somebody waits."""
BARS = "▁▂▃▄▅▆▇█"

Row = tuple[str, str]
"""A label, which may be empty, and a text."""


def render(state: dict[str, Any]) -> str:
    """All of it, as lines."""
    lines = []
    for title, rows in sections(state):
        lines += [title, *(f"  {label:<10} {text}" for label, text in rows), ""]
    return "\n".join(lines)


def sections(state: dict[str, Any], history: bool = False) -> list[tuple[str, list[Row]]]:
    """A title and its rows for each session, and for what belongs to none. `history`: with sparklines."""
    found = [(_title(one), session_rows(one, history)) for one in state["sessions"]]
    analytics = [("analytics", text) for text in state["analytics"]]
    if not found:
        found.append(("no simulation on this cluster", analytics or [("analytics", "none")]))
    else:
        found[-1][1].extend(analytics)
    if state["problems"]:
        found.append(("problems", [("", text) for text in state["problems"]]))
    return found


def session_rows(session: dict[str, Any], history: bool = False) -> list[Row]:
    """What there is to say about one session."""
    rows = [("timesteps", _steps(session)), *_rates(session["rates"], history)]
    rows += [("array", _array(name, array)) for name, array in session["arrays"].items()]
    rows += _ranks(session["ranks"])
    rows += [("node", _node(node)) for node in session["nodes"]]
    rows += [("log", node["log"]) for node in session["nodes"]]
    rows += [
        ("waiting", f"{one['seconds']:.1f} s: {one['what']}")
        for one in session["waits"]
        if one["seconds"] >= SHORT
    ]
    return rows + [("problem", text) for text in session["problems"]]


def sparkline(values: list[int]) -> str:
    """One character for each value; the highest is full."""
    most = max(values, default=0) or 1
    return "".join(BARS[(len(BARS) - 1) * value // most] if value else " " for value in values)


def _title(session: dict[str, Any]) -> str:
    return f"session {session['session']}: {session['state']}"


def _steps(session: dict[str, Any]) -> str:
    steps = session["steps"]
    if steps["sent"] is None:
        return "none was sent"
    parts = [f"{key} {_or_none(steps[key])}" for key in ("sent", "stored", "announced")]
    if steps["behind"] is not None:
        verb = "analysed" if session["analytics_wait"] else "analysing"
        parts.append(f"{verb} {_or_none(steps['read'])}")
        parts.append(f"{steps['behind']} behind")
    return ", ".join(parts)


def _rates(rates: dict[str, Any], history: bool) -> list[Row]:
    texts = (f"{rates['bytes_per_second'] / 1e6:.1f} MB/s", f"{rates['steps_per_second']:.1f} timesteps/s")
    if not history:
        return [("rate", f"{texts[0]}, {texts[1]} (mean of {rates['seconds']} s)")]
    lines = (sparkline(rates["history"][key]) for key in ("bytes", "steps"))
    return [("rate", f"{line} {text}") for line, text in zip(lines, texts, strict=True)]


def _array(name: str, array: dict[str, Any]) -> str:
    shape = " x ".join(map(str, array["shape"])) if array["shape"] else "of a shape that is not known yet"
    grid = " x ".join(map(str, array["grid"]))
    dtype = array["dtype"] or "a dtype that comes with the first chunk"
    parts = [f"{key} {_or_none(array[key])}" for key in ("sent", "stored", "announced")]
    return f"{name}: {shape} {dtype} in {grid} chunks; {', '.join(parts)}"


def _ranks(ranks: list[dict[str, Any]]) -> list[Row]:
    alive = [rank for rank in ranks if rank["state"] == "alive"]
    others = [rank for rank in ranks if rank["state"] != "alive"]
    rows = []
    if len(alive) > FEW:
        known = [rank for rank in alive if rank["step"] is not None]
        rows.append(("ranks", f"{len(alive)} alive, of which {len(known)} have sent a timestep"))
        if known:
            slow, fast = (pick(known, key=lambda rank: rank["step"]) for pick in (min, max))
            slowest = f"rank {slow['rank']} at timestep {slow['step']}"
            rows.append(("", f"the slowest: {slowest}; the fastest: {fast['step']}"))
    else:
        rows += [(f"rank {rank['rank']}", f"alive, {_at(rank)}, {_place(rank)}") for rank in alive]
    for rank in others[:FEW]:
        rows.append((f"rank {rank['rank']}", f"{rank['state']}, {_at(rank)}, {_place(rank)}"))
    if len(others) > FEW:
        rows.append(("", f"and {len(others) - FEW} more that have left or died"))
    return rows


def _at(rank: dict[str, Any]) -> str:
    return "has sent nothing" if rank["step"] is None else f"at timestep {rank['step']}"


def _place(rank: dict[str, Any]) -> str:
    return f"process {rank['pid']} on node {short(rank['node'])}"


def _node(node: dict[str, Any]) -> str:
    text = f"{short(node['node'])}: node actor is process {node['pid']}; "
    if node["store_capacity"]:
        used = 100 * node["store_used"] / node["store_capacity"]
        text += f"object store {used:.0f} % of {_size(node['store_capacity'])}"
        if node["store_threshold"] is not None:
            text += f", threshold {100 * node['store_threshold']:.0f} %"
        spilled = node["store_spilled"]
        text += f", {_size(spilled)} spilled to disk" if spilled else ", nothing spilled"
    else:
        text += "how full its object store is is not known"
    return text + ("" if node["gate"] == "open" else f"; back-pressure: {node['gate']}")


def short(node: str) -> str:
    """A node's id, of which Ray's have 56 digits."""
    return node if len(node) <= 16 else node[:8]


def _or_none(step: int | None) -> str:
    return "none" if step is None else str(step)


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**20:.1f} MiB"
