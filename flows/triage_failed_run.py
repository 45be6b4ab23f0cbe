"""Runbook section "Workflow Failure Response" (IR-01 to IR-22): what broke, how urgent, what may be done."""

from datetime import datetime, timedelta

from prefect import State, flow
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed

from flows.clear_caches import cache_table, counted
from flows.closing import close_incident, place_of_incident
from flows.procedure import Nothing, Proposal, ended_state, follow
from flows.run import IssuePlace, Run, begin
from runbook import report
from runbook.assessment import Assessment
from runbook.decisions.cache_selection import CacheSelection, restorable_refs, select_implicated
from runbook.decisions.checklist import ChecklistFacts, SimilarIncident, answer_checklist
from runbook.decisions.outage import OutsideReason, Together, alone, outage_fingerprint, outside_reason
from runbook.decisions.remedy import RemedyDecision, RemedyFacts, decide_remedy, remedy_effects
from runbook.decisions.severity import (
    affected_ref,
    decide_severity,
    is_documentation,
    waiting_pull_requests,
)
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.effects.incident_issues import OpenIssue, ReopenIssue
from runbook.engine.engine import Ended, Outcome, Verification
from runbook.engine.executions import BY_PRODUCT
from runbook.engine.incidents import Incident
from runbook.engine.leases import Lease
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import StoredPlan
from runbook.engine.states import ExecutionState
from runbook.failed_run import GREEN, failed_jobs, incident_fingerprint, severity_facts
from runbook.flaky_test import with_history
from runbook.models import Job, RegistryProbe, WorkflowRun
from runbook.policy import Remedy, Severity, WorkflowKind
from runbook.requests import TriageRequest
from runbook.triage.classes import FailureClass
from runbook.triage.classify import Classification
from tasks.actions_caches import list_caches
from tasks.actions_runs import (
    Surroundings,
    classify_failed_run,
    read_jobs,
    read_run,
    read_surroundings,
    watch_attempt,
)
from tasks.registry import probe_registry, read_rate_limits

PROCEDURE = "triage-failed-run"


@flow(name=PROCEDURE, flow_run_name="triage {request.subject}", persist_result=False, log_prints=False)
def triage_failed_run(request: TriageRequest) -> State[None]:
    """Find out what broke a workflow run, open its incident, and plan the remedy that the policy allows.

    Done means that the re-run was watched to its green end; without a remedy, that the incident stands.
    """
    run = begin(PROCEDURE, request, requester=BY_PRODUCT)
    if run.applying and run.execution.open and run.execution.incident_id is None:
        failed = read_run(run.repository.name, request.run_id, attempt=request.run_attempt)
        refused = _claim(run, failed)
        if refused is not None:
            return refused
    return follow(
        run,
        propose=lambda: _propose(run, request),
        verify=_verify,
        conclude=lambda plan, outcome: _conclude(run, plan, outcome),
    )


def assess(run: Run, failed: WorkflowRun) -> Assessment:
    """Gather and decide what triage says about a failed attempt; reads only.

    Args:
        run: The entered procedure.
        failed: The attempt.
    """
    policy = run.here.policy
    repository = run.repository
    jobs = read_jobs(repository.name, failed.id, attempt=failed.run_attempt)
    reading = classify_failed_run(failed, jobs)
    around = _as_the_branches_require(read_surroundings(failed), jobs)
    found = _with_history(run, failed, reading.classification, around)
    workflow = repository.workflow(failed.path)
    pulls = around.blocked_pull_requests or ()
    severity = decide_severity(
        severity_facts(
            failed,
            repository,
            found.failure_class,
            blocked_pull_requests=tuple(pull.number for pull in pulls),
            passed_on_retry=around.passed_on_retry,
            documentation_only=is_documentation(around.changed_paths, patterns=policy.triage.documentation),
        ),
        policy=policy,
    )
    builds = workflow.kind in {WorkflowKind.BUILD, WorkflowKind.DEPLOY}
    registry = probe_registry(repository.name) if builds else None
    fingerprint = _fingerprint(failed, found, registry)
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
                update={"outside": _reason(found, registry)}
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


