"""The exceptions of the bridge."""

from __future__ import annotations

import sys
from functools import cache

from deisa_bridge.rank import library


class DeisaError(RuntimeError):
    """A call failed. Its text says what was wrong, where, what was expected, and what to do."""

    def __init__(
        self,
        message: str,
        status: int = library.ERROR_INTERNAL,
        rank: int | None = None,
        array: str | None = None,
        timestep: int | None = None,
        earlier: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """The deisa_status of deisa.h."""
        self.rank = rank
        """The bridge that failed, if it is known."""
        self.array = array
        """The array that it is about, if any."""
        self.timestep = timestep
        """The timestep that it is about, if any."""
        self.earlier = earlier
        """It is about an earlier call; the one that raised it has done its own work."""


class InvalidArgumentError(DeisaError, ValueError, TypeError):
    """An argument or a setting is invalid. Also a ValueError and a TypeError, of which deisa-ray raises one
    or the other."""


class ContractError(DeisaError):
    """The call may not be made now, or does not fit what was defined; nothing was done. In a program that has
    imported deisa-ray it is a `deisa.ray.errors.ContractError`, too."""


class DeisaTimeoutError(DeisaError, TimeoutError):
    """A wait has ended; the text names whom or what it waited for."""


class CommunicatorError(DeisaError):
    """The communicator failed, or was broken before."""


class DeisaConnectionError(DeisaError, ConnectionError):
    """Ray, the node actor or its socket cannot be reached."""


class ResourceError(DeisaError):
    """Out of memory, descriptors, or room in the object store."""


class UnsupportedError(DeisaError, NotImplementedError):
    """Known, but not supported."""


_BY_STATUS: dict[int, type[DeisaError]] = {
    library.ERROR_ARGUMENT: InvalidArgumentError,
    library.ERROR_CONTRACT: ContractError,
    library.ERROR_TIMEOUT: DeisaTimeoutError,
    library.ERROR_COMMUNICATOR: CommunicatorError,
    library.ERROR_CONNECTION: DeisaConnectionError,
    library.ERROR_RESOURCE: ResourceError,
    library.ERROR_UNSUPPORTED: UnsupportedError,
}


@cache
def _both(theirs: type[Exception]) -> type[ContractError]:
    """A ContractError that is caught as deisa-ray's, too."""
    return type("ContractError", (ContractError, theirs), {"__doc__": ContractError.__doc__})


def contract_error() -> type[ContractError]:
    """The class to raise. deisa-ray is not imported for it: who catches its class has done so."""
    theirs = getattr(sys.modules.get("deisa.ray.errors"), "ContractError", None)
    return ContractError if theirs is None else _both(theirs)


def from_c(error: library.Error) -> DeisaError:
    """The exception for what a function of the library has filled in."""
    kind = _BY_STATUS.get(error.status, DeisaError)
    return (contract_error() if kind is ContractError else kind)(
        error.message.decode("utf-8", "replace"),
        error.status,
        error.rank if error.rank >= 0 else None,
        error.array.decode("utf-8", "replace") or None,
        error.timestep if error.timestep != library.NO_TIMESTEP else None,
        bool(error.earlier),
    )
