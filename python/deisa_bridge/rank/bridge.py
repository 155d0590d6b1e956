"""The Bridge of a simulation in Python."""

from __future__ import annotations

import copy
import ctypes
import os
import pickle
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack

import numpy as np
import numpy.typing as npt

from deisa_bridge.rank import library, values
from deisa_bridge.rank.errors import UnsupportedError
from deisa_bridge.rank.handle import ExceptionHandler, Handle, interruptible
from deisa_bridge.rank.memory import Loans, as_array, source_of
from deisa_bridge.rank.step import Request, Step
from deisa_bridge.rank.values import Options

LATEST: int = library.NO_TIMESTEP
"""For `Bridge.get`: the newest value, whatever its timestep."""


class Statistics(NamedTuple):
    """Counters of a bridge since it was opened, as deisa_statistics of deisa.h has them."""

    steps_sent: int
    """Distinct timesteps handed over."""
    steps_skipped: int
    """By back-pressure on every rank alike, or here: abandoned, or after a failure."""
    chunks_sent: int
    chunks_stored: int
    chunks_announced: int
    chunks_failed: int
    chunks_lost: int
    """Of those sent: neither announced nor failed when the node actor was lost."""
    chunks_filtered: int
    """Not sent, as the settings file says."""
    chunks_in_flight: int
    """Sent, not yet stored."""
    bytes_sent: int
    bytes_copied: int
    """By the library, on the simulation's time."""
    seconds_blocked: float
    """Waiting inside send, begin_step, end_step and flush."""
    errors: int
    errors_earlier: int
    """Of the errors, those of earlier calls than the one that reported them."""


