"""deisa-info --status: how what node actors say is put together, and what is shown of it. Without Ray."""

from __future__ import annotations

import copy
import io
import sys
from typing import Any

import pytest
from rich.console import Console

from deisa_bridge.node.gate import Gate, Limits, Usage
from deisa_bridge.node.gather import Gather
from deisa_bridge.node.holds import Holds
from deisa_bridge.node.progress import HISTORY, Progress
from deisa_bridge.watching import __main__ as command
from deisa_bridge.watching import live, state, text

MIB = 2**20


def rates(**last: int) -> dict[str, list[int]]:
    return {key: [0] * (HISTORY - 1) + [last.get(key, 0)] for key in ("bytes", "steps")}


def array(position: int, announced: int | None) -> dict[str, Any]:
    """A node's part of an array of 6 + 4 rows."""
    extents = [{str(position): (6, 4)[position]}, {"0": 7}]
    steps = {"sent": 17, "stored": 17 - position, "announced": announced}
    return {"dtype": "float64", "grid": [2, 1], "extents": extents} | steps


def rank(number: int, state: str = "alive", step: int | None = 17) -> dict[str, Any]:
    return {"rank": number, "pid": 100 + number, "state": state, "step": step}


def reply(node: str, analytics: dict | None = None, **progress: Any) -> dict[str, Any]:
    """What a node actor says."""
    return {
        "node_id": node,
        "session": "s1",
        "pid": 7,
        "log": f"/logs/{node}.err",
        "begun": True,
        "ended": False,
        "lost": "",
        "live": [0],
        "gate": "open",
        "store_used": 64 * MIB,
        "store_capacity": 256 * MIB,
        "store_threshold": 0.5,
        "store_spilled": 0,
        "metrics": {"deisa_x": ["# TYPE ray_deisa_x gauge", f'ray_deisa_x{{node="{node}"}} 1']},
        "progress": {"ranks": [], "arrays": {}, "waits": [], "rates": rates()}
        | {"analytics": analytics}
        | progress,
    }


@pytest.fixture
def two_nodes() -> dict[str, Any]:
    """Node b is a timestep behind, one of its ranks has died, and the analytics are slow."""
    nodes = [
        reply(
            "b",
            ranks=[rank(1, "died", 12), rank(2, step=None)],
            arrays={"t": array(1, 15)},
            rates=rates(bytes=5 * MIB, steps=10),
            waits=[["array 't', timestep 16 waits for rank 2", 3.25], ["nothing much", 0.1]],
        ),
        reply(
            "a",
            {"read": 11, "behind": 5, "idle": False},
            ranks=[rank(0)],
            arrays={"t": array(0, 16)},
            rates=rates(bytes=15 * MIB, steps=10),
        ),
    ]
    nodes[0] |= {"gate": "too full", "store_spilled": 3 * MIB}
    found = state.arrange([*nodes, {"node_id": "c", "pid": 9}])
    return found | {"analytics": ["process 5 on 127.0.0.1"], "problems": []}


def test_the_nodes_of_a_session_are_put_together(two_nodes):
    (session,) = two_nodes["sessions"]
    assert session["state"] == "running" and [one["rank"] for one in session["ranks"]] == [0, 1, 2]
    assert session["arrays"] == {
        "t": {"dtype": "float64", "shape": [10, 7], "grid": [2, 1], "sent": 17, "stored": 17, "announced": 15}
    }, "announced is what every node has announced"
    assert session["steps"] == {"sent": 17, "stored": 17, "announced": 15, "read": 11, "behind": 5}
    assert session["rates"]["bytes_per_second"] == 4 * MIB, "of both nodes, over five seconds"
    assert session["rates"]["steps_per_second"] == 2, "both announce the same timesteps"
    assert session["ranks"][1] == {"rank": 1, "pid": 101, "state": "died", "step": 12, "node": "b"}


def test_what_a_metric_is_stands_once(two_nodes):
    assert two_nodes["sessions"][0]["metrics"] == [
        "# TYPE ray_deisa_x gauge",
        'ray_deisa_x{node="b"} 1',
        'ray_deisa_x{node="a"} 1',
    ]


def test_all_of_it_in_words(two_nodes):
    assert (
        text.render(two_nodes)
        == """\
session s1: running
  timesteps  sent 17, stored 17, announced 15, analysing 11, 5 behind
  rate       4.2 MB/s, 2.0 timesteps/s (mean of 5 s)
  array      t: 10 x 7 float64 in 2 x 1 chunks; sent 17, stored 17, announced 15
  rank 0     alive, at timestep 17, process 100 on node a
  rank 2     alive, has sent nothing, process 102 on node b
  rank 1     died, at timestep 12, process 101 on node b
  node       b: node actor is process 7; object store 25 % of 256.0 MiB, threshold 50 %, 3.0 MiB spilled to \
disk; back-pressure: too full
  node       a: node actor is process 7; object store 25 % of 256.0 MiB, threshold 50 %, nothing spilled
  log        /logs/b.err
  log        /logs/a.err
  waiting    3.2 s: array 't', timestep 16 waits for rank 2
  analytics  process 5 on 127.0.0.1
"""
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"begun": False}, "starting"),
        ({"ended": True}, "ended"),
        ({"live": []}, "left by its ranks"),
        ({"lost": "the analytics have ended"}, "lost: the analytics have ended"),
    ],
)
def test_the_state_of_a_session(change, expected):
    (session,) = state.arrange([reply("a") | change])["sessions"]
    assert session["state"] == expected


