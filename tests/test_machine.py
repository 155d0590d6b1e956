"""Faults of the machine, one by one: each ends in success or in an error that says what to do, none in a
crash or a hang. docs/faults.md has the table of them, with those that other tests bring about."""

from __future__ import annotations

import os
import re
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster import Cluster
from conftest import ROOT, mpirun, run
from formula import Simulation, until
from mounts import in_mounts, in_network, needs_mounts
from ports import free_port
from simulation import CONNECTION, OK, Rank, define_row, together

pytestmark = pytest.mark.timeout(120)
STEPS = 3
PAGE = resource.getpagesize()
Start = Callable[..., list[Rank]]


@pytest.fixture
def start(built: Path, tmp_path: Path) -> Iterator[Start]:
    """start(count, variables, before): so many ranks with an open bridge; `before` comes before the command
    of the first."""
    started: list[Rank] = []

    def begin(count: int, variables: dict[str, str], before: list[str] | None = None) -> list[Rank]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DEISA_", "RAY_"))}
        common = {"WORLD_SIZE": count, "MASTER_PORT": free_port(), "COMM_TIMEOUT": 5, "READY_TIMEOUT": 10}
        common |= {"CACHE": tmp_path / "cache", "PYTHON": sys.executable, "WAIT_NOTICE": 0}
        environment = kept | {f"DEISA_{key}": str(value) for key, value in common.items()} | variables
        ranks = []
        for number in range(count):
            own = environment | {"DEISA_BRIDGE_ID": str(number)}
            ranks.append(Rank(built / "bin" / "rank", own, (before or []) if number == 0 else []))
        started.extend(ranks)
        for rank in ranks:
            rank.ok("open")
        return ranks

    yield begin
    for rank in started:
        rank.kill()


def run_to_end(ranks: list[Rank], steps: int = STEPS) -> list[dict[str, Any]]:
    """All calls of a simulation on all ranks, whatever they return; then the ranks leave by themselves. What
    went wrong, in order."""
    results = []
    for number, rank in enumerate(ranks):
        results.append(rank.call(define_row("t", number, len(ranks))))
    calls = ["ready", *(f"send t {t} 4 {t}" for t in range(steps)), f"close {steps}"]
    for call in calls:
        results += together(ranks, call)
    for rank in ranks:
        assert rank.end() == 0, [rank.process.returncode, rank.errors]
    return [result for result in results if result["status"] != OK]


def says(wrong: list[dict[str, Any]], *texts: str) -> None:
    """Something went wrong, and the first error that was reported says all of these."""
    assert wrong
    for text in texts:
        assert re.search(text, wrong[0]["message"]), wrong[0]["message"]


# ---- Limits of the process --------------------------------------------------------------------------------

PATHS = {
    "hand-off": (1, {}),
    "rendezvous": (2, {"DEISA_BACKEND": "null"}),
    "Gloo": (2, {"DEISA_BACKEND": "null"}),
    "files": (1, {"DEISA_BACKEND": "file"}),
}


def begin(start: Start, built: Path, folder: Path, way: str, more: dict[str, str]) -> list[Rank]:
    count, variables = PATHS[way]
    variables = variables | more
    if way == "hand-off":  # the whole way of a chunk, to a node actor in the same process
        variables = variables | fake(built)
    if way == "files":
        variables = variables | {"DEISA_FILE_FOLDER": str(folder)}
    before = ["env", "DEISA_GLOO_NODE=another"] if way == "Gloo" else []
    return start(count, variables, before)


def under_limits(
    start: Start,
    built: Path,
    folder: Path,
    way: str,
    limits: list[int],
    set_limit: Callable[[int, int], None],
    texts: str,
) -> None:
    """Simulations side by side, with each of these limits for the first rank, set once it is open. The last
    is enough; others fail with these texts, or not."""

    def one(limit: int) -> list[dict[str, Any]]:
        patience = {"DEISA_COMM_TIMEOUT": "60"} if limit == limits[-1] else {}
        ranks = begin(start, built, folder / str(limit), way, patience)
        set_limit(ranks[0].process.pid, limit)
        return run_to_end(ranks)

    with ThreadPoolExecutor(len(limits)) as pool:
        outcomes = list(pool.map(one, limits))
    assert outcomes[0] and not outcomes[-1], "from none to enough"
    for wrong in filter(None, outcomes):
        says(wrong, texts)


@pytest.mark.parametrize("way", PATHS)
def test_few_open_files(start, built, tmp_path, way):
    """As many files as are open already, and a few more: RLIMIT_NOFILE."""

    def allow(pid: int, more: int) -> None:
        now = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (now + more, now + more))

    limits = [*range(14), 17, 20, 40]
    under_limits(start, built, tmp_path, way, limits, allow, "ulimit -H?n")


