"""The heat equation on a 2-D grid of MPI ranks. After each timestep every rank sends its block of two
fields to the analytics (heat/analytics.py), which steer back: they set the feedback value "source_off", and
the simulation then switches its heat source off."""

from __future__ import annotations

import argparse
import json
import time

from deisa_bridge import LATEST, Bridge
from mpi4py import MPI
from problem import SUBSTEPS, Block


def connect(grid: MPI.Cartcomm, block: Block, without_mpi: bool) -> Bridge:
    """Two arrays on the same grid of chunks. Their global shapes follow from the chunks of all ranks."""
    chunk = {
        "chunk_shape": block.temperature.shape,
        "nb_chunks_per_dim": grid.dims,
        "chunk_position": grid.coords,
    }
    arrays = {"temperature": {**chunk, "dtype": "float64"}, "flux": {**chunk, "dtype": "float32"}}
    if without_mpi:
        # The bridges find each other at DEISA_MASTER_ADDRESS and DEISA_MASTER_PORT.
        return Bridge(None, arrays, bridge_id=grid.rank, world_size=grid.size)
    return Bridge(grid, arrays)


def simulate(options: argparse.Namespace, grid: MPI.Cartcomm) -> None:
    """All timesteps."""
    block = Block(grid, options.size)
    bridge = connect(grid, block, options.comm == "gloo")
    source_off_step = -1
    for step in range(options.steps):
        start = time.monotonic()
        # Collective: rank 0 reads and all ranks get the same answer, so they obey at the same step.
        if source_off_step < 0 and bridge.get("source_off", LATEST, default=False):
            source_off_step = step
        for _ in range(SUBSTEPS):
            block.substep(source_off_step < 0)
        flux = block.flux()
        time.sleep(max(0.0, start + options.pace - time.monotonic()))
        with bridge.step(step):
            bridge.put("temperature", block.temperature)
            bridge.put("flux", flux)
        if grid.rank == 0:
            print(f"timestep {step} sent, source {'on' if source_off_step < 0 else 'off'}", flush=True)
    sent = bridge.statistics()
    bridge.close(options.steps)
    if grid.rank == 0 and options.report:
        # What rank 0 has to tell the program that started it. A step of -1: the source was never off.
        report = {"source_off_step": source_off_step, "seconds_blocked": sent.seconds_blocked}
        with open(options.report, "w") as file:
            json.dump(report | {"chunks_sent": sent.chunks_sent, "bytes_sent": sent.bytes_sent}, file)


def main() -> None:
    parser = argparse.ArgumentParser(prog="heat")
    parser.add_argument("--size", type=int, default=256, help="cells per dimension")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pace", type=float, default=0.0, help="least seconds per timestep")
    parser.add_argument("--comm", choices=("mpi", "gloo"), default="mpi", help="how the bridges meet")
    parser.add_argument("--report", help="file for what rank 0 has to tell")
    options = parser.parse_args()
    size = MPI.COMM_WORLD.Get_size()
    # No reordering: the rank here is the rank in COMM_WORLD.
    grid = MPI.COMM_WORLD.Create_cart(MPI.Compute_dims(size, 2), reorder=False)
    try:
        simulate(options, grid)
    except Exception as error:  # the other ranks would wait for this one
        print(f"heat: rank {grid.rank}: {type(error).__name__}: {error}", flush=True)
        MPI.COMM_WORLD.Abort(1)


if __name__ == "__main__":
    main()
