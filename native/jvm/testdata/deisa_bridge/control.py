"""Stands in for the real deisa_bridge.control in the tests of native/jvm."""

import json
import time

import ray


@ray.remote(num_cpus=0)
class Echo:
    def echo(self, request: str) -> str:
        return request

    def quit(self, request: str) -> str:
        ray.actor.exit_actor()


def run(function: str, request: str) -> str:
    assert function == "prepare"
    wishes = json.loads(request)
    if "fail" in wishes:
        raise ValueError(wishes["fail"])
    time.sleep(wishes.get("sleep", 0))
    if "actor" in wishes:
        Echo.options(name=wishes["actor"], namespace="deisa_ray", lifetime="detached").remote()
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 0)
    return json.dumps({"echo": wishes, "cpus": cpus}, ensure_ascii=False)
