"""Made-up logs of many tools, each with the class and the first line that a person would name.

A sample begins with ``=== class | command | exit code | what it shows`` (``-`` for none); the line after ``MARK``
is its first cause. They are written from knowledge of the tools, in own words, and come before the signatures that
they try: what triage says of a tool it has no signature for is a finding too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runbook.triage.classes import FailureClass
from tests.runbook.triage.build import job, step

FOLDER = Path(__file__).with_name("samples")
MARK = "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
_HEAD = re.compile(r"^=== (\w+) \| (.+) \| (\d+|-) \| (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """One made-up step of a job, and what a person would say of it."""

    id: str
    label: FailureClass
    command: str
    code: int | None
    lines: tuple[str, ...]
    first: str


def samples(folder: Path = FOLDER) -> tuple[Sample, ...]:
    """Read all samples."""
    return tuple(one for path in sorted(folder.glob("*.txt")) for one in _read(path))


def lines_of(sample: Sample) -> list[str]:
    """Return the log of a job in which the sample is the last step."""
    if not sample.command:
        return job(sample.lines)
    return job(step("actions/checkout@v4"), step(sample.command, *sample.lines, code=sample.code))


def _read(path: Path) -> Iterator[Sample]:
    parts = _HEAD.split(path.read_text("utf-8"))[1:]
    for number, (label, command, code, title, text) in enumerate(
        zip(*[iter(parts)] * 5, strict=True), start=1
    ):
        lines = text.strip("\n").split("\n") if text.strip() else []
        yield Sample(
            id=f"{path.stem}-{number}: {title}",
            label=FailureClass(label),
            command="" if command == "-" else command,
            code=None if code == "-" else int(code),
            lines=tuple(line.removeprefix(MARK) for line in lines),
            first=next((line.removeprefix(MARK) for line in lines if line.startswith(MARK)), ""),
        )
