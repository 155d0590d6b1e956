"""Analytics that go as far as a test lets them: at most as many timesteps as the number in FILE says.

    paced.py ARRAY FILE [WINDOW [SECONDS]]

Each takes SECONDS at least, and is a line of JSON when it has been analysed: `window` has the timesteps of
the window, `right` says whether the newest has the values of programs/rank.c, where chunk i begins with
1000 t + i.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from deisa.ray import Deisa
from deisa.ray.types import DeisaArray, Window


def say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


def is_right(array: DeisaArray) -> bool:
    starts = array.blocks.shape[0]
    length = array.shape[0] // starts
    expected = [1000.0 * array.t + i + np.arange(length) for i in range(starts)]
    return bool(np.array_equal(array.compute(), np.concatenate(expected)))


def main() -> None:
    name, file = sys.argv[1], Path(sys.argv[2])
    size = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    deisa = Deisa()
    taken: set[int] = set()

    def analyse(**windows: Any) -> None:
        window = windows[name]
        taken.add(int(window[-1].t))
        while int(file.read_text() or 0) < len(taken):
            time.sleep(0.01)
        right = is_right(window[-1])
        time.sleep(seconds)
        say(
            event="step",
            array=name,
            t=int(window[-1].t),
            window=[int(one.t) for one in window],
            right=right,
        )

    deisa.register(Window(name, size))(analyse)
    say(event="started")
    deisa.execute_callbacks()
    say(event="ended")


if __name__ == "__main__":
    main()
