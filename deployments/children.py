"""One supervised child process: started under a guardian, with its output in a log file of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runbook.errors import RunbookError, Transient
from runbook.scrub import neutralise_terminal, scrub

POLL_SECONDS = 0.05
_GUARDIAN = Path(__file__).with_name("guardian.py")
_TAIL_LINES = 15
# How long the guardian itself may take beyond the grace period that it gives to its command.
_GUARDIAN_MARGIN_SECONDS = 3.0


class ChildDied(RunbookError):
    """A supervised process ended by itself; the message carries the end of its log.

    Args:
        child: Which one.
        status: Its exit status; 128 plus the signal's number where a signal ended it.
    """

    def __init__(self, child: "Child", status: int) -> None:
        how = f"was ended by signal {status - 128}" if status > 128 else f"ended with status {status}"
        tail = child.tail()
        said = f"It said last:\n{tail}" if tail else "It said nothing."
        super().__init__(
            f"The {child.name} {how}. {said}\n",
            next_step=f"read {child.log_file}, remove the cause, start again.",
        )
        self.name = child.name
        self.status = status


class Child:
    """A process that ends with its supervisor, whatever happens to either.

    Args:
        name: What people call it; also the name of its log and pid files.
        command: Program and arguments; never a shell line, never a credential.
        environment: All of its environment.
        directory: Where ``NAME.log`` (mode 0600) and ``NAME.pid`` stand; also its working directory.
        grace_seconds: From TERM to KILL when it is stopped.
        keep_open: Descriptors that stay open in it until it has ended.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        grace_seconds: float,
        keep_open: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log_file = directory / f"{name}.log"
        self._pid_file = directory / f"{name}.pid"
        self._grace_seconds = grace_seconds
        self._stop_asked = False
        self._pid_file.unlink(missing_ok=True)  # of an earlier one that was killed
        log = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            # -I -S: the guardian needs nothing but the standard library, and starts in a tenth of the time.
            self._guardian = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(_GUARDIAN),
                    str(grace_seconds),
                    str(self._pid_file),
                    *command,
                ],
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=keep_open,
            )
        finally:
            os.close(log)

    @property
    def pid(self) -> int | None:
        """The process id of the command itself (not of its guardian); None while it does not run."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self._pid_file.read_text())
        return None

    def status(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self._guardian.poll()

    def check(self) -> None:
        """Raise where it ended.

        Raises:
            ChildDied: It ended, with whatever status.
        """
        status = self.status()
        if status is not None:
            raise ChildDied(self, status)

    def tail(self) -> str:
        """Return the last lines of its log, scrubbed and harmless on a terminal."""
        with contextlib.suppress(FileNotFoundError), self.log_file.open(errors="replace") as log:
            lines = deque((line.rstrip() for line in log if line.strip()), maxlen=_TAIL_LINES)
            return neutralise_terminal(scrub("\n".join(lines)))
        return ""

    def await_line(self, matches: Callable[[str], bool], *, deadline_seconds: float) -> str:
        """Wait for a line of its output.

        Args:
            matches: Says of a whole line, without its end, whether it is the one.
            deadline_seconds: How long to wait at most.

        Raises:
            ChildDied: It ended before.
            Transient: It did not say so in time.
        """
        with self.log_file.open(errors="replace") as log:
            pending = ""
            deadline = time.monotonic() + deadline_seconds
            while True:
                ended = self.status()  # asked before reading: what it said before it ended still counts
                pending += log.read()
                *lines, pending = pending.split("\n")
                for line in lines:
                    if matches(line):
                        return line
                if ended is not None:
                    raise ChildDied(self, ended)
                if time.monotonic() > deadline:
                    raise self._too_late(deadline_seconds)
                time.sleep(POLL_SECONDS)

    def await_end(self, *, deadline_seconds: float) -> None:
        """Wait until it has ended well.

        Raises:
            ChildDied: Its exit status is not 0.
            Transient: It still runs after ``deadline_seconds``.
        """
        try:
            status = self._guardian.wait(timeout=deadline_seconds)
        except subprocess.TimeoutExpired as error:
            raise self._too_late(deadline_seconds) from error
        if status != 0:
            raise ChildDied(self, status)

    def stop(self) -> None:
        """End it and all that came of it: TERM, the grace period, KILL. Returns when it is gone."""
        if self.status() is None:
            self.signal_stop()
            try:
                self._guardian.wait(timeout=self._grace_seconds + _GUARDIAN_MARGIN_SECONDS)
            except subprocess.TimeoutExpired:
                self._guardian.kill()
                self._guardian.wait()
        if self._guardian.stdin is not None:
            self._guardian.stdin.close()
        left_by_killed_guardian = self.pid
        if left_by_killed_guardian is not None:
            # On Linux the command itself went with its guardian; its group, and other systems, need this.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(left_by_killed_guardian, signal.SIGKILL)
            self._pid_file.unlink(missing_ok=True)

    def signal_stop(self) -> None:
        """Ask it to end, without waiting; asked a second time it is killed."""
        number = signal.SIGQUIT if self._stop_asked else signal.SIGTERM
        self._stop_asked = True
        self._guardian.send_signal(number)  # does nothing where it has ended and was collected

    def _too_late(self, deadline_seconds: float) -> Transient:
        return Transient(
            f"The {self.name} was not ready within {deadline_seconds:.0f} s. It said last:\n{self.tail()}\n",
            next_step=f"read {self.log_file}; on a slow or busy machine, try again.",
        )
