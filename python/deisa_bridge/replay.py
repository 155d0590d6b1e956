"""Sends again what the file backend wrote, so that analytics are developed without the simulation:
python -m deisa_bridge.replay FOLDER"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deisa_bridge.rank.bridge import Bridge
from deisa_bridge.rank.errors import DeisaError

TIMESTEP = re.compile(r"-?[0-9]+")
"""The name of a file of a timestep; others in the folder are not the recording's."""


class Recording:
    """A folder of `backend: file`. Only complete timesteps of an array count."""

    def __init__(self, folder: Path, first: int | None = None, last: int | None = None) -> None:
        try:
            described = json.loads((folder / "deisa.json").read_text())
            arrays: dict[str, dict] = described["arrays"]
        except (OSError, ValueError, KeyError) as error:
            raise SystemExit(
                f"replay: {folder}: expected a folder that DEISA_BACKEND=file wrote, with deisa.json: {error}"
            ) from error
        self.files: dict[str, dict[int, Path]] = {}
        self.shapes = {name: tuple(array["shape"]) for name, array in arrays.items()}
        for name, array in arrays.items():
            files = (folder / array["folder"]).glob("*.npy")
            found = {int(path.stem): path for path in files if TIMESTEP.fullmatch(path.stem)}
            self.files[name] = {
                t: path
                for t, path in found.items()
                if (first is None or t >= first) and (last is None or t <= last)
            }
        self.timesteps = sorted({t for of_array in self.files.values() for t in of_array})
        if not self.timesteps:
            raise SystemExit(f"replay: {folder}: it has no complete timestep between --from and --to")
        closed = folder / "closed"
        whole = closed.exists() and last is None
        self.end = int(closed.read_text()) if whole else self.timesteps[-1] + 1
        """The timestep of close."""

    @property
    def span(self) -> int:
        """From a timestep to the same one of the next loop: the timesteps go on at their distance."""
        distances = [b - a for a, b in zip(self.timesteps, self.timesteps[1:], strict=False)]
        return self.timesteps[-1] - self.timesteps[0] + min(distances, default=1)

    def metadata(self) -> dict[str, dict[str, object]]:
        """Each array as one chunk. One that has no file keeps its dtype to itself."""
        metadata: dict[str, dict[str, object]] = {}
        for name, shape in self.shapes.items():
            any_file = next(iter(self.files[name].values()), None)
            dtype = None if any_file is None else np.load(any_file, mmap_mode="r").dtype.name
            metadata[name] = {
                "chunk_shape": shape,
                "global_shape": shape,
                "chunk_position": (0,) * len(shape),
                "dtype": dtype,
            }
        return metadata

    def steps(self, loops: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Each timestep as it is sent, with its arrays, which are read as they are sent."""
        for loop in range(loops):
            for t in self.timesteps:
                files = {name: of[t] for name, of in self.files.items() if t in of}
                yield (
                    t + loop * self.span,
                    {name: np.load(path, mmap_mode="r") for name, path in files.items()},
                )


class Replayed(NamedTuple):
    """What was sent."""

    steps: int
    seconds: float


def replay(recording: Recording, loops: int = 1, rate: float = math.inf) -> Replayed:
    """Sends all of it, at most `rate` timesteps a second, and closes. Waits for the analytics first."""
    with Bridge(None, recording.metadata(), bridge_id=0, world_size=1) as bridge:
        begin = time.monotonic()
        count = 0
        for t, arrays in recording.steps(loops):
            time.sleep(max(0.0, begin + count / rate - time.monotonic()))
            with bridge.step(t) as step:
                for name, values in arrays.items():
                    step.put(name, values)
            count += 1
        bridge.close(recording.end + (loops - 1) * recording.span)
        return Replayed(count, time.monotonic() - begin)


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0.0:
        raise argparse.ArgumentTypeError(f"{text}: expected more than 0")
    return value


def _loops(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 1")
    return value


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m deisa_bridge.replay", description=__doc__.split(":")[0])
    parser.add_argument("folder", type=Path, help="what DEISA_FILE_FOLDER named")
    parser.add_argument("--rate", type=_positive, default=math.inf, help="timesteps per second, at most")
    parser.add_argument("--loop", type=_loops, default=1, metavar="N", help="so often; the timesteps go on")
    parser.add_argument("--from", type=int, dest="first", metavar="T", help="the first timestep")
    parser.add_argument("--to", type=int, dest="last", metavar="T", help="the last timestep")
    given = parser.parse_args(arguments)
    recording = Recording(given.folder, given.first, given.last)
    try:
        done = replay(recording, given.loop, given.rate)
    except DeisaError as error:
        raise SystemExit(f"replay: {error}") from error
    print(f"{done.steps} timesteps sent in {done.seconds:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
