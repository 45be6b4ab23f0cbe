"""A failed test and its earlier incidents: what triage makes of both."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runbook.decisions.checklist import FailingRun
from runbook.engine.incidents import Incident
from runbook.engine.states import IncidentState
from runbook.flaky_test import with_history
from runbook.models import WorkflowRun
from runbook.triage.classes import FailureClass as Class
from runbook.triage.classify import Classification, classify_without_log
from tests.runbook.decisions.test_remedy import RUN

AT = datetime(2026, 3, 1, tzinfo=UTC)
FOUND = classify_without_log(Class.TEST_FAILURE, 0.7, summary="Tests failed.", proposal="Fix it.")


def incident(run_id: int, *, attempt: int = 1, state: IncidentState = IncidentState.CLOSED) -> Incident:
    """Return an earlier incident of the same failure."""
    return Incident(
        id=run_id,
        repository="acme/voice-agent",
        issues_repository="acme/voice-agent",
        issue_number=1,
        issue_url="u",
        fingerprint=FOUND.fingerprint,
        failure_class="test_failure",
        severity="P1",
        title="t",
        state=state,
        resolution="",
        opened_at=AT,
        closed_at=None,
        detail={"run_id": run_id, "run_attempt": attempt},
    )


def judged(run: WorkflowRun = RUN, found: Classification = FOUND, **facts: Any) -> Classification:
    """Return what becomes of a failed test."""
    known: dict[str, Any] = {"earlier": (), "recent_runs": (), "passed_on_retry": False, "other_failures": ()}
    return with_history(found, run, **{**known, **facts})


def green(sha: str) -> WorkflowRun:
    """Return another run that passed."""
    return RUN.model_copy(update={"id": 43, "head_sha": sha, "conclusion": "success"})


OTHER = FailingRun(workflow_file="ci-build.yml", head_sha="b" * 40, html_url="u", failed_at=AT)


@pytest.mark.parametrize(
    ("facts", "becomes"),
    [
        ({"passed_on_retry": True}, Class.TEST_FAILURE),
        ({"passed_on_retry": True, "earlier": (incident(7),)}, Class.FLAKY_TEST),
        ({"passed_on_retry": True, "earlier": (incident(7, state=IncidentState.OPEN),)}, Class.TEST_FAILURE),
        ({"passed_on_retry": True, "earlier": (incident(RUN.id),)}, Class.TEST_FAILURE),
        ({"recent_runs": (green(RUN.head_sha),), "earlier": (incident(7),)}, Class.FLAKY_TEST),
        ({"recent_runs": (green("b" * 40),), "earlier": (incident(7),)}, Class.TEST_FAILURE),
        (
            {"passed_on_retry": True, "earlier": (incident(7),), "other_failures": (OTHER,)},
            Class.TEST_FAILURE,
        ),
        ({"earlier": (incident(7), incident(8))}, Class.TEST_FAILURE),
    ],
)
def test_a_test_is_called_flaky_only_with_its_history(facts: dict[str, Any], becomes: Class) -> None:
    found = judged(**facts)
    assert found.failure_class is becomes
    assert found.fingerprint == FOUND.fingerprint


def test_a_failure_that_came_back_on_the_same_commit_is_said() -> None:
    open_one = incident(RUN.id, attempt=RUN.run_attempt - 1, state=IncidentState.OPEN)
    assert "came back when the run was repeated" in judged(earlier=(open_one,)).summary
    own = incident(RUN.id, attempt=RUN.run_attempt, state=IncidentState.OPEN)
    assert judged(earlier=(own,)) == FOUND


def test_a_failure_of_another_class_is_left_alone() -> None:
    found = FOUND.model_copy(update={"failure_class": Class.BUILD_FAILURE})
    assert judged(found=found, passed_on_retry=True, earlier=(incident(7), incident(8))) == found