@pytest.mark.parametrize("way", PATHS)
def test_little_address_space(start, built, tmp_path, way):
    """RLIMIT_AS."""

    def allow(pid: int, more: int) -> None:
        now = PAGE * int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        resource.prlimit(pid, resource.RLIMIT_AS, (now + more, now + more))

    limits = [PAGE * pages for pages in (0, 1, 2, 8, 16, 24, 48, 64, 128, 256, 1024, 2100, 4200, 8400, 65536)]
    under_limits(start, built, tmp_path, way, limits, allow, "ulimit -v")


# ---- What the system refuses ------------------------------------------------------------------------------


def faulty(built: Path, fault: str) -> dict[str, str]:
    return {"LD_PRELOAD": str(built / "bin" / "libmachine_faults.so"), "MACHINE_FAULT": fault}


def fake(built: Path) -> dict[str, str]:
    """A library whose node actor is in the same process."""
    return {"LD_LIBRARY_PATH": str(built / "lib" / "fake")}


def test_a_sandbox_without_memfd(start, built):
    says(
        run_to_end(start(1, fake(built) | faulty(built, "memfd"))), "memfd_create", "not permitted", "sandbox"
    )


@pytest.mark.parametrize("way", ["rendezvous", "Gloo"])
def test_no_more_threads(start, built, tmp_path, way):
    """RLIMIT_NPROC, on one rank of two: the other is told too, or waits no longer than comm_timeout."""
    ranks = begin(start, built, tmp_path, way, faulty(built, "threads"))
    says(run_to_end(ranks), "no thread", "ulimit -u")


def test_no_more_processes(start, built):
    variables = faulty(built, "threads") | {"RAY_ADDRESS": "127.0.0.1:1"}
    wrong = run_to_end(start(1, variables))
    says(wrong, "cannot be started: Resource temporarily unavailable", "ulimit -u")
    assert wrong[0]["status"] == CONNECTION