def _claim(run: Run, failed: WorkflowRun) -> State[None] | None:
    """Claim the attempt (R10); end the flow where another execution has it, or where nothing failed."""
    if failed.status != "completed" or failed.conclusion in GREEN:
        reason = f"run {failed.id}, attempt {failed.run_attempt}, is {failed.conclusion or failed.status}: not failed"
        run.end(ExecutionState.DONE, reason)
        return Completed(message=reason, name="NotFailed")
    if _claimed(run, failed):
        return None
    reason = _elsewhere(failed)
    run.end(ExecutionState.ALREADY_CLAIMED, reason)
    return ended_state(ExecutionState.ALREADY_CLAIMED, reason)


def _claimed(run: Run, failed: WorkflowRun) -> bool:
    return run.here.engine.executions.claim_attempt(
        run.execution.id,
        repository=run.repository.name,
        run_id=failed.id,
        run_attempt=failed.run_attempt,
    )


def _elsewhere(failed: WorkflowRun) -> str:
    return f"attempt {failed.run_attempt} of run {failed.id} is being triaged already"


def _with_history(
    run: Run, failed: WorkflowRun, found: Classification, around: Surroundings
) -> Classification:
    earlier = run.here.engine.incidents.recent(
        repository=run.repository.name, fingerprint=incident_fingerprint(failed, found)
    )
    return with_history(
        found,
        failed,
        earlier=earlier,
        recent_runs=around.recent_runs,
        passed_on_retry=around.passed_on_retry,
        other_failures=around.other_failures or (),
    )


def _checklist_facts(run: Run, failed: WorkflowRun, around: Surroundings, fingerprint: str) -> ChecklistFacts:
    repository = run.repository
    earlier = run.here.engine.incidents.recent(repository=repository.name, fingerprint=fingerprint)
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
            for incident in earlier
        ),
        other_failures=around.other_failures,
        suspects=around.suspects,
    )


def _propose(run: Run, request: TriageRequest) -> Proposal | Nothing:
    newest = read_run(run.repository.name, request.run_id, attempt=None)
    failed = newest
    if request.run_attempt is not None:
        failed = read_run(run.repository.name, request.run_id, attempt=request.run_attempt)
    if failed.status != "completed" or failed.conclusion in GREEN:
        return _overtaken(run, failed)
    if run.applying and not _claimed(
        run, failed
    ):  # somebody else's re-run failed too, and has its own triage
        return Nothing(name="AlreadyClaimed", reason=_elsewhere(failed))
    assessment = assess(run, failed)
    create_markdown_artifact(
        report.incident_markdown(assessment, on_call=None), key="assessment", description="What triage found"
    )
    place = _open_incident(run, assessment) if run.applying else None
    if newest.run_attempt > failed.run_attempt:
        return _overtaken(run, newest)
    facts = _remedy_facts(run, assessment)
    proposed = run.here.policy.remedy(assessment.classification.failure_class).propose
    decision = decide_remedy(facts, proposed=proposed, caps=run.here.policy.caps)
    if not decision.remedies:
        if place is not None:
            run.comment(place, "no-remedy", f"No remedy is proposed: {report.words(decision.reason)}.")
        return Nothing(name="Triaged", reason=f"{report.incident_title(assessment)}; {decision.reason}")
    return Proposal(
        plan=Plan.of(
            procedure=PROCEDURE, repository=run.repository.name, effects=remedy_effects(facts, decision)
        ),
        view=_view(run, assessment, facts.caches, decision),
        place=place,
    )


