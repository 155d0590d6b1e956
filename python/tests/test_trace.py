"""The trace as a file that several processes add to, and what a summary says of it. Without Ray."""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from deisa_bridge.node import analytics_trace
from deisa_bridge.trace import __main__ as command
from deisa_bridge.trace import file as trace_file
from deisa_bridge.trace.summary import blocked, parts_of, picture, summarise


def add(file: Any, process: int) -> None:
    for i in range(50):
        trace_file.append(file, [trace_file.span(f"{process}", process, i, i + 1, i)] * 3)


def test_processes_add_to_one_file_that_is_always_valid(tmp_path):
    file = tmp_path / "trace"
    trace_file.append(file, [])
    assert not file.exists()
    children = [multiprocessing.Process(target=add, args=(file, i)) for i in range(3)]
    for child in children:
        child.start()
    while any(child.is_alive() for child in children):
        if file.exists() and file.stat().st_size:
            trace_file.read(file)
    for child in children:
        child.join()
        assert child.exitcode == 0
    spans, _ = trace_file.read(file)
    assert len(spans) == 450


def test_it_waits_while_another_process_writes(tmp_path):
    file = tmp_path / "trace"
    with file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        writer = threading.Thread(target=trace_file.append, args=(file, [trace_file.process_name(1, "a")]))
        writer.start()
        writer.join(0.3)
        assert writer.is_alive() and file.stat().st_size == 0
    writer.join()
    assert trace_file.read(file)[1] == {1: "a"}


def test_it_goes_on_after_what_native_code_wrote(tmp_path):
    file = tmp_path / "trace"
    file.write_text('[\n{"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "rank 0"}}\n]\n')
    trace_file.append(file, [trace_file.process_name(2, "analytics"), trace_file.span("analyse", 2, 1, 2, 3)])
    spans, names = trace_file.read(file)
    assert names == {1: "rank 0", 2: "analytics"} and spans[0]["args"] == {"rank": -1, "step": 3}


# ---- The summary -------------------------------------------------------------------------------------------


def span(name: str, rank: int, step: int, begin: float, dur: float) -> dict[str, Any]:
    """Times in milliseconds."""
    return {"name": name, "ts": 1000 * begin, "dur": 1000 * dur, "args": {"rank": rank, "step": step}}


def step(number: int, begin: float, longer: float = 0.0) -> Iterator[dict[str, Any]]:
    """Two ranks; the second waits longer for space. The analytics take 40 ms."""
    for rank in (0, 1):
        yield span("send", rank, number, begin, 10 + rank * longer)
        yield span("admit", rank, number, begin, 2 + rank * longer)
        yield span("copy", rank, number, begin + 2 + rank * longer, 8)
        yield span("put", rank, number, begin + 12 + rank * longer, 6)
        yield span("announce", rank, number, begin + 20 + longer, 5)
    yield span("wait for a timestep", -1, number, begin, 60)
    yield span("analyse", -1, number, begin + 60, 40)
    yield span("dask:a", -1, number, begin + 65, 10)
    yield span("dask:b", -1, number, begin + 80, 10)


@pytest.fixture
def spans() -> list[dict[str, Any]]:
    return [one for t in range(3) for one in step(t, 100.0 * t, longer=10.0 * t)]


def test_a_rank_is_blocked_once_at_a_time(spans):
    assert blocked(spans) == pytest.approx({0: 30_000.0, 1: 60_000.0})
    assert blocked([span("send", 0, 1, 0, 5), span("end step", 0, 1, 3, 5)]) == {0: 8000.0}
    assert blocked([span("put", 0, 1, 0, 5), span("analyse", -1, 1, 0, 5)]) == {}


def test_a_timestep_waits_in_the_queue_until_the_analytics_read_it(spans):
    parts = {part.name: part for part in parts_of([one for one in spans if one["args"]["step"] == 0])}
    assert parts["queued"].begin == 25_000 and parts["queued"].end == 60_000
    assert parts["Dask's tasks"].begin == 65_000 and parts["Dask's tasks"].end == 90_000


def test_all_of_it_in_words(spans):
    assert (
        summarise(spans)
        == """\
300.00 ms with 3 timesteps

blocked: the time that a simulation spent in calls of the bridge
  rank 0      30.00 ms
  rank 1      60.00 ms

the longest waits
    60.00 ms  the analytics: wait for a timestep, timestep 0, after 0 µs
    60.00 ms  the analytics: wait for a timestep, timestep 1, after 100.00 ms
    60.00 ms  the analytics: wait for a timestep, timestep 2, after 200.00 ms
    22.00 ms  rank 1: admit, timestep 2, after 200.00 ms
    12.00 ms  rank 1: admit, timestep 1, after 100.00 ms

a timestep: the median over all timesteps, of the longest on any rank
  admit        12.00 ms
  copy         8.00 ms
  put          6.00 ms
  announce     5.00 ms
  queued       25.00 ms
  analyse      40.00 ms
  Dask's tasks 25.00 ms

timestep 1, of median length: 100.00 ms from left to right
  admit        |██████                                            |
  copy         | █████████                                        |
  put          |      ████████                                    |
  announce     |               ██                                 |
  queued       |                 ████████████                     |
  analyse      |                              ████████████████████|
  Dask's tasks |                                ████████████      |
"""
    )


def test_a_run_that_has_sent_nothing(tmp_path):
    assert summarise([]) == "the trace has no span yet\n"
    assert "no rank has sent anything" in summarise([span("ready", 0, -(2**63), 0, 5)])


def test_the_command_names_a_file_that_is_none(tmp_path, capsys):
    file = tmp_path / "trace"
    for text in ("", "{}", "[1]"):
        file.write_text(text)
        with pytest.raises(SystemExit, match=r"trace: /.*/trace: expected a file that DEISA_TRACE named"):
            command.main([str(file)])
    trace_file.append(file := tmp_path / "good", [trace_file.span("analyse", 1, 0, 10**6, 0)])
    command.main([str(file)])
    assert "1.00 ms with 1 timesteps" in capsys.readouterr().out


def test_bars_stay_inside_the_picture():
    spans = [span("copy", 0, 1, 0, 100), span("announce", 0, 1, 100, 0.001)]
    assert {len(line) for line in picture({1: spans})[1:]} == {67}


# ---- In the head actor -------------------------------------------------------------------------------------


class Head:
    def __init__(self) -> None:
        self.arrays_ready: asyncio.Queue = asyncio.Queue()


def test_the_head_actor_notes_what_the_analytics_read_though_they_wait_already():
    async def play() -> None:
        head, note = Head(), analytics_trace._noter()
        first = asyncio.ensure_future(head.arrays_ready.get())
        await asyncio.sleep(0)
        got, since = note(head)
        assert got == [] and since > 0
        head.arrays_ready.put_nowait(("t", 4, "array"))
        assert await first == ("t", 4, "array")
        ((array, step, asked, now),), since = note(head)
        assert (array, step, since) == ("t", 4, 0) and asked <= now
        second = asyncio.ensure_future(head.arrays_ready.get())
        await asyncio.sleep(0)
        assert note(head)[1] >= now
        head.arrays_ready.put_nowait(("t", 5, "array"))
        await second
        assert [one[:2] for one in note(head)[0]] == [("t", 5)] and note(head)[0] == []

    asyncio.run(play())


def test_spans_that_overlap_have_rows_of_their_own():
    rows = trace_file.Rows()
    numbers = [rows.free(*one) - rows.FIRST for one in [(0, 10), (5, 12), (10, 20), (11, 30), (12, 13)]]
    assert numbers == [0, 1, 0, 2, 1]
