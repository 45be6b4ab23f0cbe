"""The ledger's tables. A change here raises ``SCHEMA_VERSION`` and comes with its migration (``migrations``).

Rows are written only by the modules of this package, each of which owns its tables.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 3


class UtcDateTime(TypeDecorator[datetime]):
    """UTC-aware times, kept as sortable ISO text so that every database returns them unchanged."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger takes UTC-aware times only")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Return an aware time."""
        return None if value is None else datetime.fromisoformat(value)


class Base(DeclarativeBase):
    """Maps Python types to column types once for all tables."""

    type_annotation_map = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        str: Text,
        # GitHub's ids outgrew 32 bits; SQLite numbers rows by itself only under the name INTEGER.
        int: BigInteger().with_variant(Integer(), "sqlite"),
    }


class MetaRow(Base):
    """The schema version, one row."""

    __tablename__ = "meta"
    id: Mapped[int] = mapped_column(primary_key=True)
    schema_version: Mapped[int]


class RequestRow(Base):
    """Who asked for a run, written before that run is created (R2); a run may use one row, once."""

    __tablename__ = "requests"
    id: Mapped[str] = mapped_column(primary_key=True)
    procedure: Mapped[str]
    request_digest: Mapped[str]
    requester: Mapped[str]
    created_at: Mapped[datetime]
    execution_id: Mapped[str | None] = mapped_column(unique=True)


class ExecutionRow(Base):
    """One run of one procedure; its id is the flow run's."""

    __tablename__ = "executions"
    id: Mapped[str] = mapped_column(primary_key=True)
    procedure: Mapped[str]
    repository: Mapped[str]
    subject: Mapped[str]
    request_digest: Mapped[str] = mapped_column(default="", server_default="")
    requester: Mapped[str | None]
    requester_kind: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str] = mapped_column(default="")
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)
    process: Mapped[str]
    revivals: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    __table_args__ = (Index("executions_by_requester", "requester", "started_at"),)


class OpenTargetRow(Base):
    """The one open procedure per target (R7)."""

    __tablename__ = "open_targets"
    target: Mapped[str] = mapped_column(primary_key=True)
    execution_id: Mapped[str] = mapped_column(ForeignKey("executions.id"), index=True)


class IncidentRow(Base):
    """One incident and where its issue is."""

    __tablename__ = "incidents"
    id: Mapped[int] = mapped_column(primary_key=True)
    repository: Mapped[str]
    issues_repository: Mapped[str]
    issue_number: Mapped[int | None]
    issue_url: Mapped[str] = mapped_column(default="")
    fingerprint: Mapped[str]
    scope: Mapped[str] = mapped_column(default="", server_default="")
    failure_class: Mapped[str]
    severity: Mapped[str]
    title: Mapped[str]
    state: Mapped[str]
    resolution: Mapped[str] = mapped_column(default="")
    detail: Mapped[dict[str, Any]]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    __table_args__ = (
        Index("incidents_by_fingerprint", "repository", "fingerprint", "state"),
        Index("incidents_by_time", "repository", "fingerprint", "opened_at"),
        Index("incidents_by_state", "state", "repository", "closed_at"),
    )


class AttemptRow(Base):
    """A failed attempt, the execution that claimed it (R10), and when its run needed no more care."""

    __tablename__ = "attempts"
    repository: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(primary_key=True)
    run_attempt: Mapped[int] = mapped_column(primary_key=True)
    execution_id: Mapped[str] = mapped_column(ForeignKey("executions.id"), index=True)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)
    resolved_at: Mapped[datetime | None]


class PlanRow(Base):
    """A frozen plan, what was asked of whom, and how it ended."""

    __tablename__ = "plans"
    id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(index=True)
    execution_id: Mapped[str] = mapped_column(ForeignKey("executions.id"), index=True)
    procedure: Mapped[str]
    repository: Mapped[str]
    body: Mapped[dict[str, Any]]
    view: Mapped[dict[str, Any]]
    remedy: Mapped[str]
    failure_class: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str] = mapped_column(default="")
    asks: Mapped[int] = mapped_column(default=0)
    issues_repository: Mapped[str | None]
    issue_number: Mapped[int | None]
    issue_url: Mapped[str] = mapped_column(default="")
    comment_id: Mapped[int | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "one_waiting_plan_per_digest",
            "digest",
            unique=True,
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index("plans_by_remedy", "remedy", "failure_class", "state"),
    )


