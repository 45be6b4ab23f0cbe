"""Runbook section "Container Image Rollback" (RB-01 to RB-11): a set of services back to its last good images."""

from collections.abc import Sequence
from datetime import datetime

from prefect import State, flow

from flows.procedure import Nothing, Proposal, follow
from flows.rollback_aftermath import conclude_rollback, note_what_is_left
from flows.rollback_proposal import PROCEDURE, Before, propose_rollback
from flows.run import Run, begin
from runbook.decisions.rollback_set import Member, SetRefused, expand, outside_the_set
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.engine import Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.leases import Lease
from runbook.engine.plans import StoredPlan
from runbook.errors import UsageError
from runbook.installation import installation
from runbook.policy.estate import Service
from runbook.requests import RollbackImageRequest
from runbook.source_facts import FAILED_STATES
from tasks.deployments import read_deployment_status
from tasks.rollback_watch import watch_rollback
from tasks.workloads import ref_of


@flow(name=PROCEDURE, flow_run_name="roll back {request.subject}", persist_result=False, log_prints=False)
def rollback_image(request: RollbackImageRequest) -> State[None]:
    """Roll services back to a revision, tag or digest, or to the last known good one; all of a set or none of it.

    Opens the incident, shows from where to where each goes and what does not go along, and waits for approval. Done
    means that every rollout is complete and every service stayed well for its soak time; else the whole set goes
    back to where it was.
    """
    members = _members(request)
    run = begin(PROCEDURE, request)
    services = [member.service for member in members]
    return follow(
        run,
        propose=lambda: _propose(run, request, members),
        verify=lambda plan, lease: _verify(run, services, plan, lease),
        conclude=lambda plan, outcome: conclude_rollback(run, plan, outcome),
    )


def _members(request: RollbackImageRequest) -> tuple[Member, ...]:
    """Return the set that was asked for, before anything is begun.

    Raises:
        UsageError: The policy names no such service in that repository.
    """
    here = installation()
    repository = here.policy.repository(request.repository)
    ours = [one for one in here.policy.services if one.repository.casefold() == repository.name.casefold()]
    names = {one.name for one in ours}
    # What moves along may be built in another repository; what is asked for is named by its own.
    others = [one for one in here.policy.services if one.name not in names]
    unknown = expand(request.services, ours)
    members = unknown if isinstance(unknown, SetRefused) else expand(request.services, (*ours, *others))
    refusal = members if isinstance(members, SetRefused) else outside_the_set(request.to, members)
    if refusal is not None:
        raise UsageError(
            f"{refusal.reason[:1].upper()}{refusal.reason[1:]}.",
            unchanged="Nothing was changed.",
            next_step=refusal.next_step,
        )
    assert not isinstance(members, SetRefused)  # noqa: S101 - it would have been the refusal
    return members


def _propose(run: Run, request: RollbackImageRequest, members: Sequence[Member]) -> Proposal | Nothing:
    why = "A rollback was asked for"
    if request.deployment_id is not None:
        deployment, status = read_deployment_status(run.repository.name, request.deployment_id)
        what = f"deployment {deployment.id} of {deployment.sha[:12]} to {deployment.environment}"
        if status is None or status.state not in FAILED_STATES:
            said = "nothing" if status is None else status.state
            return Nothing(name="NotFailed", reason=f"{what} has not failed: its newest status is {said}")
        why = f"{what} failed{f': {status.description}' if status.description else ''}"
    return propose_rollback(run, request, members, why=why)


def _verify(run: Run, services: Sequence[Service], plan: StoredPlan, lease: Lease) -> Verification:
    note_what_is_left(run, services, plan)
    since = _since(services, run.here.engine.entries.of_plan(plan.id))
    before = Before.of(plan).samples
    names = ", ".join(service.name for service in services)
    return watch_rollback(services, since=since, before=before, lease=lease, what=names)


def _since(services: Sequence[Service], entries: Sequence[JournalEntry]) -> dict[str, datetime | None]:
    """Return by service what its old verdict's time is: a condition from then says nothing of this rollout."""
    since: dict[str, datetime | None] = {}
    for service in services:
        ref = ref_of(service)
        for entry in entries:
            effect = entry.effect
            if isinstance(effect, RollBackWorkload) and effect.ref == ref:
                told = (entry.result or {}).get("progressing_at")
                since[service.name] = datetime.fromisoformat(told) if told else entry.claimed_at
            else:
                since.setdefault(service.name, entry.claimed_at)
    return since
