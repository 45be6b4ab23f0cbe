"""What no webhook announced (R10): failed attempts that nobody triages, deliveries that did not arrive."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from runbook.decisions.deliveries import KINDS, StartTriage, is_failed
from runbook.decisions.severity import affected_ref
from runbook.failed_run import GREEN
from runbook.models import Frozen, HookDelivery, WorkflowRun
from runbook.policy import Reconcile, RepositoryPolicy

_TASKS = KINDS - {"ping"}


class Unclaimed(Frozen):
    """An attempt that no execution claimed.

    Args:
        triage: What would be started for it.
        failed: Whether it is known to have failed; an earlier attempt of a run is yet to be read.
    """

    triage: StartTriage
    failed: bool


def unclaimed_attempts(
    runs: Iterable[WorkflowRun],
    claimed: frozenset[tuple[int, int]],
    *,
    repository: RepositoryPolicy,
    since: datetime,
) -> tuple[Unclaimed, ...]:
    """Return the attempts that may want a triage, oldest run first, each once.

    A listing shows a run's newest attempt alone. One before it ended without success, else nobody had started
    the next; whether it failed, or was cancelled, it must be read for.

    Args:
        runs: Runs as of their newest attempt, in any order.
        claimed: Run and attempt of what executions claimed.
        repository: The policy of their repository.
        since: Attempts that ended earlier are left alone: what is old by now, people have seen.
    """
    found: dict[tuple[int, int], Unclaimed] = {}
    for run in sorted(runs, key=lambda one: (one.created_at, one.id)):
        if run.updated_at < since:
            continue
        for attempt in range(1, run.run_attempt + 1):
            newest = attempt == run.run_attempt
            if (run.id, attempt) in claimed or (newest and not _failed(run, repository)):
                continue
            triage = StartTriage(repository=repository.name, run_id=run.id, run_attempt=attempt)
            found[run.id, attempt] = Unclaimed(triage=triage, failed=newest)
    return tuple(found.values())


def wants_triage(attempt: WorkflowRun, *, repository: RepositoryPolicy, since: datetime) -> bool:
    """Tell whether an earlier attempt, now that it was read, is to be triaged.

    Args:
        attempt: The attempt.
        repository: The policy of its repository.
        since: As for :func:`unclaimed_attempts`.
    """
    return attempt.updated_at >= since and _failed(attempt, repository)


def why_resolved(run_id: int, newest: WorkflowRun | None, newer: WorkflowRun | None) -> str:
    """Say why a run that failed needs nobody's care any more; empty where it does.

    Args:
        run_id: The run.
        newest: Its newest attempt; None where it was deleted.
        newer: The run that took its place, if one did.
    """
    if newest is None:
        return f"run {run_id} was deleted"
    if newest.status == "completed" and newest.conclusion in GREEN:
        return f"run {run_id} is green at attempt {newest.run_attempt}"
    if newer is not None and newer.conclusion == "success":
        return f"run {newer.id}, which took the place of run {run_id}, is green"
    return ""


def deliveries_to_resend(
    deliveries: Iterable[HookDelivery], *, rules: Reconcile, now: datetime
) -> tuple[HookDelivery, ...]:
    """Return the last attempt of each delivery that never arrived, oldest first.

    Args:
        deliveries: Every attempt that GitHub lists, in any order.
        rules: How often one is sent, and how long it is left alone after an attempt.
        now: The time.
    """
    by_guid: dict[str, list[HookDelivery]] = {}
    for delivery in deliveries:
        if delivery.event in _TASKS:
            by_guid.setdefault(delivery.guid, []).append(delivery)
    rest = timedelta(seconds=rules.redeliver_after_seconds)
    failed = []
    for attempts in by_guid.values():
        last = max(attempts, key=lambda one: one.id)
        if (
            not any(one.arrived for one in attempts)
            and len(attempts) < rules.delivery_attempts
            and last.delivered_at <= now - rest
        ):
            failed.append(last)
    return tuple(sorted(failed, key=lambda one: one.id))


def _failed(attempt: WorkflowRun, repository: RepositoryPolicy) -> bool:
    return attempt.status == "completed" and is_failed(
        attempt.conclusion, ref=affected_ref(attempt, repository)
    )
