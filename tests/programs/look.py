"""What Ray knows of its nodes, of deisa-ray's actors and of its drivers, as a JSON object. For tests: run
where the cluster can be reached.

{"nodes": {address: id of a living node}, "actors": {name: {"node": id, "pid"}}, "drivers": [process ids]}
"""

from __future__ import annotations

import json

import ray
from ray._private.state import state


def main() -> None:
    ray.init(log_to_driver=False)
    names = {one["name"] for one in ray.util.list_named_actors(True) if one["namespace"] == "deisa_ray"}
    actors = {}
    for one in state.actor_table(None).values():
        if one["Name"] in names and one["State"] == "ALIVE":
            actors[one["Name"]] = {"node": one["Address"]["NodeID"], "pid": one["Pid"]}
    nodes = {one["NodeManagerAddress"]: one["NodeID"] for one in ray.nodes() if one["Alive"]}
    drivers = [one["DriverPid"] for one in state.job_table()]
    print(json.dumps({"nodes": nodes, "actors": actors, "drivers": drivers}))


if __name__ == "__main__":
    main()
