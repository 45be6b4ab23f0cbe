"""A cluster that stays until somebody ends it: a keeper in the background owns its processes.

Whoever holds the lock on ``keeper`` in the cluster's directory is the keeper, so a process number that was used again
is never taken for one.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from integration.kubernetes.control_plane import control_plane
from runbook.errors import RunbookError

_ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.1
_UP_SECONDS = 240.0
_DOWN_SECONDS = 60.0


def up(directory: Path) -> Path:
    """Start a cluster that stays, under a keeper of its own; return the administrator's kubeconfig.

    Raises:
        RunbookError: It did not come up; its keeper's words are in the message.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    keeper = None
    if _keeper(directory) is None:
        (directory / "ready").unlink(missing_ok=True)
        with (directory / "keeper.log").open("w") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "integration.kubernetes.cluster", "keep", str(directory)],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    deadline = time.monotonic() + _UP_SECONDS
    while not (directory / "ready").exists():
        if (keeper is not None and keeper.poll() is not None) or time.monotonic() > deadline:
            raise RunbookError(
                f"The cluster in {directory} did not come up: {(directory / 'keeper.log').read_text()}",
                next_step=f"read the files in {directory / 'log'}.",
            )
        time.sleep(_POLL_SECONDS)
    return directory / "kubeconfig"


def down(directory: Path) -> None:
    """End the cluster in ``directory``, if one runs; its logs stay."""
    pid = _keeper(directory)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while _keeper(directory) is not None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)  # its guardians end everything then
            return
        time.sleep(_POLL_SECONDS)


def keep(directory: Path) -> None:
    """Hold a cluster up until TERM or INT, or until one of its processes ends."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with (directory / "keeper").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        # A control plane that was killed is not taken up again: its certificates' authority is gone.
        shutil.rmtree(directory / "etcd", ignore_errors=True)
        with control_plane(directory) as plane:
            (directory / "ready").touch()
            try:
                while not ending.wait(_POLL_SECONDS):
                    plane.check()
            finally:
                (directory / "ready").unlink()


def _keeper(directory: Path) -> int | None:
    """Return the process that holds a cluster up in ``directory``; None where none does."""
    with contextlib.suppress(FileNotFoundError), (directory / "keeper").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read() or 0) or None
    return None


def status(directory: Path) -> str:
    """Say what runs there, a line for each process: name, process id, resident memory in MiB."""
    lines = []
    for file in sorted((directory / "log").glob("*.pid")):
        pid = int(file.read_text())
        with contextlib.suppress(FileNotFoundError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            lines.append(f"{file.stem}\t{pid}\t{pages * os.sysconf('SC_PAGE_SIZE') // 2**20}")
    return "\n".join(lines) if _keeper(directory) is not None else ""
