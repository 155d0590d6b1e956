"""As writer.cc, with the high-level Python interface of ADIOS2: writer.py CONFIG OUTPUT RANK RANKS STEPS."""

from __future__ import annotations

import sys

import adios2
import numpy as np


def part_of(cells: int, part: int, parts: int) -> range:
    return range(part * cells // parts, (part + 1) * cells // parts)


def main() -> None:
    config, output = sys.argv[1:3]
    rank, ranks, steps = (int(argument) for argument in sys.argv[3:6])
    across = 2 if ranks == 4 else 1
    rows, columns = part_of(10, rank // across, ranks // across), part_of(7, rank % across, across)
    cells = part_of(10, rank, ranks)
    io = adios2.Adios(config).declare_io("output")
    with adios2.Stream(io, output, "w") as stream:
        for _ in stream.steps(steps):
            t = stream.current_step()
            field = 1000.0 * t + 10.0 * np.array(rows)[:, None] + np.array(columns)
            stream.write("field", field, [10, 7], [rows.start, columns.start], list(field.shape))
            line = (t + np.array(cells)).astype(np.float32)
            stream.write("line", line, [10], [cells.start], [len(cells)])
            stream.write("seconds", 0.1 * t)


if __name__ == "__main__":
    main()
