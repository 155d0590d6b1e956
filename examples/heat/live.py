"""A picture of the newest timestep, in a file that is replaced after each: for a viewer that reloads."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np


class Live:
    """Drawn into `file`, which is complete at any time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._means: dict[int, float] = {}
        self._figure, (self._field, self._mean) = plt.subplots(
            2, 1, figsize=(5, 6.5), height_ratios=(4, 1), layout="constrained"
        )
        self._image = None

    def draw(self, timestep: int, field: np.ndarray) -> None:
        """The field, and the mean of all timesteps until now."""
        if self._image is None:
            self._image = self._field.imshow(field, cmap="inferno")
            self._figure.colorbar(self._image, label="kelvin above the surroundings")
        self._image.set_data(field)
        self._image.set_clim(0.0, float(field.max()) or 1.0)
        self._means[timestep] = float(field.mean())
        self._field.set_title(f"timestep {timestep}, mean {self._means[timestep]:.3f}")
        self._mean.clear()
        self._mean.plot(list(self._means), list(self._means.values()), color="tab:red")
        self._mean.set_ylabel("mean")
        part = self._file.with_name(f".{self._file.name}.part")
        self._figure.savefig(part, format="png", dpi=100)
        os.replace(part, self._file)
