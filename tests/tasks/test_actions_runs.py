"""Watching a re-run on the stand-in, in virtual time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from runbook.engine.engine import Verification
from runbook.policy import Policy
from runbook.triage.catalogue import builtin_catalogue
from runbook.triage.classes import FailureClass
from tasks import actions_runs, progress
from tests.runbook.engine.conftest import REPOSITORY, TIMINGS
from tests.runbook.engine.desk import PEOPLE, SCENARIO, Desk, open_desk


@dataclass
class LateStart:
    """The desk's clock; the re-run that was ordered comes about only after so many sleeps."""

    desk: Desk
    after_sleeps: int
    sleeps: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the desk's time."""
        return self.desk.clock.now()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.desk.clock.sleep(seconds)
        self.sleeps.append(seconds)
        if len(self.sleeps) == self.after_sleeps:
            self.desk.person("alice").rerun_failed_jobs(REPOSITORY, self.desk.run_id)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """An engine on the stand-in; progress goes nowhere."""

    def create(**_artifact: Any) -> object:
        return uuid4()

    monkeypatch.setattr(progress, "create_progress_artifact", create)
    monkeypatch.setattr(progress, "update_progress_artifact", lambda *_args, **_artifact: None)
    with open_desk(tmp_path) as opened:
        yield opened


CASE = '<testcase classname="tests.test_call" name="test_ring"><failure message="no ring"/></testcase>'
JUNIT = f"<testsuite>{CASE}</testsuite>"
WITH_REPORTS: dict[str, Any] = {
    **SCENARIO,
    "repositories": {
        REPOSITORY: {
            "roles": PEOPLE,
            "workflows": [{"file": "ci-test.yml", "name": "CI Test"}],
            "runs": [
                {
                    "workflow": "ci-test.yml",
                    "ago": "30m",
                    "logs_gone": True,
                    "jobs": [{"name": "test", "seconds": 10, "conclusion": "failure"}],
                    "artifacts": [{"name": "junit", "files": {"junit.xml": JUNIT}}],
                }
            ],
        }
    },
}


def test_a_runs_reports_are_read_where_its_logs_are_gone(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "second").mkdir()
    with open_desk(tmp_path / "second", WITH_REPORTS) as here:
        policy = Policy.model_validate(
            {"repositories": [{"name": REPOSITORY}], "approvals": {"approvers": ["alice"]}}
        )
        github = here.engine.world.github
        installed = SimpleNamespace(github=github, policy=policy, catalogue=builtin_catalogue())
        monkeypatch.setattr(actions_runs, "installation", lambda: installed)
        run = actions_runs.read_run.fn(REPOSITORY, here.run_id, attempt=None)
        found = actions_runs.classify_failed_run.fn(
            run, actions_runs.read_jobs.fn(REPOSITORY, here.run_id, attempt=1)
        )
    assert found.classification.failure_class is FailureClass.TEST_FAILURE
    assert [test.identity for test in found.findings.failed_tests] == ["tests.test_call::test_ring"]
    assert found.notes == ("the log of test has expired or was deleted (410)",)


def watch(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, after_sleeps: int
) -> tuple[Verification, LateStart]:
    """Watch the second attempt under a lease."""
    clock = LateStart(desk, after_sleeps)
    here = SimpleNamespace(
        policy=SimpleNamespace(timings=TIMINGS),
        clock=clock,
        github=desk.engine.world.github,
        engine=desk.engine,
    )
    monkeypatch.setattr(actions_runs, "installation", lambda: here)
    plan = desk.show(desk.rerun())
    lease = desk.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    return actions_runs.watch_attempt.fn(REPOSITORY, desk.run_id, attempt=2, lease=lease), clock


def test_an_attempt_that_github_has_yet_to_start_is_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _clock = watch(desk, monkeypatch, after_sleeps=2)
    assert found.passed
    assert "ended in success" in found.reason


def test_an_attempt_that_never_comes_is_not_waited_for_beyond_the_settling_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, clock = watch(desk, monkeypatch, after_sleeps=1000)
    assert not found.passed
    assert TIMINGS.settle_seconds <= sum(clock.sleeps) < TIMINGS.settle_seconds + TIMINGS.watch_poll_seconds