def _overtaken(run: Run, newest: WorkflowRun) -> Nothing:
    """Propose nothing for a run that somebody else re-ran; one that is green by now has resolved its incident."""
    incident = _incident(run)
    if newest.conclusion in GREEN:
        reason = f"run {newest.id} is green at attempt {newest.run_attempt} without our doing"
        if incident is not None:
            close_incident(run.here, run.execution.id, incident, reason)
        return Nothing(name="Resolved", reason=reason)
    reason = (
        f"attempt {newest.run_attempt}, the newest of run {newest.id}, is {newest.conclusion or newest.status}; "
        "a failure of it is triaged on its own"
    )
    if incident is not None:
        run.comment(
            place_of_incident(incident), "overtaken", f"No remedy is proposed: {report.words(reason)}."
        )
    return Nothing(name="Overtaken", reason=reason)


def _incident(run: Run) -> Incident | None:
    """Return the incident by now: it may have been opened since this process entered the procedure."""
    if not run.applying:
        return None
    engine = run.here.engine
    execution = engine.executions.get(run.execution.id)
    if execution is None or execution.incident_id is None:
        return None
    return engine.incidents.get(execution.incident_id)


def _remedy_facts(run: Run, assessment: Assessment) -> RemedyFacts:
    failed = assessment.run
    keys = frozenset(assessment.classification.cache_keys)
    proposed = run.here.policy.remedy(assessment.classification.failure_class).propose
    caches = CacheSelection(chosen=(), staying=())
    if keys and Remedy.CLEAR_IMPLICATED_CACHES in proposed:
        refs = restorable_refs(
            failed,
            ref=affected_ref(failed, run.repository),
            default_branch=run.repository.default_branch,
        )
        caches = select_implicated(list_caches(run.repository.name), keys=keys, refs=refs)
    return RemedyFacts(
        limit_ends_at=_limit_ends_at(assessment),
        run=failed,
        failure_class=assessment.classification.failure_class,
        cache_keys=assessment.classification.cache_keys,
        caches=caches,
        reruns_of_run=failed.run_attempt - 1,
        reruns_today=run.here.engine.entries.count_since(
            RerunFailedJobs.kind,
            params={"repository": failed.repository, "workflow_file": failed.workflow_file},
            since=run.here.clock.now() - timedelta(days=1),
        ),
    )


def _limit_ends_at(assessment: Assessment) -> datetime | None:
    """Return when the rate limit ends that a run ran into: as its log says, else as GitHub says of ours."""
    found = assessment.classification
    if found.failure_class is not FailureClass.RATE_LIMIT:
        return None
    spent = [limit.reset_at for limit in assessment.rate_limits if limit.remaining == 0]
    return found.rate_limit_reset_at or max(spent, default=None)


def _view(run: Run, assessment: Assessment, caches: CacheSelection, decision: RemedyDecision) -> PlanView:
    failure_class = assessment.classification.failure_class
    failed = assessment.run
    scorecard = run.here.engine.plans.scorecard(remedy=decision.name, failure_class=failure_class)
    clears = f"delete {counted(len(caches.chosen), 'implicated cache')}, then " if caches.chosen else ""
    cold = "Builds that would have restored these caches start cold once. " if caches.chosen else ""
    jobs = ", ".join(job.name for job in assessment.failed_jobs)
    not_before = _limit_ends_at(assessment) if decision.waits else None
    waits = f"wait until {not_before:%Y-%m-%d %H:%M:%S} (UTC), then " if not_before else ""
    return PlanView(
        not_before=not_before,
        title=f"{waits}{clears}re-run the failed jobs of {failed.workflow_file}",
        why=report.sentences(assessment.classification.summary, assessment.classification.proposal),
        remedy=decision.name,
        failure_class=failure_class,
        blast_radius=f"{cold}Only the failed jobs ({jobs}) run again, with the rights of the run's first actor.",
        if_nobody_acts=(
            f"{failed.workflow_file} stays red on {failed.head_branch or failed.head_sha[:12]}, "
            "and the next run is likely to fail the same way."
        ),
        history=scorecard.sentence(),
        tables=(cache_table(caches),) if caches.chosen else (),
    )


