"""Runbook section "Workflow Failure Response" (IR-01 to IR-22): what broke, how urgent, what may be done."""

from prefect import State, flow
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed

from flows.incident_issue import close_incident, incident_of, place_of_incident
from flows.procedure import Nothing, Proposal, ended_state, follow, refused
from flows.run import Run, begin
from flows.triage_assessment import assess
from flows.triage_incident import open_incident
from flows.triage_remedy import plan_view, remedy_facts
from runbook import report
from runbook.decisions.remedy import decide_remedy, remedy_effects
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.engine import Ended, Outcome, Verification
from runbook.engine.executions import BY_PRODUCT
from runbook.engine.leases import Lease
from runbook.engine.plan import Plan
from runbook.engine.plans import StoredPlan
from runbook.engine.states import ExecutionState
from runbook.errors import Permanent
from runbook.failed_run import GREEN
from runbook.models import Frozen, WorkflowRun
from runbook.requests import TriageRequest
from tasks.actions_runs import read_newer_run, read_run, watch_attempt

PROCEDURE = "triage-failed-run"


@flow(name=PROCEDURE, flow_run_name="triage {request.subject}", persist_result=False, log_prints=False)
def triage_failed_run(request: TriageRequest) -> State[None]:
    """Find out what broke a workflow run, open its incident, and plan the remedy that the policy allows.

    Done means that the re-run was watched to its green end; without a remedy, that the incident stands.
    """
    run = begin(PROCEDURE, request, requester=BY_PRODUCT)
    known: list[_Reading] = []
    if run.applying and run.execution.open and run.execution.incident_id is None:
        try:
            known = [_read(run, request)]
        except Permanent as refusal:
            return refused(run, refusal)
        ended = _claim(run, known[0].failed)
        if ended is not None:
            return ended
    return follow(
        run,
        # What was read for the claim serves the first proposal; a later one reads anew.
        propose=lambda: _propose(run, known.pop() if known else _read(run, request)),
        verify=_verify,
        conclude=lambda plan, outcome: _conclude(run, plan, outcome),
    )


class _Reading(Frozen):
    """The attempt that is to be triaged, and the newest of its run."""

    failed: WorkflowRun
    newest: WorkflowRun


def _read(run: Run, request: TriageRequest) -> _Reading:
    newest = read_run(run.repository.name, request.run_id, attempt=None)
    failed = newest
    if request.run_attempt not in {None, newest.run_attempt}:
        failed = read_run(run.repository.name, request.run_id, attempt=request.run_attempt)
    return _Reading(failed=failed, newest=newest)


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


def _propose(run: Run, reading: _Reading) -> Proposal | Nothing:
    failed, newest = reading.failed, reading.newest
    if failed.status != "completed" or failed.conclusion in GREEN:
        return _overtaken(run, failed)
    # Somebody else's re-run may have failed, too, and has its own triage.
    if run.applying and not _claimed(run, failed):
        return Nothing(name="AlreadyClaimed", reason=_elsewhere(failed))
    assessment = assess(run, failed, newest=newest)
    create_markdown_artifact(
        report.incident_markdown(assessment, on_call=None), key="assessment", description="What triage found"
    )
    place = open_incident(run, assessment) if run.applying else None
    if newest.run_attempt > failed.run_attempt:
        return _overtaken(run, newest)
    newer = read_newer_run(failed)
    if newer is not None:
        return _overtaken(run, newer)
    facts = remedy_facts(run, assessment)
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
        view=plan_view(run, assessment, facts.caches, decision),
        place=place,
    )


def _overtaken(run: Run, newest: WorkflowRun) -> Nothing:
    """Propose nothing where a later attempt or a newer run tells what is so by now; a green one resolves."""
    incident = incident_of(run)
    which = f"attempt {newest.run_attempt} of run {newest.id}"
    if newest.conclusion in GREEN:
        reason = f"{which} is green without our doing"
        if incident is not None:
            close_incident(run.here, run.execution.id, incident, reason)
        return Nothing(name="Resolved", reason=reason)
    reason = f"{which} is {newest.conclusion or newest.status} by now; a failure of it is triaged on its own"
    if incident is not None:
        run.comment(
            place_of_incident(incident), "overtaken", f"No remedy is proposed: {report.words(reason)}."
        )
    return Nothing(name="Overtaken", reason=reason)


def _verify(plan: StoredPlan, lease: Lease) -> Verification:
    reruns = [e for e in (planned.load() for planned in plan.plan.effects) if isinstance(e, RerunFailedJobs)]
    if not reruns:
        return Verification(passed=True, reason="nothing was re-run; the next run will tell")
    rerun = reruns[0]
    return watch_attempt(rerun.repository, rerun.run_id, attempt=rerun.failed_attempt + 1, lease=lease)


def _conclude(run: Run, plan: StoredPlan, outcome: Outcome) -> None:
    incident = incident_of(run)
    if incident is not None and outcome.ended is Ended.DONE:
        close_incident(run.here, run.execution.id, incident, outcome.reason)
