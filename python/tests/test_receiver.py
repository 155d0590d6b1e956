"""The receiver, driven by a bare socket, and the bytes of the messages (native/ipc/wire_golden.txt)."""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import struct
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import node_library

from deisa_bridge.node import receiver as wire
from deisa_bridge.node.receiver import Receiver, ReceiverClosed, ReceiverError
from deisa_bridge.status import NO_SLOT, NO_TIMESTEP, Status

GOLDEN = Path(__file__).resolve().parents[2] / "native" / "ipc" / "wire_golden.txt"
HEADER = struct.Struct("=IHHQqIIiIQ")  # magic kind flags sequence timestep array slot status payload value
GEOMETRY = struct.Struct("=QQQII")
MAGIC = 0x41534944
PAGE = 65536  # a multiple of every page size in use
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
HELLO, DEFINE, READY, STEP, PROGRESS, GET, DELETE, END, BYE, ASK, SHARE = range(1, 12)
WELCOME, REFUSED, RECEIVED, STORED, ANNOUNCED, FAILED, VALUE, DONE, NOTICE, GATE, CHANGED = range(64, 75)


def message(kind, sequence, payload=b"", flags=0, timestep=NO_TIMESTEP, array=NO_SLOT, value=0) -> bytes:
    fields = (MAGIC, kind, flags, sequence, timestep, array, NO_SLOT, 0, len(payload), value)
    return HEADER.pack(*fields) + payload


def memory(size: int, seals: int = SEALS) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


class BareRank:
    """Sends and receives messages as they are. Its memory has two slots of one page for each array."""

    def __init__(self, path: str, bridge: int = 0, arrays: int = 1) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.bridge, self.arrays = bridge, arrays
        self.memory = memory(2 * PAGE * arrays)

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes, *fds: int) -> None:
        socket.send_fds(self.socket, [data], fds)

    def receive(self) -> tuple[dict, bytes, list[int]]:
        data, fds, _, _ = socket.recv_fds(self.socket, 70000, 2)
        return *decode(data), fds

    def introduce(self, nbytes: int) -> None:
        self.send(message(HELLO, 1, b'{"bridge_id": %d}' % self.bridge, value=4), self.memory)
        for array in range(self.arrays):
            geometry = GEOMETRY.pack(array * 2 * PAGE, PAGE, nbytes, 2, 0)
            self.send(message(DEFINE, 2 + array, geometry + b'{"name": "t"}', array=array))
        self.send(message(READY, 2 + self.arrays))

    def write(self, array: int, slot: int, data: bytes) -> None:
        os.pwrite(self.memory, data, (array * 2 + slot) * PAGE)

    def step(self, sequence: int, timestep: int, *items: tuple[int, int]) -> None:
        payload = b"".join(struct.pack("=II", *item) for item in items)
        self.send(message(STEP, sequence, payload, flags=1, timestep=timestep))


def decode(data: bytes) -> tuple[dict, bytes]:
    if not data:
        raise EOFError
    names = ("magic", "kind", "flags", "sequence", "timestep", "array", "slot", "status", "payload", "value")
    header = dict(zip(names, HEADER.unpack(data[: HEADER.size]), strict=True))
    assert header["magic"] == MAGIC and header["payload"] == len(data) - HEADER.size
    return header, data[HEADER.size :]