class Bridge:
    """Connects one rank of a simulation with the analytics; in the place of `deisa.ray.Bridge`.

    Making one is collective: it returns when all ranks have met, the analytics have started, and every
    array is known to them.

        bridge = Bridge(MPI.COMM_WORLD, {"temperature": {
            "global_shape": (40, 40), "chunk_shape": (10, 40), "chunk_position": (rank, 0)}})
        for timestep in range(steps):
            bridge.send("temperature", chunk, timestep)
        bridge.close(steps)

    Errors that are the caller's are raised: `InvalidArgumentError`, `ContractError`. Making a bridge raises
    every error. Any other failure goes to the exception handler, and the simulation goes on; with
    `raise_errors` it is raised, as a `DeisaError`. What fails after its call has returned is reported by the
    next call.

    A bridge may be used from several threads; its calls are made one after the other. A forked child cannot
    use it, and may make its own. With DEISA_DISABLE=1 every call is a no-op that succeeds.
    """

    def __init__(
        self,
        comm: Any = None,
        arrays_metadata: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        system_metadata: Mapping[str, Any] | None = None,
        scheduling_actor_cls: Any = None,
        exception_handler: ExceptionHandler | None = None,
        raise_errors: bool = False,
        **options: Unpack[Options],
    ) -> None:
        """Collective.

        comm: how ranks meet: a communicator of mpi4py, any deisa.core.ICommunicator, or None: then over TCP,
            at the address in `system_metadata` or the settings; a rank that is alone needs none.
        arrays_metadata: array name -> `chunk_shape`, this rank's; `global_shape` (a multiple of it, for equal
            chunks) or `nb_chunks_per_dim`, the grid of chunks; `chunk_position` in the grid, from 0 (or, in
            the place of both, `start`: the chunk's first element in the whole array); and the optional
            `dtype`, `nb_chunks_of_node` and `aggregate`. It is not changed.

        system_metadata: `world_size`, `master_address`, `master_port` and the optional `ray_address`. With
            it and `bridge_id`, deisa-ray up to 0.1.2 made its bridge.
        scheduling_actor_cls: the node actor: a class, also one of Ray's, or "module:Class".
        exception_handler: called with each failure that is not raised; the default prints its trace on
        stderr.
        raise_errors: failures are raised, instead.
        options: those of docs/settings.md by their names, which can be set from outside of the program, too;
            `_node_id`, `_init_retries` and `_comm_timeout` are deisa-ray's names of three.

        Raises InvalidArgumentError with every problem of the arrays or options, ContractError when the ranks
        do not agree about an array, DeisaTimeoutError when ranks or the analytics do not come in time,
        DeisaConnectionError when Ray cannot be reached.
        """
        given = values.system_options(system_metadata) | values.options_of(options)
        if raise_errors:
            given["error_mode"] = library.ERRORS_RETURN
        if scheduling_actor_cls is not None:
            given["node_actor"] = values.actor_name(scheduling_actor_cls)
        metadata = values.metadata_json(arrays_metadata)
        _register_interface()
        self._handle = Handle(given, comm, exception_handler)
        try:
            self._handle.call(self._library.deisa_define_json, metadata)
            self._handle.call(self._library.deisa_use_pickle)
            with interruptible():
                self._handle.call(self._library.deisa_ready)
        except BaseException:
            self._handle.abandon()
            raise
        self.comm = comm
        self.system_metadata = copy.deepcopy(system_metadata)
        self.arrays_metadata = copy.deepcopy(arrays_metadata)
        outside = os.environ.get("DEISA_BRIDGE_ID")
        self.bridge_id = int(outside or given.get("bridge_id", self._handle.rank or 0))
        self._loans = Loans(self._handle.call, self._library)
        self._reading = threading.Lock()

    # isinstance(bridge, IBridge) asks for this. deisa.core brings Dask: it is not imported for it.
    @property
    def __class__(self) -> type[Bridge]:
        _register_interface()
        return type(self)

    @property
    def _library(self) -> ctypes.CDLL:
        return self._handle.library

    # ---- Sending -----------------------------------------------------------------------------------------

    def send(
        self,
        array_name: str,
        chunk: npt.ArrayLike,
        timestep: int,
        *,
        chunked: bool = True,
        store_externally: bool = False,
        test_mode: bool = False,
    ) -> None:
        """Sends this rank's chunk of an array. It may be changed when this returns, and is not lost when the
        simulation dies.

        chunk: of the shape `chunk_shape` and the array's dtype, with any strides: its bytes are copied once,
            into memory that is shared with the node actor. The array that `loan` gave is not copied.
        timestep: more than that of the array's last send.
        chunked, store_externally, test_mode: reserved.

        Raises ContractError: an unknown array, a wrong dtype or shape, a timestep that was sent before or is
        too old, a bridge that is closed. While there is no room it waits, or fails, as `when_full` says.
        """
        self._reserved(store_externally)
        self._send(array_name, chunk, values.timestep_of(timestep), None)

    def send_async(self, array_name: str, chunk: npt.ArrayLike, timestep: int) -> Request:
        """As `send`, but returns when the chunk is copied and handed over, before it is acknowledged. At most
        `max_in_flight` are on their way: then it waits for room."""
        number = ctypes.c_uint64()
        self._send(array_name, chunk, values.timestep_of(timestep), number)
        return Request(self._handle.call, self._library, number)

    def begin_step(self, timestep: int) -> bool:
        """Begins a step: all chunks that are put into it are one message. Waits for room, as `when_full`
        says; with "skip" it is collective. False: the timestep is left out, on every rank alike or here
        after a failure; `put` and `end_step` then do nothing. Raises ContractError: a step is open, or the
        timestep is too old."""
        status = self._handle.call(self._library.deisa_begin_step, values.timestep_of(timestep))
        return status == library.OK

    def put(self, array_name: str, chunk: npt.ArrayLike) -> None:
        """Puts this rank's chunk of an array into the open step; never waits. As `send` otherwise."""
        self._transfer(array_name, chunk, self._library.deisa_put_from)

    def end_step(self) -> None:
        """Hands the step over, and waits for the acknowledgement. Raises ContractError: no step is open."""
        self._handle.call(self._library.deisa_end_step, None)

    def end_step_async(self) -> Request:
        """As `end_step`, without waiting."""
        number = ctypes.c_uint64()
        self._handle.call(self._library.deisa_end_step, ctypes.byref(number))
        return Request(self._handle.call, self._library, number)

    def abandon_step(self) -> None:
        """Ends the open step without handing it over: this rank leaves the timestep out. Does nothing when no
        step is open."""
        self._handle.call(self._library.deisa_abandon_step)

    def step(self, timestep: int, *, wait: bool = True) -> Step:
        """A step for a `with` statement, handed over at its end, or abandoned when an exception leaves it.
        With wait=False its `request` is not waited for.

            with bridge.step(timestep) as step:
                step.put("temperature", temperature)
                step.put("flux", flux)
        """
        return Step(self, values.timestep_of(timestep), wait)

    def flush(self) -> None:
        """Waits until everything that was sent has been announced, up to `send_timeout`."""
        self._handle.call(self._library.deisa_flush)

    def loan(self, array_name: str) -> np.ndarray:
        """Memory of the library for one chunk of an array, to compute in: sending this array costs no copy.
        Its contents are undefined. Once it was sent it is read-only, and may be read until the next send of
        the array; then ask for the next. Raises ContractError for an unknown array, and for one whose dtype
        is not known yet."""
        return self._loans.get(array_name)

    def _send(self, name: str, chunk: npt.ArrayLike, timestep: int, number: ctypes.c_uint64 | None) -> None:
        request = None if number is None else ctypes.byref(number)
        self._transfer(name, chunk, self._library.deisa_send_from, timestep, request)

    def _transfer(self, name: str, chunk: npt.ArrayLike, function: Any, *arguments: Any) -> None:
        array = as_array(name, chunk)
        source = self._loans.find(name, array)
        if source is None:
            self._handle.call(function, name.encode(), ctypes.byref(source_of(array)), *arguments)
            return
        try:
            self._handle.call(function, name.encode(), ctypes.byref(source), *arguments)
        finally:
            self._loans.sent(name, source)

    @staticmethod
    def _reserved(store_externally: bool) -> None:
        if store_externally:
            raise UnsupportedError("store_externally is not supported", library.ERROR_UNSUPPORTED)

    # ---- Feedback ----------------------------------------------------------------------------------------

    def get(
        self,
        key: str | None = None,
        timestep: int | None = None,
        default: Any = None,
        *,
        name: str | None = None,
        chunked: bool = False,
        wait: float = 0.0,
        collective: bool | None = None,
    ) -> Any:
        """What the analytics set under `key`: any object that can be pickled. Collective, unless
        collective=False: bridge 0 reads, and every rank gets the same answer.

        timestep: the value that was set for it; `LATEST`: the newest; None: all that are kept, oldest
            first, as a list of (timestep, value), as with deisa-ray.
        default: returned when there is no such value.
        wait: seconds to wait until there is one; then DeisaTimeoutError.
        name: in the place of `key`, as deisa-ray up to 0.1.2 has it: the newest value, without the other
        ranks.
        chunked: reserved.

        A value that is read as `LATEST` with collective=False is kept by the rank and at most
        `feedback_interval` old: such a call costs microseconds.
        """
        if chunked:
            raise UnsupportedError("chunked is not implemented: read it whole", library.ERROR_UNSUPPORTED)
        if (key is None) == (name is None):
            raise TypeError("Bridge.get() takes either key or name")
        older = name is not None
        if older:
            timestep = LATEST if timestep is None else timestep
        options = library.GetOptions(
            LATEST if timestep is None else values.timestep_of(timestep),
            wait=wait,
            collective=(not older) if collective is None else collective,
            all=timestep is None,
        )
        asked = (name if older else key).encode()
        found = ctypes.POINTER(library.Value)()
        with self._reading:  # the value is valid until the next read, on any thread
            status = self._handle.call(
                self._library.deisa_get, asked, ctypes.byref(options), ctypes.byref(found)
            )
            if status != library.OK:
                return default
            kind, pickled = found[0].kind, ctypes.string_at(found[0].data, found[0].size)
        if kind != library.VALUE_PICKLE:
            raise UnsupportedError(
                f"feedback '{asked.decode()}' was read for all ranks by bridge 0, which is not in Python: "
                "read it with collective=False",
                library.ERROR_UNSUPPORTED,
            )
        return pickle.loads(pickled)

    def delete(self, key: str) -> None:
        """Hides the value from the bridges of this node until the analytics set a newer one. A missing key
        is no error."""
        self._handle.call(self._library.deisa_delete, key.encode())

    def _delete(self, *, name: str) -> None:
        """As deisa-ray up to 0.1.2 has it."""
        self.delete(name)

    # ---- The end -----------------------------------------------------------------------------------------

    def close(self, timestep: int, *, store_externally: bool = False) -> int:
        """Collective: waits until everything that was sent has been announced, and for every rank; then
        bridge 0 sends the end marker. Returns `timestep`. A second call does nothing.

        timestep: at least the newest that was sent. Raises ContractError: it is too old, or a step is open.
        """
        self._reserved(store_externally)
        self._handle.close(min(values.timestep_of(timestep), values.LAST_TIMESTEP))
        return timestep

    def abandon(self) -> None:
        """Ends the bridge at once, without synchronising, for a rank that leaves early; so does leaving the
        `with` block, the end of the last reference, and that of the program. When bridge 0 abandons, the
        analytics get the end marker after everything that it sent."""
        self._handle.abandon()

    @property
    def closed(self) -> bool:
        """It was closed or abandoned."""
        return not self._handle.is_open

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()

    def statistics(self) -> Statistics:
        """The counters, at any moment until the bridge is closed."""
        counters = library.Counters()
        self._handle.call(self._library.deisa_get_statistics, ctypes.byref(counters))
        return Statistics(*(getattr(counters, name) for name in Statistics._fields))


def _register_interface() -> None:
    """Makes Bridge a deisa.core.IBridge in a program that has imported it."""
    interface = getattr(sys.modules.get("deisa.core.interface"), "IBridge", None)
    if interface is not None:
        interface.register(Bridge)
