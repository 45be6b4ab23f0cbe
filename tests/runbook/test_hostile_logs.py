"""Whoever opens a pull request writes its log: what a hostile one may cost."""

import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.triage.catalogue import builtin_catalogue
from runbook.triage.classes import FailureClass
from runbook.triage.classify import classify_scans
from runbook.triage.logs import open_logs
from runbook.triage.scan import MAX_HITS, scan_chunks

STAMP = "2026-01-01T00:00:00.0000000Z "


def _log(steps: int) -> Iterator[bytes]:
    """A log of many failing steps, each full of many tools' errors."""
    signatures = [one for one in builtin_catalogue().signatures if one.examples and not one.is_marker]
    errors = [one.examples[0] for one in signatures[:12]]
    for step in range(steps):
        lines = [f"##[group]Run make {step}", "##[endgroup]", *errors * 5]
        lines.append("##[error]Process completed with exit code 1.")
        yield "".join(f"{STAMP}{line}\n" for line in lines).encode()


def test_a_log_of_endless_failures_keeps_a_bounded_number_of_hits() -> None:
    found = scan_chunks(_log(1_000), builtin_catalogue(), name="job.txt", job="job")
    assert len(found.hits) <= 2 * MAX_HITS
    assert found.hits[0].line == 1
    assert found.hits[-1].line == found.lines


def test_a_log_of_endless_failures_is_classified_in_time_linear_in_its_hits() -> None:
    found = scan_chunks(_log(600), builtin_catalogue(), name="job.txt", job="job")
    begun = time.process_time()
    answer = classify_scans([found])
    assert time.process_time() - begun < 5.0
    assert answer.failure_class is not FailureClass.PASSING


@pytest.mark.parametrize("name", ["\u00b2_job.txt", "1" * 5_000 + "_job.txt"])
def test_a_zip_may_name_its_members_as_it_likes(name: str, tmp_path: Path) -> None:
    """Some digits are no number to int, and it refuses the longest ones."""
    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as archive:
        archive.writestr(name, "a line\n")
        archive.writestr("2_b.txt", "a line\n")
    assert len(open_logs(str(tmp_path / "logs.zip"))) == 2