def golden() -> dict[str, bytes]:
    lines = [line.split() for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#")]
    return {name: bytes.fromhex(head) + bytes.fromhex(body.strip("-")) for name, head, body in lines}


@pytest.fixture
def path():
    with tempfile.TemporaryDirectory(prefix="dR", dir="/tmp") as folder:
        yield os.path.join(folder, "s")


@pytest.fixture
def receiver(path):
    with Receiver(path, node_library()) as one:
        yield one


@pytest.fixture
def rank(receiver, path):
    one = BareRank(path)
    yield one
    one.close()
    os.close(one.memory)


def expect(receiver: Receiver, kind: type):
    event = receiver.next(20)
    assert type(event) is kind, event
    return event


def admit(receiver: Receiver, rank: BareRank, nbytes: int) -> int:
    """Introduces the rank and welcomes it. Returns the connection."""
    rank.introduce(nbytes)
    hello = expect(receiver, wire.Hello)
    for _ in range(rank.arrays):
        expect(receiver, wire.Define)
    ready = expect(receiver, wire.Ready)
    assert receiver.welcome(ready.connection, ready.sequence)
    assert rank.receive()[0]["kind"] == WELCOME
    return hello.connection


# ---- Bytes ----------------------------------------------------------------------------------------------

NONE = {"timestep": NO_TIMESTEP, "array": NO_SLOT, "slot": NO_SLOT, "flags": 0, "status": 0, "value": 0}
HELLO_JSON = b'{"bridge_id":3,"world_size":4,"session":"5e55","max_in_flight":2,"step_timeout":30.5}'
EXPECTED = {
    "HELLO": ({"kind": HELLO, "sequence": 1, "value": 4}, HELLO_JSON),
    "DEFINE": (
        {"kind": DEFINE, "sequence": 2, "array": 0},
        GEOMETRY.pack(0, 8192, 4100, 2, 0) + b'{"name":"t"}',
    ),
    "READY": ({"kind": READY, "sequence": 3}, b""),
    "STEP": ({"kind": STEP, "sequence": 4, "flags": 1, "timestep": 7}, struct.pack("=4I", 0, 1, 0, 0)),
    "PROGRESS": ({"kind": PROGRESS, "sequence": 5, "timestep": -8}, b""),
    "GET": ({"kind": GET, "sequence": 6, "timestep": 9}, "schlüssel".encode()),
    "DELETE": ({"kind": DELETE, "sequence": 7}, b"key"),
    "END": ({"kind": END, "sequence": 8, "timestep": 10}, b""),
    "BYE": ({"kind": BYE, "sequence": 9, "value": 1}, b""),
    "WELCOME": ({"kind": WELCOME, "sequence": 3}, b""),
    "RECEIVED": ({"kind": RECEIVED, "sequence": 4}, b""),
    "STORED": ({"kind": STORED, "sequence": 4, "array": 0, "slot": 1}, b""),
    "ANNOUNCED": ({"kind": ANNOUNCED, "sequence": 4, "array": 0}, b""),
    "FAILED": (
        {"kind": FAILED, "sequence": 4, "timestep": 7, "array": 0, "slot": 0, "status": -6},
        b"no room",
    ),
    "VALUE": ({"kind": VALUE, "sequence": 6, "value": 4}, b"\x93\x01\x02\x03"),
    "VALUE_MISSING": ({"kind": VALUE, "sequence": 6, "status": 2}, b""),
    "VALUE_MEMFD": ({"kind": VALUE, "sequence": 6, "value": 100000}, b""),
    "DONE": ({"kind": DONE, "sequence": 7}, b""),
    "NOTICE": ({"kind": NOTICE, "sequence": 0, "status": -3}, "très tard".encode()),
    "REFUSED": ({"kind": REFUSED, "sequence": 0, "status": -2}, b"session 1 is over"),
    "ASK": ({"kind": ASK, "sequence": 4, "timestep": 11, "value": 1}, b""),
    "SHARE": ({"kind": SHARE, "sequence": 4, "array": 0}, struct.pack("=QII", 8192, 3, 0) + b"t (0, 1)"),
    "CHANGED": ({"kind": CHANGED, "sequence": 0, "value": 3}, b"key\x93\x01\x02"),
    "CHANGED_MISSING": ({"kind": CHANGED, "sequence": 0, "status": 2, "value": 3}, b"key"),
    "GATE": ({"kind": GATE, "sequence": 4, "timestep": 10}, b"the store is 83 % full"),
    "GATE_OPEN": ({"kind": GATE, "sequence": 0, "value": 1}, b""),
}


def test_every_message_of_the_wire_format_is_decoded():
    messages = golden()
    assert messages.keys() == EXPECTED.keys()
    for name, data in messages.items():
        fields, payload = EXPECTED[name]
        header, body = decode(data)
        assert body == payload, name
        assert header == NONE | {"magic": MAGIC, "payload": len(payload)} | fields, name


def test_the_receiver_speaks_these_bytes(receiver, rank):
    messages = golden()
    slots = memory(16384)
    rank.send(messages["HELLO"], slots)
    os.close(slots)
    hello = expect(receiver, wire.Hello)
    assert (hello.bridge_id, hello.sequence, hello.json) == (3, 1, HELLO_JSON.decode())
    connection = hello.connection
    for name, kind in [("DEFINE", wire.Define), ("READY", wire.Ready)]:
        rank.send(messages[name])
        event = expect(receiver, kind)
        assert event.connection == connection and event.bridge_id == 3
        if name == "DEFINE":
            assert (event.array, event.json) == (0, '{"name":"t"}')

    def answered(name: str) -> list[int]:
        header, payload, fds = rank.receive()
        assert (header, payload) == decode(messages[name])
        return fds

    assert receiver.welcome(connection, 3)
    answered("WELCOME")
    rank.send(messages["STEP"])
    answered("RECEIVED")  # before Python has looked
    step = expect(receiver, wire.Step)
    assert (step.timestep, step.last_of_step) == (7, True)
    assert [(one.array, one.slot, one.bytes) for one in step.chunks] == [(0, 1, 4100), (0, 0, 4100)]
    assert receiver.stored(connection, 4, 0, 1)
    answered("STORED")
    assert receiver.announced(connection, 4, 0)
    answered("ANNOUNCED")
    assert receiver.failed(connection, 4, Status.RESOURCE, "no room", array=0, slot=0, timestep=7)
    answered("FAILED")
    for name, event in [
        ("PROGRESS", wire.Progress(connection, 3, 5, -8)),
        ("GET", wire.Get(connection, 3, 6, "schlüssel", 9)),
        ("DELETE", wire.Delete(connection, 3, 7, "key")),
        ("END", wire.End(connection, 3, 8, 10)),
    ]:
        rank.send(messages[name])
        assert receiver.next(20) == event
    assert receiver.value(connection, 6, b"\x93\x01\x02\x03")
    answered("VALUE")
    assert receiver.value(connection, 6, None)
    answered("VALUE_MISSING")
    large = bytes(range(250)) * 400
    assert receiver.value(connection, 6, large)
    (fd,) = answered("VALUE_MEMFD")
    assert os.pread(fd, 200000, 0) == large
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS == SEALS
    os.close(fd)
    assert receiver.changed(connection, "key", b"\x93\x01\x02")
    answered("CHANGED")
    assert receiver.changed(connection, "key", None)
    answered("CHANGED_MISSING")
    assert receiver.done(connection, 7)
    answered("DONE")
    assert receiver.notice(connection, Status.TIMEOUT, "très tard")
    answered("NOTICE")
    assert receiver.refuse(connection, Status.CONTRACT, "session 1 is over")
    answered("REFUSED")
    with pytest.raises(EOFError):
        rank.receive()
    assert expect(receiver, wire.Lost).reason == "refused: session 1 is over"


def test_the_receiver_speaks_the_bytes_of_the_gate(receiver, rank):
    messages = golden()
    connection = admit(receiver, rank, 8)
    rank.send(messages["ASK"])
    assert receiver.next(20) == wire.Ask(connection, 0, 4, 11, waits=True)
    assert receiver.gate(connection, 4, False, 10, "the store is 83 % full")
    assert rank.receive()[:2] == decode(messages["GATE"])
    assert receiver.gate(connection, 0, True)
    assert rank.receive()[:2] == decode(messages["GATE_OPEN"])


def test_ranks_share_memory(receiver, rank):
    """The chunk is the whole slot; its place in it is the caller's business."""
    connection = admit(receiver, rank, 8)
    rank.send(golden()["SHARE"])
    header, payload, (fd,) = rank.receive()
    assert (header["kind"], header["value"], header["status"], payload) == (VALUE, 3 * 8192, 0, b"")
    assert os.fstat(fd).st_size == 3 * 8192 and fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS == SEALS
    os.pwrite(fd, np.arange(6.0).tobytes(), 8192)
    os.close(fd)
    rank.send(message(STEP, 5, struct.pack("=2I", 0, 2 + 1), timestep=7))
    assert rank.receive()[0]["kind"] == RECEIVED
    (chunk,) = expect(receiver, wire.Step).chunks
    assert (chunk.slot, chunk.bytes, chunk.shared) == (3, 8, 8192)
    np.testing.assert_array_equal(chunk.as_array("float64", (2, 3)), np.arange(6.0).reshape(2, 3))
    with pytest.raises(ValueError, match="has 8192 bytes"):
        chunk.as_array("float64", (1025,))
    assert receiver.stored(connection, 5, 0, 3)
    assert rank.receive()[0]["slot"] == 3


# ---- Chunks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["bool", "int16", "uint64", "float16", "float64", "complex64", "complex128"]
)
def test_a_chunk_is_a_read_only_view_of_the_slot(receiver, rank, dtype):
    expected = (np.arange(12).reshape(3, 4) % 2).astype(dtype)
    admit(receiver, rank, expected.nbytes)
    rank.write(0, 1, expected.tobytes())
    rank.step(4, 0, (0, 1))
    (chunk,) = expect(receiver, wire.Step).chunks
    view = chunk.as_array(dtype, (3, 4))
    assert view.dtype == dtype
    np.testing.assert_array_equal(view, expected)
    assert view.__array_interface__["data"] == (chunk.address, True)
    with pytest.raises(ValueError):
        view.flags.writeable = True  # the memory is mapped read-only: a write would be a crash
    rank.write(0, 1, bytes(expected.nbytes))
    assert not view.any()  # no copy was made


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("float64", (3, 5)), ("float32", (3, 4)), ("object", (3, 4)), ("float64", (-3, -4)), ("float64", ())],
)
def test_a_view_of_another_size_is_refused(receiver, rank, dtype, shape):
    admit(receiver, rank, 96)
    rank.step(4, 0, (0, 0))
    (chunk,) = expect(receiver, wire.Step).chunks
    with pytest.raises(ValueError, match="array 0 has 96 bytes"):
        chunk.as_array(dtype, shape)


