"""Runs a command beside a Ray of its own: with_ray.py COMMAND...

The command finds its address (host:port) in DEISA_TEST_RAY_ADDRESS. Ends with the command's exit status.
"""

from __future__ import annotations

import os
import subprocess
import sys

from local_ray import LocalRay
from processes import adopt_orphans, end_children, stop_on_signals


def main() -> int:
    adopt_orphans()
    stop_on_signals()
    try:
        with LocalRay(object_store_bytes=256 << 20) as ray:
            environment = os.environ | {"DEISA_TEST_RAY_ADDRESS": ray.address}
            return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    finally:
        end_children()


if __name__ == "__main__":
    sys.exit(main())
