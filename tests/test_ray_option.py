"""./run --ray: what is refused before anything is set up."""

from __future__ import annotations

import os

import pytest
from conftest import ROOT, run


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--ray", "2.47.1"], 1, "Ray 2.47.1 is not supported: expected 2.48 to 2.60. To try it"),
        (["--steps", "3", "--ray=2.61.0"], 1, "Ray 2.61.0 is not supported"),
        (["--ray", "../2.60.0"], 1, "Ray ../2.60.0: expected a version, such as 2.60.0"),
        (["--ray"], 2, "--ray: expected a version, such as"),
    ],
    ids=str,
)
def test_refused(options, status, message):
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY", "DEISA_RAY_ANY")}
    done = run([str(ROOT / "run"), *options], environment)
    assert done.returncode == status
    assert len(done.stdout.splitlines()) == 1
    assert message in done.stdout
