"""A ledger as months of triage leave it: incidents with attempts, executions, plans, effects, audit lines, deliveries.

One repository has all of it, and the same kinds of failure come again and again, as flaky tests do: what is looked up
by repository or by kind has the longest past that it can have. The newest ten incidents are of today, whatever the
size: the past grows, a day's work does not.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from runbook.decisions.outage import OutsideReason, alone, outage_fingerprint
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.effects.incident_issues import CloseIssue, OpenIssue
from runbook.engine.automatic import AUTOMATIC
from runbook.engine.deliveries import DeliveryState, pack
from runbook.engine.effects import Effect
from runbook.engine.ledger import Ledger
from runbook.engine.plan import Plan, PlanView
from runbook.engine.schema import (
    ApprovalRow,
    AttemptRow,
    AuditRow,
    Base,
    DeliveryRow,
    EffectRow,
    ExecutionRow,
    IncidentRow,
    PlanRow,
)
from runbook.engine.states import EffectState, ExecutionState, IncidentState, PlanState, RequesterKind
from runbook.policy import Remedy
from runbook.triage.classes import FailureClass

REPOSITORY = "acme/voice-agent"
WORKFLOW = "ci-test.yml"
SCOPE = "refs/heads/main"
PROCEDURE = "triage-failed-run"
REMEDY = Remedy.RERUN_FAILED_JOBS
TODAY = 10
"""So many incidents, the newest, are of the last day, whatever the size."""

PER_OUTAGE = 10
"""Every so many incidents one is an outage's."""

_KINDS_OF_FAILURE = 50
_FIRST_RUN = 10_000_000_000
_CHUNK = 2_000
_KEPT_DELIVERIES = 2_000
# The parents before what refers to them.
_TABLES: tuple[type[Base], ...] = (
    IncidentRow,
    ExecutionRow,
    AttemptRow,
    PlanRow,
    EffectRow,
    ApprovalRow,
    DeliveryRow,
    AuditRow,
)

_Rows = dict[type[Base], list[dict[str, Any]]]


def fill(ledger: Ledger, *, incidents: int, now: datetime) -> int:
    """Write the history of that many incidents.

    The audit's lines are there to be found, in the number that triage writes; their hashes follow from nothing.

    Args:
        ledger: An empty one.
        incidents: How many; at least ``TODAY``.
        now: When the newest of them was closed, or is open still.

    Returns:
        How many rows were written.
    """
    written = 0
    for first in range(0, incidents, _CHUNK):
        rows: _Rows = {table: [] for table in _TABLES}
        for number in range(first, min(first + _CHUNK, incidents)):
            _add(rows, number, incidents, now)
        with ledger.write() as session:
            for table, values in rows.items():
                if values:
                    session.execute(insert(table.__table__), values)  # type: ignore[arg-type]
                    written += len(values)
    return written


def fingerprint_of(number: int) -> str:
    """Return what the incident of that number is known by: every tenth is an outage's, the others' kinds come again."""
    own = hashlib.sha256(str(number % _KINDS_OF_FAILURE).encode()).hexdigest()[:16]
    return own if number % PER_OUTAGE else outage_fingerprint(OutsideReason.INFRASTRUCTURE, own)


def payload(run_id: int) -> bytes:
    """Return a delivery's body as the ledger keeps it."""
    run = {"id": run_id, "run_attempt": 1, "conclusion": "failure", "path": f".github/workflows/{WORKFLOW}"}
    return pack(json.dumps({"workflow_run": run, "repository": {"full_name": REPOSITORY}}).encode())


def plan_of(run_id: int) -> Plan:
    """Return the plan that re-runs a run's failed jobs."""
    effect = RerunFailedJobs(repository=REPOSITORY, run_id=run_id, failed_attempt=1, workflow_file=WORKFLOW)
    return Plan.of(procedure=PROCEDURE, repository=REPOSITORY, effects=[effect])


