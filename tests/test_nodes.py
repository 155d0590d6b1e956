"""Several nodes: a network namespace with an address and a raylet of its own for each, ranks spread over
them. Where namespaces are not permitted, or with DEISA_TEST_NAMESPACES=0, raylets on addresses 127.0.0.x.

Node "a" is Ray's head node, "b" another, "d" has no rank, and "c" joins after the analytics have started.
The ranks of a node are not consecutive. The tests use one cluster, in this order; the last ones break it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import mpirun
from formula import PROGRAMS, Simulation, until
from netns import RayNodes, network
from processes import Child

WHERE = {0: "a", 1: "b", 2: "c", 3: "a", 4: "b", 5: "c"}
ON_C = [rank for rank, node in WHERE.items() if node == "c"]

RAYLETS = int(os.environ.get("DEISA_RAYLETS", "2"))
SEED = int(os.environ.get("DEISA_SEED", "1"))
LANGUAGES = ["C", "C", "C++", "Fortran", "Python", "Java"]

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600 + 60 * RAYLETS)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    folder = tempfile.mkdtemp(prefix="dn-", dir="/tmp")
    try:
        with network("a", "b", "c", "d") as machines:
            cluster = RayNodes(machines, Path(folder))
            # So that the loss of a node need not be waited for as long as usual, nor that of the head node.
            cluster.environment["RAY_health_check_period_ms"] = "1000"
            cluster.environment["RAY_gcs_rpc_server_reconnect_timeout_s"] = "10"
            try:
                for name in ("a", "b", "d"):
                    cluster.start(name)
                yield cluster
            finally:
                cluster.stop_all()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def look(nodes: RayNodes) -> dict:
    """See programs/look.py."""
    return json.loads(nodes.run("a", sys.executable, str(PROGRAMS / "look.py")).splitlines()[-1])


def variables(nodes: RayNodes, name: str) -> dict[str, str]:
    """What a rank must be told of its node, when all are on one machine: a namespace says it by itself."""
    if nodes.network.isolated:
        return {}
    address = nodes.network.address[name]
    if name not in nodes.ids:
        nodes.ids[name] = look(nodes)["nodes"][address]
    return {
        "DEISA_NODE_ID": nodes.ids[name],
        "DEISA_GLOO_NODE": name,
        "DEISA_JVM_OPTIONS": f"-Dray.node-ip={address}",
    }


@pytest.fixture
def simulate(nodes, built):
    """simulate(arrays, ...): a Simulation of six ranks over the nodes."""
    made: list[Simulation] = []

    def make(
        arrays: list[list[int]], variables_of: dict[int, dict[str, str]] | None = None, **options: object
    ) -> Simulation:
        one = Simulation(
            built / "bin" / "formula",
            nodes.environment,
            len(WHERE),
            arrays,
            prefixes=lambda rank: nodes.network.inside(WHERE[rank]),
            variables_of=lambda rank: variables(nodes, WHERE[rank]) | (variables_of or {}).get(rank, {}),
            master=nodes.network.address["a"],
            **options,
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.end()


def start_all(nodes: RayNodes) -> None:
    """Those that a test before has killed get new ids."""
    for name in "bc":
        nodes.start(name)
    nodes.ids.clear()


def has_jvm(pid: int) -> bool:
    return "libjvm.so" in Path(f"/proc/{pid}/maps").read_text()


def check_places(nodes: RayNodes, one: Simulation) -> None:
    """Each chunk was stored on the node that it came from."""
    ids = look(nodes)["nodes"]
    assert one.analytics is not None and one.analytics.arrays
    for read in one.analytics.arrays:
        at = [[ids[nodes.network.address[WHERE[rank]]]] for rank in one.arrays[read["name"]]]
        assert read["where"] == at, read


def wait_until_clean(nodes: RayNodes) -> None:
    until(lambda: not look(nodes)["actors"], "the actors to end")


def test_one_actor_and_one_driver_per_node(nodes, simulate, tmp_path):
    """With Gloo; node c joins when the analytics have started, node d has no rank."""
    hold = tmp_path / "hold"
    one = simulate([[0, 1, 2, 3, 4, 5], [2, 3]], cells=2048, steps=6, hold=hold)
    analytics = one.start_analytics(nodes.network.inside("a"), locate=True)
    analytics.wait_started()
    nodes.start("c")
    ranks = one.start_ranks()
    one.wait_ready()
    until(lambda: all(rank.told().held for rank in ranks), "the last sends")

    seen = look(nodes)
    ids = {name: seen["nodes"][nodes.network.address[name]] for name in "abcd"}
    actors = seen["actors"]
    assert actors.keys() == {"simulation_head", *(f"sched-{ids[name]}" for name in "abc")}
    for name in "abc":
        assert actors[f"sched-{ids[name]}"]["node"] == ids[name]
        mine = [rank.child.pid for rank in ranks if WHERE[rank.number] == name]
        assert [has_jvm(pid) for pid in mine] == [False, False]
        assert not set(mine) & set(seen["drivers"])
    # One of each node's control process, one of the analytics and that of look() itself.
    assert len(seen["drivers"]) == 3 + 2, seen["drivers"]
    hold.touch()

    analytics.finish()
    one.check_order_and_values()
    assert analytics.read == {(name, t) for name in ("a0", "a1") for t in range(6)}
    check_places(nodes, one)
    one.wait_ranks_closed()
    wait_until_clean(nodes)


def over_namespaces(nodes: RayNodes, program: list[str], folder: Path) -> list[str]:
    """mpirun starts a daemon in each namespace; its ranks 0, 1, 2, ... go to the nodes in turn."""
    network = nodes.network
    agent = folder / "agent"
    places = [
        f'{network.address[name]}) exec {" ".join(map(repr, network.inside(name)))} sh -c "$*" ;;'
        for name in "abc"
    ]
    agent.write_text("\n".join(["#!/bin/sh", "host=$1; shift", "case $host in", *places, "esac", "exit 255"]))
    agent.chmod(0o755)
    command = [*network.inside("a"), "mpirun", "--allow-run-as-root", "--mca", "plm_rsh_agent", str(agent)]
    for interface in ("btl_tcp_if_include", "oob_tcp_if_include"):
        command += ["--mca", interface, "eth0"]
    command += ["--host", ",".join(f"{network.address[name]}:2" for name in "abc"), "--map-by", "node"]
    for variable in ("RAY_ADDRESS", "RAY_AUTH_MODE", "PATH", "DEISA_PYTHON", "DEISA_JAR"):
        command += ["-x", variable] if variable in nodes.environment else []
    return [*command, "-n", str(len(WHERE)), *program]


def on_one_machine(nodes: RayNodes, program: list[str]) -> list[str]:
    """Each rank is told its node."""
    command = mpirun(0)[:-2]
    for rank, name in WHERE.items():
        told = [f"{key}={value}" for key, value in variables(nodes, name).items()]
        command += [*([":"] if rank else []), "-n", "1", "env", *told, *program]
    return command


def test_mpi_over_the_nodes(nodes, simulate, built, tmp_path):
    one = simulate([[0, 1, 2, 3, 4, 5], [1, 4]], cells=2048, steps=6)
    analytics = one.start_analytics(nodes.network.inside("a"), locate=True)
    program = [str(built / "bin" / "formula_mpi"), "mpi=1", "cells=2048", "steps=6"]
    program += [f"array={','.join(map(str, members))}" for members in one.arrays.values()]
    if nodes.network.isolated:
        command = over_namespaces(nodes, program, tmp_path)
    else:
        command = on_one_machine(nodes, program)
    simulation = Child("mpirun", command, nodes.environment, show=False)
    try:
        until(lambda: simulation.status() is not None, "mpirun to end")
        assert simulation.status() == 0, "\n".join(simulation.lines[-40:])
        analytics.finish()
    finally:
        simulation.end(grace=0.0)
    one.check_order_and_values()
    assert analytics.read == {(name, t) for name in ("a0", "a1") for t in range(6)}
    check_places(nodes, one)
    wait_until_clean(nodes)


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_nothing_overtakes_a_slow_node(nodes, simulate, tmp_path, killed):
    """Arrays of all nodes, of one, and of the slow one; its actor waits 2 s before each announcement. When
    all ranks are killed, it has announced next to nothing of what they sent."""
    arrays = [[0, 1, 2, 3, 4, 5], [1, 4], ON_C, [3]]
    hold = {"hold": tmp_path / "never"} if killed else {}
    slow = {rank: {"DEISA_ANNOUNCE_DELAY": "2"} for rank in ON_C}
    one = simulate(arrays, steps=4, variables_of=slow, **hold)
    analytics = one.start_analytics(nodes.network.inside("a"))
    ranks = one.start_ranks()
    one.wait_ready()
    if killed:
        until(lambda: all(rank.told().held for rank in ranks), "the last sends")
        for rank in ranks:
            rank.kill()
    analytics.finish()
    one.check_order_and_values()
    assert analytics.read == {(f"a{i}", t) for i in range(4) for t in range(4)}
    if not killed:
        one.wait_ranks_closed()
    wait_until_clean(nodes)


def test_a_lost_node_is_reported_by_every_bridge(nodes, simulate, tmp_path):
    """The raylet of node c is killed: its ranks, and those of the other nodes, are told, and go on."""
    end = tmp_path / "end"
    nodes.start("c")
    one = simulate([[0, 1, 2, 3, 4, 5]], steps=100000, pace=0.3, until=end)
    analytics = one.start_analytics(nodes.network.inside("a"))
    one.run_until_read()
    nodes.stop("c")
    gone = {rank: "the node actor is gone" for rank in ON_C}
    one.wait_for_reports(gone | {rank: "has died" for rank, node in WHERE.items() if node != "c"})
    assert all(rank.child.status() is None for rank in one.ranks), one.lines()
    end.touch()  # they close, although not all is well
    analytics.finish()
    one.check_order_and_values(lost=True)
    one.wait_ranks_closed()
    wait_until_clean(nodes)


def test_raylets_are_killed_at_any_moment(nodes, simulate):
    """With ranks of the other nodes, some of them. What lies on other nodes only arrives, and nothing hangs.
    DEISA_RAYLETS=<number> and DEISA_SEED=<number> as in test_kills.py."""
    dice = random.Random(SEED)
    count: Counter[str] = Counter()
    for _ in range(RAYLETS):
        start_all(nodes)
        lost = dice.choice("bc")
        there = [rank for rank, node in WHERE.items() if node == lost]
        others = [rank for rank in WHERE if rank not in there]
        victims = dice.sample(others, dice.choice([0, 0, 1, 2, 3]))
        arrays = dice.choice([[[0, 1, 2, 3, 4, 5], [0, 3]], [others, there], [[0, 3], [1, 4], [2, 5]]])
        variables = {"DEISA_ACKNOWLEDGE": dice.choice(["received", "stored", "announced"])}
        variables["DEISA_AGGREGATE"] = dice.choice(["none", "auto"])
        languages = {rank: dice.choice(LANGUAGES) for rank in WHERE}
        options = {"steps": 40, "pace": 0.02, "step": dice.choice([0, 1]), "stop": 0, "cells": 1024}
        one = simulate(arrays, variables=variables, languages=languages, **options)
        analytics = one.start_analytics(nodes.network.inside("a"))
        ranks = one.start_ranks()
        one.wait_ready()
        events = sorted(
            [(dice.uniform(0.0, 0.8), victim) for victim in victims] + [(dice.uniform(0.0, 0.8), -1)]
        )
        begin = time.monotonic()
        for moment, victim in events:
            time.sleep(max(0.0, begin + moment - time.monotonic()))
            count["kills"] += victim < 0 or ranks[victim].child.status() is None
            ranks[victim].kill() if victim >= 0 else nodes.stop(lost)
        until(lambda ranks=ranks: all(rank.child.status() is not None for rank in ranks), "the survivors")
        analytics.finish()
        for rank in ranks:
            rank.child.wait_output()
            assert rank.killed_at is not None or rank.child.status() == 0, one.lines()
            gone = [one.text for one in rank.told().reports if "node actor is gone" in one.text]
            assert not gone or rank.number in there, gone
        one.check_order_and_values(lost=True)
        alive = {name for name, members in one.arrays.items() if not set(members) & set(there)}
        must = {pair for pair in one.complete() if pair[0] in alive}
        assert must <= analytics.read, (sorted(must - analytics.read), events, one.lines())
        wait_until_clean(nodes)
        count.update({"raylets": 1, "had to be read": len(must), "read": len(analytics.read)})
    print(f"seed {SEED}: {dict(count)}")


def test_a_lost_head_node_is_reported_by_every_bridge(nodes, simulate, tmp_path):
    """With Ray's head node go the head actor, the analytics and all that Ray knows: no rank crashes."""
    end = tmp_path / "end"
    start_all(nodes)
    one = simulate([[0, 1, 2, 3, 4, 5]], steps=100000, pace=0.3, until=end)
    one.start_analytics(nodes.network.inside("a"))
    one.run_until_read()
    nodes.stop("a")
    one.wait_for_reports(dict.fromkeys(WHERE, "the node actor is gone"))
    assert all(rank.child.status() is None for rank in one.ranks), one.lines()
    end.touch()
    one.wait_ranks_closed()
