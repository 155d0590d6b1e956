"""The bridge of simulations in Python, against a libdeisa with a node actor inside: native/bridge/testing."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deisa_bridge import (
    LATEST,
    Bridge,
    ContractError,
    DeisaError,
    InvalidArgumentError,
    ResourceError,
    UnsupportedError,
)
from deisa_bridge.rank import library

FAKE = Path(os.environ.get("DEISA_BUILD") or Path(__file__).parents[2] / "build") / "lib" / "fake"
REFUSED = 66  # the timestep of which the node actor refuses the chunks
T = {"chunk_shape": (2, 3), "global_shape": (2, 3), "chunk_position": (0, 0)}
CHUNK = np.arange(6.0).reshape(2, 3)


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What was sent of arrays whose names begin with "written" is in this folder."""
    monkeypatch.setenv("DEISA_LIBRARY", str(FAKE / library.NAME))
    monkeypatch.setenv("DEISA_FAKE_FAIL", str(REFUSED))
    monkeypatch.setenv("DEISA_FAKE_OUTPUT", str(tmp_path))
    return tmp_path


@pytest.fixture
def opened(fake: Path) -> Iterator[Callable[..., Bridge]]:
    bridges: list[Bridge] = []

    def open_one(arrays: dict | None = None, **options: Any) -> Bridge:
        arrays = {"t": T | {"dtype": "float64"}} if arrays is None else arrays
        # What was sent is written when it is stored.
        bridges.append(Bridge(None, arrays, **({"acknowledge": "stored"} | options)))
        return bridges[-1]

    yield open_one
    for bridge in bridges:
        bridge.abandon()


def sent(folder: Path, name: str, timestep: int) -> bytes:
    return (folder / f"{name}-{timestep}").read_bytes()


@pytest.mark.parametrize("dtype", library.DTYPES)
def test_every_dtype_in_any_strides(opened, fake: Path, dtype: str):
    bridge = opened({"written": T, "written too": T | {"dtype": np.dtype(dtype)}})
    base = np.arange(60).reshape(10, 6).astype(dtype)
    views = [
        base[:2, :3],
        base[8:4:-2, 5:2:-1],
        np.asfortranarray(base[:2, :3]),
        base[:3, :2].T,
        np.broadcast_to(base[0, :3], (2, 3)),
        base[:2, :3].astype(base.dtype.newbyteorder("S")),
    ]
    for timestep, view in enumerate(views):
        bridge.send("written", view, timestep)
        bridge.send("written too", view, timestep)
        assert sent(fake, "written", timestep) == view.astype(dtype).tobytes()
        assert sent(fake, "written too", timestep) == view.astype(dtype).tobytes()
    assert bridge.statistics().bytes_copied == 2 * len(views) * 6 * base.itemsize, "once"


def test_violations_of_the_contract(opened):
    bridge = opened()
    bridge.send("t", CHUNK, 3)
    wrong: list[tuple[str, Any, int, str]] = [
        ("x", CHUNK, 4, "unknown array 'x'"),
        ("t", CHUNK.astype(np.float32), 4, "expected float64"),
        ("t", CHUNK.astype(object), 4, "a chunk of object was given: expected one of bool"),
        ("t", CHUNK[:, :2], 4, "expected float64, shape (2, 3)"),
        ("t", 1.0, 4, "shape (2, 3)"),
        ("t", np.zeros([1] * 33), 4, "33 dimensions"),
        ("t", CHUNK, 3, "was sent before"),
        ("t", CHUNK, 2, "older than"),
    ]
    for name, chunk, timestep, text in wrong:
        with pytest.raises(ContractError) as caught:
            bridge.send(name, chunk, timestep)
        assert text in str(caught.value) and caught.value.message == str(caught.value)
        assert isinstance(caught.value, DeisaError)
    with pytest.raises(InvalidArgumentError, match="expected an integer"):
        bridge.send("t", CHUNK, 4.5)
    with pytest.raises(UnsupportedError, match="store_externally"):
        bridge.send("t", CHUNK, 4, store_externally=True)
    bridge.send("t", CHUNK, np.int64(4), chunked=True, test_mode=True)
    bridge.close(5)
    bridge.close(5)
    assert bridge.closed
    with pytest.raises(ContractError, match="closed"):
        bridge.send("t", CHUNK, 6)


