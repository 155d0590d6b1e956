"""Mounts that one command sees: a disk that is full, read-only or noexec, a file in the place of another.

Needs root. Not namespaces of a user's own: in those, ranks outside would be another user's.
"""

from __future__ import annotations

import subprocess

import pytest


def in_mounts(*commands: str) -> list[str]:
    """Before a command: a mount namespace of its own, with what these commands of a shell do there."""
    return ["unshare", "-m", "sh", "-c", " && ".join([*commands, 'exec "$@"']), "sh"]


def in_network(*commands: str) -> list[str]:
    """The same, with a network of its own beside, in which there is only a loopback interface, up."""
    return ["unshare", "-n", *in_mounts("ip link set lo up", *commands)]


def _can(inside: list[str]) -> bool:
    return subprocess.run([*inside, "true"], capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(
    not _can(in_network("mount -t tmpfs none /mnt")), reason="no namespace can be made here: not root"
)
