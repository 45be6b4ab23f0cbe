"""Plans in the ledger: stored once, shown, asked about, ended; one open procedure per target (R7)."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from runbook.clock import Clock
from runbook.decisions.approval import MINIMUM_DIGEST_DIGITS
from runbook.engine import audit
from runbook.engine.audit import PRODUCT
from runbook.engine.executions import end_execution
from runbook.engine.ledger import Ledger
from runbook.engine.plan import Plan, PlanView
from runbook.engine.schema import EffectRow, ExecutionRow, OpenTargetRow, PlanRow
from runbook.engine.states import (
    ACTIVE_STATES,
    OPEN_STATES,
    EffectState,
    ExecutionState,
    PlanState,
    RequesterKind,
)
from runbook.errors import Conflict, UsageError
from runbook.scrub import scrub


@dataclass(frozen=True)
class StoredPlan:
    """A plan with what the ledger adds to it."""

    id: str
    digest: str
    execution_id: str
    plan: Plan
    view: PlanView
    state: PlanState
    reason: str
    asks: int
    issues_repository: str | None
    issue_number: int | None
    issue_url: str
    comment_id: int | None
    created_at: datetime
    expires_at: datetime
    requester: str | None
    requester_kind: RequesterKind
    has_incident: bool

    @property
    def pages_above(self) -> str:
        """How the records are named, but for their number, that show above its comment what that cannot hold."""
        return f"plan-{self.id}-rest-"

    @property
    def short_digest(self) -> str:
        """The 16 digits that commands and comments accept."""
        return self.digest[:MINIMUM_DIGEST_DIGITS]


@dataclass(frozen=True)
class Scorecard:
    """How often a remedy helped before."""

    tried: int
    helped: int

    def sentence(self) -> str:
        """Say it as the plan shows it."""
        if not self.tried:
            return "never tried before"
        return f"helped {self.helped} of {self.tried} times before"


class PlanRefused(Conflict):
    """The plan cannot be stored now, whoever approves: its target is being changed, or it asks for too much."""


class Plans:
    """Stores, finds and ends plans."""

    def __init__(self, ledger: Ledger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def store(
        self, execution_id: str, plan: Plan, *, view: PlanView, expires_after_seconds: float
    ) -> StoredPlan:
        """Keep a plan and take its targets; a plan of another execution that waits for them is superseded.

        Raises:
            PlanRefused: Another execution is applying a plan on one of the targets.
            Conflict: This execution was ended, or has an open plan already.
        """
        now = self._clock.now()
        with self._ledger.write() as session:
            _require_open(session, execution_id)
            for target in plan.targets:
                self._take(session, target, execution_id, now)
            row = PlanRow(
                id=str(uuid.uuid4()),
                digest=plan.digest,
                execution_id=execution_id,
                procedure=plan.procedure,
                repository=plan.repository,
                body=plan.model_dump(mode="json"),
                view=view.model_dump(mode="json"),
                remedy=view.remedy,
                failure_class=view.failure_class,
                state=PlanState.WAITING,
                created_at=now,
                expires_at=now + timedelta(seconds=expires_after_seconds),
            )
            session.add(row)
            session.flush()
            for position, effect in enumerate(plan.effects):
                session.add(
                    EffectRow(
                        key=f"{row.id}/{position}",
                        execution_id=execution_id,
                        plan_id=row.id,
                        position=position,
                        kind=effect.kind,
                        effect_class=effect.effect_class,
                        params=effect.params,
                        state=EffectState.PLANNED,
                    )
                )
            self._audit(session, row, "plan.made", {"digest": row.digest, "effects": len(plan.effects)})
            return self._stored(session, row)

    def get(self, plan_id: str) -> StoredPlan:
        """Return one plan.

        Raises:
            UsageError: There is none of that id.
        """
        with self._ledger.read() as session:
            row = session.get(PlanRow, plan_id)
            if row is None:
                raise UsageError(
                    f"There is no plan {plan_id}.", next_step="list them with `runbook approvals`"
                )
            return self._stored(session, row)

    def active(self, execution_id: str) -> StoredPlan | None:
        """Return the plan that an execution is waiting for or applying, if any."""
        query = (
            select(PlanRow)
            .where(PlanRow.execution_id == execution_id, PlanRow.state.in_(ACTIVE_STATES))
            .order_by(PlanRow.created_at.desc())
        )
        with self._ledger.read() as session:
            row = session.scalars(query).first()
            return None if row is None else self._stored(session, row)

    def latest(self, execution_id: str) -> StoredPlan | None:
        """Return an execution's newest plan, whatever became of it."""
        query = (
            select(PlanRow)
            .where(PlanRow.execution_id == execution_id)
            .order_by(PlanRow.created_at.desc())
            .limit(1)
        )
        with self._ledger.read() as session:
            row = session.scalars(query).first()
            return None if row is None else self._stored(session, row)

    def waiting(self, *, shown: bool = False) -> tuple[StoredPlan, ...]:
        """Return every plan that waits for approval, oldest first.

        Args:
            shown: Only those that a comment shows: of another, the run is still about to post it.
        """
        return self._waiting(*([PlanRow.comment_id.is_not(None)] if shown else []))

    def waiting_on(self, issues_repository: str, issue_number: int, *, digits: str) -> tuple[StoredPlan, ...]:
        """Return the plans that wait for approval on an issue, and whose digest begins so.

        Args:
            issues_repository: owner/name, however it is spelt.
            issue_number: The issue.
            digits: The first digits of the digest, lower case.
        """
        return self._waiting(
            PlanRow.issue_number == issue_number,
            func.lower(PlanRow.issues_repository) == issues_repository.lower(),
            PlanRow.digest.startswith(digits, autoescape=True),
        )

    def waiting_digests(self, *, other_than: str) -> tuple[str, ...]:
        """Return the digests of the plans that wait for approval, but for one, by its id."""
        query = select(PlanRow.digest).where(PlanRow.state == PlanState.WAITING, PlanRow.id != other_than)
        with self._ledger.read() as session:
            return tuple(session.scalars(query))

    def by_digits(self, digits: str) -> StoredPlan:
        """Return the waiting plan whose digest begins with ``digits``.

        Raises:
            UsageError: Fewer than 16 digits, no such plan, or more than one.
        """
        digits = digits.strip().lower()
        if len(digits) < MINIMUM_DIGEST_DIGITS or any(digit not in "0123456789abcdef" for digit in digits):
            raise UsageError(
                f"{digits!r} is not {MINIMUM_DIGEST_DIGITS} or more hexadecimal digits of a plan's digest.",
                unchanged="Nothing was approved or rejected.",
                next_step="copy the digits from the plan, or list them with `runbook approvals`",
            )
        found = self._waiting(PlanRow.digest.startswith(digits, autoescape=True))
        if len(found) != 1:
            raise UsageError(
                f"{'More than one' if found else 'No'} waiting plan has the digest {digits}…",
                unchanged="Nothing was approved or rejected.",
                next_step="list the waiting plans with `runbook approvals`",
            )
        return found[0]

    def placed(
        self, plan_id: str, *, issues_repository: str, issue_number: int, issue_url: str
    ) -> StoredPlan:
        """Note on which issue people will see the plan."""
        with self._ledger.write() as session:
            row = session.get_one(PlanRow, plan_id)
            row.issues_repository = issues_repository
            row.issue_number = issue_number
            row.issue_url = issue_url
            return self._stored(session, row)

    def shown(self, plan_id: str, *, comment_id: int) -> StoredPlan:
        """Note the comment that shows the plan: decisions must come after it."""
        with self._ledger.write() as session:
            row = session.get_one(PlanRow, plan_id)
            row.comment_id = comment_id
            where = {"repository": row.issues_repository, "issue": row.issue_number, "comment": comment_id}
            self._audit(session, row, "plan.shown", where)
            return self._stored(session, row)

    def ask(self, plan_id: str) -> int:
        """Count one more suspension for this plan.

        Returns:
            Its number: a fresh key for Prefect, which would return an old answer for an old key.
        """
        with self._ledger.write() as session:
            row = session.get_one(PlanRow, plan_id)
            row.asks += 1
            return row.asks

    def asks_of(self, execution_id: str) -> int:
        """Return how often an execution was suspended, over all its plans."""
        query = select(func.coalesce(func.sum(PlanRow.asks), 0)).where(PlanRow.execution_id == execution_id)
        with self._ledger.read() as session:
            return int(session.scalar(query) or 0)

    def end(self, plan_id: str, state: PlanState, *, reason: str) -> None:
        """End a plan; one that has ended stays as it is."""
        with self._ledger.write() as session:
            row = session.get_one(PlanRow, plan_id)
            if PlanState(row.state) in ACTIVE_STATES:
                self._end(session, row, state, reason)

    def scorecard(self, *, remedy: str, failure_class: str) -> Scorecard:
        """Count how often a remedy was applied to a class of failure, and how often that was verified."""
        query = (
            select(PlanRow.state, func.count())
            .where(
                PlanRow.remedy == remedy,
                PlanRow.failure_class == failure_class,
                PlanRow.state.in_((PlanState.DONE, PlanState.UNDONE, PlanState.NEEDS_PERSON)),
            )
            .group_by(PlanRow.state)
        )
        with self._ledger.read() as session:
            counts = {PlanState(state): int(count) for state, count in session.execute(query)}
        return Scorecard(tried=sum(counts.values()), helped=counts.get(PlanState.DONE, 0))

    def _waiting(self, *wanted: ColumnElement[bool]) -> tuple[StoredPlan, ...]:
        query = (
            select(PlanRow).where(PlanRow.state == PlanState.WAITING, *wanted).order_by(PlanRow.created_at)
        )
        with self._ledger.read() as session:
            return tuple(self._stored(session, row) for row in session.scalars(query))

    def _take(self, session: Session, target: str, execution_id: str, now: datetime) -> None:
        row = session.get(OpenTargetRow, target)
        if row is None:
            session.add(OpenTargetRow(target=target, execution_id=execution_id))
            return
        if row.execution_id == execution_id:
            return
        holder = session.get_one(ExecutionRow, row.execution_id)
        query = select(PlanRow).where(PlanRow.execution_id == holder.id).order_by(PlanRow.created_at.desc())
        plans = session.scalars(query).all()
        plan = next((each for each in plans if each.state in ACTIVE_STATES), plans[0] if plans else None)
        if plan is not None and plan.state == PlanState.APPLYING:
            raise PlanRefused(
                f"{target} is being changed by {holder.procedure} ({holder.subject}).",
                unchanged="Nothing was changed, and no plan was made.",
                next_step="wait for it to end (runbook journal shows it), then start again",
            )
        if plan is not None and plan.state not in {PlanState.WAITING, PlanState.VOIDED}:
            # It is done with the target and has only its record to write: it must stay open for that.
            row.execution_id = execution_id
            return
        reason = "a newer plan for the same target took its place"
        if plan is not None and plan.state == PlanState.WAITING:
            self._end(session, plan, PlanState.SUPERSEDED, reason)
        end_execution(session, holder.id, ExecutionState.SUPERSEDED, reason=reason, now=now)
        session.flush()
        session.add(OpenTargetRow(target=target, execution_id=execution_id))

    def _end(self, session: Session, row: PlanRow, state: PlanState, reason: str) -> None:
        row.state = state
        row.reason = scrub(reason)
        row.ended_at = self._clock.now()
        self._audit(session, row, f"plan.{state}", {"reason": reason})

    def _audit(self, session: Session, row: PlanRow, event: str, body: dict[str, Any]) -> None:
        audit.append(
            session, now=self._clock.now(), actor=PRODUCT, event=event, subject=f"plan:{row.id}", body=body
        )

    def _stored(self, session: Session, row: PlanRow) -> StoredPlan:
        execution = session.get_one(ExecutionRow, row.execution_id)
        return StoredPlan(
            id=row.id,
            digest=row.digest,
            execution_id=row.execution_id,
            plan=Plan.model_validate(row.body),
            view=PlanView.model_validate(row.view),
            state=PlanState(row.state),
            reason=row.reason,
            asks=row.asks,
            issues_repository=row.issues_repository,
            issue_number=row.issue_number,
            issue_url=row.issue_url,
            comment_id=row.comment_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
            requester=execution.requester,
            requester_kind=RequesterKind(execution.requester_kind),
            has_incident=execution.incident_id is not None,
        )


def _require_open(session: Session, execution_id: str) -> None:
    """Refuse a plan for an execution that was ended (superseded while it planned anew) or has one already.

    Raises:
        Conflict: It was, or has.
    """
    execution = session.get_one(ExecutionRow, execution_id)
    plan = session.scalars(
        select(PlanRow).where(PlanRow.execution_id == execution_id, PlanRow.state.in_(ACTIVE_STATES))
    ).first()
    if plan is None and ExecutionState(execution.state) in OPEN_STATES:
        return
    why = (
        f"ended as {execution.state}: {execution.reason}."
        if plan is None
        else f"has a plan already, {plan.digest[:16]}, made by another process."
    )
    raise Conflict(
        f"{execution.procedure} ({execution.subject}) {why}",
        unchanged="Nothing was changed, and no plan was made.",
        next_step="start it again if it is still wanted",
    )
