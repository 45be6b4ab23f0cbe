"""What the command line reads of the ledger: executions, effects, timelines, audit lines; it writes nothing.

Each view is a pydantic model whose JSON form is what ``--json`` prints.
"""

from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from runbook.engine import audit
from runbook.engine.effects import load_effect
from runbook.engine.ledger import Ledger
from runbook.engine.schema import AttemptRow, AuditRow, EffectRow, ExecutionRow, IncidentRow, PlanRow
from runbook.engine.states import RequesterKind
from runbook.errors import UsageError
from runbook.models import Frozen
from runbook.scrub import shell_quote

SHORT_DIGITS = 16
_MINIMUM_ID_DIGITS = 8


class ExecutionView(Frozen):
    """One run of one procedure."""

    id: str
    procedure: str
    repository: str
    subject: str
    requester: str
    state: str
    reason: str
    incident: int | None
    plan: str | None
    plan_state: str | None
    revivals: int
    started_at: datetime
    ended_at: datetime | None


class EffectView(Frozen):
    """One write to an outside system, as the journal has it."""

    id: int
    execution: str
    plan: str | None
    position: int
    kind: str
    effect_class: str
    what: str
    command: str
    state: str
    sends: int
    note: str
    claimed_at: datetime | None
    confirmed_at: datetime | None
    undone_at: datetime | None


class AuditLine(Frozen):
    """One line of the hash-chained log."""

    seq: int
    at: datetime
    actor: str
    event: str
    subject: str
    body: dict[str, Any]
    hash: str


def requester_name(requester: str | None, kind: RequesterKind) -> str:
    """Say who asked, and what follows where nobody can tell."""
    if kind is RequesterKind.UNNAMED:
        return "unnamed (one approver more)"
    return f"schedule {requester}" if kind is RequesterKind.SCHEDULE else requester or "unnamed"


def recent_executions(ledger: Ledger, *, limit: int) -> tuple[ExecutionView, ...]:
    """Return executions, newest first."""
    query = select(ExecutionRow).order_by(ExecutionRow.started_at.desc()).limit(limit)
    with ledger.read() as session:
        return tuple(_execution(session, row) for row in session.scalars(query))


def find_execution(ledger: Ledger, digits: str) -> ExecutionView:
    """Return the execution whose id begins with ``digits``.

    Raises:
        UsageError: Too few digits, no such execution, or more than one.
    """
    query = select(ExecutionRow).where(ExecutionRow.id.startswith(digits.lower(), autoescape=True)).limit(2)
    with ledger.read() as session:
        found = list(session.scalars(query)) if len(digits) >= _MINIMUM_ID_DIGITS else []
        if len(found) != 1:
            many = "More than one" if found else "No"
            raise UsageError(
                f"{many} execution has an id that begins with {digits!r} "
                f"({_MINIMUM_ID_DIGITS} or more digits are needed).",
                next_step="list them with `runbook journal`.",
            )
        return _execution(session, found[0])


def effects_of_execution(ledger: Ledger, execution_id: str) -> tuple[EffectView, ...]:
    """Return everything an execution wrote or was to write, records among it, in the order of planning."""
    return _effects(ledger, select(EffectRow).where(EffectRow.execution_id == execution_id))


def effects_of_digest(ledger: Ledger, digits: str) -> tuple[EffectView, ...]:
    """Return the effects of every plan whose digest begins with ``digits``; equal digests recur.

    Raises:
        UsageError: Too few digits, or no such plan.
    """
    digits = digits.strip().lower()
    query = select(PlanRow.id).where(PlanRow.digest.startswith(digits, autoescape=True))
    with ledger.read() as session:
        plans = list(session.scalars(query)) if len(digits) >= SHORT_DIGITS else []
    if not plans:
        raise UsageError(
            f"No plan has a digest that begins with {digits!r} ({SHORT_DIGITS} or more digits are needed).",
            next_step="list executions and their plans with `runbook journal`.",
        )
    return _effects(ledger, select(EffectRow).where(EffectRow.plan_id.in_(plans)))


def comment_link(ledger: Ledger, execution_id: str, comment_id: int | None) -> str | None:
    """Return the address of the comment that shows an execution's plan, as its posting was journaled."""
    query = select(EffectRow.result).where(
        EffectRow.execution_id == execution_id, EffectRow.result.is_not(None)
    )
    with ledger.read() as session:
        for result in session.scalars(query):
            if result and comment_id is not None and result.get("comment") == comment_id:
                return str(result.get("url") or "") or None
    return None


