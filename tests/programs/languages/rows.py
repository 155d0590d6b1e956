"""Each row of docs/languages.md in Python, against the libdeisa of native/bridge/testing/fake_library.cc:
prints "row NAME" for each that did what it must. The arrays are of shape (2, 3), element (i, j) is 10 i +
j; what was sent is compared by tests/test_languages.py."""

from __future__ import annotations

import numpy as np
from deisa_bridge import LATEST, Bridge, ResourceError

CHUNK = np.array([[0, 1, 2], [10, 11, 12]], np.float64)
PLAIN = ("halo", "order", "strides", "loan", "asynchronous", "steps")


def done(row: str) -> None:
    print(f"row {row}", flush=True)


def metadata(dtype: str) -> dict[str, object]:
    return {"chunk_shape": (2, 3), "global_shape": (2, 3), "chunk_position": (0, 0), "dtype": dtype}


reported: list[BaseException] = []
arrays = {f"written-{row}": metadata("float64") for row in PLAIN}
start = {"chunk_shape": (2, 3), "global_shape": (2, 3), "start": (0, 0), "dtype": "float64"}
arrays["written-start"] = start
arrays["written-aggregate"] = start | {"aggregate": "node"}
arrays["written-unsigned"] = metadata("uint16")
try:
    Bridge(None, {"joined": start | {"aggregate": "all"}})
    raise SystemExit("aggregate is wrong")
except ValueError as error:
    assert "aggregate" in str(error), error
bridge = Bridge(None, arrays, exception_handler=reported.append)

block = np.full((4, 5), np.nan)
block[1:3, 1:4] = CHUNK
bridge.send("written-start", CHUNK, 0)
done("start")
bridge.send("written-aggregate", CHUNK, 0)
done("aggregate")
bridge.send("written-halo", block[1:3, 1:4], 0)
done("halo")
bridge.send("written-order", np.asfortranarray(CHUNK), 0)
done("order")
sparse = np.full((2, 6), np.nan)
sparse[:, ::2] = CHUNK
bridge.send("written-strides", sparse[:, ::2], 0)
done("strides")
loan = bridge.loan("written-loan")
loan[:] = CHUNK
bridge.send("written-loan", loan, 0)
assert not loan.flags.writeable and not np.shares_memory(bridge.loan("written-loan"), loan)
done("loan")
request = bridge.send_async("written-asynchronous", CHUNK, 0)
request.wait()
assert request.test()
done("asynchronous")
bridge.send("written-unsigned", (65500 + CHUNK).astype(np.uint16), 0)
done("unsigned types")
with bridge.step(1) as step:
    step.put("written-steps", CHUNK)
done("steps")
try:
    with bridge.step(2) as step:
        step.put("written-steps", CHUNK)
        raise KeyError
except KeyError:
    done("abandoned step")
bridge.send("written-steps", CHUNK, 66)  # the node actor refuses this timestep
bridge.flush()
assert [type(error) for error in reported] == [ResourceError], reported
done("error handler")


def get(key: str) -> object:
    return bridge.get(key, LATEST)


assert get("number") == 2.5
done("number")
assert get("integer") == -7
done("integer")
assert get("logical") is True
done("logical")
assert get("text") == "h\u00e9"
done("text")
array = get("array")
assert isinstance(array, np.ndarray) and array[5] == 5
done("NumPy array")
assert (get("tree"), get("bytes"), get("most")) == ({"a": [1, None]}, b"\x01\x02\xff", 2**64 - 1)
done("any value")
assert bridge.get("gain", 3, wait=20, collective=False) == 0.25
done("timestep and wait")
assert bridge.get("gain", 3) == 0.25
done("collective")
assert bridge.get("gain") == [(1, 0.5), (3, 0.25)]
done("all kept values")
bridge.delete("number")
assert bridge.get("number", LATEST, "default") == "default"
done("delete")
now = bridge.statistics()
assert (now.chunks_sent, now.chunks_failed, now.steps_skipped) == (10, 1, 1), now
done("statistics")
bridge.close(100)
