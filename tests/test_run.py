"""./run from beginning to end: C and Java, MPI and Gloo, slow analytics, two node actors."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import run, run_example
from processes import descendants

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
TOOK_EFFECT = re.compile(r"feedback: .* source off from timestep (\d+)")


def assert_complete(done: subprocess.CompletedProcess[str], output: Path, steps: int) -> None:
    assert done.returncode == 0, done.stdout[-6000:]
    assert done.stdout.splitlines()[-1] == f"{steps} of {steps} timesteps analysed, all values match"
    assert (output / "heat.png").read_bytes().startswith(b"\x89PNG")


def assert_no_foreign_lines(done: subprocess.CompletedProcess[str], name: str) -> None:
    """A simulation prints its own lines, and whom rank 0 waits for if that takes long: nothing of Ray or
    Java."""
    own = r"timestep \d+ sent, source (on|off)|deisa: rank 0 has waited \d+ s for .*"
    lines = [line for line in done.stdout.splitlines() if line.startswith(f"[{name}] ")]
    assert not [line for line in lines if not re.fullmatch(rf"\[{name}\] ({own})", line)]


def test_defaults(tmp_path, monkeypatch):
    monkeypatch.delenv("DEISA_CONTROL")
    monkeypatch.setenv("DEISA_MAX_AHEAD", "1")  # the feedback comes in time, however slow the analytics are
    done = run_example(tmp_path)
    assert_complete(done, tmp_path, 20)
    took_effect = TOOK_EFFECT.search(done.stdout)
    assert took_effect, done.stdout
    step = int(took_effect[1])
    assert f"timestep {step - 1} sent, source on" in done.stdout
    assert f"timestep {step} sent, source off" in done.stdout
    assert_no_foreign_lines(done, "simulation")


@pytest.mark.parametrize(
    "options",
    [
        "--comm gloo --ranks 3 --size 10 --steps 6",
        "--nodes 2 --delay-node 1 --ranks 6 --size 101 --steps 6",
        "--language fortran --show --ranks 1 --size 33 --steps 4",
        "--adios2 --ranks 3 --size 20 --steps 6",
        "--language fortran --comm gloo --ranks 6 --size 41 --steps 4",
        "--language java --control java --nodes 2 --delay-node 0.5 --steps 5",
        "--language python --control python --ranks 6 --size 41 --steps 6",
    ],
)
def test_options(tmp_path, options):
    options = options.split()
    done = run_example(tmp_path, *options)
    steps = int(options[options.index("--steps") + 1])
    assert_complete(done, tmp_path, steps)
    assert_no_foreign_lines(done, "rank 0")
    assert "\r" not in done.stdout, "what is only for a terminal"
    live = tmp_path / "live.png"
    assert live.exists() == ("--show" in options)
    assert not live.exists() or f"the newest timestep as a picture: {live}\n" in done.stdout


def test_simulation_that_ends_before_its_analytics(tmp_path):
    done = run_example(tmp_path, "--slow-analytics", "1", "--pace", "0", "--steps", "10")
    assert_complete(done, tmp_path, 10)
    lines = done.stdout.splitlines()
    said = "the simulation has ended; the analytics go on with what it left"
    ended = next(number for number, line in enumerate(lines) if line.endswith(said))
    later = [line for line in lines[ended:] if re.match(r"\[analytics\] timestep \d+ analysed", line)]
    assert len(later) >= 5, "the simulation was meant to end long before"


# A /tmp and a /dev/shm of its own for a command, listed at the end. A checkout below /tmp stays where it is.
PRIVATE_TMP = """
root=$1; shift; own=
if [[ $root == /tmp/* ]]; then own=${root#/tmp/}; own=${own%%/*}; mount --bind "$root" /mnt || exit 125; fi
mount -t tmpfs tmpfs /tmp && mount -t tmpfs tmpfs /dev/shm || exit 125
if [[ $own ]]; then mkdir -p "$root" && mount --bind /mnt "$root" || exit 125; fi
"$@"; status=$?
echo "left in /tmp: [$(ls -A -I "$own" /tmp | xargs)], in /dev/shm: [$(ls -A /dev/shm | xargs)]"
exit $status
"""


def in_private_tmp(root: Path, command: list[str]) -> list[str]:
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    unshare = [shutil.which("unshare") or "unshare", *own_user, "--mount", "--propagation", "private"]
    return [*unshare, "bash", "-c", PRIVATE_TMP, "bash", str(root), *command]


@pytest.mark.parametrize("language", ["c", "java"])
def test_nothing_is_left_behind(root, language):
    """Neither below /tmp nor in shared memory."""
    output = root / "build" / "results" / f"left-{language}"  # not below the private /tmp
    command = [str(root / "run"), "--steps", "3", "--size", "32", "--language", language]
    command += ["--control", "java" if language == "java" else "python"]
    done = run(in_private_tmp(root, [*command, "--output", str(output)]), timeout=120)
    assert done.returncode == 0, done.stdout[-6000:]
    assert done.stdout.splitlines()[-1] == "left in /tmp: [], in /dev/shm: []"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_what_it_started(root, tmp_path, number):
    command = [str(root / "run"), "--steps", "1000", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "timestep 3 sent" in line:
                    break
            started = [process.pid, *descendants(process.pid)]
            assert len(started) > 8
            process.send_signal(number)
            output = process.stdout.read()
            assert process.wait(60) == 128 + number, output
        finally:
            process.kill()
    assert "all values match" not in output
    deadline = time.monotonic() + 10
    while alive := [pid for pid in started if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"still there: {alive}"
        time.sleep(0.1)


def test_analytics_that_fail_end_the_run(tmp_path, root):
    """A run that cannot succeed says so, and does not wait for its time limit."""
    broken = tmp_path / "example"
    shutil.copytree(root / "examples", broken / "examples")
    shutil.copytree(root / "dev", broken / "dev")
    (broken / "build").symlink_to(root / "build")
    (broken / "java").symlink_to(root / "java")
    script = broken / "examples" / "heat" / "analytics.py"
    script.write_text(script.read_text().replace("deisa.execute_callbacks()", "raise SystemExit(7)"))
    driver = str(broken / "dev" / "drive.py")
    done = run([sys.executable, driver, "--steps", "3", "--output", str(tmp_path)], timeout=120)
    assert done.returncode == 1
    assert "error: the analytics failed, with exit status 7" in done.stdout
