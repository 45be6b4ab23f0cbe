"""A failed test's history brought together, and what it changes in the class that triage announces."""

from collections.abc import Sequence

from runbook.decisions.checklist import FailingRun
from runbook.decisions.flakiness import Flakiness, FlakinessFacts, decide_flakiness
from runbook.engine.incidents import Incident
from runbook.engine.states import IncidentState
from runbook.models import WorkflowRun
from runbook.triage import wording
from runbook.triage.classes import FailureClass
from runbook.triage.classify import Classification


def with_history(
    found: Classification,
    run: WorkflowRun,
    *,
    earlier: Sequence[Incident],
    recent_runs: Sequence[WorkflowRun],
    passed_on_retry: bool,
    other_failures: Sequence[FailingRun],
) -> Classification:
    """Return what failed, a test called flaky only where its history says so; the fingerprint stays as it is.

    Args:
        found: What the logs and reports say.
        run: The failed attempt.
        earlier: Incidents of the same fingerprint.
        recent_runs: Other runs of the same workflow.
        passed_on_retry: Whether a later attempt of this run passed.
        other_failures: Runs that failed at about the same time.
    """
    decided = decide_flakiness(
        FlakinessFacts(
            failure_class=found.failure_class,
            passed_on_retry=passed_on_retry,
            passed_on_commit=any(
                one.head_sha == run.head_sha and one.conclusion == "success" for one in recent_runs
            ),
            failed_again=any(
                _of(one, run) and one.detail["run_attempt"] < run.run_attempt for one in earlier
            ),
            # An incident is closed when the re-run of its commit is green: the failure went without a change.
            came_and_went=sum(one.state is IncidentState.CLOSED and not _of(one, run) for one in earlier),
            others_failed=any(one.workflow_file != run.workflow_file for one in other_failures),
        )
    )
    if not decided.explanation:
        return found
    summary = f"{found.summary.rstrip('.')}. {decided.explanation}"
    if decided.flakiness is not Flakiness.FLAKY:
        return found.model_copy(update={"summary": summary})
    return found.model_copy(
        update={
            "failure_class": FailureClass.FLAKY_TEST,
            "confidence": decided.confidence,
            "summary": summary,
            "proposal": wording.PROPOSAL[FailureClass.FLAKY_TEST],
        }
    )


def _of(incident: Incident, run: WorkflowRun) -> bool:
    return incident.detail.get("run_id") == run.id