def test_an_array_outlives_its_rank_release_and_receiver(receiver, rank):
    admit(receiver, rank, 800)
    expected = np.arange(100.0)
    rank.write(0, 0, expected.tobytes())
    rank.step(4, 0, (0, 0))
    rank.receive()
    rank.close()
    step = expect(receiver, wire.Step)
    view = step.chunks[0].as_array("float64", (100,))[10:]
    with pytest.raises(ValueError, match="has not ended"):
        receiver.release(step.connection)
    lost = expect(receiver, wire.Lost)
    assert "without BYE" in lost.reason and lost.bridge_id == 0
    receiver.release(lost.connection)
    receiver.release(lost.connection)
    connection, sequence = step.connection, step.sequence
    assert receiver.stored(connection, sequence, 0, 0) is False
    assert receiver.counters().mapped_bytes == 2 * PAGE
    del step, lost
    gc.collect()
    np.testing.assert_array_equal(view, expected[10:])
    receiver.close()
    np.testing.assert_array_equal(view, expected[10:])
    del view
    gc.collect()
    assert receiver.counters().mapped_bytes == 0


def test_slots_are_unmapped_with_the_last_chunk(receiver, rank):
    connection = admit(receiver, rank, 800)
    assert receiver.counters().mapped_bytes == 2 * PAGE
    rank.step(4, 0, (0, 0))
    rank.receive()
    rank.send(message(BYE, 5, value=1))
    step = expect(receiver, wire.Step)
    assert expect(receiver, wire.Bye).closed
    assert receiver.announced(connection, 4, 0) is False
    receiver.release(connection)
    assert receiver.counters().mapped_bytes == 2 * PAGE
    del step
    gc.collect()
    assert receiver.counters().mapped_bytes == 0


