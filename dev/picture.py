"""The picture of a run: three fields, and the mean temperature over time."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator


def draw(
    path: Path, fields: dict[int, np.ndarray], means: dict[int, float], threshold: float, source_off_step: int
) -> None:
    """Draws `fields` and `means`, both by timestep, and when the source went off (-1: it did not)."""
    figure = plt.figure(figsize=(12, 7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
    axes = above.subplots(1, len(fields), squeeze=False)[0]
    highest = max(float(field.max()) for field in fields.values()) or 1.0
    for axis, (timestep, field) in zip(axes, sorted(fields.items()), strict=True):
        image = axis.imshow(field, vmin=0.0, vmax=highest, cmap="inferno")
        axis.set_title(f"temperature, timestep {timestep}")
        axis.set_xticks([])
        axis.set_yticks([])
    above.colorbar(image, ax=list(axes), label="kelvin above the surroundings")

    axis = below.subplots()
    axis.plot(list(means), list(means.values()), marker="o", color="tab:red", label="mean temperature")
    axis.axhline(threshold, color="gray", linestyle=":", label="threshold of the analytics")
    if source_off_step >= 0:
        axis.axvline(source_off_step, color="tab:blue", linestyle="--", label="feedback: source off")
        axis.annotate(
            f"source off from timestep {source_off_step}",
            (source_off_step, 0.0),
            xytext=(6, 6),
            textcoords="offset points",
            color="tab:blue",
        )
    axis.set_ylim(bottom=0.0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("timestep")
    axis.set_ylabel("mean, kelvin")
    axis.legend(loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