def test_many_ranks_are_counted(two_nodes):
    (session,) = two_nodes["sessions"]
    session["ranks"] = [rank(i, step=i and 30 + i) | {"node": "a"} for i in range(100)]
    session["ranks"] += [rank(i, "died", 3) | {"node": "a"} for i in range(100, 120)]
    shown = text.render(two_nodes)
    assert "ranks      100 alive, of which 100 have sent a timestep" in shown
    assert "the slowest: rank 0 at timestep 0; the fastest: 129" in shown
    assert "rank 107 " in shown and "rank 108 " not in shown and "and 12 more that have left or died" in shown


def test_a_cluster_without_a_simulation():
    nothing = {"sessions": [], "analytics": [], "problems": []}
    assert text.render(nothing) == "no simulation on this cluster\n  analytics  none\n"
    waiting = nothing | {"analytics": ["process 5 on h"], "problems": ["sched-x has died"]}
    assert "  analytics  process 5 on h\n" in text.render(waiting)
    assert "problems\n             sched-x has died\n" in text.render(waiting)


def test_what_is_not_known_is_said(two_nodes):
    (session,) = two_nodes["sessions"]
    session["arrays"]["t"] |= {"dtype": None, "shape": None, "sent": None}
    session["steps"] = dict.fromkeys(session["steps"])
    session["nodes"][0]["store_capacity"] = None
    shown = text.render(two_nodes)
    for part in ("of a shape that is not known", "a dtype that comes with", "sent none", "none was sent"):
        assert part in shown
    assert "b: node actor is process 7; how full its object store is is not known" in shown


def test_the_live_view_has_sparklines(two_nodes):
    console = Console(file=io.StringIO(), width=150)
    console.print(live.draw(two_nodes))
    shown = console.file.getvalue()
    assert "█ 4.2 MB/s" in shown and "█ 2.0 timesteps/s" in shown and "session s1: running" in shown
    assert "died, at timestep 12" in shown and "array 't', timestep 16 waits for rank 2" in shown


def test_a_sparkline_scales_to_its_highest_value():
    assert text.sparkline([0, 1, 50, 100]) == " ▁▄█" and text.sparkline([0, 0]) == "  "


def test_watching_without_rich_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "deisa_bridge.watching.live")
    with pytest.raises(SystemExit, match=r"needs the Python package rich .* -m pip install rich"):
        command.main(["--watch"])


def test_watching_without_a_terminal_is_refused():
    with pytest.raises(SystemExit, match="standard output is none: use --watch --json"):
        command.main(["--watch"])


# ---- What a node actor says --------------------------------------------------------------------------------


def test_a_timestep_counts_once_though_nodes_announce_it_in_different_seconds():
    of_nodes = [{"bytes": [0, 0, 0], "steps": steps} for steps in ([3, 4, 0], [3, 2, 2], [0, 0, 0])]
    assert state._rates(of_nodes)["history"]["steps"] == [3, 4, 0]


def test_rates_are_those_of_the_last_seconds_that_are_over():
    progress = Progress()
    for second in range(200):
        progress.stored("t", second, 10, 1000.5 + second)
        progress.announced(second, 1000.6 + second)
        progress.announced(second, 1000.7 + second)  # another array of it
    progress.stored("t", 199, 70, 1200.1)  # in a second that is not over
    history = progress.history(1200.2)
    assert history == {"bytes": [10] * HISTORY, "steps": [1] * HISTORY}
    assert progress.history(1202.0)["bytes"] == [10] * (HISTORY - 2) + [70, 0]
    assert progress.newest_stored == {"t": 199} and len(progress._seconds) <= HISTORY + 1
    progress.stored("t", 5, 10, 1300.0)
    assert progress.newest_stored == {"t": 199}, "an older chunk may be stored later"


def test_who_waits_for_whom_and_how_long():
    gather = Gather()
    for bridge in (0, 1):
        gather.add_bridge(bridge, ["t"], 60.0)
    assert gather.waits(5.0) == [] and gather.newest_of_bridges() == {0: None, 1: None}
    gather.step(0, 3, [("t", None)], True, 10.0)
    gather.step(0, 4, [("t", None)], True, 11.0)
    assert gather.waits(12.5) == [("array 't', timestep 3 waits for rank 1", 2.5)]
    assert gather.newest_of_bridges() == {0: 4, 1: None}
    assert gather.newest_of_array("t") == {"sent": 4, "announced": None}
    gate = Gate()
    for bridge in range(3):
        gate.add_rank(bridge, MIB, 1)
    gate.begin(Limits(threshold=0.5))
    gate.measured(Usage(9 * MIB, 10 * MIB), gate.mark(), 0.0)
    gate.settle()
    for bridge, asked in ((2, 3.0), (0, 2.0)):
        gate.ask(bridge, 1, 7, waits=True, now=asked)
    ((what, seconds),) = gate.waits(4.0)
    assert what.startswith("ranks 0 and 2 wait to begin timestep 7: the object store of this node is 90 %")
    assert seconds == 2.0


def test_looking_changes_nothing(two_nodes):
    before = copy.deepcopy(two_nodes)
    text.render(two_nodes)
    live.draw(two_nodes)
    assert two_nodes == before


def test_the_log_has_a_line_for_a_long_hold_and_none_for_a_short_one():
    holds, reason = Holds(), lambda: "too full"
    assert [holds.update(True, reason, 10.0), holds.update(True, reason, 10.9)] == ["", ""]
    assert holds.update(False, reason, 10.95) == "" and holds.update(False, reason, 11.0) == ""
    assert [holds.update(True, reason, t) for t in (20.0, 20.5)] == ["", ""]
    assert holds.update(True, reason, 21.0) == "back-pressure holds ranks: too full"
    assert holds.update(True, reason, 25.0) == "" and holds.seconds == pytest.approx(5.95)
    assert holds.update(False, reason, 26.0) == "back-pressure ends after 6.0 s"
    assert holds.count == 2 and holds.seconds == pytest.approx(6.95)
