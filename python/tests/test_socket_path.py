"""Where sockets go, and which are removed."""

from __future__ import annotations

import fcntl
import os
import socket

import pytest

from deisa_bridge.node import socket_path as under_test
from deisa_bridge.node.socket_path import MAX_SOCKET_PATH, socket_path
from deisa_bridge.status import BridgeError


@pytest.fixture
def bind():
    """bind(path): a socket at which nobody listens yet."""
    made = []

    def make(path: str) -> socket.socket:
        made.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        made[-1].bind(path)
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_folder_that_is_asked_for(tmp_path):
    assert os.path.dirname(socket_path(str(tmp_path))) == str(tmp_path)


def test_a_path_that_is_too_long_is_refused(tmp_path):
    folder = tmp_path / ("x" * MAX_SOCKET_PATH)
    folder.mkdir()
    with pytest.raises(BridgeError, match="DEISA_SOCKET_DIR") as refused:
        socket_path(str(folder))
    assert refused.value.kind == "contract"


def test_rays_folder_comes_first_unless_its_path_is_too_long(monkeypatch, tmp_path):
    monkeypatch.setattr(under_test, "_folder_of_ray", lambda: str(tmp_path))
    monkeypatch.setattr(under_test.tempfile, "gettempdir", lambda: "/tmp")
    assert os.path.dirname(socket_path("")) == str(tmp_path)
    folder = tmp_path / ("x" * MAX_SOCKET_PATH)
    folder.mkdir()
    monkeypatch.setattr(under_test, "_folder_of_ray", lambda: str(folder))
    assert os.path.dirname(socket_path("")) == "/tmp"


def test_only_sockets_without_a_process_are_removed(tmp_path, bind):
    served, stale, new = (socket_path(str(tmp_path)) for _ in range(3))
    bind(served).listen()
    bind(stale).close()
    socket_path(str(tmp_path))
    assert os.listdir(tmp_path) == [os.path.basename(served)]
    # One that is being made: whoever makes it holds the lock of the folder.
    bind(new)
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    socket_path(str(tmp_path))
    assert os.path.exists(new)
    os.close(lock)
    socket_path(str(tmp_path))
    assert not os.path.exists(new)