def test_the_contract_error_is_that_of_deisa_ray_if_it_is_loaded(opened, monkeypatch: pytest.MonkeyPatch):
    theirs = types.ModuleType("deisa.ray.errors")
    theirs.ContractError = type("ContractError", (Exception,), {})
    bridge = opened()
    # As in a program without deisa-ray, whatever other tests have imported.
    monkeypatch.delitem(sys.modules, "deisa.ray.errors", raising=False)
    with pytest.raises(ContractError) as caught:
        bridge.send("x", CHUNK, 0)
    assert type(caught.value) is ContractError
    monkeypatch.setitem(sys.modules, "deisa.ray.errors", theirs)
    with pytest.raises(theirs.ContractError) as both:
        bridge.send("x", CHUNK, 0)
    assert isinstance(both.value, ContractError) and "unknown array" in both.value.message


def test_it_is_an_interface_of_deisa_core_also_one_that_is_loaded_later(opened, monkeypatch):
    from abc import ABC

    bridge = opened()
    core = types.ModuleType("deisa.core.interface")
    core.IBridge = type("IBridge", (ABC,), {})
    assert not isinstance(bridge, core.IBridge)
    core.IBridge = type("IBridge", (ABC,), {})
    monkeypatch.setitem(sys.modules, "deisa.core.interface", core)
    assert isinstance(bridge, core.IBridge) and isinstance(bridge, Bridge)


def test_failures_go_to_the_handler_or_are_raised(opened, capsys: pytest.CaptureFixture[str]):
    bridge = opened()
    bridge.send("t", CHUNK, REFUSED)
    bridge.flush()
    bridge.abandon()
    said = capsys.readouterr().err
    assert "Traceback" in said and "test_failures_go_to" in said and "refused on request" in said
    taken: list[BaseException] = []
    bridge = opened(exception_handler=taken.append)
    bridge.send("t", CHUNK, REFUSED)
    bridge.flush()
    assert [type(one) for one in taken] == [ResourceError]
    assert (taken[0].array, taken[0].timestep, taken[0].rank) == ("t", REFUSED, 0)
    bridge = opened(raise_errors=True, acknowledge="stored")
    with pytest.raises(ResourceError, match="refused on request"):
        bridge.send("t", CHUNK, REFUSED)