# ---- Life -----------------------------------------------------------------------------------------------


def test_calls_that_cannot_be_right(receiver, rank):
    connection = admit(receiver, rank, 8)
    rank.step(4, 0, (0, 0))
    expect(receiver, wire.Step)
    for call in [
        lambda: receiver.welcome(connection, 3),
        lambda: receiver.stored(connection, 4, 0, 1),
        lambda: receiver.stored(connection, 5, 0, 0),
        lambda: receiver.announced(connection, 4, 1),
        lambda: receiver.failed(connection, 4, 0, "no failure"),
        lambda: receiver.value_failed(connection, 4, 2, "no failure"),
    ]:
        with pytest.raises(ValueError):
            call()
    assert receiver.stored(connection + 1, 4, 0, 0) is False
    assert receiver.stored(connection, 4, 0, 0) is True


def test_a_malformed_message_ends_one_connection_only(receiver, rank, path):
    admit(receiver, rank, 8)
    bad = BareRank(path, 1)
    bad.send(b"nonsense")
    header, text, _ = bad.receive()
    assert (header["kind"], header["status"]) == (REFUSED, Status.ARGUMENT)
    assert b"8 bytes" in text
    lost = expect(receiver, wire.Lost)
    assert lost.bridge_id == -1 and lost.reason == text.decode()
    receiver.release(lost.connection)
    unsealed = BareRank(path, 2)
    unsealed.send(message(HELLO, 1, b'{"bridge_id":2}', value=4), memory(PAGE, 0))
    assert b"not sealed" in unsealed.receive()[1]
    assert "not sealed" in expect(receiver, wire.Lost).reason
    rank.step(4, 0, (0, 0))
    assert rank.receive()[0]["kind"] == RECEIVED
    assert receiver.counters().refused == 2


def test_waiting_for_events(receiver, rank, path):
    assert receiver.next(0) is None
    assert receiver.next(0.01) is None
    threading.Timer(0.05, lambda: rank.introduce(8)).start()
    assert isinstance(receiver.next(), wire.Hello)
    assert receiver.disconnect(1)
    while not isinstance(event := receiver.next(20), wire.Lost):
        assert event is not None
    assert event.reason == "closed by the node actor"
    threading.Timer(0.05, receiver.close).start()
    with pytest.raises(ReceiverClosed):
        receiver.next()
    assert not os.path.exists(path)
    assert receiver.done(1, 1) is False


def test_a_socket_in_use_and_a_missing_library(receiver, path):
    with pytest.raises(ReceiverError, match="another process listens") as error:
        Receiver(path, node_library())
    assert error.value.status == Status.CONNECTION
    with pytest.raises(OSError):
        Receiver(path + "2", path + ".missing/libdeisa_node.so")


def test_counters(receiver, rank):
    admit(receiver, rank, 1000)
    rank.step(4, 0, (0, 0), (0, 1))
    rank.receive()
    counters = receiver.counters()
    assert (counters.connections, counters.accepted, counters.refused) == (1, 1, 0)
    assert (counters.received_chunks, counters.received_bytes) == (2, 2000)
    assert (counters.mapped_bytes, counters.queued_events) == (2 * PAGE, 1)