@pytest.mark.parametrize(
    ("limit", "text"),
    [("ulimit -v 120000", "`ulimit -v`"), ("ulimit -n 8", "`ulimit -n`")],
)
def test_a_python_that_cannot_start(start, limit, text):
    """The control process has the limits of the simulation. Something answers there, but it does not get so
    far."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        variables = {"RAY_ADDRESS": address, "DEISA_CONTROL": "python"}
        says(run_to_end(start(1, variables, ["sh", "-c", f'{limit}; exec "$@"', "sh"])), text)


# ---- Disks and folders ------------------------------------------------------------------------------------


@needs_mounts
def test_a_full_disk(start, tmp_path):
    """What was complete stays; what does not fit is reported as it is sent, and again at the end."""
    disk = tmp_path / "disk"
    disk.mkdir()
    variables = {
        "DEISA_BACKEND": "file",
        "DEISA_FILE_FOLDER": f"{disk}/files",
        "DEISA_TRACE": f"{disk}/trace",
    }
    (rank,) = start(1, variables, in_mounts(f"mount -t tmpfs -o size=128k none {disk}"))
    rank.ok(define_row("t", 0, 1).replace("[4]", "[4096]"), "ready", "send t 0 4096 0", "send t 1 4096 1")
    wrong = [rank.call(f"send t {t} 4096 {t}") for t in range(2, 6)]
    says([one for one in wrong if one["status"] != OK], "No space left", "DEISA_FILE_FOLDER")
    seen = Path(f"/proc/{rank.process.pid}/root{disk}")
    complete = sorted(path.stem for path in (seen / "files" / "t").glob("*.npy"))
    for name in complete:
        np.testing.assert_array_equal(
            np.load(seen / "files" / "t" / f"{name}.npy"), np.arange(4096) + int(name)
        )
    assert complete[:2] == ["000000000", "000000001"] and len(complete) < 6
    says([rank.call("close 6")], "not complete|No space left")
    assert rank.end() == 0


@needs_mounts
@pytest.mark.parametrize("option", ["ro", "size=4k"])
def test_a_disk_without_room_for_the_first_file(start, tmp_path, option):
    variables = {"DEISA_BACKEND": "file", "DEISA_FILE_FOLDER": f"{tmp_path}/disk/files"}
    (tmp_path / "disk").mkdir()
    mount = in_mounts(f"mount -t tmpfs -o {option} none {tmp_path}/disk")
    says(run_to_end(start(1, variables, mount)), "Read-only|No space left", "DEISA_FILE_FOLDER")


@pytest.mark.parametrize("variable", ["DEISA_FILE_FOLDER", "DEISA_TRACE", "DEISA_CONFIG", "DEISA_CACHE"])
def test_a_working_directory_that_was_removed(built, tmp_path, variable):
    """Names that begin in it are errors, the rest works; see also test_control.py."""
    gone = tmp_path / "gone"
    gone.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "DEISA_BACKEND": "file", "DEISA_FILE_FOLDER": f"{tmp_path}/files"}
    command = ["sh", "-c", f'cd {gone} && rmdir {gone}; exec "$@"', "sh", str(built / "bin" / "host")]
    done = run(command, environment | {variable: "here.json"})
    if variable == "DEISA_CACHE":  # of the control process, which is not needed
        assert (done.returncode, done.stdout) == (0, "ready\ndone\n")
        return
    assert done.returncode == 1, done.stdout
    assert re.search(rf"{variable}|{variable[6:].lower()}", done.stdout)
    assert "here.json" in done.stdout and "No such file or directory" in done.stdout


# ---- Networks ---------------------------------------------------------------------------------------------

PAIR = '"$@" rank=1 & "$@" rank=0; status=$?; wait $! || status=$?; exit $status'


def pair_in(built: Path, inside: list[str], master: str, **variables: str) -> tuple[int, str]:
    """Exit status and output of two ranks that use Gloo, as on two nodes, in a network of their own."""
    environment = {"PATH": os.environ["PATH"], "DEISA_BACKEND": "null", "DEISA_MASTER_ADDRESS": master}
    environment |= {"DEISA_COMM_TIMEOUT": "3", "DEISA_MASTER_PORT": str(free_port())} | variables
    formula = [str(built / "bin" / "formula"), "world=2", "array=0,1", f"steps={STEPS}"]
    each = ["sh", "-c", 'DEISA_NODE_ID=$$ exec "$@"', "sh"]
    done = run([*inside, "sh", "-c", PAIR, "sh", *each, *formula], environment)
    return done.returncode, done.stdout


IPV6_ONLY = "ip -4 address flush dev lo"


@needs_mounts
@pytest.mark.parametrize("master", ["::1", "localhost"])
def test_ipv6_only(built, master):
    status, said = pair_in(built, in_network(IPV6_ONLY), master)
    assert (status, said.count("closed 0")) == (0, 2), said


@needs_mounts
def test_an_address_that_no_interface_has(built):
    _, said = pair_in(built, in_network(IPV6_ONLY), "127.0.0.1")
    assert "does not have the master_address '127.0.0.1'" in said, said
    assert "could not be reached" in said, said


@needs_mounts
@pytest.mark.parametrize(
    ("master", "ends"),
    [("localhost", "closed 0"), ("127.0.0.1", "closed 0"), ("elsewhere", '"elsewhere" cannot be resolved')],
)
def test_no_resolver(built, tmp_path, master, ends):
    """Neither /etc/hosts nor a server of names."""
    (tmp_path / "empty").touch()
    (tmp_path / "servers").write_text("nameserver 127.0.0.1\n")
    inside = in_network(
        f"mount --bind {tmp_path}/empty /etc/hosts", f"mount --bind {tmp_path}/servers /etc/resolv.conf"
    )
    _, said = pair_in(built, inside, master)
    assert said.count(ends) == 2, said


@needs_mounts
def test_a_resolver_that_does_not_answer(built, tmp_path):
    (tmp_path / "servers").write_text("nameserver 192.0.2.1\n")
    inside = in_network(
        f"mount --bind {tmp_path}/servers /etc/resolv.conf", "ip route add 192.0.2.0/24 dev lo"
    )
    begin = time.monotonic()
    status, said = pair_in(built, inside, "elsewhere.example.org")
    assert status == 2 and said.count("did not answer") >= 1, said
    assert time.monotonic() - begin < 20


# ---- What the program itself does --------------------------------------------------------------------------


def unload(built: Path, library: str, way: str, **variables: str) -> list[str]:
    environment = {"PATH": "/usr/bin:/bin", "DEISA_WORLD_SIZE": "1", "DEISA_BRIDGE_ID": "0", **variables}
    done = run([str(built / "bin" / "unload"), str(built / "lib" / library), way], environment)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout
    return done.stdout.splitlines()


def test_the_library_is_closed_with_dlclose(built, tmp_path):
    unload(built, "libdeisa.so", "close", DEISA_BACKEND="null", DEISA_TRACE=str(tmp_path / "trace"))


def test_an_executed_program_has_nothing_of_the_bridge(built):
    before, after, _ = unload(built, "fake/libdeisa.so", "exec")
    assert int(before.split()[0]) > 5, "the bridge's sockets and shared memory"
    assert after == "3 files"


def test_mpi_for_one_thread_only(built, tmp_path):
    environment = {**os.environ, "DEISA_BACKEND": "file", "DEISA_FILE_FOLDER": str(tmp_path / "files")}
    environment |= {"DEISA_WAIT_NOTICE": "0.1", "DEISA_TRACE": str(tmp_path / "trace")}
    done = run(mpirun(2, str(built / "bin" / "funneled")), environment)
    assert done.returncode == 0, done.stdout
    for rank in range(2):
        assert f"rank {rank}: level funneled, done" in done.stdout


# ---- With Ray: what must make no difference ----------------------------------------------------------------

PROXY = "http://192.0.2.1:3128"
PROXIES = {
    name: PROXY
    for word in ("http", "https", "all", "grpc")
    for name in (f"{word}_proxy", f"{word.upper()}_PROXY")
}
FAULTS: dict[str, tuple[dict[str, str], list[str]]] = {
    "proxies": (PROXIES, []),
    "no limit of the stack": ({}, ["sh", "-c", 'ulimit -s unlimited; exec "$@"', "sh"]),
    "jemalloc": ({"LD_PRELOAD": "libjemalloc.so.2"}, []),
    "tcmalloc": ({"LD_PRELOAD": "libtcmalloc_minimal.so.4"}, []),
    "checked malloc": (
        {"LD_PRELOAD": "libc_malloc_debug.so.0", "GLIBC_TUNABLES": "glibc.malloc.check=3"},
        [],
    ),
    "floating-point traps": ({"MACHINE_FAULT": "traps"}, []),
    "clock set back": ({"MACHINE_FAULT": "clock"}, []),
    "no home": ({}, ["env", "-u", "HOME"]),
    "read-only home and tmp": (
        {"HOME": "/home"},
        in_mounts(
            *(
                f"mount --bind {one} {one} && mount -o remount,bind,ro {one}"
                for one in ("/home", "/tmp", "/var/tmp")
            )
        ),
    ),
    "noexec home and tmp": (
        {"HOME": "/home"},
        in_mounts(
            *(
                f"mount --bind {one} {one} && mount -o remount,bind,noexec {one}"
                for one in ("/home", "/tmp", "/var/tmp")
            )
        ),
    ),
}
"""Of one rank: variables, and what comes before its command."""
LEADERS = {
    "python": ["proxies", "no limit of the stack", "jemalloc", "clock set back", "no home"],
    "java": ["proxies", "no limit of the stack", "tcmalloc", "clock set back"],
}
"""Of the leader of a node, with such a control process."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as one:
        yield one


