"""The sweeper (R4, R6): dead runs are resumed, failed ones undone, what is due expires, exceptions end."""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import httpx
from prefect import State, flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.logging import get_run_logger
from prefect.states import AwaitingRetry, Completed

from flows.incident_issue import close_incident, place_to_tell
from flows.run import IssuePlace
from flows.waking import flow_run_id
from runbook import report
from runbook.decisions.sweep import (
    RunState,
    SweepAction,
    SweepDecision,
    SweepFacts,
    SweepRules,
    decide_sweep,
)
from runbook.effects.incident_issues import CloseIssue, PostComment
from runbook.engine.effects import Effect
from runbook.engine.engine import Ended, Outcome
from runbook.engine.exception_rows import StandingException
from runbook.engine.executions import Execution
from runbook.engine.leases import Lease
from runbook.engine.processes import is_provably_dead
from runbook.engine.states import ExecutionState, PlanState
from runbook.errors import Denied, NeedsPerson, Permanent, RunbookError
from runbook.exception_pass import ExceptionPass, within
from runbook.installation import Installation, installation
from runbook.requests import Mode, SweepRequest
from runbook.scrub import scrub
from tasks.journal import write_record
from tasks.starting import wake_run

PROCEDURE = "sweep"
TARGET = "sweeper"
"""What the one sweep at a time holds a lease on."""

_NOT_NOW = (RunbookError, PrefectException, httpx.HTTPError)
"""What settling one execution may meet: ours, Prefect's, and its client's."""

MAX_SUSPENDED = 200
"""Suspended runs looked at in one sweep, to wake those whose execution has ended."""


@flow(name=PROCEDURE, flow_run_name="sweep", persist_result=False, log_prints=False)
def sweep(request: SweepRequest) -> State[None]:
    """Revive runs whose process died, settle those that will not go on, wake expired ones, end exceptions."""
    here = installation()
    # The ledger's lease and not Prefect's concurrency limit: a sweep whose process was killed stays Running in
    # Prefect and would hold its slot for good, while a lease of a dead process can be taken over.
    lease = here.engine.leases.acquire_now((TARGET,), execution_id=flow_run_id())
    if lease is None:
        return Completed(message="another sweep is at work", name="AlreadySweeping")
    try:
        with get_client(sync_client=True) as client:
            return _sweep(here, client, lease, apply=request.mode is Mode.APPLY)
    finally:
        here.engine.leases.release(lease)


def _sweep(here: Installation, client: SyncPrefectClient, lease: Lease, *, apply: bool) -> State[None]:
    log = get_run_logger()
    done: list[str] = []
    failed: list[str] = []
    for execution in here.engine.executions.open():
        here.engine.leases.keep(lease)
        try:
            decision = _decide(here, client, execution)
            if decision.action is SweepAction.LEAVE:
                continue
            done.append(f"{decision.action} {execution.procedure} ({execution.subject}): {decision.reason}")
            log.info(scrub(done[-1]))
            if apply:
                _carry_out(here, client, execution, decision)
        except _NOT_NOW as error:  # one that cannot be settled now must not keep the others waiting
            failed.append(f"{execution.id}: {error}")
            log.warning("%s: %s", execution.id, scrub(str(error)))
    if apply:
        _wake_ended(here, client, done=done, failed=failed)
    _attend_to_exceptions(here, lease, apply=apply, done=done, failed=failed)
    if failed:
        return State(type=StateType.FAILED, name="Unsettled", message=scrub("; ".join(failed)))
    return Completed(message=scrub("; ".join(done) or "nothing to do"), name="Swept" if apply else "Planned")


def _attend_to_exceptions(
    here: Installation, lease: Lease, *, apply: bool, done: list[str], failed: list[str]
) -> None:
    """Restore, expire and escalate what is due, and look whether what is barred is back (R6)."""
    look = ExceptionPass(
        here,
        write=_write_of_exception,
        keep=partial(here.engine.leases.keep, lease),
        not_now=_NOT_NOW,
        done=done,
        failed=failed,
    )
    if apply:
        look.apply()
    else:
        look.plan()


def _write_of_exception(exception: StandingException, name: str, effect: Effect) -> None:
    what = scrub(effect.describe())
    write_record(exception.execution_id, name, what=what, effect=effect, within=within(exception))


def _decide(here: Installation, client: SyncPrefectClient, execution: Execution) -> SweepDecision:
    run = _read(client, execution.id)
    # Read after its run: one that ended by itself since it was listed is not to be settled as cut short.
    execution = here.engine.executions.get(execution.id) or execution
    if not execution.open:
        return SweepDecision(action=SweepAction.LEAVE, reason="has ended")
    state = run.state if run is not None else None
    plan = here.engine.plans.latest(execution.id)
    timings = here.policy.timings
    facts = SweepFacts(
        run=RunState(state.type.value) if state is not None else RunState.MISSING,
        run_state_since=_aware(state.timestamp) if state is not None else execution.heartbeat_at,
        run_says=(state.message or "") if state is not None else "",
        process_dead=is_provably_dead(execution.process),
        heartbeat_at=execution.heartbeat_at,
        revivals=execution.revivals,
        plan_expires_at=plan.expires_at if plan is not None and plan.state is PlanState.WAITING else None,
    )
    rules = SweepRules(
        grace_seconds=timings.revive_grace_seconds,
        silent_seconds=timings.silent_seconds,
        max_revivals=timings.max_revivals,
    )
    return decide_sweep(facts, rules=rules, now=here.clock.now())


