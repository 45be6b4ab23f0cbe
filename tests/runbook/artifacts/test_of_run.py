"""Which artifacts of a run are read, and the reading of them on the stand-in."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

import sandbox
from runbook.artifacts import of_run
from runbook.artifacts.archive import ArchiveLimits
from runbook.artifacts.of_run import (
    MOST_ARTIFACTS,
    USUAL_NAMES,
    choose_artifacts,
    read_artifacts,
    with_coverage_before,
)
from runbook.clients.github_client import GitHubClient
from runbook.clock import VirtualClock
from runbook.failed_run import read_reports
from runbook.models import Artifact, WorkflowRun
from runbook.policy import Policy
from runbook.report.findings import findings_markdown
from runbook.report.text import USUAL
from tests.runbook.artifacts.build import COBERTURA, JUNIT

REPOSITORY = "acme/voice-agent"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIMITS = ArchiveLimits()
BEFORE = '<coverage line-rate="0.9"/>'


def scenario(*artifacts: dict[str, Any]) -> dict[str, Any]:
    """Return a repository whose run failed and left these artifacts."""
    jobs = [{"name": "test", "seconds": 10, "conclusion": "failure"}]
    return {
        "bot": "runbook-bot",
        "repository": REPOSITORY,
        "users": {"runbook-bot": {}},
        "repositories": {
            REPOSITORY: {
                "roles": {"runbook-bot": "write"},
                "workflows": [{"file": "ci-test.yml", "name": "CI Test"}],
                "runs": [
                    {"workflow": "ci-test.yml", "ago": "30m", "jobs": jobs, "artifacts": list(artifacts)},
                    {
                        "workflow": "ci-test.yml",
                        "ago": "2h",
                        "jobs": [{"name": "test", "seconds": 10, "conclusion": "success"}],
                        "artifacts": [{"name": "coverage", "files": {"coverage.xml": BEFORE}}],
                    },
                ],
            }
        },
    }


FILES = scenario(
    {"name": "test-results", "files": {"junit.xml": JUNIT}},
    {"name": "coverage", "files": {"coverage.xml": COBERTURA}},
    {"name": "junit-old", "files": {"junit.xml": JUNIT}, "expired": True},
    {"name": "trivy", "files": {"trivy.json": "{"}},
    {"name": "wheel", "files": {"junit.xml": JUNIT}},
)


class Desk:
    """A client on a stand-in, and the run that failed."""

    def __init__(self, box: sandbox.Box, github: GitHubClient) -> None:
        self.box, self.github = box, github
        self.run = github.get_run(REPOSITORY, next(iter(box.repository.runs)))
        self.read_names: list[str] = []

    def read(self, wanted: tuple[str, ...] = ()) -> Any:
        """Read the run's artifacts."""
        return read_artifacts(self.github, self.run, wanted=wanted, report=self.read_names.append)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A run with artifacts of several kinds."""
    clock = VirtualClock(START)
    with (
        sandbox.running(FILES, clock=clock) as box,
        GitHubClient(token=SecretStr(box.token), api_url=box.url, clock=clock) as github,
    ):
        yield Desk(box, github)


def test_the_usual_reports_are_read_and_what_was_not_is_said(desk: Desk) -> None:
    found = desk.read()
    assert [test.report for test in found.failed_tests] == ["test-results/junit.xml"] * 2
    assert [one.report for one in found.coverage] == ["coverage/coverage.xml"]
    assert desk.read_names == ["test-results", "coverage", "trivy"]
    assert found.notes[0] == "artifact junit-old has expired"
    assert not found.incomplete
    assert found.notes[1].startswith("trivy/trivy.json was not read: it is no JSON")


def test_the_policy_may_name_them(desk: Desk) -> None:
    assert desk.read(("whe*",)).failed_tests[0].report == "wheel/junit.xml"
    assert desk.read_names == ["wheel"]


def test_another_repositorys_run_is_read_by_the_usual_names(desk: Desk) -> None:
    other = {"repositories": [{"name": "acme/other"}], "approvals": {"approvers": ["alice"]}}
    for policy in (None, Policy.model_validate(other)):
        found = read_reports(desk.github, desk.run, policy=policy, report=desk.read_names.append)
        assert len(found.failed_tests) == 2


@pytest.mark.parametrize("fault", ["403", "500_before"])
@pytest.mark.parametrize("path", ["/artifacts$", "/zip$"])
def test_artifacts_that_github_does_not_give_end_no_triage(desk: Desk, fault: str, path: str) -> None:
    desk.box.fail(fault, method="GET", path_regex=path, times=100)
    found = desk.read()
    assert found.empty
    assert any("could not be listed" in note or "was not read" in note for note in found.notes)
    assert found.incomplete, "a limit ends, and so does a server's trouble"


def test_what_github_refuses_is_not_looked_for_again(desk: Desk) -> None:
    refusal = "Resource not accessible by integration"
    desk.box.fail("403", method="GET", path_regex="/artifacts$", times=100, message=refusal)
    found = desk.read()
    assert refusal in found.notes[0]
    assert not found.incomplete


def test_artifacts_that_take_too_long_are_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_run, "MOST_SECONDS", -1.0)
    found = desk.read()
    assert found.empty
    assert "3 more artifacts were not read: it took too long" in found.notes
    assert found.incomplete


def test_coverage_is_compared_with_the_last_green_run(desk: Desk) -> None:
    found = with_coverage_before(desk.github, desk.run, desk.read())
    (coverage,) = found.coverage
    assert (coverage.line_percent, coverage.before_percent) == (81.25, 90.0)
    assert "81.2 % of the lines, 8.8 points less than in the last green run" in findings_markdown(
        found, USUAL
    )


def test_without_coverage_nothing_more_is_read(desk: Desk) -> None:
    found = desk.read(("test-results",))
    asked = len(desk.box.requests)
    assert with_coverage_before(desk.github, desk.run, found) == found
    assert len(desk.box.requests) == asked


def test_coverage_before_that_cannot_be_read_ends_no_triage(desk: Desk) -> None:
    found = desk.read()
    desk.box.fail("403", method="GET", path_regex="/runs", times=100)
    (coverage,) = with_coverage_before(desk.github, desk.run, found).coverage
    assert coverage.before_percent is None


# --- the choice ---


def artifact(name: str, number: int = 1, **more: Any) -> Artifact:
    """Return an artifact as GitHub lists it."""
    facts = {"id": number, "name": name, "size_in_bytes": 1, "expired": False, "created_at": START}
    return Artifact(**{**facts, **more})


def attempt(desk: Desk, **more: Any) -> WorkflowRun:
    """Return an attempt that ran for ten minutes before now."""
    times = {"run_started_at": START - timedelta(minutes=10), "updated_at": START}
    return desk.run.model_copy(update={**times, **more})


@pytest.mark.parametrize(
    ("made", "chosen"),
    [
        (START, True),
        (START - timedelta(minutes=10), True),
        (START - timedelta(minutes=30), False),
        (START + timedelta(hours=1), False),
        (None, True),
    ],
)
def test_only_what_the_attempt_itself_made_is_read(desk: Desk, made: datetime | None, chosen: bool) -> None:
    found = choose_artifacts([artifact("junit", created_at=made)], attempt(desk), wanted=(), limits=LIMITS)
    assert bool(found.chosen) is chosen


def test_of_one_name_the_newest_is_read(desk: Desk) -> None:
    found = choose_artifacts(
        [artifact("junit", 2), artifact("junit", 1)], attempt(desk), wanted=(), limits=LIMITS
    )
    assert [one.id for one in found.chosen] == [2]


def test_too_large_and_too_many_ones_are_said(desk: Desk) -> None:
    large = artifact("junit-large", 99, size_in_bytes=LIMITS.bytes + 1)
    many = [artifact(f"junit-{number}", number) for number in range(MOST_ARTIFACTS + 2)]
    found = choose_artifacts([large, *many], attempt(desk), wanted=(), limits=LIMITS)
    assert len(found.chosen) == MOST_ARTIFACTS
    assert found.notes == (
        "artifact junit-large was not read: it is larger than 32 MiB",
        "2 more artifacts were not read",
    )


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("junit", True),
        ("test-results-3.12", True),
        ("Test Report (ubuntu)", True),
        ("pytest_results", True),
        ("coverage-html", True),
        ("trivy-results.sarif", True),
        ("pip-audit", True),
        ("npm_audit.json", True),
        ("security-scan-results", True),
        ("wheel", False),
        ("dist", False),
        ("docker-image", False),
        ("playwright-traces", False),
    ],
)
def test_the_usual_names_are_known(name: str, usual: bool) -> None:
    assert bool(USUAL_NAMES.search(name)) is usual
