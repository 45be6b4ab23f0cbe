"""One exception as the ledger has it, and what may not be done to it now; checked in the mover's own transaction."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from runbook.decisions.exceptions import ExceptionFacts, ExceptionKind, ExceptionState
from runbook.engine.effects import load_effect
from runbook.engine.schema import EffectRow, ExceptionRow, ExecutionRow, PlanRow
from runbook.engine.states import ACTIVE_STATES, OPEN_STATES, EffectState, ExecutionState, PlanState
from runbook.errors import Conflict, UsageError
from runbook.scrub import scrub


class Telling(StrEnum):
    """What there is to say of an exception on its issue."""

    RESTORED = "restored"
    ENDED = "ended"
    NEEDS_PERSON = "needs_person"
    OVERDUE = "overdue"
    SEEN_AGAIN = "seen_again"


@dataclass(frozen=True)
class StandingException:
    """One exception as the ledger has it.

    Args:
        id: Its number.
        execution_id: The execution that left it.
        procedure: That execution's procedure, whose approvers may end it.
        execution_open: Whether that execution has not ended.
        repository: owner/name.
        kind: Restore, bar or obligation.
        subject: What it is about: ``ghcr.io/acme/x@sha256:…``, an effect, what is owed.
        service: The service that it is about; empty where it is about none.
        owner: Who answers for it, as GitHub mentions them without ``@``; empty where nobody was named.
        reason: Why it was left.
        incident_id: Its incident.
        effect_id: The effect to undo.
        state: Where it stands.
        note: How it came there.
        untold: What has yet to be said of it.
        escalated: That it is overdue was said.
        seen_at: When what is barred was seen last.
        seen_where: Where.
        created_at: Since when.
        deadline: Until when.
        ended_at: When it ended.
    """

    id: int
    execution_id: str
    procedure: str
    execution_open: bool
    repository: str
    kind: ExceptionKind
    subject: str
    service: str
    owner: str
    reason: str
    incident_id: int | None
    effect_id: int | None
    state: ExceptionState
    note: str
    untold: Telling | None
    escalated: bool
    seen_at: datetime | None
    seen_where: str
    created_at: datetime
    deadline: datetime
    ended_at: datetime | None

    @property
    def facts(self) -> ExceptionFacts:
        """What decisions take of it."""
        return ExceptionFacts(
            kind=self.kind,
            state=self.state,
            deadline=self.deadline,
            execution_open=self.execution_open,
            escalated=self.escalated,
            seen_at=self.seen_at,
        )

    @property
    def digest(self) -> str:
        """The digest of a barred image; empty where only its tag is known."""
        return self.subject.partition("@")[2]


def is_restoring(session: Session, effect_id: int) -> bool:
    """Tell within a claim's transaction whether an effect is being undone as an exception whose time has come."""
    query = select(ExceptionRow.id).where(
        ExceptionRow.effect_id == effect_id, ExceptionRow.state == ExceptionState.RESTORING
    )
    return session.scalars(query.limit(1)).first() is not None


def require(session: Session, exception_id: int) -> ExceptionRow:
    row = session.get(ExceptionRow, exception_id)
    if row is None:
        raise UsageError(
            f"There is no exception {exception_id}.",
            unchanged="Nothing was changed.",
            next_step="list them with `runbook exceptions --all`",
        )
    return row


def require_restorable(session: Session, row: ExceptionRow, *, due: bool) -> None:
    if row.kind != ExceptionKind.RESTORE or row.effect_id is None:
        raise UsageError(
            f"Exception {row.id} is a {row.kind}: there is nothing to restore.",
            unchanged="Nothing was changed.",
            next_step="end it with `runbook exceptions end`, if it is over",
        )
    if row.state == ExceptionState.NEEDS_PERSON:
        why = f"could not be restored ({row.note})"
        advice = "put it back by hand (`runbook journal` has the command), then end it"
    elif row.state != ExceptionState.OPEN:
        why, advice = f"is over: {row.state}", "nothing is to be done"
    elif not due:
        why, advice = f"is not due before {row.deadline.isoformat()}", "wait, or restore it as a person"
    elif _is_applying(session, row.effect_id):
        why = "belongs to a plan that is still being applied"
        advice = "wait for its run to end, or cancel that: what it did is undone then"
    else:
        return
    raise Conflict(f"Exception {row.id} {why}.", unchanged="Nothing was changed.", next_step=advice)


def _is_applying(session: Session, effect_id: int) -> bool:
    effect = session.get_one(EffectRow, effect_id)
    plan = session.get(PlanRow, effect.plan_id) if effect.plan_id is not None else None
    return plan is not None and PlanState(plan.state) in ACTIVE_STATES


def require_no_undo_under_way(session: Session, row: ExceptionRow) -> None:
    effect = session.get(EffectRow, row.effect_id) if row.effect_id is not None else None
    if row.state == ExceptionState.RESTORING and effect is not None and effect.state == EffectState.UNDOING:
        raise Conflict(
            f"Exception {row.id} is being restored at the moment.",
            unchanged="Nothing was changed.",
            next_step="wait until that has ended: the sweeper goes on with it within a minute or two",
        )


def subject_of(session: Session, effect_id: int, execution_id: str) -> str | None:
    """Name an effect that is to be undone later; None where nothing was done: it was so already, or it was refused."""
    row = session.get(EffectRow, effect_id)
    if row is None or row.execution_id != execution_id:
        raise UsageError(f"Execution {execution_id} has no effect {effect_id}.")
    if row.state in {EffectState.FOUND, EffectState.REFUSED}:
        return None
    effect = load_effect(row.kind, row.params)
    if row.state not in {EffectState.CONFIRMED, EffectState.UNDOING, EffectState.UNDONE} or effect.no_undo:
        raise UsageError(
            f"“{effect.describe()}” is {row.state} and cannot be restored later. {effect.no_undo}".strip()
        )
    return f"effect {effect_id}: {scrub(effect.describe())}"


def ends_with_its_effect(session: Session, row: ExceptionRow) -> bool:
    """Tell whether what an exception belongs to was taken back, or of an obligation, does not stand (any more)."""
    effect = session.get(EffectRow, row.effect_id) if row.effect_id is not None else None
    if effect is None:
        return False
    if row.kind != ExceptionKind.OBLIGATION:
        return effect.state == EffectState.UNDONE
    # A plan that a person has to end is not undone: what it moved stands, and so does what is owed for that.
    undoing = session.get_one(ExecutionRow, row.execution_id).state == ExecutionState.SETTLING
    return undoing and effect.state not in {EffectState.CONFIRMED, EffectState.UNDOING}


def copy_of(session: Session, row: ExceptionRow) -> StandingException:
    """Copy a row out of its session, with what is asked of its execution."""
    execution = session.get_one(ExecutionRow, row.execution_id)
    return StandingException(
        id=row.id,
        execution_id=row.execution_id,
        procedure=execution.procedure,
        execution_open=ExecutionState(execution.state) in OPEN_STATES,
        repository=row.repository,
        kind=ExceptionKind(row.kind),
        subject=row.subject,
        service=row.service,
        owner=row.owner,
        reason=row.reason,
        incident_id=row.incident_id,
        effect_id=row.effect_id,
        state=ExceptionState(row.state),
        note=row.note,
        untold=Telling(row.untold) if row.untold else None,
        escalated=row.escalated,
        seen_at=row.seen_at,
        seen_where=row.seen_where,
        created_at=row.created_at,
        deadline=row.deadline,
        ended_at=row.ended_at,
    )
