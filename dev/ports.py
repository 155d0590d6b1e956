"""TCP ports of this machine that are free."""

from __future__ import annotations

import contextlib
import os
import socket


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port of an address of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports of 127.0.0.1 that nobody listens on at the moment."""
    # Below those that the system gives to others, which free_port() returns. Runs that start at the same time
    # have neighbouring process ids: they look at different ones.
    for first in range(20000 + os.getpid() * 64 % 10000, 32000, count):
        with contextlib.ExitStack() as probes:
            try:
                for port in range(first, first + count):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError(f"no {count} free ports")
