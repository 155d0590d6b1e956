"""The node actor's end of the socket: `libdeisa_node.so` through ctypes.

A native thread in the library serves the ranks and acknowledges their steps without Python. Python pulls
events with `Receiver.next` and answers. native/ipc/node.h has the rules, wire.hpp the messages.
"""

from __future__ import annotations

import ctypes
import math
import os
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import numpy.typing as npt

from deisa_bridge.node import library as abi
from deisa_bridge.status import NO_SLOT, NO_TIMESTEP, Status
from deisa_bridge.trace.file import Rows


class ReceiverClosed(Exception):
    """The receiver was closed and every event has been pulled."""


class ReceiverError(OSError):
    """The receiver cannot listen. `status` is a deisa_status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Chunk:
    """A chunk in a slot of a rank, valid until the slot is freed by `stored` or `failed`. `shared`: not 0 if
    the chunk is a part of so many bytes at `address`, which ranks share.

    The memory stays mapped for as long as this object or an array made from it exists.
    """

    array: int
    slot: int
    bytes: int
    address: int
    shared: int
    _lease: _Lease = field(repr=False, compare=False)

    def as_array(self, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.ndarray:
        """The chunk, or of a shared one the whole that it is a part of, as a read-only NumPy array, without a
        copy. ValueError if the size differs."""
        dtype = np.dtype(dtype)
        expected = dtype.itemsize * math.prod(shape)
        fits = expected <= self.shared if self.shared else expected == self.bytes
        if dtype.hasobject or not fits or any(extent < 0 for extent in shape):
            raise ValueError(
                f"a chunk of array {self.array} has {self.shared or self.bytes} bytes; "
                f"dtype {dtype} and shape {tuple(shape)} need {expected}"
            )
        buffer = (ctypes.c_char * expected).from_address(self.address)
        buffer._lease = self._lease  # the array keeps the buffer, the buffer keeps the mapping
        return np.frombuffer(memoryview(buffer).toreadonly(), dtype=dtype).reshape(shape)


@dataclass(frozen=True)
class _Base:
    connection: int
    bridge_id: int  # -1 before HELLO
    sequence: int


@dataclass(frozen=True)
class Hello(_Base):
    """First event of a connection. `json` is an object with an integer "bridge_id"."""

    json: str


@dataclass(frozen=True)
class Define(_Base):
    """Array number `array`. `json` is an object. Once more after `welcome`, when its dtype has become known:
    to be answered with `done`."""

    array: int
    json: str


@dataclass(frozen=True)
class Ready(_Base):
    """To be answered with `welcome` or `refuse`."""


@dataclass(frozen=True)
class Step(_Base):
    """Chunks that the rank handed over, acknowledged already."""

    timestep: int
    last_of_step: bool
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class Progress(_Base):
    """The rank will send nothing older than `timestep`."""

    timestep: int


@dataclass(frozen=True)
class Ask(_Base):
    """The rank wants to begin `timestep`: to be answered with `gate`. `waits`: it waits until it may."""

    timestep: int
    waits: bool


@dataclass(frozen=True)
class Get(_Base):
    """To be answered with `value` or `value_failed`. `timestep` is None for the newest value, `wait` in
    seconds; `all`: all kept values."""

    key: str
    timestep: int | None
    wait: float = 0.0
    all: bool = False


@dataclass(frozen=True)
class Delete(_Base):
    """To be answered with `done`."""

    key: str


@dataclass(frozen=True)
class End(_Base):
    """The end marker is wanted: `announced` or `failed`, without an array."""

    timestep: int


@dataclass(frozen=True)
class Bye(_Base):
    """Last event of a rank that closed, or abandoned."""

    closed: bool


@dataclass(frozen=True)
class Lost(_Base):
    """Last event of a connection that ended without BYE."""

    reason: str


Event = Hello | Define | Ready | Step | Progress | Ask | Get | Delete | End | Bye | Lost


@dataclass(frozen=True)
class Counters:
    """See deisa_node_counters."""

    connections: int
    accepted: int
    refused: int
    mapped_bytes: int
    received_chunks: int
    received_bytes: int
    queued_events: int


class _Native:
    """Owns the native receiver; destroyed with the last of the Receiver and the leases."""

    def __init__(self, library: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
        self.lib = abi.load(library)
        handle = ctypes.c_void_p()
        message = ctypes.create_string_buffer(4096)
        status = self.lib.deisa_node_open(os.fsencode(path), ctypes.byref(handle), message, len(message))
        if status != Status.OK:
            raise ReceiverError(status, message.value.decode("utf-8", "replace"))
        self.handle = handle
        # Not at the interpreter's exit: a daemon thread may still be inside next().
        weakref.finalize(self, self.lib.deisa_node_destroy, handle).atexit = False


def _release(native: _Native, connection: int) -> None:
    native.lib.deisa_node_release(native.handle, connection)


class _Lease:
    """Keeps the slots of one connection mapped. Owned by chunks, arrays, and the Receiver until release()."""

    def __init__(self, native: _Native, connection: int) -> None:
        weakref.finalize(self, _release, native, connection).atexit = False


class Receiver:
    """Listens at a Unix socket for the ranks of this node.

    `next` is for one thread at a time; the other methods may be called from any thread, and never wait for
    a rank. The answering methods return False when the rank is gone (it may go at any time), and raise
    ValueError for a call that cannot be right, such as freeing a slot that is free. `sequence` is that of
    the event answered.
    """

    def __init__(self, path: str | os.PathLike[str], library: str | os.PathLike[str]) -> None:
        """Listens at `path` with the library file `library`.

        Raises OSError if the library cannot be loaded, and ReceiverError if the socket cannot be made, for
        instance because another process listens there.
        """
        self._native = _Native(library, path)
        self.traces = False
        self._rows = Rows()
        self._leases: dict[int, _Lease] = {}
        self._ended: set[int] = set()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the socket and closes every connection. What came before can still be pulled and read;
        answers return False from now on. Memory goes with this object and the last Chunk and array."""
        self._native.lib.deisa_node_stop(self._native.handle)

    def next(self, timeout: float | None = None) -> Event | None:
        """The next event, or None after `timeout` seconds. ReceiverClosed when closed and drained."""
        milliseconds = -1 if timeout is None else min(math.ceil(max(timeout, 0.0) * 1000), 2**31 - 1)
        raw = abi.Event()
        status = self._native.lib.deisa_node_next(self._native.handle, ctypes.byref(raw), milliseconds)
        if status == Status.PENDING:
            return None
        if status == Status.CONNECTION:
            raise ReceiverClosed("the receiver is closed")
        if status != Status.OK:
            raise RuntimeError(f"deisa_node_next failed with status {status}")
        return self._event(raw)

    def _event(self, raw: abi.Event) -> Event:
        base = (raw.connection, raw.bridge_id, raw.sequence)
        lease = self._leases.get(raw.connection)
        if lease is None:
            lease = self._leases[raw.connection] = _Lease(self._native, raw.connection)
        if raw.kind == abi.EventKind.STEP:
            items = (abi.Chunk * raw.count).from_address(raw.payload) if raw.count else ()
            chunks = tuple(
                Chunk(item.array, item.slot, item.bytes, item.address, item.shared, lease) for item in items
            )
            return Step(*base, raw.timestep, bool(raw.flags & abi.LAST_OF_STEP), chunks)
        text = ctypes.string_at(raw.payload, raw.count).decode("utf-8", "replace") if raw.count else ""
        match raw.kind:
            case abi.EventKind.HELLO:
                return Hello(*base, text)
            case abi.EventKind.DEFINE:
                return Define(*base, raw.array, text)
            case abi.EventKind.READY:
                return Ready(*base)
            case abi.EventKind.PROGRESS:
                return Progress(*base, raw.timestep)
            case abi.EventKind.GET:
                timestep = None if raw.timestep == NO_TIMESTEP else raw.timestep
                return Get(*base, text, timestep, raw.value / 1000, bool(raw.flags))
            case abi.EventKind.DELETE:
                return Delete(*base, text)
            case abi.EventKind.END:
                return End(*base, raw.timestep)
            case abi.EventKind.BYE:
                self._ended.add(raw.connection)
                return Bye(*base, bool(raw.flags))
            case abi.EventKind.LOST:
                self._ended.add(raw.connection)
                return Lost(*base, text)
            case abi.EventKind.ASK:
                return Ask(*base, raw.timestep, bool(raw.flags))
        raise RuntimeError(f"the library made an event of unknown kind {raw.kind}: do the versions match?")

    def _answer(self, name: str, *arguments: object) -> bool:
        status = getattr(self._native.lib, f"deisa_node_{name}")(self._native.handle, *arguments)
        if status == Status.OK:
            return True
        if status == Status.CONNECTION:
            return False
        if status == Status.ARGUMENT:
            raise ValueError(f"{name}{arguments} does not fit the state of the connection")
        raise RuntimeError(f"deisa_node_{name} failed with status {status}")

    def _answer_text(self, name: str, *arguments: object, text: str) -> bool:
        encoded = text.encode("utf-8", "replace")
        return self._answer(name, *arguments, encoded, len(encoded))

    def welcome(self, connection: int, sequence: int) -> bool:
        """Answers Ready: steps may come."""
        return self._answer("welcome", connection, sequence)

    def refuse(self, connection: int, status: int, text: str) -> bool:
        """Says why and closes the connection; Lost follows. `status` is negative."""
        return self._answer_text("refuse", connection, status, text=text)

    def stored(self, connection: int, sequence: int, array: int, slot: int) -> bool:
        """The chunk is an object in the store. Frees its slot, also when False is returned."""
        return self._answer("stored", connection, sequence, array, slot)

    def announced(self, connection: int, sequence: int, array: int = NO_SLOT) -> bool:
        """The head actor knows the chunk, or the end marker."""
        return self._answer("announced", connection, sequence, array)

    def failed(
        self,
        connection: int,
        sequence: int,
        status: int,
        text: str,
        array: int = NO_SLOT,
        slot: int = NO_SLOT,
        timestep: int = NO_TIMESTEP,
    ) -> bool:
        """Frees the slot, if one is given. `status` is negative."""
        return self._answer_text("failed", connection, sequence, array, slot, status, timestep, text=text)

    def value(self, connection: int, sequence: int, packed: bytes | None, kept: bool = False) -> bool:
        """Answers Get with MessagePack, or with None: there is no such value. `kept`: the rank keeps it until
        `changed` notifies it of a change."""
        if packed is None:
            return self._answer("value", connection, sequence, Status.NOT_FOUND, int(kept), None, 0)
        return self._answer("value", connection, sequence, Status.OK, int(kept), packed, len(packed))

    def changed(self, connection: int, key: str, packed: bytes | None, known: bool = True) -> bool:
        """Notifies a rank of the new value of a key that it keeps, or None: there is none any more. Not
        `known`: the rank has to ask for it."""
        status = Status.PENDING if not known else Status.NOT_FOUND if packed is None else Status.OK
        encoded, data = key.encode("utf-8", "replace"), packed if status == Status.OK else b""
        return self._answer("changed", connection, status, encoded, len(encoded), data, len(data))

    def value_failed(self, connection: int, sequence: int, status: int, text: str) -> bool:
        """Answers Get with an error. `status` is negative."""
        if status >= 0:
            raise ValueError(f"an error has a negative status, not {status}")
        return self._answer_text("value", connection, sequence, status, 0, text=text)

    def done(self, connection: int, sequence: int, status: int = Status.OK, text: str = "") -> bool:
        """Answers Delete, or Define. `status` is negative for a failure."""
        return self._answer_text("done", connection, sequence, status, text=text)

    def notice(self, connection: int, status: int, text: str, final: bool = False) -> bool:
        """Reports a failure that belongs to no request; OK: a message for stderr. `final`: nothing
        that the rank sends will be analysed any more, for this reason."""
        return self._answer_text("final_notice" if final else "notice", connection, status, text=text)

    def gate(
        self, connection: int, sequence: int, is_open: bool, newest: int | None = None, reason: str = ""
    ) -> bool:
        """Notifies a rank which timesteps it may begin: any, or none after `newest` (None: none at all), and
        why. `sequence` is that of the Ask that this answers, or 0."""
        timestep = NO_TIMESTEP if newest is None else newest
        return self._answer_text("gate", connection, sequence, int(is_open), timestep, text=reason)

    def trace(self, file: str | os.PathLike[str], process: str) -> None:
        """Records what happens in `file`, as DEISA_TRACE does, where this process is called `process`. Before
        ranks connect. OSError if the file cannot be opened."""
        try:
            self._answer("trace", os.fsencode(file), process.encode("utf-8", "replace"))
        except ValueError:
            raise OSError(f"the trace file {os.fspath(file)!r} (DEISA_TRACE) cannot be opened") from None
        self.traces = True

    def span(
        self,
        name: str,
        ranks: Iterable[int],
        array: str,
        timestep: int,
        begin: int,
        end: int | None = None,
        overlaps: bool = False,
    ) -> None:
        """Adds to the trace what was done for `ranks` from `begin` to `end` (now), in nanoseconds of
        time.monotonic_ns: by this thread, or, if it `overlaps` others, by a task of the event loop."""
        end = time.monotonic_ns() if end is None else end
        row = self._rows.free(begin, end) if overlaps else 0
        what, of = name.encode(), array.encode("utf-8", "replace")
        for rank in ranks:
            self._answer("span", what, rank, of, timestep, begin, end, row)

    def disconnect(self, connection: int) -> bool:
        """Closes one connection; Lost follows."""
        return self._answer("close", connection)

    def release(self, connection: int) -> None:
        """Forgets a connection whose Bye or Lost was pulled; ValueError before. Its slots are unmapped once
        the last Chunk, and the last array made from one, is gone. A second call does nothing."""
        if connection in self._leases and connection not in self._ended:
            raise ValueError(f"connection {connection} has not ended: wait for its Bye or Lost")
        self._ended.discard(connection)
        self._leases.pop(connection, None)

    def counters(self) -> Counters:
        """Numbers since the start; `connections`, `mapped_bytes` and `queued_events` are of now."""
        raw = abi.Counters()
        self._native.lib.deisa_node_get_counters(self._native.handle, ctypes.byref(raw))
        return Counters(*(getattr(raw, name) for name in Counters.__dataclass_fields__))
