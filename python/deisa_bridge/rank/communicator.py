"""The program's communicator as the library's."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Any

from deisa_bridge.rank import library
from deisa_bridge.rank.errors import InvalidArgumentError, from_c

METHODS = ("Get_rank", "Get_size", "gather", "bcast", "barrier")
"""Of deisa.core.ICommunicator, which communicators of mpi4py have, too."""
LONGEST_PAUSE = 1e-3
"""Seconds between two looks at a request of MPI."""


class Given:
    """A communicator for deisa_options, or none; must live as long as the bridge. `comm` is None, one of
    mpi4py, a deisa.core.ICommunicator, or one of deisa-ray's older ones."""

    def __init__(self, comm: Any) -> None:
        self.table = library.Communicator()
        self._calls: Any = None
        comm = _of_older_deisa_ray(comm)
        self.is_given = comm is not None
        if comm is None:
            return
        if _is_mpi(comm):
            mpi = library.mpi_library()
            if mpi is not None:
                _open_mpi(mpi, comm, self.table)
                return
            self._calls = _Calls(_Mpi(comm))
        elif all(callable(getattr(comm, method, None)) for method in METHODS):
            self._calls = _Calls(_Blocking(comm))
        else:
            raise InvalidArgumentError(
                f"comm is {comm!r}: comm must implement deisa.core.ICommunicator ({', '.join(METHODS)}), "
                "or be None: then the ranks meet at system_metadata's master_address and master_port",
                library.ERROR_ARGUMENT,
            )
        self._calls.fill(self.table)

    @property
    def rank(self) -> int | None:
        """Of this process, if there is a communicator."""
        return self.table.rank(self.table.self) if self.is_given else None

    def release(self) -> None:
        """When no bridge has taken it."""
        if self.is_given and self.table.release:
            self.table.release(self.table.self)


def _is_mpi(comm: Any) -> bool:
    mpi = sys.modules.get("mpi4py.MPI")
    return mpi is not None and isinstance(comm, mpi.Comm)


def _open_mpi(mpi: ctypes.CDLL, comm: Any, table: library.Communicator) -> None:
    """libdeisa_mpi.so with the handle that is in mpi4py's object: a pointer or an integer."""
    module = sys.modules["mpi4py.MPI"]
    handle = ctypes.c_void_p if module._sizeof(module.Comm) == 8 else ctypes.c_int
    error = library.Error()
    mpi.deisa_mpi_open.argtypes = [handle, ctypes.c_void_p, ctypes.c_void_p]
    opened = mpi.deisa_mpi_open(
        handle.from_address(module._addressof(comm)), ctypes.byref(table), ctypes.byref(error)
    )
    if opened < 0:
        raise from_c(error)


def _of_older_deisa_ray(comm: Any) -> Any:
    """What is in a communicator of deisa-ray up to 0.1.2, which has rank, world_size and a barrier only."""
    if comm is None or hasattr(comm, "Get_rank") or not hasattr(comm, "world_size"):
        return comm
    if (mpi := getattr(comm, "_comm", None)) is not None:
        return mpi
    if comm.world_size == 1:
        return _Single()
    torch = sys.modules.get("torch.distributed")
    return _Torch(torch) if torch is not None and torch.is_initialized() else comm


class _Single:
    """One process."""

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return 1

    def gather(self, data: Any, root: int = 0) -> list[Any]:
        return [data]

    def bcast(self, data: Any, root: int = 0) -> Any:
        return data

    def barrier(self) -> None:
        return None


class _Torch:
    """The process group that deisa-ray's older bridge makes."""

    def __init__(self, distributed: Any) -> None:
        self._distributed = distributed
        self.Get_rank, self.Get_size = distributed.get_rank, distributed.get_world_size
        self.barrier = distributed.barrier

    def gather(self, data: Any, root: int = 0) -> list[Any] | None:
        mine = self.Get_rank() == root
        received: list[Any] | None = [None] * self.Get_size() if mine else None
        self._distributed.gather_object(data, received, dst=root)
        return received

    def bcast(self, data: Any, root: int = 0) -> Any:
        held = [data]
        self._distributed.broadcast_object_list(held, src=root)
        return held[0]


