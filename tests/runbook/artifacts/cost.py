"""What reading a report costs, measured in a process of its own: what was used before does not hide it."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from runbook.artifacts.bounded import Unreadable
from runbook.artifacts.findings import Findings
from runbook.artifacts.reading import read_report

_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Cost:
    """What one report took.

    Args:
        mib: Most memory above what the process had before.
        seconds: The processor's time.
        found: Findings, kept or not, and tests.
        notes: What was not read, or why nothing was.
    """

    mib: float
    seconds: float
    found: int
    notes: tuple[str, ...]


def cost_of(file: Path) -> Cost:
    """Read a report in another process, and return what it took."""
    asked = [sys.executable, "-m", __name__, str(file)]
    told = subprocess.run(asked, cwd=_ROOT, capture_output=True, text=True, check=True)
    values = json.loads(told.stdout)
    return Cost(values["mib"], values["seconds"], values["found"], tuple(values["notes"]))


def _memory_kib(kind: str) -> int:
    # Not getrusage: its peak is the parent's until the child outgrows it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def _main(file: Path) -> None:
    before, begun = _memory_kib("VmRSS"), time.process_time()
    with file.open("rb") as stream:
        try:
            found = read_report(stream, file.name)
        except Unreadable as error:
            found = Findings(notes=(error.message,))
    seconds = time.process_time() - begun
    kinds = (found.failed_tests, found.vulnerabilities, found.code_findings, found.coverage)
    values = {
        "mib": (_memory_kib("VmHWM") - before) / 1024,
        "seconds": seconds,
        "found": sum(map(len, kinds)) + found.left_out + found.tests_run,
        "notes": found.notes,
    }
    sys.stdout.write(json.dumps(values))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
