"""The table of docs/performance.md, made from the records of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from comparing.records import number

BEGIN, END = "<!-- bench/compare --report -->", "<!-- end -->"


def table(records: list[dict[str, Any]]) -> str:
    """In Markdown: a row for the first record of each case that has a target."""
    rows = ["| case | this bridge | against | | ratio | target | |", "|---|---|---|---|---|---|---|"]
    seen: set[str] = set()
    for one in records:
        if one["case"] in seen or one["met"] is None:
            continue
        seen.add(one["case"])
        verdict = "met" if one["met"] else "**missed**"
        if one["error"]:
            rows.append(f"| `{one['case']}` | failed | | | | | {verdict} |")
            continue
        ours, peer = (f"{number(one[side])} {one['unit']}" for side in ("ours", "peer"))
        target = f"{one['rule']} {number(one['target'])}"
        figure = f"{ours}, {one['figure']}"
        row = (f"`{one['case']}`", figure, one["against"], peer, number(one["ratio"]), target, verdict)
        rows.append("| " + " | ".join(row) + " |")
    return "\n".join(rows)


def rewrite(document: Path, records_file: Path, about: str) -> None:
    """Puts the table, and `about`, between the marks of the document. ValueError without the marks."""
    text = document.read_text()
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"{document} has no lines '{BEGIN}' and '{END}'")
    records = json.loads(records_file.read_text())
    inside = f"{BEGIN}\n\n{about}\n\n{table(records)}\n\n"
    document.write_text(text[:begin] + inside + text[end:])