def test_all_problems_of_metadata_and_options(opened):
    arrays = {"t": {"chunk_shape": (0, 3), "chunk_position": (0.5, 0), "dtype": "float7", "size": 1}}
    before = copy.deepcopy(arrays)
    with pytest.raises(ValueError) as caught:
        opened(arrays)
    for part in (
        "chunk_shape = [0,3]",
        "chunk_position = [0.5,0]",
        '"float7"',
        "size = 1",
        "nb_chunks_per_dim",
    ):
        assert part in str(caught.value).replace(", ", ","), part
    assert isinstance(caught.value, TypeError) and arrays == before
    for options, text in [
        ({"acknowledge": "soon"}, "expected one of received"),
        ({"comm_timeout": 0}, "comm_timeout"),
        ({"_comm_timeout": -1}, "comm_timeout"),
        ({"init_retries": 1.5}, "expected an integer"),
        ({"system_metadata": {"world_size": 1}}, "master_address is missing"),
    ]:
        with pytest.raises(InvalidArgumentError, match=text):
            opened(**options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        opened(colour="red")
    with pytest.raises(TypeError, match="comm must implement"):
        Bridge(object(), {})
    with pytest.raises(TypeError, match="arrays_metadata must be a dict"):
        opened([])
    opened({})


def test_numpy_metadata(opened, fake: Path):
    bridge = opened({"written": {key: np.array(value) for key, value in T.items()} | {"dtype": np.float32}})
    bridge.send("written", CHUNK.astype(np.float32), 0)
    assert sent(fake, "written", 0) == CHUNK.astype(np.float32).tobytes()


def test_a_loan_is_not_copied_and_outlives_the_bridge(opened, fake: Path):
    bridge = opened({"written": T | {"dtype": "float64"}, "t": T})
    first = bridge.loan("written")
    assert first is bridge.loan("written") and first.shape == (2, 3) and first.flags.writeable
    first[:] = CHUNK
    bridge.send("written", first[:, ::-1], 0)  # not the whole of it as it lies: copied
    assert bridge.statistics().bytes_copied == 48 and bridge.loan("written") is first
    bridge.send("written", first[:], 1)
    assert sent(fake, "written", 1) == CHUNK.tobytes()
    second = bridge.loan("written")
    assert not first.flags.writeable and not np.shares_memory(first, second)
    with pytest.raises(ContractError):
        bridge.send("written", second, 1)
    assert second.flags.writeable and bridge.loan("written") is second, "it was not taken"
    second[:] = first + 1
    with bridge.step(2) as step:
        step.put("written", second)
    assert sent(fake, "written", 2) == (CHUNK + 1).tobytes()
    assert bridge.statistics().bytes_copied == 48
    with pytest.raises(ContractError, match="without a dtype"):
        bridge.loan("t")
    with pytest.raises(ContractError, match="unknown array"):
        bridge.loan("x")
    last = bridge.loan("written")
    bridge.close(3)
    del bridge, step
    gc.collect()
    last[:] = 7
    assert last.sum() == 42


def test_steps_and_requests(opened, fake: Path):
    bridge = opened({"written": T | {"dtype": "float64"}, "t": T | {"dtype": "int8"}})
    assert bridge.begin_step(0)
    bridge.put("written", CHUNK)
    bridge.abandon_step()
    with bridge.step(1, wait=False) as step:
        assert not step.skipped
        step.put("written", CHUNK)
        bridge.put("t", CHUNK.astype(np.int8))
    step.request.wait()
    assert step.request.test() and repr(step.request) == "<Request, finished>"
    request = bridge.send_async("written", CHUNK + 1, 2)
    bridge.flush()
    assert request.test()
    now = bridge.statistics()
    assert (now.steps_sent, now.steps_skipped, now.chunks_announced) == (2, 1, 3)
    with pytest.raises(ContractError, match="inside the step"), bridge.step(3):
        bridge.send("t", CHUNK.astype(np.int8), 3)


def test_feedback(opened):
    bridge = opened()
    assert bridge.get("number", LATEST, collective=False) == 2.5
    assert bridge.get(name="number", default=0) == 2.5
    assert bridge.get(name="absent", default=0, chunked=False) == 0
    assert bridge.get("gain", np.int32(3)) == 0.25
    assert bridge.get("gain", 4, "none") == "none"
    assert bridge.get("gain", None) == bridge.get("gain") == [(1, 0.5), (3, 0.25)]
    assert bridge.get("absent") is None
    with pytest.raises(NotImplementedError):
        bridge.get("gain", chunked=True)
    with pytest.raises(TypeError):
        bridge.get()
    bridge._delete(name="number")
    assert bridge.get("number", LATEST, "gone") == "gone"


def test_disabled(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEISA_DISABLE", "1")
    bridge = opened()
    bridge.send("t", CHUNK, 0)
    loan = bridge.loan("t")
    loan[:] = 1
    with bridge.step(1) as step:
        step.put("t", loan)
    assert bridge.get("number", LATEST, 5) == 5 and bridge.get("number", default=6) == 6
    assert bridge.statistics().chunks_sent == 0
    bridge.close(2)


def _use(bridge: Bridge, answers: Any) -> None:
    try:
        bridge.send("t", CHUNK, 1)
    except ContractError as error:
        answers.put(str(error))


def test_a_forked_child_can_only_make_its_own(opened):
    bridge = opened()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_use, args=(bridge, answers))
    child.start()
    assert "forked" in answers.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    bridge.send("t", CHUNK, 1)


@pytest.mark.parametrize("end", ["", "del bridge", "bridge.close(1)", "with bridge: pass", "os._exit(0)"])
def test_the_end_of_the_program(end: str):
    script = f"""
import os
from deisa_bridge import Bridge
bridge = Bridge(None, {{"t": {T!r} | {{"dtype": "int8"}}}})
{end}
"""
    environment = os.environ | {
        "DEISA_STATUS": "1",
        "DEISA_BACKEND": "null",
        "DEISA_LIBRARY": str(FAKE / library.NAME),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    expected = {"bridge.close(1)": "rank 0 of 1 closed", "os._exit(0)": ""}.get(end, "rank 0 of 1 abandoned")
    assert expected in done.stderr and (expected or not done.stderr), done.stderr


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEISA_LIBRARY", "/nowhere/libdeisa.so")
    with pytest.raises(ImportError, match=r"(?s)/nowhere/libdeisa\.so.*Install the wheel"):
        library.load.__wrapped__()