def executions_of_incident(ledger: Ledger, incident_id: int) -> tuple[ExecutionView, ...]:
    """Return the executions that belong to an incident, oldest first."""
    query = (
        select(ExecutionRow).where(ExecutionRow.incident_id == incident_id).order_by(ExecutionRow.started_at)
    )
    with ledger.read() as session:
        return tuple(_execution(session, row) for row in session.scalars(query))


def attempts_of_incident(ledger: Ledger, incident_id: int) -> tuple[dict[str, Any], ...]:
    """Return the failed attempts that belong to an incident."""
    query = (
        select(AttemptRow)
        .where(AttemptRow.incident_id == incident_id)
        .order_by(AttemptRow.run_id, AttemptRow.run_attempt)
    )
    with ledger.read() as session:
        return tuple(
            {"repository": row.repository, "run_id": row.run_id, "run_attempt": row.run_attempt}
            for row in session.scalars(query)
        )


def require_incident(ledger: Ledger, incident_id: int) -> None:
    """Check that there is an incident of that number.

    Raises:
        UsageError: There is none.
    """
    with ledger.read() as session:
        if session.get(IncidentRow, incident_id) is None:
            raise UsageError(
                f"There is no incident {incident_id}.",
                next_step="list them with `runbook incidents --all`.",
            )


def timeline_of_incident(ledger: Ledger, incident_id: int) -> tuple[AuditLine, ...]:
    """Return what the audit says about an incident, its executions, their plans and effects, oldest first."""
    with ledger.read() as session:
        return tuple(_line(row) for row in audit.lines_of_incident(session, incident_id))


def audit_lines(ledger: Ledger, *, last: int, about: str = "") -> tuple[AuditLine, ...]:
    """Return the newest lines of the audit, oldest first.

    Args:
        ledger: The ledger.
        last: How many.
        about: Only lines whose subject, actor or event begins with this.
    """
    query = select(AuditRow).order_by(AuditRow.seq.desc()).limit(last)
    if about:
        columns = (AuditRow.subject, AuditRow.actor, AuditRow.event)
        query = query.where(or_(*(column.startswith(about, autoescape=True) for column in columns)))
    with ledger.read() as session:
        return tuple(reversed([_line(row) for row in session.scalars(query)]))


def _execution(session: Session, row: ExecutionRow) -> ExecutionView:
    plan = session.execute(
        select(PlanRow.digest, PlanRow.state)
        .where(PlanRow.execution_id == row.id)
        .order_by(PlanRow.created_at.desc())
        .limit(1)
    ).first()
    return ExecutionView(
        id=row.id,
        procedure=row.procedure,
        repository=row.repository,
        subject=row.subject,
        requester=requester_name(row.requester, RequesterKind(row.requester_kind)),
        state=row.state,
        reason=row.reason,
        incident=row.incident_id,
        plan=plan.digest if plan else None,
        plan_state=plan.state if plan else None,
        revivals=row.revivals,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def _effects(ledger: Ledger, query: Select[tuple[EffectRow]]) -> tuple[EffectView, ...]:
    import runbook.effects.catalogue  # noqa: F401 - enrols every effect that the journal may name

    with_digests = query.add_columns(PlanRow.digest).outerjoin(PlanRow, EffectRow.plan_id == PlanRow.id)
    with ledger.read() as session:
        rows = session.execute(with_digests.order_by(EffectRow.id))
        return tuple(_effect(row, digest) for row, digest in rows)


def _effect(row: EffectRow, digest: str | None) -> EffectView:
    what, command = _described(row)
    return EffectView(
        id=row.id,
        execution=row.execution_id,
        plan=digest,
        position=row.position,
        kind=row.kind,
        effect_class=row.effect_class,
        what=what,
        command=command,
        state=row.state,
        sends=row.sends,
        note=row.note,
        claimed_at=row.claimed_at,
        confirmed_at=row.confirmed_at,
        undone_at=row.undone_at,
    )


def _described(row: EffectRow) -> tuple[str, str]:
    try:
        effect = load_effect(row.kind, row.params)
    except (UsageError, ValidationError):
        # Written by another version: the journal is shown all the same, only without the words.
        return f"{row.kind} (of another version of this program)", ""
    return effect.describe(), " ".join(map(shell_quote, effect.command_line()))


def _line(row: AuditRow) -> AuditLine:
    return AuditLine(
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        event=row.event,
        subject=row.subject,
        body=row.body,
        hash=row.hash,
    )
