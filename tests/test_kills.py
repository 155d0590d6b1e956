"""Whatever takes part in a session is killed or stopped at random moments: what was acknowledged arrives,
nothing hangs, nothing is left, and nobody is told what is not so.

More with DEISA_KILLS=<number>, and others with DEISA_SEED=<number>.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cluster import Cluster
from conftest import run
from formula import CONNECTION, LONG, Simulation, Told, until
from processes import descendants, is_alive

KILLS = int(os.environ.get("DEISA_KILLS", "8"))
SEED = int(os.environ.get("DEISA_SEED", "1"))

STORE = 100 << 20
"""Less than some of the sessions send, so that back-pressure has its part in the deaths."""

ARRAYS = {
    4: [[[0, 1, 2, 3]], [[0, 1, 2, 3], [2, 3]], [[0, 1], [2, 3]], [[1, 2, 3], [0, 3]]],
    8: [[[0, 1, 2, 3, 4, 5, 6, 7]], [[0, 1, 2, 3, 4, 5, 6, 7], [2, 3, 6]], [[1, 2, 5, 7], [0, 3, 4, 6]]],
}
"""By the number of ranks."""
VICTIMS = {4: ([1, 2, 2, 3, 4], [0, 0, 1, 2]), 8: ([3, 4, 5, 6, 7], [1, 2, 3, 4, 5])}
"""How many ranks are killed, alone or with others."""
LANGUAGES = ["C", "C", "C", "C++", "C++", "Fortran", "Fortran", "Python", "Python", "Java"]

KINDS = ["ranks", "node actor", "analytics", "ranks", "control process", "ranks", "head actor", "ranks"]
"""What is killed in one session after the other, beside ranks."""

CLAIMS = {
    "the node actor is gone": "node actor",
    r"the node actor \S+ (of bridge 0 )?has died": "node actor",
    "the head actor of the analytics has died": "head actor",
    "the analytics have ended": "analytics",
}
"""What errors say, and who must have been killed for that."""

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600 + 30 * KILLS)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(object_store_bytes=STORE) as one:
        yield one


@dataclass
class Session:
    """What is drawn for it, and what became of it."""

    kind: str
    world: int
    victims: list[int]
    dead_nodes: set[str]
    options: dict
    events: list[tuple[float, str, str]]
    """Seconds after the ranks are ready, what to do, and to whom: rank, actor or analytics."""
    killed: set[str] = field(default_factory=set)
    struck: list[int] = field(default_factory=list)
    """The ranks that were killed before they had ended."""
    stops: int = 0
    kills: int = 0


def draw(dice: random.Random, kind: str) -> Session:
    nodes = dice.choice(["AAAA", "AAAA", "ABAB", "AABC", "ABCC", "AAAAAAAA", "AABBABBA", "ABCABCAC"])
    world = len(nodes)
    victims = dice.sample(range(world), dice.choice(VICTIMS[world][kind != "ranks"]))
    arrays = dice.choice(ARRAYS[world])
    acknowledge = dice.choice(["received", "received", "stored", "announced"])
    options = {"arrays": arrays, "step": dice.choice([0, 1]), "stop": dice.choice([0, 0, 1])}
    options |= {
        "steps": 40,
        "pace": 0.01,
        "cells": dice.choice([16, 4096, 65536]),
        "nodes": dict(enumerate(nodes)),
    }
    if dice.random() < 0.5:
        options["languages"] = {rank: dice.choice(LANGUAGES) for rank in range(world)}
    variables = {"DEISA_ACKNOWLEDGE": acknowledge, "DEISA_SEND_TIMEOUT": "60"}
    variables["DEISA_AGGREGATE"] = dice.choice(["none", "auto"])
    events = [(dice.uniform(0.0, 0.8), "kill", str(victim)) for victim in victims]
    dead = {dice.choice(nodes)} if kind == "node actor" else set()
    others = {"head actor": ["simulation_head"], "analytics": ["analytics"]}
    for name in others.get(kind, [f"sched-{node}" for node in dead]):
        events.append((dice.uniform(0.0, 0.8), "kill", name))
    everybody = [str(rank) for rank in range(world)] + [f"sched-{node}" for node in sorted(set(nodes))]
    everybody += ["simulation_head", "analytics"]
    for name in dice.sample(everybody, dice.choice([0, 0, 1, 2])):
        begin = dice.uniform(0.0, 0.8)
        events += [(begin, "stop", name), (begin + dice.uniform(0.1, 1.5), "continue", name)]
    return Session(kind, world, victims, dead, options | {"variables": variables}, sorted(events))


def strike(cluster: Cluster, one: Simulation, session: Session) -> None:
    """Does what was drawn. What has ended before is left alone."""
    pids = {str(rank.number): rank.child.pid for rank in one.ranks}
    pids |= {name: cluster.process_of(name) for name in cluster.actors()}
    pids["analytics"] = one.analytics.child.pid
    begin = time.monotonic()
    try:
        for moment, what, name in session.events:
            time.sleep(max(0.0, begin + moment - time.monotonic()))
            alive = is_alive(pids[name])
            if what == "kill" and name.isdigit():
                one.ranks[int(name)].kill()
                session.struck += [int(name)] * alive
            elif what == "kill" and alive:
                os.kill(pids[name], signal.SIGKILL)
                until(lambda pid=pids[name]: not is_alive(pid), f"the end of {name}")
                session.killed.add(session.kind)
            elif alive:
                os.kill(pids[name], signal.SIGSTOP if what == "stop" else signal.SIGCONT)
                session.stops += what == "stop"
            session.kills += what == "kill" and alive
    finally:
        for _, what, name in session.events:
            if what == "continue":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[name], signal.SIGCONT)


def kill_control_process(one: Simulation, session: Session, delay: float) -> None:
    """While the ranks start. One of them may be ready before."""
    children: list[int] = []

    def started() -> bool:
        children[:] = [pid for rank in one.ranks for pid in descendants(rank.child.pid)]
        return bool(children) or all(rank.told().ready for rank in one.ranks)

    until(started, "a control process")
    time.sleep(delay)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            session.kills += 1
            session.killed.add(session.kind)


def closed_early(told: Told, victims: list[int]) -> bool:
    """Whether a death ended the rank's close: it may have sent everything before the news of the others came,
    and waits for no more of them."""
    return any(
        report.status == -4 and f"rank(s) {n} " in report.text for report in told.reports for n in victims
    )


def check_told(one: Simulation, session: Session) -> None:
    """Every survivor has ended by itself, and what it was told is so."""
    struck = session.killed | ({"analytics"} if "head actor" in session.killed else set())
    for rank in one.ranks:
        if rank.killed_at is None:
            assert rank.child.status() in (0, 3), one.lines()
        for report in rank.told().reports:
            for claim, who in CLAIMS.items():
                assert who in struck or not re.search(claim, report.text), (report, session)
            mine = "node actor is gone" in report.text
            assert not mine or one.nodes[rank.number] in session.dead_nodes, (report, session)


def check_survivors(one: Simulation, victims: list[int]) -> None:
    """Where only ranks died: whoever waited for a victim was told so, by rank and step, in time."""
    killed = [rank.killed_at for rank in one.ranks if rank.killed_at is not None]
    told = [rank.told() for rank in one.ranks]
    for rank in one.ranks:
        if rank.number in victims:
            continue
        mine = told[rank.number]
        assert not mine.failed, one.lines()
        for report in mine.reports:
            assert report.at - min(killed) < 60.0 and report.status in (CONNECTION, -4), report
            if report.chunk[0] and not report.from_then_on:
                assert report.chunk[1] == report.timestep
            if report.chunk[0] or report.from_then_on:
                stopped = {r.number for r in one.ranks if r.child.status() == 3}
                assert report.culprits <= set(victims) | stopped, report
                assert report.culprits or "bridge 0" in report.text, report
        if rank.child.status() == 3:
            continue  # it left at the first report
        for name, members in one.arrays.items():
            for victim in set(victims) & set(members):
                elsewhere = one.nodes.get(victim) != one.nodes.get(rank.number)
                if rank.number not in members or (elsewhere and closed_early(mine, victims)):
                    continue
                last = max((t for a, t in told[victim].sent if a == name), default=-1)
                # Of the step after it the node actor may have got its chunk, too.
                alone = {t for a, t in mine.sent if a == name and t > last + 1}
                assert alone <= {t for a, t in mine.lost if a == name}, f"rank {rank.number}\n{one.lines()}"


def kept(one: Simulation, session: Session) -> set[tuple[str, int]]:
    """(array, timestep) that must have been read, whoever died."""
    if session.killed & {"head actor", "analytics"}:
        return set()
    if "node actor" not in session.killed:
        return one.complete()
    if one.nodes[0] in session.dead_nodes:
        return set()  # with its node actor, bridge 0 has ended the session
    alive = [
        name
        for name, members in one.arrays.items()
        if not {one.nodes[member] for member in members} & session.dead_nodes
    ]
    return {(name, t) for name, t in one.complete() if name in alive}


def wait_for_the_end(cluster: Cluster, one: Simulation, session: Session, clean: Callable[[], None]) -> None:
    """Of all ranks and of the analytics, by themselves."""
    until(lambda: all(rank.child.status() is not None for rank in one.ranks), "the survivors", LONG)
    for rank in one.ranks:
        rank.child.wait_output()
    every_node_actor = "node actor" in session.killed and set(one.nodes.values()) == session.dead_nodes
    # The leader of the node ends the session when it notices. Where it died or left before, somebody must.
    noticed = any("node actor is gone" in report.text for report in one.ranks[0].told().reports)
    if every_node_actor and (0 in session.victims or not noticed):
        clean()
    if session.killed & {"head actor", "analytics"}:
        until(lambda: one.analytics.child.status() is not None, "the analytics to end", LONG)
        one.analytics.child.wait_output()
    else:
        one.analytics.finish()


def longest_call(one: Simulation, victims: list[int]) -> float:
    """The longest that a survivor's call took, in seconds. A call that waits for what can never come takes
    until its time-out, and reports that, which check_survivors does not accept."""
    moments = {
        rank.number: [float(line.partition(" ")[0]) for line in rank.child.lines if line[:1].isdigit()]
        for rank in one.ranks
        if rank.number not in victims
    }
    return max((b - a for of in moments.values() for a, b in itertools.pairwise(of)), default=0.0)


def failed_start(one: Simulation) -> bool:
    """Of all ranks or of none: then each says why."""

    def decided() -> bool:
        return all(rank.told().ready or rank.child.status() is not None for rank in one.ranks)

    until(decided, "the ranks to start or fail")
    told = [rank.told() for rank in one.ranks]
    if all(each.ready for each in told):
        return False
    for rank in one.ranks:
        rank.child.wait_output()
        said = rank.told()
        why = said.failed + "".join(report.text for report in said.reports)
        assert not said.ready and rank.child.status() in (2, 3) and "control process" in why, one.lines()
    return True


def hold(cluster: Cluster, one: Simulation, session: Session, clean: Callable[[], None], delay: float) -> set:
    """One session from its start to its end, and what must be so. Returns what had to be read."""
    analytics = one.start_analytics()
    one.start_ranks()
    if session.kind == "control process":
        kill_control_process(one, session, delay)
        if failed_start(one):
            session.events = []
            return set()
    one.wait_ready()
    strike(cluster, one, session)
    wait_for_the_end(cluster, one, session, clean)
    check_told(one, session)
    # Without the head actor the session is over, and with it the node actors, which own the chunks.
    one.check_order_and_values(lost=bool(session.killed & {"node actor", "head actor"}))
    if not session.killed - {"control process"} and session.victims:
        check_survivors(one, session.victims)
    must = kept(one, session)
    missing = sorted(must - analytics.read, key=lambda pair: pair[1])
    assert not missing, f"acknowledged by all, but not read: {missing}\n{session}\n{one.lines()}"
    return must


def test_whatever_is_killed_at_any_moment(cluster, built):
    dice = random.Random(SEED)
    count: Counter[str] = Counter()
    longest, spills = 0.0, cluster.spills()

    def clean() -> None:
        run([str(built / "bin" / "deisa-info"), "--clean"], cluster.environment)

    while count["kills"] < KILLS:
        session = draw(dice, KINDS[count["sessions"] % len(KINDS)])
        one = Simulation(built / "bin" / "formula", cluster.environment, session.world, **session.options)
        try:
            must = hold(cluster, one, session, clean, dice.uniform(0.0, 2.0))
        finally:
            one.end()
        if "control process" in session.killed:
            clean()
        seconds = cluster.wait_until_clean()
        left = [str(path) for path in Path(cluster.folder).rglob("deisa-*.sock")]
        assert not left, (left, session)
        longest = max(longest, longest_call(one, session.victims))
        count.update({f"killed: {name}": 1 for name in session.killed})
        count[f"over {len(set(one.nodes.values()))} node actor(s)"] += 1
        count.update(sessions=1, kills=session.kills, stops=session.stops)
        count.update(f"killed in {one.languages.get(rank, 'C')}" for rank in session.struck)
        count.update({"had to be read": len(must), "read": len(one.analytics.read)})
        events = " ".join(f"{moment:.2f}:{what}:{name}" for moment, what, name in session.events)
        ended = f"{len(must)} kept; clean in {seconds:.1f} s"
        print(f"{count['sessions']} ({session.kind}): {events}; {ended}", flush=True)
    spills = cluster.spills() - spills
    print(f"seed {SEED}: {dict(count)}; {spills} spills; the longest call took {longest:.1f} s")
    assert spills == 0
