"""Whoever opens a pull request writes its log: what a hostile one may cost."""

import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
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


def _long_names(steps: int) -> Iterator[bytes]:
    """Every step fails, and none has a name that ends the search for what goes on after a failure."""
    for number in range(steps):
        name = "q" * 200 + ("" if number % 2 else " x")  # few names: nothing "went on" by three of them
        yield f"{STAMP}##[group]Run {name}\n{STAMP}##[error]Process completed with exit code 1.\n".encode()


def _endless_names(steps: int) -> Iterator[bytes]:
    for number in range(steps):
        name = "q" * 5_000 + str(number)
        yield f"{STAMP}##[group]Run {name}\n{STAMP}##[error]Process completed with exit code 1.\n".encode()


def _afterwards(steps: int) -> Iterator[bytes]:
    """Steps of the kind that also runs after a failure, each with another name: none says that the job went on."""
    for number in range(steps):
        yield (
            f"{STAMP}##[group]Run {'q' * 150}{number} upload\n"
            f"{STAMP}##[error]Process completed with exit code 1.\n"
        ).encode()


def _far_reasons(steps: int) -> Iterator[bytes]:
    """A piece of a log in which a resolver and the network complain again and again, far from each other."""
    for what in ("npm error code ERESOLVE", "npm error code ECONNRESET"):
        for number in range(steps // 2):
            yield f"{STAMP}##[group]Run make {number}\n{STAMP}{what}\n".encode()


def _seconds(log: Iterable[bytes]) -> float:
    """Return how long a log takes to be classified, without what depends on its bytes alone."""
    found = scan_chunks(log, builtin_catalogue(), name="job.txt", job="job")
    taken = []
    for _ in range(3):
        begun = time.process_time()
        answer = classify_scans([found])
        taken.append(time.process_time() - begun)
        assert answer.failure_class is not FailureClass.PASSING
    return min(taken)


@pytest.mark.parametrize("log", [_log, _long_names, _endless_names, _afterwards, _far_reasons])
def test_a_log_of_endless_failures_is_classified_in_time_linear_in_its_hits(
    log: Callable[[int], Iterator[bytes]],
) -> None:
    few, many = _seconds(log(250)), _seconds(log(2_000))
    assert many < 5.0
    # Eight times the steps: 64 times the time if each were held against each other one.
    assert many < 24 * max(few, 0.002)


@pytest.mark.parametrize("name", ["\u00b2_job.txt", "1" * 5_000 + "_job.txt"])
def test_a_zip_may_name_its_members_as_it_likes(name: str, tmp_path: Path) -> None:
    """Some digits are no number to int, and it refuses the longest ones."""
    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as archive:
        archive.writestr(name, "a line\n")
        archive.writestr("2_b.txt", "a line\n")
    assert len(open_logs(str(tmp_path / "logs.zip"))) == 2
