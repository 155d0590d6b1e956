"""bench/: every benchmark runs, and the comparison with the Python bridge measures both sides."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from comparing import cases, matrix, overhead, plots, report
from comparing.records import changes, compare, failed, lines, read, write
from comparing.session import OURS, PEER, Outcome, Phase, Run, RunError, Session
from conftest import ROOT, run

PARTS = [
    *("pack/contiguous_2MiB", "memcpy/contiguous_2MiB", "pack/strided_2MiB", "pack/halo_2d_512B"),
    *("pack/halo_3d_512B", "pack/fortran_3d_2MiB", "slots_acquire_release", "socket_round_trip/real_time"),
    *("handoff_round_trip/real_time", "get_round_trip/real_time", "send/bytes:2097152/level:0/real_time"),
    *("send_loan/bytes:67108864/real_time", "step_of_eight/real_time", "validate_metadata"),
    *("gloo_barrier/ranks:4/real_time", "rendezvous/ranks:16/real_time", "c_abi_disabled", "jni_disabled"),
]


@pytest.mark.timeout(240)
def test_each_part_runs_once(tmp_path: Path, built: Path) -> None:
    file = tmp_path / "parts.json"
    options = ["--build", str(built), "--repetitions", "1", "--seconds", "0", "--timeout", "200"]
    done = run([sys.executable, str(ROOT / "bench" / "parts.py"), *options, str(file)], timeout=220.0)
    assert done.returncode == 0, done.stdout
    found = {one["run_name"]: one for one in json.loads(file.read_text())["benchmarks"]}
    assert set(PARTS) <= found.keys()
    assert all(one["real_time"] > 0 for one in found.values())


def test_records_say_whether_a_target_is_met(tmp_path: Path) -> None:
    faster = compare("send", "time", "ms", 0.5, 10.0, times=True, at_least=15.0)
    assert (faster.ratio, faster.met) == (20.0, True)
    assert compare("send", "time", "ms", 1.0, 10.0, times=True, at_least=15.0).met is False
    smaller = compare("memory", "sum", "MiB", 10.0, 100.0, at_most=1 / 6)
    assert (smaller.ratio, smaller.met) == (0.1, True)
    assert compare("memory", "sum", "MiB", 20.0, 100.0, at_most=1 / 6).met is False
    assert compare("more", "sum", "MiB", 20.0, 100.0).met is None
    nothing = compare("send", "time", "ms", 0.0, 10.0, times=True, at_least=15.0)
    assert (nothing.ratio, nothing.met) == (None, False), "what was not measured is not met"
    broken = failed("start", "seconds", RunError("the simulation failed"))
    assert (broken.met, broken.error) == (False, "the simulation failed")

    write(tmp_path / "out" / "records.json", [faster, broken])
    read = json.loads((tmp_path / "out" / "records.json").read_text())
    assert [one["case"] for one in read] == ["send", "start"]
    assert {"case", "figure", "ours", "peer", "ratio", "target", "met"} <= read[0].keys()
    table = lines([faster, broken])
    assert table[1].endswith("met") and "MISSED" in table[2] and "failed" in table[2]


def test_every_run_can_be_started() -> None:
    every = [one for one in (cases.runs(False) | matrix.runs(0.05)).values() if isinstance(one, Run)]
    assert len(every) > 24
    for one in every:
        assert all(isinstance(word, str) for word in one.command("folder"))
        assert one.control in ("auto", "java", "python") and 0 < one.warm_up < 20 and one.pace > 0


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_both_sides_are_measured(built: Path) -> None:
    for side in (OURS, PEER):
        phases = (Phase("chunk", 4096, 4), Phase("chunk", 4096, 4, "rate"))
        outcome = Session(Run(side, 2, phases, pace=0.0, warm_up=1), 110.0).measure()
        assert [len(one) for one in outcome.seconds] == [6, 1]
        assert all(0 < value < 60 for one in outcome.seconds for value in one)
        assert 0 < outcome.start < 100 and 0 < outcome.cpu < 200
        assert len(outcome.memory.resident) == 2
        assert all(0 < p <= r for p, r in zip(outcome.memory.private, outcome.memory.resident, strict=True))


@pytest.mark.ray
@pytest.mark.timeout(420)
def test_the_overhead_of_both_sides_is_measured(built: Path) -> None:
    for side, ways in ((OURS, ["copy", "loan"]), (PEER, ["copy"])):
        run = overhead.Overhead(side, 2, (), rounds=1, iterations=2, rows=8, seconds=0.01)
        found = run.measure(200.0).extra
        assert list(found["seconds"]) == [overhead.ALONE, *ways]
        assert all(len(one) == 2 and min(one) > 0 for one in found["seconds"].values())
        assert list(found["analytics"]) == ways and found["sweeps"] >= 2


def test_the_overhead_is_what_the_analytics_do_not_take() -> None:
    assert overhead.taken(0.3, 1.0, ranks=1, cpus=2) == 0, "a CPU without a rank has time for it"
    assert overhead.taken(1.4, 1.0, ranks=1, cpus=2) == pytest.approx(0.2)
    assert overhead.taken(0.3, 1.0, ranks=2, cpus=2) == pytest.approx(0.15)

    def outcome(side: str, ranks: int, **seconds: float) -> Outcome:
        cpu = {how: [0.0] for how in ("copy", "loan")}
        of = {"alone": [1.0], **{how: [one] for how, one in seconds.items()}}
        return Outcome(side, ranks, "received", "mean", [], extra={"seconds": of, "analytics": cpu})

    outcomes = {
        **{f"{ranks}-overhead-peer": outcome(PEER, ranks, copy=1.2) for ranks in (1, 2)},
        "1-overhead-ours": outcome(OURS, 1, copy=0.99, loan=1.01),
        "2-overhead-ours": outcome(OURS, 2, copy=1.04, loan=1.03),
    }
    copy, loan = (overhead.records(outcomes, how) for how in ("copy", "loan"))
    assert (copy[0].ratio, copy[0].met) == (pytest.approx(1.04), True), "the worse one decides"
    assert (loan[0].ratio, loan[0].met) == (pytest.approx(1.03), False)
    (added,) = (one for one in copy if one.figure == "added to an iteration, 2 ranks")
    assert (added.ours, added.peer) == (pytest.approx(4.0), pytest.approx(20.0))


def test_every_case_says_which_runs_it_needs() -> None:
    every = cases.needs([], quick=True)
    for case, _ in cases.TARGETS:
        needed = cases.needs([case], quick=True)
        assert needed.keys() <= every.keys() and (needed or case == "pack-halo"), case
    assert sorted(cases.needs(["overhead-128MiB"], True)) == sorted(overhead.runs(True))


def test_the_report_replaces_the_table_only(tmp_path: Path) -> None:
    document, records = tmp_path / "performance.md", tmp_path / "records.json"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    slow = compare("send", "median", "ms", 1.0, 10.0, times=True, at_least=15.0)
    more = compare("send", "p90", "ms", 2.0, 20.0, times=True)
    write(records, [slow, more, failed("start", "", RunError("no Ray"))])
    report.rewrite(document, records, "2 CPUs.")
    text = document.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n") and text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text and "2 CPUs." in text and "p90" not in text
    assert "| `send` | 1 ms, median | Python bridge | 10 ms | 10 | at least 15 | **missed** |" in text
    assert "| `start` | failed |" in text
    report.rewrite(document, records, "2 CPUs.")
    assert document.read_text() == text
    document.write_text("no marks")
    with pytest.raises(ValueError, match="no lines"):
        report.rewrite(document, records, "")


def test_two_runs_are_compared_case_by_case(tmp_path: Path) -> None:
    file = tmp_path / "records.json"
    write(file, [compare("send", "median", "ms", 1.0, 10.0, times=True), failed("start", "", "no Ray")])
    now = [
        compare("send", "median", "ms", 2.0, 10.0, times=True),
        compare("start", "", "s", 1.0, 2.0),
        compare("get", "median", "ms", 1.0, 2.0),
    ]
    rows = [line.split() for line in changes(read(file), now)]
    assert rows[1:] == [
        ["send", "median", "1", "ms", "2", "ms", "2.00", "x", "10", "5", "0.50", "x"],
        ["start", "failed", "before"],
        ["get", "median", "new"],
    ]
    assert changes(read(file), [])[1].split() == ["send", "median", "not", "measured", "now"]
    file.write_text('[{"speed": 3}]')
    with pytest.raises(ValueError, match="does not hold the records"):
        read(file)


def test_the_document_has_a_place_for_the_table() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1


def test_pictures_of_records_traces_and_samples(tmp_path: Path) -> None:
    met = compare("send", "median", "ms", 0.5, 10.0, times=True, at_least=15.0)
    missed = compare("memory", "sum", "MiB", 20.0, 100.0, at_most=1 / 6)
    (picture,) = plots.draw(tmp_path / "out", [met, missed, failed("start", "", "no Ray")], {})
    assert picture.read_bytes().startswith(b"\x89PNG")

    def span(name: str, begin: float, length: float, process: int) -> dict:
        arguments = {"rank": 0, "step": 3, "array": "t"}
        return {
            "name": name,
            "ph": "X",
            "ts": begin,
            "dur": length,
            "pid": process,
            "tid": 1,
            "args": arguments,
        }

    trace = tmp_path / "trace.json"
    named = [{"name": "process_name", "ph": "M", "pid": 7, "args": {"name": "rank 0"}}]
    trace.write_text(
        json.dumps([*named, span("send", 10, 50, 7), span("copy", 12, 20, 7), span("put", 90, 9, 8)])
    )
    samples = tmp_path / "samples"
    samples.write_text(
        "send 7 [000] 1.5: 1 cpu-clock: \n\t 1f deisa::pack+0x1 (/lib/x)\n\t 2f main (/bin/x)\n\n"
    )
    for script, source in (("timeline", trace), ("flame", samples)):
        file = tmp_path / f"{script}.png"
        done = run([sys.executable, str(ROOT / "bench" / f"{script}.py"), str(source), str(file)])
        assert done.returncode == 0, done.stdout
        assert file.read_bytes().startswith(b"\x89PNG")
    done = run([sys.executable, str(ROOT / "bench" / "timeline.py"), str(trace), "x.png", "--rank", "1"])
    assert done.returncode != 0 and "no send of rank 1" in done.stdout