class _Blocking:
    """The program's own: it waits as long as its methods do."""

    def __init__(self, comm: Any) -> None:
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._comm = comm

    def barrier(self, timeout: float) -> None:
        self._comm.barrier()

    def gather(self, sent: memoryview, root: int, timeout: float) -> bytes | None:
        parts = self._comm.gather(bytes(sent), root=root)
        return b"".join(parts) if self.rank == root else None

    def broadcast(self, data: memoryview, root: int, timeout: float) -> None:
        mine = bytes(data) if self.rank == root else None
        data[:] = self._comm.bcast(mine, root=root)


class _Mpi:
    """mpi4py's own calls, for an MPI that libdeisa_mpi.so was not built with. Non-blocking ones, polled, on a
    duplicate: so that no message meets those of the program, and waits end in time."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm.Dup()
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()

    def _wait(self, request: Any, timeout: float, what: str) -> None:
        end, pause = time.monotonic() + timeout, 1e-5
        while not request.Test():
            if time.monotonic() > end:
                raise TimeoutError(f"not every rank came to the {what} within {timeout:.1f} s")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def barrier(self, timeout: float) -> None:
        self._wait(self._comm.Ibarrier(), timeout, "barrier")

    def gather(self, sent: memoryview, root: int, timeout: float) -> bytearray | None:
        received = bytearray(len(sent) * self.size) if self.rank == root else None
        self._wait(self._comm.Igather(sent, received, root=root), timeout, "gather")
        return received

    def broadcast(self, data: memoryview, root: int, timeout: float) -> None:
        self._wait(self._comm.Ibcast(data, root=root), timeout, "broadcast")


class _Calls:
    """The functions of a deisa_communicator, which call methods in Python."""

    def __init__(self, comm: _Blocking | _Mpi) -> None:
        self._comm = comm
        self._broken = ""
        # ctypes does not keep them: they live as long as this object.
        self._functions: dict[str, Any] = {
            "rank": library.Number(lambda _: comm.rank),
            "size": library.Number(lambda _: comm.size),
            "barrier": library.Barrier(lambda _, timeout, error: self._run(error, self._barrier, timeout)),
            "gather": library.Gather(
                lambda _, sent, n, received, root, timeout, error: self._run(
                    error, self._gather, sent, n, received, root, timeout
                )
            ),
            "broadcast": library.Broadcast(
                lambda _, data, n, root, timeout, error: self._run(
                    error, self._broadcast, data, n, root, timeout
                )
            ),
        }

    def fill(self, table: library.Communicator) -> None:
        """Sets the functions of `table`."""
        for name, function in self._functions.items():
            setattr(table, name, function)

    def _barrier(self, timeout: float) -> None:
        self._comm.barrier(timeout)

    def _gather(self, sent: int, n: int, received: int | None, root: int, timeout: float) -> None:
        gathered = self._comm.gather(_view(sent, n), root, timeout)
        if self._comm.rank == root:
            _view(received, n * self._comm.size)[:] = gathered

    def _broadcast(self, data: int, n: int, root: int, timeout: float) -> None:
        self._comm.broadcast(_view(data, n), root, timeout)

    def _run(self, error: Any, work: Callable[..., None], *arguments: Any) -> int:
        """Nothing is raised into C. After a failure the communicator is broken for good."""
        status = library.ERROR_COMMUNICATOR
        try:
            if self._broken:
                raise RuntimeError(f"the communicator failed before: {self._broken}")
            work(*arguments)
            return library.OK
        except TimeoutError as failure:
            status, text = library.ERROR_TIMEOUT, str(failure)
        except BaseException as failure:  # Ctrl-C in the program's own barrier, too
            text = f"{type(failure).__name__}: {failure}"
        self._broken = self._broken or text
        if error:
            error[0] = library.Error(status=status, rank=self._comm.rank, timestep=library.NO_TIMESTEP)
            error[0].message = text.encode("utf-8", "replace")[:4095]
        return status


def _view(address: int | None, nbytes: int) -> memoryview:
    return (
        memoryview((ctypes.c_char * nbytes).from_address(address)).cast("B")
        if nbytes
        else memoryview(bytearray())
    )
