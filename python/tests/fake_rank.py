"""A rank in Python: plays the wire format of native/ipc/wire.hpp over the raw socket."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import select
import socket
import struct
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from deisa_bridge.node.values import decode
from deisa_bridge.status import END_MARKER_ARRAY, NO_TIMESTEP

HEADER = struct.Struct("=IHHQqIIiIQ")
MAGIC = 0x41534944
NONE = 0xFFFFFFFF
PAGE = 4096
HELLO, DEFINE, READY, STEP, PROGRESS, GET, DELETE, END, BYE, ASK = range(1, 11)
WELCOME, REFUSED, RECEIVED, STORED, ANNOUNCED, FAILED, VALUE, DONE, NOTICE, GATE = range(64, 74)


@dataclass
class Answer:
    """One message of the node actor."""

    kind: int
    sequence: int
    timestep: int
    array: int
    slot: int
    status: int
    value: int
    payload: bytes
    fds: list[int]

    @property
    def text(self) -> str:
        return self.payload.decode()


@dataclass
class Chunk:
    """One rank's chunk of an array."""

    name: str
    shape: tuple[int, ...]
    grid: tuple[int, ...]
    position: tuple[int, ...]
    dtype: str = "float64"

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def describe(self) -> bytes:
        return json.dumps(
            {
                "name": self.name,
                "dtype": self.dtype,
                "chunk_shape": self.shape,
                "nb_chunks_per_dim": self.grid,
                "chunk_position": self.position,
                "nb_chunks_of_node": 1,
            }
        ).encode()


END_MARKER = Chunk(END_MARKER_ARRAY, (1, 1), (1, 1), (0, 0), "int16")


