"""aggregate: the chunks of a node's ranks reach the analytics as one, with the same values."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pytest
from simulation import CONNECTION, CONTRACT, OK, Rank, Simulation, define_row, succeed, together, until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

ROWS, COLUMNS = (3, 2, 4), (2, 5)
"""Extents of the chunks of array `a` along its two dimensions: one rank for each of the 6 chunks."""
PLACES = list(product(range(len(ROWS)), range(len(COLUMNS))))


def define(rank: int, **more: Any) -> str:
    row, column = PLACES[rank]
    place = {"nb_chunks_per_dim": [len(ROWS), len(COLUMNS)], "chunk_position": [row, column]}
    one = {"chunk_shape": [ROWS[row], COLUMNS[column]], "dtype": "float64", **place, **more}
    return "define " + json.dumps({"a": one})


def values(rank: int, step: int) -> tuple[int, int]:
    """How many numbers the rank sends, and the first of them: they count on from there."""
    row, column = PLACES[rank]
    return ROWS[row] * COLUMNS[column], 1000 * step + 100 * rank


def expected(step: int) -> np.ndarray:
    rows = []
    for row in range(len(ROWS)):
        of_row = []
        for column in range(len(COLUMNS)):
            count, first = values(PLACES.index((row, column)), step)
            of_row.append(np.arange(first, first + count).reshape(ROWS[row], COLUMNS[column]))
        rows.append(of_row)
    return np.block(rows)


def start(simulation: Simulation, nodes: str, **options: str) -> list[Rank]:
    """A rank for each character, which names its node."""
    return simulation.start(len(nodes), lambda rank: {"NODE_ID": nodes[rank], **options})


def send(ranks: list[Rank], step: int) -> list[dict[str, Any]]:
    for number, rank in enumerate(ranks):
        count, first = values(number, step)
        rank.ask(f"send a {step} {count} {first}")
    return [rank.answer() for rank in ranks]


@pytest.mark.parametrize(
    ("nodes", "aggregate", "chunks"),
    [
        ("xxxxxx", "node", [[9], [7]]),
        ("xxxxyy", "node", [[5, 4], [7]]),
        ("xyxyxy", "node", [[9], [2, 5]]),
        ("xxyyxx", "auto", [[3, 2, 4], [7]]),
        ("xyyxxy", "auto", [[3, 2, 4], [2, 5]]),
    ],
    ids=["one node", "block", "cyclic", "largest boxes", "no boxes"],
)
def test_the_analytics_see_the_same_values_in_boxes(simulation, nodes, aggregate, chunks):
    watch = simulation.analytics("a")
    ranks = start(simulation, nodes, AGGREGATE=aggregate, ACKNOWLEDGE="announced")
    for number, rank in enumerate(ranks):
        rank.ok(define(number))
    succeed(simulation.ready(ranks))
    for step in range(4):
        succeed(send(ranks, step))
    assert set(statuses(simulation, "boxes_copied")) == {0}, "each rank packs into its box"
    succeed(together(ranks, "close 3"))
    seen = watch.finish()["a"]
    assert sorted(seen) == list(range(4))
    for step, one in seen.items():
        np.testing.assert_array_equal(np.array(one["values"]), expected(step))
        assert one["chunks"] == chunks and one["dtype"] == "float64"


def statuses(simulation: Simulation, key: str) -> list[Any]:
    return [simulation.call(actor, "deisa_status")[key] for actor in simulation.node_actors()]


@pytest.mark.parametrize(("rows", "copied"), [(True, 0), (False, 4)], ids=["contiguous", "not contiguous"])
def test_loans_are_taken_where_they_lie(simulation, rows, copied, tmp_path):
    """Rows of a box are contiguous in it: they are computed there. Columns are not: the node actor copies
    them."""
    watch, trace = simulation.analytics("a"), tmp_path / "trace.json"
    ranks = start(simulation, "xx", AGGREGATE="node", ACKNOWLEDGE="stored", TRACE=str(trace))
    for number, rank in enumerate(ranks):
        place = {"nb_chunks_per_dim": [2, 1] if rows else [1, 2]}
        place["chunk_position"] = [number, 0] if rows else [0, number]
        rank.ok("define " + json.dumps({"a": {"chunk_shape": [2, 3], "dtype": "float64", **place}}))
    succeed(simulation.ready(ranks))
    for step in range(4):
        for number, rank in enumerate(ranks):
            rank.ask(f"loan a {step} 6 {100 * step + 10 * number}")
        succeed([rank.answer() for rank in ranks])
    assert statuses(simulation, "boxes_copied") == [copied]
    succeed(together(ranks, "close 3"))
    for step, one in watch.finish()["a"].items():
        parts = [np.arange(6.0).reshape(2, 3) + 100 * step + 10 * number for number in range(2)]
        np.testing.assert_array_equal(np.array(one["values"]), np.concatenate(parts, axis=0 if rows else 1))
    puts = [one["args"] for one in json.loads(trace.read_text()) if one["name"] == "put"]
    assert sorted((one["step"], one["rank"]) for one in puts) == list(product(range(4), range(2)))


def test_what_forms_no_box_is_refused_on_every_rank(simulation):
    simulation.analytics("a")
    ranks = start(simulation, "xyyxxy")
    for number, rank in enumerate(ranks):
        rank.ok(define(number, aggregate="node"))
    for result in simulation.ready(ranks):
        assert result["status"] == CONTRACT
        for part in ("array 'a': aggregate = node", "the node of rank 0", "grid (3, 2)", "aggregate = auto"):
            assert part in result["message"]


def test_a_skipped_part_breaks_the_timestep_and_no_other(simulation):
    """It is told to the ranks of its box, whose slots are free again: more timesteps follow than there are
    slots."""
    watch = simulation.analytics("a")
    ranks = start(simulation, "xx", AGGREGATE="node", ERRORS="return", ACKNOWLEDGE="announced")
    for number, rank in enumerate(ranks):
        rank.ok(define_row("a", number))
    succeed(simulation.ready(ranks))
    for step in range(0, 20, 2):
        ranks[0].ask(f"send a {step} 4 {step}")
        ranks[1].ask(f"send a {step + 1} 4 {step}")
        refused = ranks[0].answer()
        assert refused["status"] == CONNECTION and f"rank 1 skipped timestep {step}" in refused["message"]
        ranks[0].ok(f"send a {step + 1} 4 {step + 10}")
        succeed([ranks[1].answer()])
    together(ranks, "close 19")
    seen = watch.finish()["a"]
    assert sorted(seen) == list(range(1, 20, 2))
    assert all(one["chunks"] == [[8]] for one in seen.values())


def test_a_death_loses_nothing_that_is_complete(simulation):
    watch = simulation.analytics("a")
    ranks = start(simulation, "xxyy", AGGREGATE="node", ERRORS="return")
    for number, rank in enumerate(ranks):
        rank.ok(define_row("a", number, 4))
    succeed(simulation.ready(ranks))
    for step in range(3):
        succeed(together(ranks, f"send a {step} 4 {step}"))
    succeed(together(ranks[:2] + ranks[3:], "send a 3 4 3"))
    ranks[2].kill()
    for rank in (ranks[0], ranks[1], ranks[3]):
        until(lambda rank=rank: "rank 2 died" in rank.call("flush")["message"], "the rank to be told")
    together(ranks[:2] + ranks[3:], "abandon")
    assert sorted(watch.finish()["a"]) == [0, 1, 2]


def test_a_rank_waits_for_the_others_of_its_box(simulation):
    """Its slots are taken until they have sent, too. In time nothing is lost."""
    watch = simulation.analytics("a")
    ranks = start(simulation, "xx", AGGREGATE="node", SEND_TIMEOUT="1", BLOCK_TIMEOUT="1", ERRORS="return")
    for number, rank in enumerate(ranks):
        rank.ok(define_row("a", number))
    succeed(simulation.ready(ranks))
    ranks[0].ok("send a 0 4 0", "send a 1 4 0")
    full = ranks[0].call("send a 2 4 0")
    assert full["status"] not in (OK, CONTRACT) and "other ranks of this node" in full["message"], full
    ranks[1].ok("send a 0 4 0", "send a 1 4 0")
    until(lambda: ranks[0].call("send a 2 4 0")["status"] == OK, "a slot")
    ranks[1].ok("send a 2 4 0")
    succeed(together(ranks, "close 2"))
    assert sorted(watch.finish()["a"]) == [0, 1, 2]