class EffectRow(Base):
    """The journal: one write to an outside system, planned, claimed, confirmed, undone."""

    __tablename__ = "effects"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    execution_id: Mapped[str] = mapped_column(ForeignKey("executions.id"), index=True)
    plan_id: Mapped[str | None] = mapped_column(ForeignKey("plans.id"), index=True)
    position: Mapped[int]
    kind: Mapped[str]
    effect_class: Mapped[str]
    params: Mapped[dict[str, Any]]
    state: Mapped[str]
    sends: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[int | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    note: Mapped[str] = mapped_column(default="")
    claimed_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]
    __table_args__ = (Index("effects_by_kind", "kind", "claimed_at"),)


class ExceptionRow(Base):
    """Something deliberately left abnormal (R6): to be restored, not to come back, or still owed.

    ``untold`` names what has yet to be said of it on its issue; ``seen_…`` are of what is barred.
    """

    __tablename__ = "exceptions"
    id: Mapped[int] = mapped_column(primary_key=True)
    execution_id: Mapped[str] = mapped_column(ForeignKey("executions.id"), index=True)
    kind: Mapped[str]
    subject: Mapped[str]
    repository: Mapped[str]
    service: Mapped[str]
    owner: Mapped[str]
    reason: Mapped[str]
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), index=True)
    effect_id: Mapped[int | None] = mapped_column(ForeignKey("effects.id"), index=True)
    state: Mapped[str]
    note: Mapped[str] = mapped_column(default="")
    untold: Mapped[str] = mapped_column(default="", index=True)
    escalated: Mapped[bool] = mapped_column(default=False)
    seen_at: Mapped[datetime | None]
    seen_where: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    deadline: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    __table_args__ = (
        UniqueConstraint("execution_id", "kind", "subject", name="an_exception_is_added_once"),
        Index("exceptions_by_state", "state", "deadline"),
        Index("exceptions_by_subject", "repository", "kind", "state"),
    )


class ApprovalRow(Base):
    """A decision that counted (or ended a plan), and what proved who made it."""

    __tablename__ = "approvals"
    id: Mapped[int] = mapped_column(primary_key=True)
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"), index=True)
    source: Mapped[str]
    proof: Mapped[str] = mapped_column(unique=True)
    login: Mapped[str | None]
    decision: Mapped[str]
    reason: Mapped[str]
    policy_digest: Mapped[str]
    recorded_at: Mapped[datetime]


class DeliveryRow(Base):
    """One webhook delivery: stored before it is acknowledged, then turned into runs by the dispatcher."""

    __tablename__ = "deliveries"
    id: Mapped[str] = mapped_column(primary_key=True)
    event: Mapped[str]
    action: Mapped[str] = mapped_column(default="")
    repository: Mapped[str] = mapped_column(default="")
    key: Mapped[str] = mapped_column(default="", index=True)
    body: Mapped[bytes]
    state: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    tries: Mapped[int] = mapped_column(default=0)
    received_at: Mapped[datetime]
    due_at: Mapped[datetime]
    handled_at: Mapped[datetime | None]
    __table_args__ = (Index("deliveries_by_state", "state", "due_at"),)


class PageDecisionRow(Base):
    """A decision given on the approval page; its one-time code counts once (the unique constraint)."""

    __tablename__ = "page_decisions"
    id: Mapped[int] = mapped_column(primary_key=True)
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.id"), index=True)
    login: Mapped[str]
    decision: Mapped[str]
    reason: Mapped[str]
    code_step: Mapped[int]
    decided_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("login", "code_step", name="a_code_counts_once"),)


class PageRefusalRow(Base):
    """A wrong, used or unknown name and code on the approval page: what guessing is limited by."""

    __tablename__ = "page_refusals"
    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str]
    at: Mapped[datetime]
    __table_args__ = (Index("page_refusals_by_login", "login", "at"),)


class LeaseRow(Base):
    """Who may act on a target now; the token only ever grows (a fencing token)."""

    __tablename__ = "leases"
    target: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[int]
    execution_id: Mapped[str | None]
    process: Mapped[str]
    expires_at: Mapped[datetime]


class AuditRow(Base):
    """One line of the hash-chained log (R12)."""

    __tablename__ = "audit"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str]
    event: Mapped[str]
    subject: Mapped[str] = mapped_column(index=True)
    body: Mapped[dict[str, Any]]
    previous_hash: Mapped[str]
    hash: Mapped[str]