def view_of(failure_class: FailureClass) -> PlanView:
    """Return what such a plan shows."""
    return PlanView(
        title="re-run the failed jobs",
        why="The test failed and passed again on the same commit.",
        remedy=REMEDY,
        failure_class=failure_class,
        blast_radius="one more attempt of one run",
        if_nobody_acts="the run stays red",
    )


def _when(number: int, incidents: int, now: datetime) -> datetime:
    age = incidents - number
    if age <= TODAY:
        return now - timedelta(minutes=age)
    return now - timedelta(days=1) - timedelta(minutes=5 * (age - TODAY))


def _add(rows: _Rows, number: int, incidents: int, now: datetime) -> None:
    at = _when(number, incidents, now)
    still_open = incidents - number <= TODAY and number % 2 == 0
    failure_class = FailureClass.FLAKY_TEST if number % PER_OUTAGE else FailureClass.INFRASTRUCTURE
    incident, execution, run_id = number + 1, f"execution-{number}", _FIRST_RUN + number
    detail: dict[str, Any] = {"run_id": run_id, "run_attempt": 1, "failed_at": at.isoformat()}
    if failure_class is FailureClass.INFRASTRUCTURE:
        together = alone(OutsideReason.INFRASTRUCTURE, workflow_file=WORKFLOW, failed_at=at)
        detail["together"] = together.model_dump(mode="json")
    rows[IncidentRow].append(
        {
            "id": incident,
            "repository": REPOSITORY,
            "issues_repository": REPOSITORY,
            "issue_number": incident,
            "issue_url": f"https://github.com/{REPOSITORY}/issues/{incident}",
            "fingerprint": fingerprint_of(number),
            "scope": SCOPE,
            "failure_class": failure_class,
            "severity": "P2",
            "title": f"P2: {WORKFLOW} on main: {failure_class.replace('_', ' ')}",
            "state": IncidentState.OPEN if still_open else IncidentState.CLOSED,
            "resolution": "" if still_open else "attempt 2 passed",
            "detail": detail,
            "opened_at": at,
            "closed_at": None if still_open else at,
        }
    )
    rows[ExecutionRow].append(
        {
            "id": execution,
            "procedure": PROCEDURE,
            "repository": REPOSITORY,
            "subject": f"run {run_id} of {WORKFLOW}",
            "request_digest": hashlib.sha256(execution.encode()).hexdigest(),
            "requester": "runbook",
            "requester_kind": RequesterKind.PRODUCT,
            "state": ExecutionState.RUNNING if still_open else ExecutionState.DONE,
            "reason": "" if still_open else "attempt 2 passed",
            "incident_id": incident,
            "process": "worker-1:4711:1",
            "revivals": 0,
            "started_at": at,
            "heartbeat_at": at,
            "ended_at": None if still_open else at,
        }
    )
    rows[AttemptRow].append(
        {
            "repository": REPOSITORY,
            "run_id": run_id,
            "run_attempt": 1,
            "execution_id": execution,
            "incident_id": incident,
            "resolved_at": None if still_open else at,
        }
    )
    if incidents - number <= _KEPT_DELIVERIES:  # older ones are forgotten (``Deliveries.prune``)
        rows[DeliveryRow].append(_delivery(number, run_id, at))
    _add_plan(rows, number, execution, failure_class, still_open=still_open, at=at)
    _add_effects(rows, number, execution, still_open=still_open, at=at)
    _add_audit(rows, number, execution, still_open=still_open, at=at)


def _delivery(number: int, run_id: int, at: datetime) -> dict[str, Any]:
    return {
        "id": f"delivery-{number}",
        "event": "workflow_run",
        "action": "completed",
        "repository": REPOSITORY,
        "key": f"{REPOSITORY}:{run_id}:1",
        "body": payload(run_id),
        "state": DeliveryState.DONE,
        "reason": "a run was created",
        "tries": 0,
        "received_at": at,
        "due_at": at,
        "handled_at": at,
    }


