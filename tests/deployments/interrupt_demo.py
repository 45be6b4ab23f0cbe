"""Interrupt a command at a given or random moment, and see that nothing of it is left.

    python -m tests.deployments.interrupt_demo --after 4.5 -- .venv/bin/runbook demo
    python -m tests.deployments.interrupt_demo --times 5 --up-to 40 -- .venv/bin/runbook demo

It adopts every orphan below the command (so a process counts in whatever session or environment it is), notes
the ports its processes listen on just before the signal, and gives it an empty TMPDIR. Afterwards no process,
no listening port and no file there may be left. Exit status 0 when nothing was, 1 otherwise. Linux only.
"""

import argparse
import ctypes
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.deployments.processes import descendants, listening_ports, ports_of

_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Interruption:
    """What one interruption left."""

    after_seconds: float
    status: int | None
    ending_seconds: float
    processes: dict[int, str] = field(default_factory=dict)
    ports: set[int] = field(default_factory=set)
    files: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether it ended, and left nothing."""
        return self.status is not None and not (self.processes or self.ports or self.files)

    def __str__(self) -> str:
        how = "did not end" if self.status is None else f"ended with {self.status}"
        text = f"signal after {self.after_seconds:.2f} s: {how} {self.ending_seconds:.2f} s later"
        if self.clean:
            return f"{text}, nothing left"
        left = [f"process {pid}: {command}" for pid, command in self.processes.items()]
        left += [f"port {port}" for port in sorted(self.ports)] + [f"file {name}" for name in self.files]
        return "\n  left: ".join([text, *left])


def interrupt(
    command: Sequence[str],
    *,
    after_seconds: float,
    number: signal.Signals = signal.SIGINT,
    again_after_seconds: float | None = None,
    deadline_seconds: float = 30.0,
    settle_seconds: float = 0.0,
) -> Interruption:
    """Start ``command``, signal it, see what is left, and end that.

    Args:
        command: Program and arguments.
        after_seconds: From its start to the signal.
        number: Which signal.
        again_after_seconds: From the first signal to a second one; None for only one.
        deadline_seconds: How long it may take to end.
        settle_seconds: How long what it left may take to end by itself (after SIGKILL).
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as temporary:
        process = subprocess.Popen(
            command, env=os.environ | {"TMPDIR": temporary}, stdin=subprocess.DEVNULL, start_new_session=True
        )
        _pause(process, after_seconds)
        ports = ports_of(set(descendants(os.getpid())))
        signalled = time.monotonic()
        process.send_signal(number)
        if again_after_seconds is not None:
            _pause(process, again_after_seconds)
            process.send_signal(number)
        _pause(process, deadline_seconds)
        ending_seconds = time.monotonic() - signalled

        settled = time.monotonic() + settle_seconds
        while (left := descendants(os.getpid())) and time.monotonic() < settled:
            time.sleep(_POLL_SECONDS)
        open_ports = ports & set(listening_ports().values())
        files = sorted(str(path.relative_to(temporary)) for path in Path(temporary).rglob("*"))
        status = process.poll()
        _end(left)
        return Interruption(after_seconds, status, ending_seconds, left, open_ports, files)


def _pause(process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _end(left: dict[int, str]) -> None:
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--after", type=float, help="seconds from start to signal")
    parser.add_argument("--times", type=int, default=1, help="how often, each at a random moment")
    parser.add_argument("--up-to", type=float, default=30.0, help="latest random moment, in seconds")
    parser.add_argument("--seed", type=int, default=None, help="to repeat the same random moments")
    parser.add_argument("--signal", choices=["INT", "TERM", "HUP", "KILL"], default="INT")
    parser.add_argument("--again-after", type=float, help="seconds to a second signal")
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds it may take to end")
    parser.add_argument("--settle", type=float, default=0.0, help="seconds that leftovers may take to end")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()

    moments = random.Random(options.seed)  # noqa: S311 - moments, not secrets
    clean = True
    for _ in range(options.times):
        result = interrupt(
            options.command,
            after_seconds=moments.uniform(0, options.up_to) if options.after is None else options.after,
            number=signal.Signals[f"SIG{options.signal}"],
            again_after_seconds=options.again_after,
            deadline_seconds=options.deadline,
            settle_seconds=options.settle,
        )
        print(result, flush=True)
        clean = clean and result.clean
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
