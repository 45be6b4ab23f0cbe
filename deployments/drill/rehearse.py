"""Plays a rehearsal on its stage: asks, approves as the policy wants it, watches, looks for itself at the end."""

import time
from collections.abc import Mapping

import requests

from deployments.demo.stage import STEP_SECONDS, Stage
from deployments.demo.teller import Teller
from deployments.drill.record import VERIFIED, Approval, EffectSeen, Record
from deployments.drill.rehearsal import Rehearsal
from deployments.prefect_runs import FlowRunState
from deployments.starting import start
from runbook.engine import audit
from runbook.engine.plans import StoredPlan
from runbook.engine.states import SETTLED, ExecutionState, PlanState
from runbook.errors import RunbookError
from runbook.scrub import scrub

SLACK_SECONDS = 300.0
"""So much longer than the policy's waits applying and verifying may take before the drill gives up."""


def rehearse(stage: Stage, teller: Teller, rehearsal: Rehearsal, record: Record) -> None:
    """Play the whole, and note in ``record`` how it goes; what goes wrong ends it and stands there.

    Args:
        stage: Where.
        teller: Who tells it.
        rehearsal: What.
        record: What is noted.
    """
    run_id = ""
    asked = time.monotonic()
    try:
        _tell_gateway(stage, rehearsal)
        asked = time.monotonic()
        run_id, plan = _ask(stage, teller, rehearsal, record)
        record.asked_to_planned_seconds = time.monotonic() - asked
        _tell_checks(record, teller, rehearsal.untouched(stage))
        _approve(stage, teller, rehearsal, record, plan, asked)
        _await_end(stage, teller, rehearsal, record, run_id)
        if record.state == VERIFIED:
            record.verified_seconds = time.monotonic() - asked
            _look(stage, teller, rehearsal, record, plan)
    except (RunbookError, requests.RequestException) as error:
        record.wrong.append(scrub(str(error)))
    _gather(stage, record, run_id)
    record.stages = list(teller.stages)


def _tell_gateway(stage: Stage, rehearsal: Rehearsal) -> None:
    incidents = stage.here.policy.repository(rehearsal.repository).incidents_repository
    for name in {one.casefold(): one for one in (incidents, rehearsal.repository)}.values():
        stage.tell_gateway(name, owner=rehearsal.cast.requester)


def _ask(stage: Stage, teller: Teller, rehearsal: Rehearsal, record: Record) -> tuple[str, StoredPlan]:
    """Start the procedure as somebody who may not approve it, and wait for the plan.

    Raises:
        RunbookError: It ended without one, or took too long.
    """
    requester = rehearsal.cast.requester
    with teller.stage("plan", f"{rehearsal.broken}; {requester} asks for {rehearsal.procedure}"):
        run = start(stage.here, stage.prefect, rehearsal.procedure, rehearsal.request, requester=requester)
        teller.say(f"Watch it: {stage.up.ui_url}/v2/runs/flow-run/{run.id}")
        plan = stage.await_("a plan that waits for approval", lambda: _waiting_plan(stage, run.id))
        record.plan_digest, record.issue_url = plan.digest, plan.issue_url
        record.plan_markdown = stage.ask(lambda prefect: prefect.artifact(run.id, "plan")) or ""
        teller.show(record.plan_markdown, f"The plan, on {plan.issue_url}")
    return run.id, plan


def _waiting_plan(stage: Stage, run_id: str) -> StoredPlan | None:
    state = stage.prefect.read(run_id)
    if state.ended:
        raise RunbookError(f"The run ended before there was a plan, as {state.state}: {state.message}")
    plan = stage.here.engine.plans.active(run_id)
    return plan if plan is not None and plan.asks and state.type == "PAUSED" else None


def _approve(
    stage: Stage, teller: Teller, rehearsal: Rehearsal, record: Record, plan: StoredPlan, asked: float
) -> None:
    cast = rehearsal.cast
    title = f"{cast.needed} of {', '.join(cast.approvers)} must approve: {', '.join(cast.approving)} comment"
    with teller.stage("approval", title):
        path = f"/repos/{plan.issues_repository}/issues/{plan.issue_number}/comments"
        for login in cast.approving:
            stage.as_person(login, "POST", path, body=f"/approve {plan.short_digest}")
            record.approvals.append(Approval(login, time.monotonic() - asked))
            teller.say(f"{login}: /approve {plan.short_digest}")


def _await_end(stage: Stage, teller: Teller, rehearsal: Rehearsal, record: Record, run_id: str) -> None:
    """Follow the run to its end, and tell what changes.

    Raises:
        RunbookError: The approvals do not count, or it did not end in time, or not verified.
    """
    told: set[str] = set()

    def ended() -> FlowRunState | None:
        state = stage.prefect.read(run_id)
        plan = stage.here.engine.plans.latest(run_id)
        entries = stage.here.engine.entries.of_plan(plan.id) if plan is not None else ()
        settled = sum(one.state in SETTLED for one in entries)
        for now in (
            f"{state.state}: {settled} of {len(entries)} effects settled",
            stage.prefect.progress(run_id),
        ):
            if now is not None and now not in told:
                teller.say(now)
                told.add(now)
        return state if state.ended else None

    with teller.stage("apply and verify", f"The plan is applied and verified; {rehearsal.wait}"):
        wakes = stage.here.policy.approvals.poll_seconds + STEP_SECONDS
        stage.await_("the approvals to count", lambda: _decided(stage, run_id), seconds=wakes)
        limit = rehearsal.wait_seconds + SLACK_SECONDS
        last = stage.await_("the run to end", ended, seconds=limit)
        record.state, record.reason = last.state, last.message
        if record.state != VERIFIED:
            raise RunbookError(f"The run ended as {record.state}: {record.reason}")


def _decided(stage: Stage, run_id: str) -> bool | None:
    plan = stage.here.engine.plans.latest(run_id)
    return (plan is not None and plan.state is not PlanState.WAITING) or None


def _look(stage: Stage, teller: Teller, rehearsal: Rehearsal, record: Record, plan: StoredPlan) -> None:
    """Look at the outside world and the ledger, as somebody would who does not take the product's word for it."""
    with teller.stage("verification", "The outside world and the audit are looked at"):
        number = plan.issue_number
        path = f"/repos/{plan.issues_repository}/issues/{number}"
        issue = stage.as_person(rehearsal.cast.requester, "GET", path)
        execution = stage.here.engine.executions.get(plan.execution_id)
        with stage.here.ledger.read() as session:
            verdict = audit.verify(session)
        record.checks |= {
            **rehearsal.restored(stage),
            f"issue #{number} is closed": issue["state"] == "closed",
            f"the audit's {verdict.lines} lines follow from each other": verdict.intact,
            "the execution ended as done": execution is not None and execution.state is ExecutionState.DONE,
        }
        _tell_checks(record, teller, record.checks)


def _tell_checks(record: Record, teller: Teller, checks: Mapping[str, bool]) -> None:
    for what, holds in checks.items():
        teller.say(what if holds else f"NOT SO: {what}")
        if not holds:
            record.wrong.append(f"It is not so that {what}.")


def _gather(stage: Stage, record: Record, run_id: str) -> None:
    """Note what became of the plan's effects, however the drill ended."""
    plan = stage.here.engine.plans.latest(run_id)
    if plan is not None:
        record.effects = [
            EffectSeen(one.effect.describe(), one.state.value, one.note)
            for one in stage.here.engine.entries.of_plan(plan.id)
        ]
