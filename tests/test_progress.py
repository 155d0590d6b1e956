"""How far an example is: the line on a terminal, and the picture of the newest timestep."""

from __future__ import annotations

import io
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT
from processes import Child
from progress import CLEAR, Progress

PROGRAM = """
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
print("timestep 0 sent, source on", "timestep 1 sent, source on", "timestep 0 analysed", "other", sep="\\n")
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rate_and_time_left_follow_from_what_was_analysed():
    progress = Progress(20, Terminal())
    assert progress.text(3, 0, 5.0) == "3 of 20 timesteps sent, 0 analysed"
    assert progress.text(4, 2, 10.0) == "4 of 20 timesteps sent, 2 analysed"
    assert progress.text(9, 6, 12.0) == "9 of 20 timesteps sent, 6 analysed, 2.0 per second, 7 s left"
    assert progress.text(20, 20, 19.0).endswith(", 2.0 per second, 0 s left")


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_it_shows_on_a_terminal_only_and_hides_the_lines_it_counts(stream, capsys, tmp_path):
    progress = Progress(4, stream)
    child = Child("child", [sys.executable, "-c", PROGRAM, str(tmp_path / "go")], {})
    progress.follow(child)
    (tmp_path / "go").touch()
    assert child.wait(60.0) == 0
    progress.update(child, child)
    progress.update(child, child)
    progress.clear()
    printed = capsys.readouterr().out
    if stream.isatty():
        assert stream.getvalue() == CLEAR + "2 of 4 timesteps sent, 1 analysed" + CLEAR
    else:
        assert stream.getvalue() == "" and printed.count("[child] timestep") == 3
    assert "[child] other\n" in printed


def test_the_picture_is_that_of_the_newest_timestep(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "heat")
    from live import Live

    file = tmp_path / "live.png"
    live = Live(file)
    field = np.zeros((8, 8))
    live.draw(0, field)
    cold = plt.imread(file)
    field[2:6, 2:6] = 3.0
    live.draw(1, field)
    warm = plt.imread(file)
    assert warm.shape == cold.shape and np.abs(warm - cold).max() > 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["live.png"]
