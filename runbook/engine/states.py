"""Where an effect, a plan and an execution can stand, and who may have asked."""

from enum import StrEnum


class EffectState(StrEnum):
    """Where one effect stands."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    CONFIRMED = "confirmed"
    FOUND = "found"
    """The world was already so before anything was sent: not ours to undo."""
    REFUSED = "refused"
    UNDOING = "undoing"
    UNDONE = "undone"
    KEPT = "kept"
    """Cannot be undone; the reason stands in the note."""
    NEEDS_PERSON = "needs_person"


SETTLED = frozenset({EffectState.CONFIRMED, EffectState.FOUND})


class PlanState(StrEnum):
    """Where a plan stands."""

    WAITING = "waiting"
    APPLYING = "applying"
    DONE = "done"
    VOIDED = "voided"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    UNDONE = "undone"
    NEEDS_PERSON = "needs_person"


ACTIVE_STATES = (PlanState.WAITING, PlanState.APPLYING)


class ExecutionState(StrEnum):
    """Where an execution stands."""

    RUNNING = "running"
    WAITING = "waiting"
    SETTLING = "settling"
    """Its effects are being undone."""
    DONE = "done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    UNDONE = "undone"
    NEEDS_PERSON = "needs_person"
    ALREADY_CLAIMED = "already_claimed"


OPEN_STATES = (ExecutionState.RUNNING, ExecutionState.WAITING, ExecutionState.SETTLING)


class RequesterKind(StrEnum):
    """How well it is known who asked."""

    PERSON = "person"
    """A ledger row written before the run was created names them."""
    PRODUCT = "product"
    """Triage, for the plans it makes."""
    SCHEDULE = "schedule"
    """A schedule that the policy declares; the requester is its name."""
    UNNAMED = "unnamed"
    """Started in the Prefect UI or by REST: one approver more is needed."""


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    CLOSED = "closed"