def _add_plan(
    rows: _Rows,
    number: int,
    execution: str,
    failure_class: FailureClass,
    *,
    still_open: bool,
    at: datetime,
) -> None:
    plan = plan_of(_FIRST_RUN + number)
    rows[PlanRow].append(
        {
            "id": f"plan-{number}",
            "digest": plan.digest,
            "execution_id": execution,
            "procedure": PROCEDURE,
            "repository": REPOSITORY,
            "body": plan.model_dump(mode="json"),
            "view": view_of(failure_class).model_dump(mode="json"),
            "remedy": REMEDY,
            "failure_class": failure_class,
            "state": PlanState.WAITING if still_open else PlanState.DONE,
            "reason": "",
            "asks": 1,
            "issues_repository": REPOSITORY,
            "issue_number": number + 1,
            "issue_url": f"https://github.com/{REPOSITORY}/issues/{number + 1}",
            "comment_id": number,
            "created_at": at,
            "expires_at": at + timedelta(hours=4),
            "applied_at": None if still_open else at,
            "ended_at": None if still_open else at,
        }
    )
    if not still_open:
        by_product = number % 2 == 1
        proof = f"{AUTOMATIC}:{at.isoformat(timespec='microseconds')}" if by_product else "comment"
        rows[ApprovalRow].append(
            {
                "plan_id": f"plan-{number}",
                "source": AUTOMATIC if by_product else "comment",
                "proof": f"{proof}:plan-{number}",
                "login": None if by_product else "alice",
                "decision": "approve",
                "reason": "its class is applied without a person" if by_product else "",
                "policy_digest": "0" * 64,
                "recorded_at": at,
            }
        )


def _effects(number: int) -> Iterator[tuple[str, str | None, Effect]]:
    execution = f"execution-{number}"
    yield (
        f"{execution}/issue",
        None,
        OpenIssue(
            repository=REPOSITORY, key=execution, title="P2: flaky test", body="What failed.", labels=()
        ),
    )
    rerun = RerunFailedJobs(
        repository=REPOSITORY, run_id=_FIRST_RUN + number, failed_attempt=1, workflow_file=WORKFLOW
    )
    yield f"plan-{number}/0", f"plan-{number}", rerun
    yield (
        f"{execution}/close",
        None,
        CloseIssue(repository=REPOSITORY, issue=number + 1),
    )


def _add_effects(rows: _Rows, number: int, execution: str, *, still_open: bool, at: datetime) -> None:
    for position, (key, plan_id, effect) in enumerate(_effects(number)):
        applied = position == 0 or not still_open
        rows[EffectRow].append(
            {
                "id": 3 * number + position + 1,
                "key": key,
                "execution_id": execution,
                "plan_id": plan_id,
                "position": 0,
                "kind": effect.kind,
                "effect_class": effect.effect_class,
                "params": effect.params(),
                "state": EffectState.CONFIRMED if applied else EffectState.PLANNED,
                "sends": 1 if applied else 0,
                "note": "",
                "result": {"number": number + 1} if applied else None,
                "claimed_at": at if applied else None,
                "confirmed_at": at if applied else None,
            }
        )


def _add_audit(rows: _Rows, number: int, execution: str, *, still_open: bool, at: datetime) -> None:
    first_effect = 3 * number + 1
    told = [
        (f"execution:{execution}", "execution.begun"),
        (f"execution:{execution}", "attempt.claimed"),
        (f"incident:{number + 1}", "incident.opened"),
        (f"effect:{first_effect}", "effect.confirmed"),
        (f"plan:plan-{number}", "plan.made"),
        (f"effect:{first_effect + 1}", "effect.confirmed"),
        (f"effect:{first_effect + 2}", "effect.confirmed"),
        (f"incident:{number + 1}", "incident.closed"),
    ]
    # A line's number follows from its incident's: what one that is open has yet to see leaves a gap.
    for position, (subject, event) in enumerate(told[:5] if still_open else told):
        seq = len(told) * number + position + 1
        rows[AuditRow].append(
            {
                "seq": seq,
                "at": at,
                "actor": "runbook",
                "event": event,
                "subject": subject,
                "body": {"what": f"run {_FIRST_RUN + number} of {WORKFLOW}"},
                "previous_hash": f"{seq - 1:064x}",
                "hash": f"{seq:064x}",
            }
        )