def _carry_out(
    here: Installation, client: SyncPrefectClient, execution: Execution, decision: SweepDecision
) -> None:
    match decision.action:
        case SweepAction.REVIVE:
            here.engine.executions.revived(execution.id)
            # Forced: a run that is Running in name only has no other way back.
            client.set_flow_run_state(UUID(execution.id), AwaitingRetry(message=decision.reason), force=True)
        case SweepAction.RESUME:
            wake_run(execution.id)
        case SweepAction.CANCEL:
            _settle(here, execution, ExecutionState.CANCELLED, decision.reason)
        case SweepAction.EXPIRE:
            _settle(here, execution, ExecutionState.EXPIRED, decision.reason)
        case SweepAction.GIVE_UP:
            _settle(here, execution, ExecutionState.NEEDS_PERSON, decision.reason)
        case SweepAction.LEAVE:
            return


def _settle(here: Installation, execution: Execution, state: ExecutionState, reason: str) -> None:
    """Undo, write the record, end; in this order, so that a sweep that dies goes on at the next one."""
    outcome = here.engine.settle(execution.id, state=state, reason=reason)
    ended = _ended_as(outcome, state)
    place = _place(here, execution)
    if place is None and ended is ExecutionState.NEEDS_PERSON:
        place = place_to_tell(here, execution.id, reason)
    if place is not None:
        try:
            _write_settled(here, execution, place, _settled_markdown(execution, ended, reason, outcome))
            if ended is ExecutionState.DONE and execution.incident_id is not None:
                incident = here.engine.incidents.get(execution.incident_id)
                close_incident(here, execution.id, incident, outcome.reason if outcome else reason)
        except (Permanent, Denied, NeedsPerson) as error:
            # An issue that was deleted, or may not be written to: the ledger's own record has to do.
            reason = f"{reason}; it could not be written on its issue: {error.message}"
    here.engine.executions.end(execution.id, ended, reason=reason)


def _ended_as(outcome: Outcome | None, state: ExecutionState) -> ExecutionState:
    """Return how an execution ended: what was applied and verified is done, whatever became of its run."""
    if outcome is None or outcome.ended is Ended.UNDONE:
        return state
    return ExecutionState.DONE if outcome.ended is Ended.DONE else ExecutionState.NEEDS_PERSON


def _write_settled(here: Installation, execution: Execution, place: IssuePlace, body: str) -> None:
    """Say on its issue how it ended, and close an issue that was only there for its approval."""
    effect = PostComment(
        repository=place.repository, issue=place.number, key=f"{execution.id}/settled", body=body
    )
    write_record(execution.id, "settled", what=effect.describe(), effect=effect)
    plan = here.engine.plans.latest(execution.id)
    if plan is not None and not plan.has_incident and plan.state is not PlanState.NEEDS_PERSON:
        close = CloseIssue(repository=place.repository, issue=place.number)
        write_record(execution.id, "close-issue", what=close.describe(), effect=close)


def _settled_markdown(
    execution: Execution, state: ExecutionState, reason: str, outcome: Outcome | None
) -> str:
    head = f"**{execution.procedure} ended: {state.value.replace('_', ' ')}.** {report.words(reason)}"
    if outcome is None:
        return f"{head}\n\nNothing had been changed."
    return f"{head}\n\n{report.outcome_markdown(outcome)}"


def _place(here: Installation, execution: Execution) -> IssuePlace | None:
    plan = here.engine.plans.latest(execution.id)
    if plan is not None and plan.issues_repository is not None and plan.issue_number is not None:
        return IssuePlace(plan.issues_repository, plan.issue_number, plan.issue_url)
    if execution.incident_id is None:
        return None
    incident = here.engine.incidents.get(execution.incident_id)
    if incident.issue_number is None:
        return None
    return IssuePlace(incident.issues_repository, incident.issue_number, incident.issue_url)


def _wake_ended(here: Installation, client: SyncPrefectClient, *, done: list[str], failed: list[str]) -> None:
    """Wake suspended runs whose execution has ended (superseded, say), so that they end too."""
    suspended = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
        ),
        limit=MAX_SUSPENDED,
    )
    for run in suspended:
        execution = here.engine.executions.get(str(run.id))
        if execution is None or execution.open or str(run.id) == flow_run_id():
            continue
        try:
            wake_run(str(run.id))
        except _NOT_NOW as error:
            failed.append(f"{run.id}: {error}")
        else:
            done.append(f"wake {execution.procedure} ({execution.subject}): it ended as {execution.state}")


def _read(client: SyncPrefectClient, execution_id: str) -> FlowRun | None:
    try:
        return client.read_flow_run(UUID(execution_id))
    except ObjectNotFound:
        return None


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
