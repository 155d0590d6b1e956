"""bench/: every benchmark runs, and the comparison with the Python bridge measures both sides."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run

sys.path.append(str(ROOT / "bench"))

from comparing.records import compare, failed, lines, write
from comparing.session import OURS, PEER, Phase, Run, RunError, Session

PARTS = [
    *("pack/contiguous_2MiB", "memcpy/contiguous_2MiB", "pack/strided_2MiB", "pack/halo_2d_512B"),
    *("pack/halo_3d_512B", "pack/fortran_3d_2MiB", "slots_acquire_release", "socket_round_trip/real_time"),
    *("handoff_round_trip/real_time", "get_round_trip/real_time", "send/bytes:2097152/level:0/real_time"),
    *("send_lent/bytes:67108864/real_time", "step_of_eight/real_time", "validate_metadata"),
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
