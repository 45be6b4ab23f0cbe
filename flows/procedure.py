"""The frame of every mutating procedure (R1): plan, gate, apply, verify, record.

A flow hands in three steps: ``propose`` (reads, and in apply mode the incident), ``verify`` (its own check of
the outside world) and ``conclude`` (the record). A run that was suspended, crashed or retried enters here again
from the top and goes on where the ledger says it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from prefect import State
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import StateType
from prefect.states import Completed, Failed

from flows.incident_issue import place_to_tell
from flows.run import IssuePlace, Run, place_of
from flows.waking import suspend, was_resumed
from runbook import report
from runbook.decisions.approval import GateDecision, Verdict, approvals_needed
from runbook.effects.incident_issues import OpenIssue
from runbook.engine.engine import Ended, Outcome, Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.gate import GateContext
from runbook.engine.leases import Lease
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import PlanRefused, StoredPlan
from runbook.engine.states import ExecutionState, PlanState, RequesterKind
from runbook.errors import Denied, NeedsPerson, Permanent, RunbookError
from runbook.scrub import scrub
from tasks.journal import apply_entry

MAX_PLANS = 5
"""So often a run plans anew because the world moved on under its plan; then it asks a person."""


_TURNED_DOWN = frozenset({PlanState.REJECTED, PlanState.EXPIRED, PlanState.CANCELLED})


@dataclass(frozen=True)
class Proposal:
    """A plan before it is stored, with what is shown beside it and where.

    ``place`` is None where an approval issue is still to be opened for it.
    """

    plan: Plan
    view: PlanView
    place: IssuePlace | None = None


@dataclass(frozen=True)
class Nothing:
    """There is nothing to propose; the run ends with this state name and reason."""

    name: str
    reason: str


def follow(
    run: Run,
    *,
    propose: Callable[[], Proposal | Nothing],
    verify: Callable[[StoredPlan, Lease], Verification],
    conclude: Callable[[StoredPlan, Outcome], None],
    confirmed: Callable[[StoredPlan, JournalEntry], None] = lambda plan, entry: None,
) -> State[None]:
    """Take a procedure through the rest of its way.

    Args:
        run: The entered procedure.
        propose: Reads the world and proposes; called again when the world moved on.
        verify: The procedure's own check of the outside world, under the lease.
        conclude: Writes the record of an applied plan; re-entrant.
        confirmed: Called with each effect as soon as it is confirmed, before the next is sent; re-entrant.

    Returns:
        The flow's final state.
    """
    if not run.applying:
        return _plan_only(run, propose())
    if not run.execution.open:
        _say_superseded(run)
        return ended_state(run.execution.state, run.execution.reason)
    for _ in range(MAX_PLANS):
        plan = _unfinished(run)
        if plan is None:
            try:
                proposal = propose()
                if isinstance(proposal, Nothing):
                    return _nothing(run, proposal)
                plan = _store(run, proposal)
            except (Permanent, Denied) as refusal:
                return refused(run, refusal)
        plan, context = _show(run, plan)
        ended = _go_on(run, plan, context, verify, conclude, confirmed)
        if ended is not None:
            return ended
    return refused(run, NeedsPerson(f"The world moved on under {MAX_PLANS} plans in a row."))


def _go_on(
    run: Run,
    plan: StoredPlan,
    context: GateContext | None,
    verify: Callable[[StoredPlan, Lease], Verification],
    conclude: Callable[[StoredPlan, Outcome], None],
    confirmed: Callable[[StoredPlan, JournalEntry], None],
) -> State[None] | None:
    """Take a plan that was shown to its end, or suspend; None where it is void and another is to be made."""
    engine = run.here.engine
    outcome = engine.outcome_of(plan)
    if outcome is None and plan.state in _TURNED_DOWN:
        # It was decided before this process: what the comments say by now does not matter any more.
        return _turned_down(run, plan, ExecutionState(plan.state), plan.reason)
    if outcome is None and run.execution.state is not ExecutionState.SETTLING:
        decision = _ask(run, plan, context or run.here.gate_context(plan))
        match decision.verdict:
            case Verdict.WAITING:
                suspend(plan)
                return None
            case Verdict.VOID:
                run.comment(place_of(plan), f"void-{plan.id}", report.decision_markdown(decision))
                return None
            case Verdict.REJECTED | Verdict.EXPIRED:
                state = ExecutionState(decision.verdict.value)
                return _turned_down(run, plan, state, decision.reason, report.decision_markdown(decision))
            case Verdict.APPROVED:
                pass
    if outcome is None:
        may_go_on = run.here.may_go_on(plan)
        step = partial(_step, plan, confirmed)
        outcome = engine.apply(plan, verify=partial(verify, plan), may_go_on=may_go_on, step=step)
    return _finish(run, plan, outcome, conclude)


def _step(
    plan: StoredPlan,
    confirmed: Callable[[StoredPlan, JournalEntry], None],
    entry: JournalEntry,
    lease: Lease,
) -> JournalEntry:
    applied = apply_entry(entry, lease)
    confirmed(plan, applied)
    return applied


def ended_state(state: ExecutionState, reason: str) -> State[None]:
    """Return the Prefect state that an ended execution shows; Completed only where it was verified (R5)."""
    name = "".join(part.capitalize() for part in state.value.split("_"))
    message = scrub(reason)
    match state:
        case ExecutionState.DONE:
            return Completed(message=message, name="Verified")
        case ExecutionState.ALREADY_CLAIMED:
            return Completed(message=message, name=name)
        case ExecutionState.UNDONE | ExecutionState.NEEDS_PERSON:
            return Failed(message=message, name=name)
        case _:
            return State(type=StateType.CANCELLED, name=name, message=message)


def _plan_only(run: Run, proposal: Proposal | Nothing) -> State[None]:
    if isinstance(proposal, Nothing):
        return Completed(message=scrub(proposal.reason), name="Planned")
    markdown = report.plan_markdown(proposal.plan, proposal.view)
    create_markdown_artifact(markdown, key="plan", description="What would be done")
    return Completed(message=f"plan {proposal.plan.digest[:16]}; nothing was written", name="Planned")


def _unfinished(run: Run) -> StoredPlan | None:
    """Return the plan that an earlier process of this execution left: waiting, applying, or applied."""
    plans = run.here.engine.plans
    plan = plans.latest(run.execution.id)
    if plan is None or plan.state in {PlanState.VOIDED, PlanState.SUPERSEDED}:
        return None
    if plan.issue_number is None:
        plans.end(plan.id, PlanState.VOIDED, reason="interrupted before it had an issue to be shown on")
        return None
    return plan


def _store(run: Run, proposal: Proposal) -> StoredPlan:
    here = run.here
    limit = here.policy.caps.effects_per_plan
    if run.execution.requester_kind is RequesterKind.SCHEDULE:
        schedule = here.schedule_named(run.execution.requester)
        limit = min(limit, schedule.max_effects if schedule is not None else limit)
    if len(proposal.plan.effects) > limit:
        raise PlanRefused(
            f"The plan has {len(proposal.plan.effects)} effects; the policy allows {limit}.",
            unchanged="Nothing was changed.",
            next_step="ask for less at once, or raise the cap in the policy",
        )
    rule = here.policy.approval_rule(run.procedure, run.request.repository)
    plan = here.engine.plans.store(
        run.execution.id,
        proposal.plan,
        view=proposal.view,
        expires_after_seconds=rule.expires_after_seconds,
    )
    place = proposal.place or _approval_issue(run, proposal)
    return here.engine.plans.placed(
        plan.id, issues_repository=place.repository, issue_number=place.number, issue_url=place.url
    )


def refused(run: Run, refusal: RunbookError) -> State[None]:
    """End without a plan, and say so where people read it; asked for again later, it may work.

    What would be refused again is not left to the sweeper, which would try it until it gave up.

    Args:
        run: The procedure.
        refusal: Why there is no plan: it is too large, its target is busy, what it is about does not exist.
    """
    reason = str(refusal)
    try:
        place = place_to_tell(run.here, run.execution.id, reason)
        if place is not None:
            run.comment(place, "no-plan", f"No plan is made: {report.words(reason)}")
        _close_approval_issue(run, reason)
    except (Permanent, Denied) as error:
        reason = f"{reason}; it could not be written on its issue: {error.message}"
    run.end(ExecutionState.NEEDS_PERSON, reason)
    return ended_state(ExecutionState.NEEDS_PERSON, reason)


def _close_approval_issue(run: Run, reason: str) -> None:
    """Close the issue that an earlier plan was to be approved on: nobody is asked any more."""
    plan = run.here.engine.plans.latest(run.execution.id)
    if plan is not None and plan.issue_number is not None and not plan.has_incident:
        _say_turned_down(run, plan, f"Nothing is left to approve: {report.words(reason)}")


def _approval_issue(run: Run, proposal: Proposal) -> IssuePlace:
    """Open the issue on which a plan without an incident is approved."""
    repository = run.repository
    entry = run.write(
        "approval-issue",
        OpenIssue(
            repository=repository.incidents_repository,
            key=f"{run.execution.id}/approval-issue",
            title=scrub(f"Approval: {proposal.view.title}"),
            body=f"{report.words(proposal.view.why)}\n\nThe plan follows as a comment.",
            labels=(repository.labels.approval,),
        ),
    )
    result = entry.result or {}
    return IssuePlace(repository.incidents_repository, int(result["number"]), str(result["url"]))


def _show(run: Run, plan: StoredPlan) -> tuple[StoredPlan, GateContext | None]:
    """Post the plan as a comment and keep it as an artifact, once; return what the gate is told, if it was gathered."""
    if plan.comment_id is not None:
        return plan, None
    here = run.here
    context = here.gate_context(plan)
    needed = approvals_needed(context.rule, unnamed=plan.requester_kind is RequesterKind.UNNAMED)
    ask = report.how_to_decide(
        plan,
        needed=needed,
        approvers=context.rule.approvers,
        resume_counts=context.rule.prefect_resume_counts,
    )
    if context.automatic.reason:
        ask = report.why_automatic(context.automatic) + "\n\n" + ask
    place = place_of(plan)
    # What approvers read stands before the plan's own comment: a decision must come after that.
    rest = report.plan_rest_markdown(plan.plan, plan.view)
    for number, page in enumerate(rest, start=1):
        run.comment(place, f"{plan.pages_above}{number}", page)
    markdown = report.plan_markdown(plan.plan, plan.view, ask=ask, rest=len(rest))
    entry = run.comment(place, f"plan-{plan.id}", markdown)
    result = entry.result or {}
    link = f"[Approve or reject on the issue]({result['url']})\n\n"
    create_markdown_artifact(link + markdown, key="plan", description=f"Plan {plan.short_digest}")
    return here.engine.plans.shown(plan.id, comment_id=int(result["comment"])), context


def _ask(run: Run, plan: StoredPlan, context: GateContext) -> GateDecision:
    here = run.here
    if context.rule.prefect_resume_counts:
        context = replace(context, resumed=was_resumed(plan))
    decision = here.engine.gate.pass_or_wait(plan, here.engine.entries.of_plan(plan.id), context)
    for comment in decision.ignored:
        run.log.info("%s's %s does not count: %s", scrub(comment.login), comment.place, comment.why)
    run.log.info("Plan %s: %s (%s)", plan.short_digest, decision.verdict, scrub(decision.reason))
    return decision


def _finish(
    run: Run, plan: StoredPlan, outcome: Outcome, conclude: Callable[[StoredPlan, Outcome], None]
) -> State[None]:
    markdown = report.outcome_markdown(outcome)
    create_markdown_artifact(markdown, key="report", description="What was done, and what the check found")
    run.comment(place_of(plan), f"outcome-{plan.id}", markdown)
    conclude(plan, outcome)
    state = {
        Ended.DONE: ExecutionState.DONE,
        Ended.UNDONE: ExecutionState.UNDONE,
        Ended.NEEDS_PERSON: ExecutionState.NEEDS_PERSON,
    }[outcome.ended]
    run.end(state, outcome.reason)
    return ended_state(state, outcome.reason)


def _turned_down(
    run: Run, plan: StoredPlan, state: ExecutionState, reason: str, markdown: str = ""
) -> State[None]:
    _say_turned_down(run, plan, markdown or f"The plan is **{state.value}**: {report.words(reason)}.")
    run.end(state, reason)
    return ended_state(state, reason)


def _say_turned_down(run: Run, plan: StoredPlan, markdown: str) -> None:
    run.comment(place_of(plan), f"decision-{plan.id}", markdown)
    if not plan.has_incident:
        run.close_issue(place_of(plan))


def _say_superseded(run: Run) -> None:
    """Say so where people may still be about to approve: another procedure took the plan's place meanwhile."""
    plan = run.here.engine.plans.latest(run.execution.id)
    if plan is not None and plan.state is PlanState.SUPERSEDED and plan.comment_id is not None:
        _say_turned_down(run, plan, f"The plan is **superseded**: {report.words(plan.reason)}.")


def _nothing(run: Run, nothing: Nothing) -> State[None]:
    if run.applying:
        _close_approval_issue(run, nothing.reason)
    run.end(ExecutionState.DONE, nothing.reason)
    return Completed(message=scrub(nothing.reason), name=nothing.name)