@pytest.fixture(scope="module")
def session(cluster: Cluster) -> Iterator[Simulation]:
    """One for all, in which each fault is that of one rank. Ranks 0 and 1 lead a node each, with a control
    process."""
    build = Path(os.environ.get("DEISA_BUILD") or ROOT / "build")
    of_rank = [*LEADERS.values(), *([fault] for fault in FAULTS)]

    def variables(rank: int) -> dict[str, str]:
        both = {"DEISA_CONTROL": list(LEADERS)[rank % 2]}
        for fault in of_rank[rank]:
            own = dict(FAULTS[fault][0])
            if "MACHINE_FAULT" in own:
                own["LD_PRELOAD"] = str(build / "bin" / "libmachine_faults.so")
            if "LD_PRELOAD" in both and "LD_PRELOAD" in own:
                own["LD_PRELOAD"] += ":" + both["LD_PRELOAD"]
            both |= own
        return both

    one = Simulation(
        build / "bin" / "formula",
        cluster.environment,
        len(of_rank),
        [list(range(len(of_rank)))],
        nodes={rank: list(LEADERS)[rank % 2] for rank in range(len(of_rank))},
        variables_of=variables,
        prefixes=lambda rank: [word for fault in of_rank[rank] for word in FAULTS[fault][1]],
        steps=STEPS,
    )
    try:
        one.start_analytics()
        one.start_ranks()
        until(lambda: all(rank.child.status() is not None for rank in one.ranks), "the ranks to end")
        yield one
    finally:
        one.end()


@pytest.mark.ray
@pytest.mark.timeout(300)
@needs_mounts
@pytest.mark.parametrize("number", range(len(LEADERS) + len(FAULTS)), ids=[*LEADERS, *FAULTS])
def test_what_makes_no_difference(session, number):
    rank = session.ranks[number]
    rank.child.wait_output()
    told = rank.told()
    assert (rank.child.status(), told.closed, told.failed, told.reports) == (0, OK, "", []), rank.child.lines
    assert len(told.sent) == STEPS
    assert not any("cannot be preloaded" in line for line in rank.child.lines), rank.child.lines


@pytest.mark.ray
@pytest.mark.timeout(300)
@needs_mounts
def test_all_of_it_is_read(session, cluster):
    session.analytics.finish()
    session.check_order_and_values()
    assert session.analytics.read == {("a0", t) for t in range(STEPS)}
    cluster.wait_until_clean()
