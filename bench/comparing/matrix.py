"""Every size with every number of ranks, level of acknowledgement and kind of analytics."""

from __future__ import annotations

from comparing.records import Record, compare, failed, median, percentile
from comparing.session import OURS, PEER, Outcome, Phase, Run

KIB, MIB = 1 << 10, 1 << 20
SIZES = {
    "4KiB": 4 * KIB,
    "64KiB": 64 * KIB,
    "256KiB": 256 * KIB,
    "2MiB": 2 * MIB,
    "16MiB": 16 * MIB,
    "64MiB": 64 * MIB,
    "256MiB": 256 * MIB,
}
RANKS = (1, 4, 16)
LEVELS = ("received", "stored", "announced")
WORKS = {"mean": "idle", "busy": "busy"}
"""What the analytics do, and what that is called here: idle ones do nothing but their mean."""

MOST_BYTES = 1 << 30
"""Of all ranks in one timestep; beyond it neither memory nor store of a workstation suffice."""
WARM_UP = 2


def phases(ranks: int) -> tuple[Phase, ...]:
    """A phase of each size, and one without pauses."""
    found = []
    for name, nbytes in SIZES.items():
        if nbytes * ranks <= MOST_BYTES:
            steps = WARM_UP + max(4, min(20, (256 * MIB) // (nbytes * ranks)))
            found.append(Phase(f"a{name}", nbytes, steps))
    found.append(Phase("a256KiB", 256 * KIB, 20, "rate"))
    return tuple(found)


def key(side: str, ranks: int, level: str, work: str) -> str:
    return f"matrix-{ranks}-{WORKS[work]}-" + (level if side == OURS else "peer")


def runs(pace: float) -> dict[str, Run]:
    """By key; the Python bridge's first, then this one's levels, for each number of ranks."""
    found = {}
    for work in WORKS:
        for ranks in RANKS:
            for side, levels in ((PEER, ("",)), (OURS, LEVELS)):
                for level in levels:
                    run = Run(side, ranks, phases(ranks), level, work, pace, warm_up=WARM_UP)
                    found[key(side, ranks, level, work)] = run
    return found


def times(outcome: Outcome, size: str) -> list[float]:
    for phase, seconds in zip(outcome.phases, outcome.seconds, strict=True):
        if (phase.array, phase.how) == (f"a{size}", "send"):
            return seconds
    return []


def rate(outcome: Outcome) -> float:
    """Timesteps per second without pauses."""
    for phase, seconds in zip(outcome.phases, outcome.seconds, strict=True):
        if phase.how == "rate":
            return phase.steps / seconds[0]
    return 0.0


def _of_pair(name: str, ours: Outcome, peer: Outcome) -> list[Record]:
    found = []
    for size in SIZES:
        left, right = times(ours, size), times(peer, size)
        if left and right:
            for what, part in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
                pair = (1e3 * (median(v) if part == 0.5 else percentile(v, part)) for v in (left, right))
                case, figure = f"{size}-{name}", f"blocking send, {what}"
                found.append(compare(case, figure, "ms", *pair, times=True))
    steps = sum(phase.steps for phase in ours.phases)
    memory = (sum(one.memory.resident) for one in (ours, peer))
    private = (sum(one.memory.private) for one in (ours, peer))
    cpu = (1e3 * one.cpu / steps for one in (ours, peer))
    found += [
        compare(f"all-{name}", "timesteps per second, 256 KiB", "1/s", rate(ours), rate(peer)),
        compare(f"all-{name}", "start-up, slowest rank", "s", ours.start, peer.start),
        compare(f"all-{name}", "resident memory, sum of ranks", "MiB", *memory),
        compare(f"all-{name}", "private memory, sum of ranks", "MiB", *private),
        compare(f"all-{name}", "CPU time of all processes, per timestep", "ms", *cpu),
    ]
    return found


def records(outcomes: dict[str, Outcome], errors: dict[str, str]) -> list[Record]:
    """Three of each size, and five of each run; a run that failed has one that says so."""
    found = []
    for work, called in WORKS.items():
        for ranks in RANKS:
            for level in LEVELS:
                name = f"{ranks}rank{'s' if ranks > 1 else ''}-{called}-{level}"
                keys = (key(OURS, ranks, level, work), key(PEER, ranks, "", work))
                if all(one in outcomes for one in keys):
                    found += _of_pair(name, outcomes[keys[0]], outcomes[keys[1]])
                elif problems := [errors[one] for one in keys if one in errors]:
                    found.append(failed(f"all-{name}", "", problems[0]))
    return found
