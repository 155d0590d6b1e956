"""The Python part of docs/pdi.md, as PDI's pycall runs it: the code of each event in the namespace of
__main__, to which the variables under its `with` are added. One rank of a simulation that raises the events.

    mpirun -n 2 python pdi_events.py PAGE
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from mpi4py import MPI

ROWS, COLUMNS, STEPS = 2, 3, 2
tree = yaml.safe_load(re.search(r"```yaml\n(.*?)```", Path(sys.argv[1]).read_text(), re.DOTALL)[1])
events = tree["plugins"]["pycall"]["on_event"]
described = tree["metadata"].keys() | tree["data"].keys()
shared: dict[str, Any] = {}


def raise_event(name: str) -> None:
    main = sys.modules["__main__"].__dict__
    for alias, expression in events[name]["with"].items():
        assert expression.removeprefix("$") in described
        main[alias] = shared[expression.removeprefix("$")]
    exec(events[name]["exec"], main)


rank, size = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
shared |= {"rows": ROWS, "columns": COLUMNS}
shared |= {"place": np.array([rank, 0], np.int32), "ranks": np.array([size, 1], np.int32)}
raise_event("connect")
block = np.full((ROWS + 2, COLUMNS + 2), -1.0)
for shared["timestep"] in range(STEPS):
    block[1:-1, 1:-1] = (
        100 * shared["timestep"] + 10 * rank + np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    )
    shared["temperature"] = block
    raise_event("computed")
raise_event("finished")
