"""docs/pdi.md: its Python part, run as PDI runs it. PDI itself is not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from conftest import ROOT, mpirun, run

RANKS = 2


def test_the_documented_tree(built: Path, tmp_path: Path):
    folder = tmp_path / "files"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "python"),
        "DEISA_LIBRARY": str(built / "lib" / "libdeisa.so"),
        "DEISA_BACKEND": "file",
        "DEISA_FILE_FOLDER": str(folder),
    }
    program = str(ROOT / "tests" / "programs" / "pdi_events.py")
    done = run(mpirun(RANKS, sys.executable, program, str(ROOT / "docs" / "pdi.md")), environment)
    assert done.returncode == 0, done.stdout
    cells = np.arange(6.0).reshape(2, 3)
    for timestep in range(2):
        expected = np.concatenate([100 * timestep + 10 * rank + cells for rank in range(RANKS)])
        np.testing.assert_array_equal(np.load(folder / "temperature" / f"{timestep:09d}.npy"), expected)
    assert (folder / "closed").read_text() == "2\n"
