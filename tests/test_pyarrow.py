"""deisa_put_from with PyArrow as the producer: what is taken and refused, and the release callbacks."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run
from programs.send_pyarrow import CASES, NUMBERS

REFUSED = {
    "two-tensors": "with 2 tensors; expected one tensor",
    "bits": "bit-packed booleans",
    "nulls": "has 1 nulls",
    "dictionary": "decode the dictionary first",
    "other-type": "expected elements of float32",
    "other-length": "of shape (4); expected (3)",
    "text": "is string; expected float64",
    "variable-lists": "is list; expected int64",
}
VALUES = {
    "sliced": np.arange(3, 8, dtype="int32"),
    "sliced-lists": np.arange(3.0, 9.0).reshape(2, 3),
    "bool8": np.array([True, False, False, True]),
    "complex": np.array([0 + 1j, 2 + 3j, 4 + 5j]),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict], Path]:
    """What the program said of each case, and the folder of the bytes that its node actor got."""
    folder = tmp_path_factory.mktemp("chunks")
    program = str(ROOT / "tests" / "programs" / "send_pyarrow.py")
    library = str(ROOT / "build" / "lib" / "fake" / "libdeisa.so.0.2")
    environment = os.environ | {"DEISA_FAKE_OUTPUT": str(folder)}
    done = run([sys.executable, program, library], environment, timeout=60)
    assert done.returncode == 0, done.stdout
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {one["case"]: one for one in found}, folder


@pytest.mark.parametrize("name", CASES)
def test_case(results, name):
    found, folder = results
    case, result = CASES[name], found[name]
    # Once each, whatever came of it, by the time of the return; and then PyArrow has nothing left of it.
    assert (result["released"], result["kept"]) == ([1, 1], 0), result
    chunk = folder / f"written-{name}-{list(CASES).index(name)}"
    if name in REFUSED:
        assert (result["status"], result["array"]) == (-2, f"written-{name}"), result
        assert REFUSED[name] in result["message"]
        assert not chunk.exists()
        return
    assert (result["status"], result["message"]) == (0, "")
    expected = VALUES.get(name, np.arange(np.prod(case.shape)).reshape(case.shape)).astype(case.dtype)
    received = np.frombuffer(chunk.read_bytes(), case.dtype).reshape(case.shape)
    np.testing.assert_array_equal(received, expected)


def test_every_dtype_is_there():
    assert {case.dtype for case in CASES.values()} >= {*NUMBERS, "bool", "complex128"}
