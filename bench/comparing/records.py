"""Figures and targets: what bench/compare writes and prints."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Record:
    """One figure of one case. `ratio` is how many times better this bridge is than `peer` where `better` is
    "faster" or "smaller", else ours / peer. `met` is None without a target."""

    case: str
    figure: str
    unit: str = ""
    ours: float | None = None
    against: str = "Python bridge"
    peer: float | None = None
    ratio: float | None = None
    target: float | None = None
    rule: str = ""
    met: bool | None = None
    error: str = ""


def compare(
    case: str,
    figure: str,
    unit: str,
    ours: float,
    peer: float,
    *,
    against: str = "Python bridge",
    times: bool = False,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Record:
    """`times`: the ratio is peer / ours (so many times faster, or smaller), else ours / peer."""
    ratio = (peer / ours if times else ours / peer) if ours > 0 and peer > 0 else None
    target = at_least if at_least is not None else at_most
    met = None
    if target is not None:
        met = ratio is not None and (ratio >= target if at_least is not None else ratio <= target)
    rule = "" if target is None else ("at least" if at_least is not None else "at most")
    return Record(case, figure, unit, ours, against, peer, ratio, target, rule, met)


def failed(case: str, figure: str, error: object) -> Record:
    """A case that could not be measured: its target is not met."""
    return Record(case, figure, met=False, error=str(error))


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def median(values: list[float]) -> float:
    return statistics.median(values)


def write(path: Path, records: list[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in records], indent=1) + "\n")


def read(path: Path) -> list[Record]:
    """What write() wrote. ValueError if it is something else."""
    try:
        return [Record(**one) for one in json.loads(path.read_text())]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold the records of bench/compare --json: {error}") from error


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def lines(records: list[Record]) -> list[str]:
    """The table for the terminal."""
    rows = [("case", "figure", "ours", "against", "peer", "ratio", "target", "")]
    for one in records:
        target = f"{one.rule} {number(one.target)}" if one.target is not None else ""
        verdict = {True: "met", False: "MISSED", None: ""}[one.met]
        unit = f" {one.unit}" if one.unit else ""
        if one.error:
            rows.append((one.case, one.figure, "failed", one.against, "-", "-", target, verdict))
            continue
        ours, peer = number(one.ours) + unit, number(one.peer) + (unit if one.peer is not None else "")
        rows.append((one.case, one.figure, ours, one.against, peer, number(one.ratio), target, verdict))
    return _aligned(rows)


def changes(before: list[Record], now: list[Record]) -> list[str]:
    """Two runs, case by case. The last columns are ratios to the peer, which ran beside: they are
    comparable where the machine was not equally fast, or equally busy, in both runs."""
    rows = [("case", "figure", "before", "now", "change", "ratio before", "ratio now", "change")]
    of = {(one.case, one.figure): one for one in before}
    for one in now:
        old = of.pop((one.case, one.figure), None)
        if old is None or one.error or old.error:
            what = "new" if old is None else "failed before" if old.error else "fails now"
            rows.append((one.case, one.figure, what, "", "", "", "", ""))
            continue
        pairs = ((old.ours, one.ours), (old.ratio, one.ratio))
        both = [f"{b / a:.2f} x" if a and b else "-" for a, b in pairs]
        unit = f" {one.unit}" if one.unit else ""
        values = (number(old.ours) + unit, number(one.ours) + unit, both[0])
        rows.append((one.case, one.figure, *values, number(old.ratio), number(one.ratio), both[1]))
    rows += [(case, figure, "not measured now", "", "", "", "", "") for case, figure in of]
    return _aligned(rows)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    found = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [line.rstrip() for line in found]
