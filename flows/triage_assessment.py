"""What triage says about a failed attempt: gathered by reads, decided by pure functions."""

from flows.run import Run
from flows.triage_incident import fingerprint_of, reason_outside
from runbook.assessment import Assessment
from runbook.decisions.checklist import ChecklistFacts, SimilarIncident, answer_checklist
from runbook.decisions.severity import (
    affected_ref,
    decide_severity,
    is_documentation,
    waiting_pull_requests,
)
from runbook.engine.incidents import Incident
from runbook.failed_run import failed_jobs, incident_fingerprint, passed_later, severity_facts
from runbook.flaky_test import with_history
from runbook.models import Job, WorkflowRun
from runbook.policy import WorkflowKind
from runbook.triage.classes import FailureClass
from runbook.triage.classify import Classification
from tasks.actions_runs import (
    Surroundings,
    classify_failed_run,
    read_jobs,
    read_surroundings,
)
from tasks.registry import probe_registry, read_rate_limits


def assess(run: Run, failed: WorkflowRun, *, newest: WorkflowRun) -> Assessment:
    """Gather and decide what triage says about a failed attempt; reads only.

    Args:
        run: The entered procedure.
        failed: The attempt.
        newest: The newest attempt of its run.
    """
    policy = run.here.policy
    repository = run.repository
    jobs = read_jobs(repository.name, failed.id, attempt=failed.run_attempt)
    reading = classify_failed_run(failed, jobs)
    around = _as_the_branches_require(read_surroundings(failed), jobs)
    passed_on_retry = passed_later(failed, newest)
    found = _with_history(run, failed, reading.classification, around, passed_on_retry=passed_on_retry)
    workflow = repository.workflow(failed.path)
    pulls = around.blocked_pull_requests or ()
    severity = decide_severity(
        severity_facts(
            failed,
            repository,
            found.failure_class,
            blocked_pull_requests=tuple(pull.number for pull in pulls),
            passed_on_retry=passed_on_retry,
            documentation_only=is_documentation(around.changed_paths, patterns=policy.triage.documentation),
        ),
        policy=policy,
    )
    builds = workflow.kind in {WorkflowKind.BUILD, WorkflowKind.DEPLOY}
    registry = probe_registry(repository.name) if builds else None
    fingerprint = fingerprint_of(failed, found, registry)
    limited = found.failure_class is FailureClass.RATE_LIMIT
    return Assessment(
        run=failed,
        jobs=jobs,
        recent_runs=around.recent_runs,
        classification=found,
        findings=reading.findings,
        severity=severity,
        checklist=answer_checklist(
            _checklist_facts(run, failed, around, fingerprint).model_copy(
                update={"outside": reason_outside(found, registry)}
            ),
            triage=policy.triage,
        ),
        rate_limits=read_rate_limits() if builds or limited else (),
        registry=registry,
        notes=(*reading.notes, *around.notes),
        assessed_at=run.here.clock.now(),
        wanted_within_minutes=policy.triage.assessment_minutes,
    )


def _as_the_branches_require(around: Surroundings, jobs: tuple[Job, ...]) -> Surroundings:
    """Leave out the pull requests that no failed job holds up: their branches require other checks."""
    if around.blocked_pull_requests is None:
        return around
    waiting = waiting_pull_requests(
        around.blocked_pull_requests,
        failed_checks={job.name for job in failed_jobs(jobs)},
        required_checks=around.required_checks,
    )
    return around.model_copy(update={"blocked_pull_requests": waiting})


def _with_history(
    run: Run, failed: WorkflowRun, found: Classification, around: Surroundings, *, passed_on_retry: bool
) -> Classification:
    return with_history(
        found,
        failed,
        earlier=_earlier_incidents(run, failed, incident_fingerprint(failed, found)),
        recent_runs=around.recent_runs,
        passed_on_retry=passed_on_retry,
        other_failures=around.other_failures or (),
    )


def _checklist_facts(run: Run, failed: WorkflowRun, around: Surroundings, fingerprint: str) -> ChecklistFacts:
    repository = run.repository
    return ChecklistFacts(
        ref=affected_ref(failed, repository),
        ref_name=failed.head_branch or failed.head_sha[:12],
        workflow_file=failed.workflow_file,
        workflow_required=repository.workflow(failed.path).required,
        head_sha=failed.head_sha,
        failed_at=failed.updated_at,
        blocked_pull_requests=around.blocked_pull_requests,
        earlier_incidents=tuple(
            SimilarIncident(title=incident.title, html_url=incident.issue_url, opened_at=incident.opened_at)
            for incident in _earlier_incidents(run, failed, fingerprint)
        ),
        other_failures=around.other_failures,
        suspects=around.suspects,
    )


def _earlier_incidents(run: Run, failed: WorkflowRun, fingerprint: str) -> tuple[Incident, ...]:
    """Return the incidents of the same failure, without the attempt's own: a process before this may have opened it."""
    own = (failed.id, failed.run_attempt)
    return tuple(
        incident
        for incident in run.here.engine.incidents.recent(
            repository=run.repository.name, fingerprint=fingerprint
        )
        if (incident.detail.get("run_id"), incident.detail.get("run_attempt")) != own
    )
