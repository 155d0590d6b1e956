"""bench/scale: what many ranks cost, measured here, and what that means for more than this machine has.

    ranks         4, 16, 64 ranks with the same total bytes: start-up, step, memory, JVMs
    rendezvous    the rendezvous of thousands of simulated ranks, with Gloo; rank 0's store for 128,000
    registration  hundreds of simulated ranks of one node register, and send a timestep
    aggregate     64 ranks of one node, with their chunks as 64 objects and as one
    head          deisa-ray's head actor alone: registrations and announcements

Figures go to --json FILE, charts to the folder of --plots, and the projection on the terminal.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import aggregate
import head
import many_ranks
import model
import plots
import registration
import rendezvous
import report

ROOT = Path(__file__).resolve().parents[2]

PARTS = ("ranks", "rendezvous", "registration", "aggregate", "head")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help="which of them (all)", metavar="PART")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each, in turn (3)")
    parser.add_argument("--quick", action="store_true", help="one round of small sizes")
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "scale.json")
    parser.add_argument("--plots", type=Path, default=ROOT / "out")
    parser.add_argument("--document", type=Path, help="also write the tables into this file (docs/scale.md)")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.parts) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}; expected {', '.join(PARTS)}")
    parts, rounds, quick = asked.parts or PARTS, 1 if asked.quick else asked.rounds, asked.quick
    found = json.loads(asked.json.read_text()) if asked.json.exists() and asked.parts else {}
    if "ranks" in parts:
        found["ranks"] = many_ranks.run(16 << 20, 20, rounds, (4, 8) if quick else many_ranks.COUNTS)
    if "rendezvous" in parts:
        found["rendezvous"] = rendezvous.run(rounds, rendezvous.SIZES[:2] if quick else rendezvous.SIZES)
        found["store"] = rendezvous.store(rounds, ((50, 8),) if quick else rendezvous.STORES)
    if "registration" in parts:
        found["registration"] = registration.run(
            rounds, registration.SIZES[:2] if quick else registration.SIZES
        )
    if "aggregate" in parts:
        found["aggregate"] = aggregate.run(rounds, 8 if quick else aggregate.RANKS)
    if "head" in parts:
        found["head"] = head.run(rounds, chunks=(1, 8) if quick else head.CHUNKS)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=1))
    plots.draw(found, asked.plots)
    if all(part in found for part in PARTS):
        print(model.project(found))
        if asked.document:
            report.write(found, asked.document)


if __name__ == "__main__":
    main()
