"""The tool that interrupts the demo sees what a command leaves: a tool that sees nothing proves nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = sys.executable
CLEAN = "import time; time.sleep(60)"
ORPHAN = (
    "import subprocess, sys, time\n"
    "listen = 'import socket, time; s = socket.create_server((\"127.0.0.1\", 0)); time.sleep(60)'\n"
    "subprocess.Popen([sys.executable, '-c', listen], start_new_session=True, env={})\n"
    "time.sleep(60)"
)
LEFTOVER_FILE = (
    "import os, time\nopen(os.path.join(os.environ['TMPDIR'], 'state.lock'), 'w').close()\ntime.sleep(60)"
)
DEAF = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"


def interrupted(*options: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", "tests.deployments.interrupt_demo", *options, "--", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        (CLEAN, 0, "nothing left"),
        (ORPHAN, 1, "port "),
        (LEFTOVER_FILE, 1, "file state.lock"),
        (DEAF, 1, "did not end"),
    ],
    ids=["clean", "orphan", "file", "deaf"],
)
def test_what_is_left_is_seen(script: str, status: int, said: str) -> None:
    result = interrupted("--after", "0.7", "--deadline", "1.5", command=[PYTHON, "-c", script])
    assert said in result.stdout
    assert result.returncode == status


@pytest.mark.parametrize("number", ["INT", "TERM", "KILL"])
def test_a_supervised_installation_leaves_nothing_at_random_moments(tmp_path: Path, number: str) -> None:
    command = [PYTHON, "-m", "tests.deployments.supervised", "--in-start", str(tmp_path), PYTHON, "-c", CLEAN]
    options = (
        "--times",
        "3",
        "--up-to",
        "0.9",
        "--signal",
        number,
        "--settle",
        "10" if number == "KILL" else "0",
    )
    result = interrupted(*options, command=command)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("nothing left") == 3
