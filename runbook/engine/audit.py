"""The hash-chained audit log (R12): appended in the transaction that does the thing, verified offline."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from runbook.canonical import canonical_json
from runbook.engine.schema import AuditRow, EffectRow, ExceptionRow, ExecutionRow, PlanRow
from runbook.scrub import scrub

GENESIS = "0" * 64

PRODUCT = "runbook"
"""The actor in the audit for what the product does by itself."""


@dataclass(frozen=True)
class AuditHead:
    """The newest line: what a witness outside keeps."""

    seq: int
    hash: str


@dataclass(frozen=True)
class AuditVerdict:
    """What verification found.

    ``broken_at`` is the first line whose hash does not follow from what stands before it; None if all do.
    """

    lines: int
    head: AuditHead
    broken_at: int | None
    reason: str

    @property
    def intact(self) -> bool:
        """Whether every line follows from the one before."""
        return self.broken_at is None


def append(
    session: Session, *, now: datetime, actor: str, event: str, subject: str, body: Mapping[str, Any]
) -> AuditHead:
    """Add one line, chained to the newest one, within the caller's transaction.

    Args:
        session: A writing transaction, which serialises appends.
        now: The time, UTC-aware.
        actor: Who did it: a login, or ``runbook``.
        event: What happened, as ``noun.verb`` (``plan.approved``).
        subject: What it happened to (``plan:…``).
        body: Facts worth keeping; its texts are scrubbed, for some repeat what others said (R8).
    """
    head = head_of(session)
    row = AuditRow(
        seq=head.seq + 1,
        at=now.astimezone(UTC),
        actor=actor,
        event=event,
        subject=subject,
        body=_scrubbed(dict(body)),
        previous_hash=head.hash,
        hash="",
    )
    row.hash = _hash_of(row)
    session.add(row)
    session.flush()
    return AuditHead(row.seq, row.hash)


def head_of(session: Session) -> AuditHead:
    """Return the newest line's number and hash; line 0 is the empty log."""
    newest = session.execute(
        select(AuditRow.seq, AuditRow.hash).order_by(AuditRow.seq.desc()).limit(1)
    ).first()
    return AuditHead(0, GENESIS) if newest is None else AuditHead(newest.seq, newest.hash)


def verify(session: Session, *, witness: str | None = None) -> AuditVerdict:
    """Recompute the whole chain.

    Args:
        session: A reading transaction.
        witness: A head hash noted outside earlier; it must stand in the chain, or lines were cut off.
    """
    head = AuditHead(0, GENESIS)
    seen_witness = witness is None or witness == GENESIS
    for row in session.scalars(select(AuditRow).order_by(AuditRow.seq)).yield_per(1000):
        if row.seq != head.seq + 1:
            return AuditVerdict(head.seq, head, row.seq, f"line {head.seq + 1} is missing")
        if row.previous_hash != head.hash:
            return AuditVerdict(
                head.seq, head, row.seq, f"line {row.seq} does not follow from line {head.seq}"
            )
        if row.hash != _hash_of(row):
            return AuditVerdict(head.seq, head, row.seq, f"line {row.seq} was changed")
        head = AuditHead(row.seq, row.hash)
        seen_witness = seen_witness or row.hash == witness
    if not seen_witness:
        return AuditVerdict(
            head.seq, head, head.seq + 1, "the witnessed head is not in the log: lines were cut off"
        )
    return AuditVerdict(head.seq, head, None, "every line follows from the one before")


def lines_of_incident(session: Session, incident_id: int) -> tuple[AuditRow, ...]:
    """Return what was said of an incident, its executions, their plans, effects and exceptions, oldest first.

    Args:
        session: A reading transaction.
        incident_id: The incident.
    """
    executions = select(ExecutionRow.id).where(ExecutionRow.incident_id == incident_id)
    ids = session.scalars(executions).all()
    plans = session.scalars(select(PlanRow.id).where(PlanRow.execution_id.in_(ids)))
    effects = session.scalars(select(EffectRow.id).where(EffectRow.execution_id.in_(ids)))
    exceptions = session.scalars(
        select(ExceptionRow.id).where(
            or_(ExceptionRow.incident_id == incident_id, ExceptionRow.execution_id.in_(ids))
        )
    )
    subjects = [
        f"incident:{incident_id}",
        *(f"execution:{one}" for one in ids),
        *(f"plan:{one}" for one in plans),
        *(f"effect:{one}" for one in effects),
        *(f"exception:{one}" for one in exceptions),
    ]
    query = select(AuditRow).where(AuditRow.subject.in_(subjects)).order_by(AuditRow.seq)
    return tuple(session.scalars(query))


def timeline(session: Session, incident_id: int) -> tuple[tuple[datetime, str], ...]:
    """Return when what happened in an incident, in words, oldest first.

    Args:
        session: A reading transaction.
        incident_id: The incident.
    """
    return tuple((row.at, _sentence(row)) for row in lines_of_incident(session, incident_id))


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: _scrubbed(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(part) for part in value]
    return value


def _sentence(row: AuditRow) -> str:
    said = [str(row.body[field]) for field in ("what", "digest", "reason", "note") if row.body.get(field)]
    by = "" if row.actor == "runbook" else f" by {row.actor}"
    return f"{row.event.replace('.', ' ').replace('_', ' ')}{by}{': ' if said else ''}{'; '.join(said)}"


def _hash_of(row: AuditRow) -> str:
    content = {
        "seq": row.seq,
        "at": row.at.isoformat(),
        "actor": row.actor,
        "event": row.event,
        "subject": row.subject,
        "body": row.body,
    }
    return hashlib.sha256(f"{row.previous_hash}\n{canonical_json(content)}".encode()).hexdigest()
