"""The path of a node actor's socket, and the removal of those whose node actor was killed.

The file is needed from the start of a session until its ranks are connected; the node actor removes it then.
One that is killed before leaves it: in the folder of Ray's session it is at least among Ray's own sockets.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import logging
import os
import socket
import tempfile
import uuid

from deisa_bridge.status import BridgeError

logger = logging.getLogger(__name__)

MAX_SOCKET_PATH = 107
"""Bytes that the path of a Unix socket may have."""


def socket_path(wanted: str) -> str:
    """A new path, in the folder `wanted` if that is given, else in that of the sockets of Ray's session, or
    in that of temporary files if the path would be too long. Raises BridgeError."""
    name = f"deisa-{os.getuid()}-{uuid.uuid4().hex[:8]}.sock"
    folders = [wanted] if wanted else [_folder_of_ray(), tempfile.gettempdir()]
    for folder in filter(None, folders):
        path = os.path.join(folder, name)
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            remove_stale_sockets(folder)
            return path
    raise BridgeError(
        f"the socket's path {path} is longer than {MAX_SOCKET_PATH} bytes: set DEISA_SOCKET_DIR to a "
        "folder with a shorter name",
        "contract",
    )


def _folder_of_ray() -> str:
    """Where the raylet of this node has its sockets, or "" if this Ray does not say."""
    try:
        from ray._private import worker

        folder = worker._global_node.get_sockets_dir_path()
        return folder if os.access(folder, os.W_OK | os.X_OK) else ""
    except (ImportError, AttributeError, TypeError) as error:
        logger.warning("this Ray does not tell where its sockets are: %r", error)
        return ""


def remove_stale_sockets(folder: str) -> None:
    """Removes sockets of this user's node actors that were killed."""
    paths = glob.glob(os.path.join(glob.escape(folder), f"deisa-{os.getuid()}-*.sock"))
    if not paths:
        return
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        # As a node actor does while it makes a socket, at which it does not listen yet.
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in paths:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(path) == errno.ECONNREFUSED:
                    os.unlink(path)
