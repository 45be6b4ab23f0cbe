"""Short, made-up job logs in the form that GitHub serves them."""

from collections.abc import Sequence

from runbook.triage.catalogue import builtin_catalogue
from runbook.triage.classify import Classification, classify
from runbook.triage.logs import from_bytes

END = ("Post job cleanup.", "Cleaning up orphan processes")


def stamped(lines: Sequence[str], *, begun_minute: int = 0) -> bytes:
    """Return lines with GitHub's time stamps, one a second."""
    return "".join(
        f"2026-11-24T06:{begun_minute + number // 60:02}:{number % 60:02}.0000000Z {line}\n"
        for number, line in enumerate(lines)
    ).encode()


def step(command: str, *lines: str, code: int | None = None) -> list[str]:
    """Return a step's lines: its group, what it prints, and how it ended where ``code`` says so."""
    ended = [f"##[error]Process completed with exit code {code}."] if code is not None else []
    return [f"##[group]Run {command}", "shell: /usr/bin/bash -e {0}", "##[endgroup]", *lines, *ended]


def job(*steps: Sequence[str]) -> list[str]:
    """Return a whole job's lines."""
    return ["Current runner version: '2.329.0'", *(line for one in steps for line in one), *END]


def classified(lines: Sequence[str], *, failing_steps: tuple[str, ...] = ()) -> Classification:
    """Classify the lines as one job's log."""
    source = from_bytes("job.txt", stamped(lines), job="test")
    return classify([source], catalogue=builtin_catalogue(), failing_steps=failing_steps)
