"""Two nodes, four ranks, three timesteps: every order of events, with the real Gather and Watermark.

DEISA_MODEL=full walks through larger worlds too, which takes minutes.
"""

from __future__ import annotations

import os

import pytest
from model import Model, Violation, World, explore

from deisa_bridge.node.gather import NEVER, Gather

ALL = (0, 1, 2, 3)
WHOLE = {"arrays": {"a": ALL}}
SPLIT = {"arrays": {"x": (0, 2), "y": (1, 3)}, "uniform": False}
MIXED = {"arrays": {"a": ALL, "y": (1,)}, "uniform": False}
TWO = {"arrays": {"a": ALL, "b": (0, 1)}}
THREE = {"arrays": {"a": (0, 1, 2)}, "nodes": ((0, 2), (1,))}
ALONE = {"arrays": {"a": (0, 1, 2), "b": (0, 1)}, "nodes": ((0, 2), (1,))}

QUICK = {
    "one array": World(**WHOLE),
    "an array per node": World(**SPLIT),
    "an array of all and one of rank 1": World(**MIXED),
    "the same in steps": World(**MIXED, in_steps=True),
    "sends that wait": World(**TWO, announced=True),
    "rank 1 skips timestep 1": World(**WHOLE, skips=frozenset({(1, 1)})),
    "rank 2 skips timestep 0 of its own array": World(**SPLIT, skips=frozenset({(2, 0)})),
    "slow puts": World(**WHOLE, slow_puts=True, steps=2),
    "slow puts and a death": World(**WHOLE, slow_puts=True, steps=1, deaths=1),
    "rank 1, alone on its node, skips timestep 0 of both arrays": World(
        **ALONE, skips=frozenset({(1, 0)}), steps=2
    ),
    "a death": World(**THREE, deaths=1, steps=2),
    "a death, two arrays": World(**ALONE, deaths=1, steps=1),
    "a death, an array per node": World(**SPLIT, deaths=1, steps=2),
    "a death while sends wait": World(**ALONE, announced=True, deaths=1, steps=2),
    "three deaths": World(**THREE, deaths=3, steps=1),
    "boxes": World(**WHOLE, aggregate=True, steps=2),
    "boxes of two arrays, sends that wait": World(**TWO, aggregate=True, announced=True, steps=2),
    "boxes, and rank 1 skips timestep 0": World(**WHOLE, aggregate=True, skips=frozenset({(1, 0)}), steps=2),
    "boxes and a death": World(**THREE, aggregate=True, deaths=1, steps=1),
    "boxes, an array per node, and a death": World(**SPLIT, aggregate=True, deaths=1, steps=1),
    "a node actor with boxes dies": World(**THREE, aggregate=True, actor_deaths=1, steps=1),
    "a node actor dies": World(**WHOLE, actor_deaths=1, steps=1),
    "a node actor dies, an array per node": World(**SPLIT, actor_deaths=1, steps=1),
}
FULL = {
    "boxes in three timesteps": World(**WHOLE, aggregate=True),
    "boxes and a death of four": World(**WHOLE, aggregate=True, deaths=1, steps=1),
    "boxes in two timesteps, and a death": World(**WHOLE, aggregate=True, deaths=1, steps=2),
    "boxes, two deaths": World(**THREE, aggregate=True, deaths=2, steps=2),
    "a node actor with boxes and a rank die": World(
        **THREE, aggregate=True, actor_deaths=1, deaths=1, steps=2
    ),
    "a death of one of four": World(**WHOLE, deaths=1, steps=2),
    "a death of one of four in three timesteps": World(**WHOLE, deaths=1),
    "a death, an array of rank 1": World(**MIXED, deaths=1, steps=2, in_steps=True),
    "a death of one of four while sends wait": World(**TWO, announced=True, deaths=1, steps=2),
    "two deaths": World(**WHOLE, deaths=2),
    "three deaths of four": World(**WHOLE, deaths=3, steps=1),
    "a death in three timesteps, an array per node": World(**SPLIT, deaths=1),
    "a death in three timesteps, an array of rank 1": World(**MIXED, deaths=1, in_steps=True),
    "slow puts in three timesteps": World(**WHOLE, slow_puts=True),
    "a node actor dies in two timesteps": World(**WHOLE, actor_deaths=1, steps=2),
    "a node actor and a rank die": World(**SPLIT, actor_deaths=1, deaths=1, steps=1),
}
WORLDS = QUICK | (FULL if os.environ.get("DEISA_MODEL") == "full" else {})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WORLDS)
def test_every_order_of_events_ends_well(name):
    states, ends = explore(Model(WORLDS[name]))
    print(f"{name}: {states} states, {ends} ends")
    assert states > 100 and ends >= 1


