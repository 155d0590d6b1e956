"""What the measurements of bench/scale share: a Ray of their own, ranks as processes, memory from /proc."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
HERE = Path(__file__).resolve().parent
RANK = BUILD / "bin" / "scale_rank"


@dataclass(frozen=True)
class Memory:
    """Of one process, in bytes."""

    private: int
    """Held by it alone, without the slots."""
    slots: int
    """Shared with the node actor: its own and the node actor's view of them."""
    has_jvm: bool


def memory(pid: int) -> Memory:
    """Adds up /proc/PID/smaps. A page of a slot that only the rank has touched counts as private there, so
    mappings are told apart by name."""
    private = slots = 0
    name = ""
    text = (Path("/proc") / str(pid) / "smaps").read_text()
    for line in text.splitlines():
        if re.match(r"^[0-9a-f]+-[0-9a-f]+ ", line):
            name = line.split(maxsplit=5)[5] if len(line.split(maxsplit=5)) > 5 else ""
        elif match := re.match(r"^(Private_Clean|Private_Dirty|Shared_Dirty|Shared_Clean):\s+(\d+) kB", line):
            size = int(match[2]) << 10
            if "memfd:deisa" in name:
                slots += size
            elif match[1].startswith("Private"):
                private += size
    return Memory(private, slots, "libjvm.so" in text)


def in_turn(
    rounds: int,
    cases: Sequence[tuple],
    one_run: Callable[..., dict[str, Any]],
    text: Callable[[dict[str, Any]], str],
) -> list[dict[str, Any]]:
    """The results of one_run(*case) for each case, round by round. Prints each as `text`."""
    found = []
    for turn in range(rounds):
        for case in cases:
            found.append(one_run(*case) | {"round": turn})
            print(text(found[-1]), flush=True)
    return found


class Ranks:
    """scale_rank processes. They stay after their last step until the `with` block ends."""

    def __init__(
        self, count: int, nbytes: int, steps: int, acknowledge: str, environment: dict[str, str]
    ) -> None:
        common = environment | {"DEISA_WORLD_SIZE": str(count), "DEISA_MASTER_PORT": str(free_port())}
        self._processes = []
        for rank in range(count):
            own = common | {"DEISA_BRIDGE_ID": str(rank)}
            self._processes.append(
                subprocess.Popen(
                    [str(RANK), str(nbytes), str(steps), acknowledge],
                    env=own,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(120)
            finally:
                process.kill()

    def wait_ready(self) -> None:
        """Until each may send, which none does before figures()."""
        self._lines()

    def figures(self) -> list[dict[str, Any]]:
        """Lets them send, and waits until each has sent everything."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        """The next line of each."""
        found = []
        for process in self._processes:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line:
                status = process.wait(60)
                raise RuntimeError(f"rank {len(found)} ended with status {status}; see its error above")
            found.append(line)
        return found

    def memory(self) -> list[Memory]:
        return [memory(process.pid) for process in self._processes]


def analytics(ranks: int, nbytes: int) -> list[str]:
    return [sys.executable, str(HERE / "analytics.py"), str(ranks), str(nbytes)]
