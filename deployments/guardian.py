"""Run one command and see to it that nothing of it outlives its supervisor; a script, started by its path.

``python -I -S guardian.py GRACE_SECONDS PID_FILE COMMAND...``, with the supervisor's lifeline as standard
input.

The lifeline is a pipe that only the supervisor holds open: it closes when the supervisor dies in whatever
way, SIGKILL included. On Linux this process also adopts every orphan below it (PR_SET_CHILD_SUBREAPER), so
that a flow run in a session of its own ends too when its worker is killed. It imports the standard library
alone and starts in some 15 ms.

Stopping (on TERM, INT or HUP) is TERM to the command's group and to what was adopted, a grace period, then
KILL; QUIT skips what is left of the grace period. It is a signal of its own because two TERMs in a row may
arrive as one. The exit status is the command's own, or 128 plus the number of its signal.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIFELINE = 0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NOT_EXECUTABLE = 127
# Children of a process that is killed become ours a moment later, and no signal announces that.
_SWEEP_SECONDS = 0.05


class Guardian:
    """The command, what it left behind, and how far stopping has come.

    Args:
        grace_seconds: From TERM to KILL.
        pid_file: Where the command's process id stands while it runs.
    """

    def __init__(self, grace_seconds: float, pid_file: Path) -> None:
        self._grace_seconds = grace_seconds
        self._pid_file = pid_file
        self._command_pid = 0
        self._status: int | None = None
        self._stop_asked = False
        self._kill_at: float | None = None

    def run(self, command: list[str]) -> int:
        """Run ``command`` until it and all that came of it has ended; return its exit status."""
        wakeup, wakeup_write = os.pipe()
        for end in (wakeup, wakeup_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGQUIT, self._on_kill_signal)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # only to wake the select below
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

        self._command_pid = _spawn(command)
        self._pid_file.write_text(f"{self._command_pid}\n")
        try:
            self._supervise(wakeup)
        finally:
            self._pid_file.unlink(missing_ok=True)
        return self._status if self._status is not None else 1

    def _supervise(self, wakeup: int) -> None:
        watched = [_LIFELINE, wakeup]
        while self._reap():
            self._escalate()
            readable, _, _ = select.select(watched, [], [], None if self._kill_at is None else _SWEEP_SECONDS)
            if wakeup in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakeup, 4096)
            if _LIFELINE in readable:  # nothing is ever written to it: readable means closed
                watched.remove(_LIFELINE)
                self._stop_asked = True

    def _escalate(self) -> None:
        if self._kill_at is None and (self._stop_asked or self._status is not None):
            self._kill_at = time.monotonic() + self._grace_seconds
            self._signal_all(signal.SIGTERM)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._signal_all(signal.SIGKILL)

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_asked = True

    def _on_kill_signal(self, number: int, frame: FrameType | None) -> None:
        self._kill_at = time.monotonic()

    def _reap(self) -> bool:
        """Collect what has ended; return whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._command_pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = 128 - code if code < 0 else code

    def _signal_all(self, number: signal.Signals) -> None:
        # Only through children that are not yet collected: a freed number may be somebody else's by now.
        for pid in _children() or ([self._command_pid] if self._status is None else []):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) == self._command_pid:
                    os.killpg(self._command_pid, number)
                else:
                    os.kill(pid, number)


def _spawn(command: list[str]) -> int:
    guardian = os.getpid()
    # Held back until the child has its own handling of them, or a TERM in between would be lost in ours.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    pid = os.fork()
    if pid != 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    try:
        os.setsid()
        # If even this guardian is killed the command goes with it; on Linux only.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guardian:
            # A child of a shell's background job inherits "ignore SIGINT", and a worker that ignores it
            # survives TERM, which it forwards to itself as INT.
            for number in (*_STOP_SIGNALS, signal.SIGQUIT, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
    finally:
        os._exit(_NOT_EXECUTABLE)


def _children() -> list[int]:
    """Return this process's children by /proc; none where there is no /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(Guardian(float(sys.argv[1]), Path(sys.argv[2])).run(sys.argv[3:]))