def without_order(monkeypatch):
    """Any complete set may be announced."""
    taken = Gather.next_ready

    def next_ready(self, watermark=NEVER):
        for one in self._sets.values():
            if not one.announcing and one.complete:
                one.announcing = True
                return one
        return taken(self, watermark)

    monkeypatch.setattr(Gather, "next_ready", next_ready)


def without_watermark(monkeypatch):
    """Nodes do not wait for each other."""
    taken = Gather.next_ready
    monkeypatch.setattr(Gather, "next_ready", lambda self, watermark=NEVER: taken(self, NEVER))


def without_deaths(monkeypatch):
    """A dead rank is waited for."""
    monkeypatch.setattr(Gather, "gone", lambda self, bridge, how: None)


def without_spreading(monkeypatch):
    """What is broken on one node is not known on the others."""
    monkeypatch.setattr(Gather, "take_broken", lambda self: [])


def without_holes(monkeypatch):
    """Nobody looks for what all ranks of a node have left out."""
    monkeypatch.setattr(Gather, "lacks", lambda self, array, timestep: None)


def without_breaking_at_once(monkeypatch):
    """A set that comes after its rank has died is only looked at when somebody goes on."""
    step = Gather.step

    def late(self, *arguments):
        breaks = Gather._break_if_hopeless
        known = set(self._sets)
        Gather._break_if_hopeless = lambda self, key: breaks(self, key) if key in known else None
        try:
            return step(self, *arguments)
        finally:
            Gather._break_if_hopeless = breaks

    monkeypatch.setattr(Gather, "step", late)


def without_draining(monkeypatch):
    """The end marker does not wait for what the nodes hold."""
    monkeypatch.setattr(Model, "_drained", lambda self, node: True)


def without_dropping(monkeypatch):
    """The box of a set that has broken waits for its other chunks."""
    boxes = Model._storing_boxes

    def storing(self, *where):
        return (event for event in boxes(self, *where) if " drops " not in event[0])

    monkeypatch.setattr(Model, "_storing_boxes", storing)


def with_a_careless_end(monkeypatch):
    """What has not been announced when the simulation ends is thrown away."""
    monkeypatch.setattr(Gather, "end", Gather.lose)


@pytest.mark.parametrize(
    ("world", "fault", "message"),
    [
        (World(**WHOLE), without_order, "was complete after timestep"),
        (World(**SPLIT, steps=2), without_watermark, "was complete after timestep"),
        (World(**WHOLE, steps=1, deaths=1), without_deaths, "stuck|never complete"),
        (World(**THREE, steps=1, deaths=1), without_spreading, "never complete"),
        (World(**THREE, steps=2, skips=frozenset({(1, 0)})), without_holes, "never complete"),
        (World(**TWO, steps=2, announced=True, skips=frozenset({(1, 0)})), without_breaking_at_once, "stuck"),
        (World(**THREE, aggregate=True, steps=1, deaths=1), without_dropping, "stuck|is left with"),
        (World(**WHOLE, steps=1, deaths=1), without_draining, "after the end marker"),
        (World(**WHOLE, steps=1, deaths=1), with_a_careless_end, "was received whole, and never announced"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_model_finds_a_fault(monkeypatch, world, fault, message):
    fault(monkeypatch)
    with pytest.raises(Violation, match=message) as found:
        explore(Model(world))
    assert "after:" in str(found.value)
