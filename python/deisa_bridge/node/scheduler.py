"""Who starts the tasks of analytics that run with DEISA_DISTRIBUTED_SCHEDULING=1.

Their task graphs go to the actors that the head actor lists. Tasks belong to the job of the actor that starts
them. That of a node actor is over once the simulation has started, and Ray ends the idle workers of such a
job at once: each compute would wait for new ones. So the head actor gets an actor of deisa-ray's own class
for each node, which belongs to the analytics and ends with them.
"""

from __future__ import annotations

from typing import Any

from deisa_bridge import head as head_actor
from deisa_bridge.versions import runner

TIMEOUT = 60.0


def _maker() -> Any:
    """A function to run in the head actor, which does not have this package: made here, so that it is sent by
    value."""

    def make(head: Any, node: str, ray_node: str) -> bool:
        if not getattr(head, "_experimental_distributed_scheduling_enabled", False):
            return False
        from deisa.ray.scheduling_actor import SchedulingActor
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        at = NodeAffinitySchedulingStrategy(node_id=ray_node, soft=False)
        options = {"num_cpus": 0, "max_concurrency": 1_000_000_000, "enable_task_events": False}
        actor = SchedulingActor.options(scheduling_strategy=at, **options).remote(node)
        head.scheduling_actors[node] = actor
        return True

    return make


async def provide(head: Any, node: str, ray_node: str) -> None:
    """Makes the actor of this node, if the analytics schedule that way."""
    if (run := runner(head)) is not None:
        call = run.options(enable_task_events=False).remote(_maker(), node, ray_node)
        await head_actor.call(call, TIMEOUT, "asking the head actor who schedules the tasks of the analytics")
