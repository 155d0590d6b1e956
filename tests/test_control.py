"""The control process: whatever happens to it is a status and a text on every rank alike, and nothing of it
is left in the simulation's process."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, java_program
from launch import mpi_command, place_ranks, start_analytics
from local_ray import LocalRay
from mounts import in_mounts, needs_mounts
from ports import free_port
from simulation import (
    CONNECTION,
    PROGRAMS,
    TIMEOUT,
    Rank,
    Watch,
    define_row,
    joined,
    succeed,
    together,
    until,
)

pytestmark = pytest.mark.timeout(120)
LANGUAGES = ["java", "python"]
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Something that answers there, but is no Ray: these tests do not get as far."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    with joined(256 << 20) as local:
        yield local


Pair = Callable[..., list[Rank]]


@pytest.fixture
def pair(built: Path, tmp_path: Path) -> Iterator[Pair]:
    """pair(environment, before): two ranks; `before` comes before the command of the leader."""
    started: list[Rank] = []

    def start(environment: dict[str, str], before: list[str] | None = None) -> list[Rank]:
        common = {
            "WORLD_SIZE": "2",
            "MASTER_PORT": str(free_port()),
            "COMM_TIMEOUT": "60",
            "READY_TIMEOUT": "60",
        }
        for number in range(2):
            own = {f"DEISA_{key}": value for key, value in (common | {"BRIDGE_ID": str(number)}).items()}
            own["DEISA_CACHE"] = str(tmp_path / "cache")
            own["DEISA_PYTHON"] = sys.executable
            kept = {key: value for key, value in os.environ.items() if not key.startswith(("DEISA_", "RAY_"))}
            wrapped = (before or []) if number == 0 else []
            started.append(Rank(built / "bin" / "rank", kept | own | environment, wrapped))
        define_chunks(started)
        return started

    yield start
    for rank in started:
        rank.kill()


def define_chunks(ranks: list[Rank]) -> None:
    for number, rank in enumerate(ranks):
        rank.ok("open", define_row("t", number))


def fail_alike(ranks: list[Rank], *texts: str, status: int = CONNECTION) -> None:
    """deisa_ready fails on all of them with one text; they live, and run to their end."""
    results = together(ranks, "ready")
    assert [result["status"] for result in results] == [status] * len(ranks), results
    assert len({result["message"] for result in results}) == 1, results
    message = results[0]["message"]
    for text in texts:
        assert text in message, message
    for call in ("send t 0 4 1.5", "close 1"):
        assert len(together(ranks, call)) == len(ranks)
    for rank in ranks:
        assert rank.end() == 0, rank.errors


@pytest.mark.parametrize(
    ("environment", "before", "texts"),
    [
        ({"DEISA_JVM_OPTIONS": "-Xmx5"}, [], ["DEISA_JVM_OPTIONS is '-Xmx5'"]),
        ({"DEISA_JVM_OPTIONS": "-Xmx9000000g"}, [], ["DEISA_JVM_OPTIONS is '-Xmx9000000g'"]),
        ({"JAVA_TOOL_OPTIONS": "-agentlib:nosuch"}, [], ["nosuch", "JAVA_TOOL_OPTIONS"]),
        ({}, ["sh", "-c", 'ulimit -v 250000; exec "$@"', "sh"], ["`ulimit -"]),
    ],
    ids=["too small", "too large", "agent", "address space"],
)
def test_a_java_that_cannot_start(pair, address, environment, before, texts):
    environment = environment | {"RAY_ADDRESS": address, "DEISA_CONTROL": "java"}
    fail_alike(pair(environment, before), *texts)


CHILDREN = {
    "killed": ("kill -9 $$", ["signal 9"]),
    "stopped": ("kill -STOP $$", ["stopped", "within 3"]),
    "garbage": ("echo 'not \\001 JSON' >&0; sleep 100", ["said something else", '"not ? JSON"']),
    "endless": ("exec cat /dev/zero >&0", ["MiB"]),
    "words": ("echo the last words; echo of it >&2; exit 7", ["the last words\nof it", "status 7"]),
    "silent": ("exec sleep 100", ["within 3"]),
    "old": ("echo 'Unrecognized option: --add-opens'; exit 1", ["older than Java 17", "DEISA_JAVA_HOME"]),
    "half": ("printf '{\"hello\":' >&0; exit 0", ["in the middle of the line"]),
}


@pytest.mark.parametrize("kind", CHILDREN)
def test_any_child_is_an_error(pair, address, tmp_path, kind):
    script, texts = CHILDREN[kind]
    home = tmp_path / "java"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text(f"#!/bin/sh\n{script}\n")
    (home / "bin" / "java").chmod(0o755)
    environment = {"RAY_ADDRESS": address, "DEISA_JAVA_HOME": str(home), "DEISA_READY_TIMEOUT": "3"}
    status = TIMEOUT if "within 3" in texts else CONNECTION
    fail_alike(pair(environment), *texts, status=status)
    assert not children_of(str(home)), "it is gone"


def children_of(word: str) -> list[int]:
    """Processes with `word` in their command or environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            texts = [Path("/proc", pid, name).read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue
        if any(word.encode() in text for text in texts) and int(pid) != os.getpid():
            found.append(int(pid))
    return found


def test_a_java_8(pair, address, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to("/bin/false")
    (tmp_path / "release").write_text('JAVA_VERSION="1.8.0_402"\n')
    environment = {"RAY_ADDRESS": address, "DEISA_CONTROL": "java"}
    fail_alike(pair(environment | {"DEISA_JAVA_HOME": str(tmp_path)}), "Java 8", "Java 17")


def test_a_python_without_ray(pair, address, tmp_path):
    bare = tmp_path / "bin" / "python3"
    bare.parent.mkdir()
    bare.symlink_to(os.path.realpath(sys.executable))
    environment = {"RAY_ADDRESS": address, "DEISA_CONTROL": "python", "DEISA_PYTHON": str(bare)}
    fail_alike(pair(environment), str(bare), "ray", "DEISA_PYTHON")


@needs_mounts
def test_no_folder_to_load_ray_from(pair, address, tmp_path):
    environment = {
        "RAY_ADDRESS": address,
        "DEISA_CONTROL": "java",
        "DEISA_CACHE": "/tmp/cache",
        "TMPDIR": "/tmp",
    }
    inside = in_mounts("mount -t tmpfs -o noexec none /tmp", "mkdir -m 700 /tmp/cache")
    # Not exec: the shell looks for what is left.
    inside[-2] = inside[-2].replace('exec "$@"', '"$@" && find /tmp -mindepth 1 >&2')
    ranks = pair(environment, inside)
    fail_alike(ranks, "noexec", "/tmp", "/tmp/cache")
    assert [line for line in ranks[0].errors if line.startswith("/tmp/")] == ["/tmp/cache"]


@needs_mounts
def test_a_read_only_folder_for_temporary_files(pair, address):
    environment = {"RAY_ADDRESS": address, "DEISA_CONTROL": "java", "DEISA_CACHE": "none", "TMPDIR": "/tmp"}
    inside = in_mounts("mount -t tmpfs -o ro none /tmp")
    fail_alike(pair(environment, inside), "/tmp", "Read-only file system")


@pytest.mark.ray
@needs_mounts
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("mount", ["missing", "read-only"])
def test_a_session_folder_of_ray_that_cannot_be_used(pair, cluster, language, mount):
    folder = cluster.folder
    commands = [f"mount -t tmpfs none {folder}"]
    if mount == "read-only":
        commands = [f"mount --bind {folder} {folder}", f"mount -o remount,ro,bind {folder}"]
    environment = {**cluster.environment, "DEISA_CONTROL": language}
    reason = "not to be seen from here" if mount == "missing" else "Read-only file system"
    fail_alike(pair(environment, in_mounts(*commands)), folder, reason)


@pytest.mark.ray
@needs_mounts
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_head_whose_name_is_127_0_1_1(simulation, language):
    """As Debian's installer writes /etc/hosts: Ray's own `ray.init` takes that name too."""
    hosts = simulation.folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n127.0.1.1 headnode\n")
    before = in_mounts(f"mount --bind {hosts} /etc/hosts")
    environment = simulation.environment | {
        "RAY_ADDRESS": f"HeadNode:{simulation.cluster.address.rpartition(':')[2]}",
        "DEISA_CONTROL": language,
    }
    watch = simulation.analytics("t")
    port = str(free_port())
    for number in range(2):
        own = {"DEISA_BRIDGE_ID": str(number), "DEISA_WORLD_SIZE": "2", "DEISA_MASTER_PORT": port}
        own["DEISA_MASTER_ADDRESS"] = "headnode"
        rank = Rank(simulation.build / "bin" / "rank", environment | own, before)
        simulation.ranks.append(rank)
    ranks = simulation.ranks
    define_chunks(ranks)
    succeed(together(ranks, "ready"))
    for number, rank in enumerate(ranks):
        rank.ok(f"send t 0 4 {number}")
    succeed(together(ranks, "close 0"))
    assert list(watch.finish()["t"]) == [0]


def state(pid: int) -> dict[str, Any]:
    """What of a process a library in it could change, as seen from outside."""
    status = dict(re.findall(r"^(\w+):\t(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M))
    kept = ("SigBlk", "SigIgn", "Umask", "NoNewPrivs", "CoreDumping", "Cpus_allowed")
    of_the_c_library = 0b11 << 31  # signals 32 and 33, when it has made a thread
    return {key: status[key] for key in kept} | {
        "SigCgt": int(status["SigCgt"], 16) & ~of_the_c_library,
        "limits": Path(f"/proc/{pid}/limits").read_text(),
        "folder": os.readlink(f"/proc/{pid}/cwd"),
    }


def descriptors(pid: int) -> list[str]:
    """What is open: kinds only, such as "socket", or a path."""
    folder = Path(f"/proc/{pid}/fd")
    return sorted(re.sub(r":\[.*|^/memfd:.*", "", os.readlink(one)) for one in folder.iterdir())


def private_bytes(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.M))


def children(pid: int) -> list[str]:
    return [one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/children") if one.read_text()]


@pytest.mark.ray
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_left_after_the_start(simulation, language):
    """In a folder that has been removed: the simulation's own is nobody's business."""
    gone = simulation.folder / "gone"
    gone.mkdir()
    watch = simulation.analytics("t")
    mark = uuid.uuid4().hex
    environment = simulation.environment | {"DEISA_CONTROL": language, "MARK": mark, "DEISA_WORLD_SIZE": "3"}
    environment |= {"DEISA_MASTER_PORT": str(free_port())}
    inside = ["sh", "-c", f'cd {gone} && rmdir {gone} 2>/dev/null; exec "$@"', "sh"]
    for number in range(3):
        own = environment | {"DEISA_BRIDGE_ID": str(number)}
        simulation.ranks.append(Rank(simulation.build / "bin" / "rank", own, inside if number == 0 else []))
    ranks = simulation.ranks
    pids = [rank.process.pid for rank in ranks]
    for number, rank in enumerate(ranks):
        rank.ok("open", define_row("t", number, 3))
    before = [state(pid) for pid in pids]
    computed = [rank.call("floating")["message"] for rank in ranks]
    succeed(together(ranks, "ready"))
    assert [state(pid) for pid in pids] == before
    assert [rank.call("floating")["message"] for rank in ranks] == computed
    assert sorted(children_of(mark)) == sorted(pids), "no other process"
    assert [children(pid) for pid in pids] == [[], [], []]
    open_in = [descriptors(pid) for pid in pids]
    assert len(open_in[1]) == len(open_in[2])
    leader, *others = [private_bytes(pid) for pid in pids]
    assert leader <= max(others) + 2 * MEBIBYTE, (leader, others)
    threads = [len(os.listdir(f"/proc/{pid}/task")) for pid in pids]
    for rank in ranks:
        rank.ok("send t 0 4 1.5")
    succeed(together(ranks, "close 1"))
    assert list(watch.finish()["t"]) == [0]
    assert threads[0] <= max(threads[1:]) + 1, threads  # the rendezvous's server
    for rank in ranks:
        assert rank.end() == 0 and rank.errors == []


@pytest.mark.ray
def test_ranks_end_at_once_when_the_cluster_has_died(built, tmp_path):
    """No handler of Ray's or Java's waits for it. One leader had control in Java, the other in Python."""
    started: list[Rank] = []
    common = {"DEISA_SOCKET_DIR": str(tmp_path), "DEISA_WORLD_SIZE": "2"}
    common["DEISA_MASTER_PORT"] = str(free_port())
    try:
        with LocalRay(object_store_bytes=256 << 20) as local:
            watch = Watch(local.environment, ["t"])
            for number, language in enumerate(LANGUAGES):
                own = {"DEISA_BRIDGE_ID": str(number), "DEISA_NODE_ID": language, "DEISA_CONTROL": language}
                started.append(Rank(built / "bin" / "rank", local.environment | common | own))
            define_chunks(started)
            succeed(together(started, "ready"))
        for rank in started:
            rank.ask("quit")
        begin = time.monotonic()
        for rank in started:
            assert rank.process.wait(10.0) == 0, rank.errors
        assert time.monotonic() - begin < 5.0
    finally:
        for rank in started:
            rank.kill()
        watch.child.end(grace=0.0)


@pytest.mark.ray
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_rank_that_is_killed_while_it_starts_leaves_no_child(simulation, language):
    for moment in (0.0, 0.1, 0.3, 0.6, 1.0):
        mark = uuid.uuid4().hex
        environment = simulation.environment | {"DEISA_CONTROL": language, "MARK": mark}
        # What Open MPI says: the child is started by deisa_open.
        environment |= {"OMPI_COMM_WORLD_LOCAL_RANK": "0", "DEISA_WORLD_SIZE": "1"}
        rank = Rank(simulation.build / "bin" / "rank", environment)
        for call in ("open", define_row("t", 0, 1), "ready"):
            rank.ask(call)
        time.sleep(moment)
        os.kill(rank.process.pid, signal.SIGKILL)
        rank.end()
        until(lambda mark=mark: not children_of(mark), "the end of the child", 10.0)


@pytest.mark.ray
@needs_mounts
def test_a_fortran_simulation_where_no_java_can_be_found(simulation, start, tmp_path):
    """Everything but what is written in Java runs without; and its leader is as small as the other ranks."""
    arguments = argparse.Namespace(
        language="fortran", comm="mpi", size=16, steps=20, pace=0.1, ranks=3, nodes=1, delay_node=0.0
    )
    arguments.slow_analytics = 0.0
    environment = {key: value for key, value in simulation.environment.items() if key != "JAVA_HOME"}
    analytics = start_analytics(arguments, environment, tmp_path / "fields", 10.0)
    command = in_mounts("mount -t tmpfs none /usr/lib/jvm", "! java -version")
    command += mpi_command(arguments, place_ranks(arguments), tmp_path / "report")
    try:
        heat = start("simulation", command, environment)
        until(lambda: any("timestep 1 sent" in line for line in heat.lines), "the simulation to run", 60.0)
        program = os.path.realpath(ROOT / "build" / "bin" / "heat_fortran")
        pids = [pid for pid in children_of(program) if os.readlink(f"/proc/{pid}/exe") == program]
        sizes = {rank_of(pid): private_bytes(pid) for pid in pids}
        assert sorted(sizes) == [0, 1, 2]
        assert sizes[0] <= max(sizes[1], sizes[2]) + 2 * MEBIBYTE, sizes
        assert heat.wait(60) == 0, heat.lines
        assert analytics.wait(60) == 0, analytics.lines
    finally:
        analytics.end(grace=0.0)


def rank_of(pid: int) -> int:
    found = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", Path(f"/proc/{pid}/environ").read_bytes())
    return int(found[1])


@pytest.mark.ray
def test_a_java_simulation_keeps_its_own_ray(simulation, start, built):
    import ray

    watch = simulation.analytics("t")
    program = java_program(
        PROGRAMS / "OwnRay.java",
        built / "lib",
        f"-Dorg.bytedeco.javacpp.cachedir={simulation.folder}",
        class_path=f":{Path(ray.__file__).parent / 'jars' / 'ray_dist.jar'}",
    )
    rank = start("rank", [*program, simulation.environment["RAY_ADDRESS"]], simulation.environment)
    assert rank.wait(60) == 0, rank.lines
    assert "mine: 42" in rank.lines, rank.lines
    assert list(watch.finish()["t"]) == [0]
