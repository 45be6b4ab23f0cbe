"""The logs of one failed run, read on the stand-in: what is read of them, and what is said of the rest."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

import sandbox
from runbook.clients.github_client import GitHubClient
from runbook.failed_run import LogReading, failed_jobs, read_failed_logs
from runbook.triage.catalogue import builtin_catalogue

REPOSITORY = "acme/voice-agent"
CAUSE = "npm error code E404\n"
NOISE = "all is well so far\n"
FLOOD_LINES = 20_000


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    """A run whose first failed job wrote a flood after its cause, and whose others wrote a line."""
    logs = {"flood": CAUSE + NOISE * FLOOD_LINES + CAUSE, "short": CAUSE}
    jobs = [
        {"name": name, "seconds": 1, "conclusion": "failure", "log": log}
        for name, log in (("a", "flood"), ("b", "short"), ("c", "flood"))
    ]
    scenario = {
        "bot": "runbook-bot",
        "repository": REPOSITORY,
        "users": {"runbook-bot": {}},
        "repositories": {
            REPOSITORY: {
                "roles": {"runbook-bot": "write"},
                "workflows": [{"file": "ci-test.yml"}],
                "logs": logs,
                "runs": [{"workflow": "ci-test.yml", "ago": "1h", "jobs": jobs}],
            }
        },
    }
    with sandbox.running(scenario) as running:
        yield running


def _read(box: sandbox.Box, largest_bytes: int) -> LogReading:
    with GitHubClient(token=SecretStr(box.token), api_url=box.url) as github:
        jobs = github.list_jobs(REPOSITORY, next(iter(box.repository.runs)), attempt=1)
        return read_failed_logs(
            github,
            REPOSITORY,
            failed_jobs(jobs),
            catalogue=builtin_catalogue(),
            largest_bytes=largest_bytes,
            report=lambda number, job: None,
        )


def _causes(reading: LogReading) -> dict[str, int]:
    return {one.job: sum(hit.signature.id == "npm.resolve" for hit in one.hits) for one in reading.scans}


def test_logs_within_the_runs_budget_are_read_to_their_ends(box: sandbox.Box) -> None:
    reading = _read(box, 1 << 30)
    assert _causes(reading) == {"a": 2, "b": 1, "c": 2}
    assert reading.notes == ()


def test_a_log_over_the_budget_keeps_what_was_found_and_hides_no_other(box: sandbox.Box) -> None:
    reading = _read(box, 300_000)
    assert _causes(reading) == {"a": 1, "b": 1, "c": 1}
    assert [note.partition(":")[0] for note in reading.notes] == [
        "the log of a was not read to its end",
        "the log of c was not read to its end",
    ]


def test_one_budget_holds_for_all_logs_of_a_run_and_what_one_leaves_the_others_have(box: sandbox.Box) -> None:
    a, b, c = _read(box, 300_000).scans
    per_line = len(NOISE) + 29  # with its time stamp
    assert (a.lines + b.lines + c.lines) * per_line == pytest.approx(300_000, rel=0.01)
    assert a.lines * per_line == pytest.approx(100_000, rel=0.01)
    assert c.lines > 1.9 * a.lines
