"""Unmodified deisa-ray analytics of python_simulation.py: what each timestep of each array holds, as JSON
lines, and feedback of objects of Python."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from deisa.ray import Deisa
from deisa.ray.types import Window
from python_simulation import DTYPES, OBJECTS


def watch(deisa: Deisa, name: str) -> None:
    def analyse(**windows: Any) -> None:
        array = windows[name][-1]
        values = array.compute()
        digest = hashlib.sha256(values.tobytes()).hexdigest()
        said = {"array": name, "t": int(array.t), "dtype": str(values.dtype), "shape": values.shape}
        print(json.dumps(said | {"sha256": digest}), flush=True)

    deisa.register(Window(name))(analyse)


def main() -> None:
    deisa = Deisa()
    for timestep, value in enumerate(OBJECTS):
        deisa.set("object", value, timestep)
    for name in DTYPES.split():
        watch(deisa, name)
    deisa.execute_callbacks()


if __name__ == "__main__":
    main()
