"""Runbook section "Container Image Rollback" (RB-01 to RB-11): a set of services back to its last good images."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from prefect import State, flow

from flows.procedure import Nothing, Proposal, follow
from flows.rollback_aftermath import conclude_rollback, note_what_it_leaves
from flows.rollback_proposal import PROCEDURE, Before, propose_rollback
from flows.run import Run, begin
from runbook import report
from runbook.decisions.rollback_set import Member, SetRefused, expand, outside_the_set
from runbook.effects.releases import RollBackRelease
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.effects import Effect
from runbook.engine.engine import Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.leases import Lease
from runbook.engine.plans import StoredPlan
from runbook.engine.states import SETTLED
from runbook.errors import NeedsPerson, UsageError
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
    return follow(
        run,
        propose=lambda: _propose(run, request, members),
        verify=lambda plan, lease: _verify(run, plan, lease),
        conclude=lambda plan, outcome: conclude_rollback(run, plan, outcome),
        # At once: a plan that a person has to end is never verified, and still leaves what it did.
        confirmed=lambda plan, entry: note_what_it_leaves(run, plan, entry),
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
            report.sentence(refusal.reason),
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


def _verify(run: Run, plan: StoredPlan, lease: Lease) -> Verification:
    before = Before.of(plan).samples
    services = _planned(run, before)
    entries = run.here.engine.entries.of_plan(plan.id)
    for entry in entries:
        if (
            entry.state not in SETTLED
        ):  # refused, and owed all the same; the others were noted as they were confirmed
            note_what_it_leaves(run, plan, entry)
    since = _since(services, entries, now=run.here.clock.now())
    names = ", ".join(service.name for service in services)
    return watch_rollback(services, since=since, before=before, lease=lease, what=names)


def _planned(run: Run, names: Iterable[str]) -> list[Service]:
    """Return the services that a plan moved, whatever the policy would move together by now.

    Raises:
        NeedsPerson: The policy no longer names one of them, so nobody can tell how it is to be watched.
    """
    known = {one.name: one for one in reversed(run.here.policy.services)}
    known |= {one.name: one for one in run.here.policy.services if one.repository == run.repository.name}
    gone = [name for name in names if name not in known]
    if gone:
        raise NeedsPerson(
            f"The policy no longer names {', '.join(gone)}, which this plan moved: it cannot be watched.",
            next_step="look at its pods and its health yourself; `runbook journal` shows what was done",
        )
    return [known[name] for name in names]


def _since(
    services: Sequence[Service], entries: Sequence[JournalEntry], *, now: datetime
) -> dict[str, datetime | None]:
    """Return by service what its old verdict's time is: a condition from then says nothing of this rollout."""
    since: dict[str, datetime | None] = {}
    for service in services:
        moved = next((entry for entry in entries if _moves(entry.effect, service)), None)
        told = ((moved.result if moved else None) or {}).get("progressing_at")
        sent = moved.claimed_at if moved else None
        since[service.name] = datetime.fromisoformat(told) if told else sent or now
    return since


def _moves(effect: Effect, service: Service) -> bool:
    match effect:
        case RollBackWorkload(ref=ref):
            return ref == ref_of(service)
        case RollBackRelease(namespace=namespace, release=release):
            return (namespace, release) == (service.namespace, service.helm_release)
        case _:
            return False
