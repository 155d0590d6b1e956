"""Draws a flame graph of what `perf script` prints: the wider, the more samples; callers below.

flame.py SAMPLES PICTURE [--threads REGEX]

    perf record -F 499 -e cpu-clock -g -p PID -o perf.data & ... ; perf script -i perf.data >samples
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FRAME = re.compile(r"^\s+[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \(.*\)$")
SHOWN = 0.004
"""The least part of all samples that gets a box."""


def stacks(text: str, threads: str) -> Counter[tuple[str, ...]]:
    """How many samples each stack has, from the outermost frame inwards, the thread first."""
    found: Counter[tuple[str, ...]] = Counter()
    for sample in text.split("\n\n"):
        lines = sample.strip("\n").splitlines()
        if len(lines) < 2:
            continue
        name = re.split(r"\s+\d+(?:/\d+)?\s", lines[0].strip())[0]
        if threads and not re.search(threads, name):
            continue
        frames = [match[1].split("(")[0] for line in lines[1:] if (match := FRAME.match(line))]
        found[(name, *reversed(frames))] += 1
    return found


def boxes(found: Counter[tuple[str, ...]]) -> list[tuple[int, float, float, str]]:
    """Depth, left, width (parts of all) and name of each box."""
    total = sum(found.values())
    made: list[tuple[int, float, float, str]] = []

    def place(entries: list[tuple[tuple[str, ...], int]], depth: int, left: float) -> None:
        groups: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for frames, count in entries:
            if len(frames) > depth:
                groups.setdefault(frames[depth], []).append((frames, count))
        for name, members in sorted(groups.items()):
            width = sum(count for _, count in members) / total
            if width >= SHOWN:
                made.append((depth, left, width, name))
                place(members, depth + 1, left)
            left += width

    place(list(found.items()), 0, 0.0)
    return made


def draw(found: Counter[tuple[str, ...]], picture: Path) -> None:
    made = boxes(found)
    deepest = max((depth for depth, *_ in made), default=0)
    figure, axes = plt.subplots(figsize=(16, 1 + 0.24 * (deepest + 1)))
    colours = plt.get_cmap("autumn")
    for depth, left, width, name in made:
        shade = (sum(map(ord, name)) % 97) / 97
        axes.barh(depth, width, 0.95, left=left, align="center", color=colours(shade), linewidth=0)
        letters = int(width * 210)
        if letters > 3:
            axes.text(left + 0.001, depth, name[:letters], fontsize=6.5, va="center", clip_on=True)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, deepest + 0.6)
    axes.set_yticks([])
    axes.set_xlabel(f"part of {sum(found.values())} samples")
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(prog="flame", description=__doc__)
    parser.add_argument("samples", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--threads", default="", help="only of threads whose names match")
    arguments = parser.parse_args()
    found = stacks(arguments.samples.read_text(errors="replace"), arguments.threads)
    if not found:
        raise SystemExit(f"no samples of '{arguments.threads}' in {arguments.samples}")
    draw(found, arguments.picture)
    print(f"picture: {arguments.picture}")


if __name__ == "__main__":
    main()