class FakeRank:
    """Connects, introduces itself and waits for WELCOME; raises ConnectionRefusedError with the text of
    REFUSED."""

    def __init__(
        self,
        path: str,
        bridge: int,
        session: str,
        chunks: list[Chunk],
        world_size: int = 1,
        slots: int = 2,
        step_timeout: float = 60.0,
    ) -> None:
        self.bridge = bridge
        self.arrays = ([END_MARKER] if bridge == 0 else []) + chunks
        self.answers: list[Answer] = []
        self.failures: list[Answer] = []
        self.gate: Answer | None = None  # the newest; none: open
        self.held_by = ""  # why it was closed, when it was last
        self._sequence = 0
        self._done: dict[int, set[int]] = defaultdict(set)  # kind -> sequences
        self._count: dict[int, int] = defaultdict(int)
        self._stride = [-(-c.nbytes // PAGE) * PAGE for c in self.arrays]
        self._offset, total = [], 0
        for stride in self._stride:
            self._offset.append(total)
            total += stride * slots
        memfd = os.memfd_create("fake-rank", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memfd, max(total, PAGE))
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self._memory = mmap.mmap(memfd, max(total, PAGE))
        self._free = [list(range(slots)) for _ in self.arrays]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(30.0)
        self._socket.connect(path)
        hello = {
            "bridge_id": bridge,
            "world_size": world_size,
            "session": session,
            "max_in_flight": slots,
            "step_timeout": step_timeout,
            "pid": os.getpid(),
        }
        self._send(HELLO, value=4, payload=json.dumps(hello).encode(), fd=memfd)
        os.close(memfd)
        for i, chunk in enumerate(self.arrays):
            geometry = struct.pack("=QQQII", self._offset[i], self._stride[i], chunk.nbytes, slots, 0)
            self._send(DEFINE, array=i, payload=geometry + chunk.describe())
        self._send(READY)
        answer = self._expect(WELCOME, self._sequence)
        assert answer.kind == WELCOME

    # ---- What a rank does ------------------------------------------------------------------------------

    def step(self, timestep: int, data: dict[str, np.ndarray], last: bool = False) -> int:
        """Sends chunks; waits for free slots and for RECEIVED. Returns the sequence number."""
        items = b""
        for name, array in data.items():
            index = next(i for i, c in enumerate(self.arrays) if c.name == name)
            chunk = self.arrays[index]
            self._until(lambda index=index: self._free[index], 60.0, f"a free slot of {name}")
            slot = self._free[index].pop()
            start = self._offset[index] + slot * self._stride[index]
            view = np.frombuffer(self._memory, chunk.dtype, int(np.prod(chunk.shape)), start)
            view[:] = np.asarray(array, chunk.dtype).reshape(-1)
            items += struct.pack("=II", index, slot)
        sequence = self._send(STEP, flags=int(last), timestep=timestep, payload=items)
        self._expect(RECEIVED, sequence)
        return sequence

    def progress(self, timestep: int) -> None:
        self._send(PROGRESS, timestep=timestep)

    def admitted(self, timestep: int) -> bool:
        """As the node actor said last."""
        while select.select([self._socket], [], [], 0)[0]:
            self.poll(0.001)
        return self.gate is None or bool(self.gate.value) or timestep <= self.gate.timestep

    def ask(self, timestep: int) -> bool:
        """Whether the timestep may begin now."""
        self._wait_for_slots()
        if not self.admitted(timestep):
            sequence = self._send(ASK, timestep=timestep, value=0)
            self._until(lambda: self.gate.sequence >= sequence, 30.0, "GATE")
        return self.admitted(timestep)

    def wait_admitted(self, timestep: int, timeout: float = 60.0) -> None:
        """Until the timestep may begin."""
        self._wait_for_slots()
        if not self.admitted(timestep):
            self._send(ASK, timestep=timestep, value=1)
            self._until(lambda: self.admitted(timestep), timeout, f"timestep {timestep} to be admitted")

    def _wait_for_slots(self) -> None:
        """A rank has slots for all that it will send before it looks at the gate: what it reads while it
        waits for them may be that the gate has closed."""
        self._until(lambda: all(self._free), 60.0, "free slots")

    def wait_announced(self, sequence: int, chunks: int = 1, timeout: float = 60.0) -> None:
        """Until all chunks of a step are announced."""
        done = self._until(
            lambda: (
                sum(a.kind == ANNOUNCED and a.sequence == sequence for a in self.answers) >= chunks
                or [a for a in self.failures if a.sequence == sequence]
            ),
            timeout,
            f"ANNOUNCED of {sequence}",
        )
        assert done is True, done[0].text

    def wait_failed(self, sequence: int, timeout: float = 60.0) -> Answer:
        """Until a chunk of a step has failed."""
        return self._until(
            lambda: next((a for a in self.failures if a.sequence == sequence), None), timeout, "FAILED"
        )

    def get(self, key: str, timestep: int = NO_TIMESTEP) -> tuple[int, object]:
        """Status, and the value or text."""
        answer = self._expect(VALUE, self._send(GET, timestep=timestep, payload=key.encode()))
        payload = answer.payload
        if answer.fds:
            with mmap.mmap(answer.fds[0], answer.value, prot=mmap.PROT_READ) as mapped:
                payload = bytes(mapped)
            os.close(answer.fds[0])
        if answer.status == 0:
            return 0, decode(payload)
        return answer.status, payload.decode()

    def delete(self, key: str) -> None:
        self._expect(DONE, self._send(DELETE, payload=key.encode()))

    def close(self, timestep: int | None = None) -> None:
        """PROGRESS; the end marker, if a timestep is given; BYE."""
        self.progress(2**63 - 1)
        if timestep is not None:
            self.wait_announced(self._send(END, timestep=timestep))
        self.bye(closed=True)

    def bye(self, closed: bool) -> None:
        self._send(BYE, value=int(closed))
        self.die()

    def die(self) -> None:
        """The socket closes, as when the process is killed."""
        self._socket.close()

    # ---- Messages --------------------------------------------------------------------------------------

    def poll(self, seconds: float) -> None:
        """Reads for so long, or until one message came."""
        self._socket.settimeout(max(seconds, 0.001))
        try:
            message, fds, _, _ = socket.recv_fds(self._socket, 65536, 4)
        except TimeoutError:
            return
        if not message:
            raise ConnectionResetError("the node actor closed the connection")
        fields = HEADER.unpack(message[: HEADER.size])
        magic, kind, _, sequence, timestep, array, slot, status, payload, value = fields
        assert magic == MAGIC and len(message) == HEADER.size + payload
        answer = Answer(kind, sequence, timestep, array, slot, status, value, message[HEADER.size :], fds)
        if kind == GATE:
            self.gate = answer
            self.held_by = answer.text or self.held_by
            return
        if kind == REFUSED:
            raise ConnectionRefusedError(answer.text)
        if kind in (STORED, FAILED) and slot != NONE:
            self._free[array].append(slot)
        (self.failures if kind == FAILED else self.answers).append(answer)

    def _send(self, kind: int, flags: int = 0, timestep: int = NO_TIMESTEP, array: int = NONE, value: int = 0,
              payload: bytes = b"", fd: int | None = None) -> int:  # fmt: skip
        self._sequence += 1
        header = HEADER.pack(
            MAGIC, kind, flags, self._sequence, timestep, array, NONE, 0, len(payload), value
        )
        self._socket.settimeout(30.0)
        socket.send_fds(self._socket, [header + payload], [] if fd is None else [fd])
        return self._sequence

    def _expect(self, kind: int, sequence: int) -> Answer:
        return self._until(
            lambda: next((a for a in self.answers if a.kind == kind and a.sequence == sequence), None),
            30.0,
            f"answer {kind} to {sequence}",
        )

    def _until(self, condition, seconds: float, what: str):
        end = time.monotonic() + seconds
        while not (result := condition()):
            left = end - time.monotonic()
            if left <= 0:
                seen = [(a.kind, a.sequence, a.payload[:200]) for a in self.answers[-5:] + self.failures]
                raise TimeoutError(f"rank {self.bridge} waited {seconds} s for {what}; it has {seen}")
            self.poll(min(left, 0.5))
        return result
