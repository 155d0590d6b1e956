"""Analytics as a user writes them, with deisa-ray as published: every array of every timestep as JSON lines.

    watch.py ARRAYS [FILE]

ARRAYS: names with commas between them; each has a callback of its own. With FILE, the callbacks begin when
that file exists; the head actor is there before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from deisa.ray import Deisa
from deisa.ray.types import Window


def say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


def watch(deisa: Deisa, name: str) -> None:
    def analyse(**windows: Any) -> None:
        array = windows[name][-1]
        values = array.compute()
        say(
            event="step",
            array=name,
            t=int(array.t),
            shape=array.shape,
            chunks=array.chunks,
            dtype=str(array.dtype),
            values=values.tolist(),
        )

    deisa.register(Window(name))(analyse)


def main() -> None:
    deisa = Deisa()
    for name in sys.argv[1].split(","):
        watch(deisa, name)
    say(event="started")
    while len(sys.argv) > 2 and not os.path.exists(sys.argv[2]):
        time.sleep(0.05)
    deisa.execute_callbacks()
    say(event="ended")


if __name__ == "__main__":
    main()