def _open_incident(run: Run, assessment: Assessment) -> IssuePlace:
    """Open the incident's issue, or say on an open one that the same failure happened again."""
    incidents = run.here.engine.incidents
    repository = run.repository
    failed = assessment.run
    incident = incidents.open_or_join(
        run.execution.id,
        repository=repository.name,
        issues_repository=repository.incidents_repository,
        fingerprint=_fingerprint(failed, assessment.classification, assessment.registry),
        failure_class=assessment.classification.failure_class,
        severity=assessment.level,
        title=report.incident_title(assessment),
        detail={
            "run_id": failed.id,
            "run_attempt": failed.run_attempt,
            "failed_at": failed.updated_at.isoformat(),
        },
        outside=_outside(assessment),
        outage_window_minutes=run.here.policy.triage.outage_window_minutes,
    )
    body = report.incident_markdown(assessment, on_call=run.here.policy.on_call)
    if incident.issue_number is None:
        incident = _open_issue(run, incident, body)
    place = place_of_incident(incident)
    if (incident.detail["run_id"], incident.detail["run_attempt"]) != (failed.id, failed.run_attempt):
        if incident.reopened:
            run.write("reopen-issue", ReopenIssue(repository=place.repository, issue=place.number))
        run.comment(place, f"assessment-{failed.id}-{failed.run_attempt}", _outage_line(run, incident) + body)
    return place


def _outside(assessment: Assessment) -> Together | None:
    """Return a failure's outside reason, by which others may belong to the same outage (IR-12)."""
    reason = _reason(assessment.classification, assessment.registry)
    failed = assessment.run
    if reason is None:
        return None
    return alone(reason, workflow_file=failed.workflow_file, failed_at=failed.updated_at)


def _fingerprint(failed: WorkflowRun, found: Classification, registry: RegistryProbe | None) -> str:
    own = incident_fingerprint(failed, found)
    reason = _reason(found, registry)
    return own if reason is None else outage_fingerprint(reason, own)


def _reason(found: Classification, registry: RegistryProbe | None) -> OutsideReason | None:
    return outside_reason(found.failure_class, registry=registry.state if registry is not None else None)


def _outage_line(run: Run, incident: Incident) -> str:
    """Say on an incident that several workflows fail for its outside reason."""
    together = incident.together
    if together is None or not together.is_outage(workflows=run.here.policy.triage.outage_workflows):
        return ""
    return report.outage_markdown(together) + "\n\n"


def _open_issue(run: Run, incident: Incident, body: str) -> Incident:
    """Open an incident's issue; once, also where several executions join the incident in the same moment."""
    labels = run.repository.labels
    # With its time, for a ledger that was lost starts counting anew, and old issues stay.
    key = f"incident-{incident.id}-{incident.opened_at:%Y%m%dT%H%M%S}"
    issue = OpenIssue(
        repository=incident.issues_repository,
        key=key,
        title=incident.title,
        body=body,
        labels=(labels.incident, labels.for_severity(Severity(incident.severity))),
    )
    entry = run.write("issue", issue, within=key)
    result = entry.result or {}
    return run.here.engine.incidents.issue_opened(
        incident.id, number=int(result["number"]), url=str(result["url"])
    )


def _verify(plan: StoredPlan, lease: Lease) -> Verification:
    reruns = [e for e in (planned.load() for planned in plan.plan.effects) if isinstance(e, RerunFailedJobs)]
    if not reruns:
        return Verification(passed=True, reason="nothing was re-run; the next run will tell")
    rerun = reruns[0]
    return watch_attempt(rerun.repository, rerun.run_id, attempt=rerun.failed_attempt + 1, lease=lease)


def _conclude(run: Run, plan: StoredPlan, outcome: Outcome) -> None:
    incident = _incident(run)
    if incident is not None and outcome.ended is Ended.DONE:
        close_incident(run.here, run.execution.id, incident, outcome.reason)
