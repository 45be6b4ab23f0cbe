"""How fast triage reads a log: one pass with all signatures, beside GNU grep with the same patterns.

Run: .venv/bin/python -m benchmarks.log_scan [--mebibytes 256] [--json]
Prints both throughputs (per second of processor time), their ratio (at least 1 is wanted), and how much memory the
scan took beyond what the process had before it (at most 64 MiB is wanted). The log is made up: what build and test
jobs print, with a failure here and there.
"""

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runbook.triage.catalogue import Catalogue, builtin_catalogue
from runbook.triage.logs import open_logs
from runbook.triage.scan import scan

MEBIBYTE = 1 << 20
GREP = "grep"
_PIECE_LINES = 20_000

# One line in so many is a failure's: logs are mostly noise, even red ones.
_LINES_PER_FAILURE = 2_000
_LINES_PER_STEP = 100


def write_log(path: Path, size_bytes: int) -> None:
    """Write a made-up job log of about ``size_bytes``; the same for the same size."""
    dice = random.Random(7)  # noqa: S311 - a log, no secret
    piece = "".join(_line(dice, number) for number in range(_PIECE_LINES)).encode()
    with path.open("wb") as file:
        written = 0
        while written < size_bytes:
            written += file.write(piece)


def _line(dice: random.Random, number: int) -> str:
    stamp = f"2026-11-24T06:{number // 600 % 60:02}:{number // 10 % 60:02}.{dice.randrange(10**7):07}Z "
    if number % _LINES_PER_FAILURE == 0:
        return stamp + dice.choice(_FAILURES) + "\n"
    if number % _LINES_PER_STEP < 2:
        return stamp + ("##[group]Run ./build.sh", "##[endgroup]")[number % _LINES_PER_STEP] + "\n"
    return (
        stamp + dice.choice(_NOISE).format(n=dice.randrange(10_000), h=f"{dice.getrandbits(64):016x}") + "\n"
    )


_FAILURES = (
    "##[error]Process completed with exit code 1.",
    "E   AssertionError: assert 1 == 2",
    "npm error code ERESOLVE",
    "src/a.c:3:5: error: expected ';' before 'return'",
)
_NOISE = (
    "tests/unit/test_module_{n}.py::TestThing::test_behaviour_{n} PASSED [ 41%]",
    "   Compiling crate-{n} v1.{n}.0 (/home/runner/work/app/app/crates/{h})",
    "[INFO] Downloaded from central: https://repo.example/maven2/org/acme/lib/{n}/lib-{n}.jar (12 kB at 1.{n} MB/s)",
    "#12 {n}.4 Get:{n} http://archive.example/ubuntu noble/main amd64 libfoo{n} amd64 2.{n}-1 [{n} kB]",
    "  added {n} packages, and audited {n} packages in 12s, sha512-{h}{h}",
    "ok      example.com/acme/service/internal/pkg{n}        0.{n}s  coverage: 81.{n}% of statements",
    "warning: unused variable: `value_{n}` in src/module_{n}/handler.rs, help: prefix it with an underscore",
    "Received {n}34217728 of 187346944 (71.6%), 128.0 MBs/sec",
    "2026-11-24 06:00:00 DEBUG pool.{n} acquired connection {h} for request {h} of the scheduler",
)


def grep_patterns(catalogue: Catalogue) -> list[str]:
    """Return those patterns that grep understands, as extended regular expressions; fewer, so at no loss to grep.

    Ours is the greater task: all patterns, ignoring case where they say so, and the line's number and meaning.
    """
    converted = (_as_extended(signature.pattern) for signature in catalogue.signatures)
    return [pattern for pattern in converted if "(?" not in pattern and _grep_takes(pattern)]


def _as_extended(pattern: str) -> str:
    # The time stamp stands before what a pattern calls the line's start.
    plain = pattern.removeprefix("(?i)").replace("(?:", "(").replace("\\d", "[0-9]").replace("\\t", "\t")
    plain = re.sub(r"(^|[(|])\^", r"\1", plain)
    # Counts make grep's automaton explode: with them it takes minutes for a MiB.
    return re.sub(r"\{[1-9]\d*,\d+\}", "+", re.sub(r"\{0,\d+\}", "*", plain))


def _grep_takes(pattern: str) -> bool:
    tried = subprocess.run(  # noqa: S603 - our own argument list
        [GREP, "-E", "-e", pattern], input=b"", capture_output=True, check=False
    )
    return tried.returncode <= 1 and not tried.stderr


def peak_mebibytes() -> float:
    """Return the most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _children_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measure(log: Path, patterns: Path) -> dict[str, float]:
    """Measure both on the same bytes, warm from the page cache.

    In seconds of processor time: both use one core, and a busy machine must not favour whoever ran second.
    """
    catalogue = builtin_catalogue()
    catalogue.databases  # noqa: B018 - compiled once per process, not per log
    size = log.stat().st_size / MEBIBYTE
    before = peak_mebibytes()
    started = time.process_time()
    hits = sum(len(scan(source, catalogue).hits) for source in open_logs(str(log)))
    ours = time.process_time() - started
    grown = peak_mebibytes() - before
    started = _children_seconds()
    command = [GREP, "-c", "-a", "-E", "-f", str(patterns), str(log)]
    found = subprocess.run(  # noqa: S603 - our own argument list
        command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=False
    )
    theirs = _children_seconds() - started
    if found.returncode > 1:
        raise SystemExit(f"grep refuses the patterns: {found.stderr.strip()}")
    return {
        "mebibytes": size,
        "signatures": len(catalogue.signatures),
        "hits_kept": hits,
        "lines_grep_matches": int(found.stdout),
        "ours_mib_per_s": size / ours,
        "grep_mib_per_s": size / theirs,
        "ratio": theirs / ours,
        "memory_mib": grown,
    }


def measure_made_up(mebibytes: int) -> dict[str, float]:
    """Make a log of that size and measure both on it; nothing of it is left."""
    with tempfile.TemporaryDirectory() as folder:
        log, patterns = Path(folder) / "job.log", Path(folder) / "patterns"
        write_log(log, mebibytes * MEBIBYTE)
        taken = grep_patterns(builtin_catalogue())
        patterns.write_text("\n".join(taken) + "\n", encoding="utf-8")
        return measure(log, patterns) | {"patterns_grep_takes": len(taken)}


def main() -> int:
    """Make the log, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=256, help="size of the log")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    result = measure_made_up(arguments.mebibytes)
    if arguments.json:
        print(json.dumps(result))
        return 0
    print(
        f"{result['mebibytes']:.0f} MiB; {result['signatures']:.0f} signatures, "
        f"{result['patterns_grep_takes']:.0f} of them for grep"
    )
    print(
        f"triage   {result['ours_mib_per_s']:8.0f} MiB/s, {result['memory_mib']:.0f} MiB above what it had before"
    )
    print(f"grep -E  {result['grep_mib_per_s']:8.0f} MiB/s")
    print(f"ratio    {result['ratio']:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
