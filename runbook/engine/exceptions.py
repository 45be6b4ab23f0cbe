"""Exceptions in the ledger (R6): what was left abnormal on purpose, whose it is, until when, and how it ended.

What is to be said of one on its issue is noted in the transaction that makes it so (``untold``) and said by the
sweeper: whoever ends an exception, or sees again what is barred, need not be able to write to GitHub.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from runbook.clock import Clock
from runbook.decisions.exceptions import (
    STANDING_STATES,
    ExceptionAction,
    ExceptionKind,
    ExceptionState,
    decide_exception,
    is_new_sighting,
    owner_of,
)
from runbook.engine import audit
from runbook.engine.audit import PRODUCT
from runbook.engine.exception_rows import (
    StandingException,
    Telling,
    copy_of,
    ends_with_its_effect,
    require,
    require_no_undo_under_way,
    require_restorable,
    subject_of,
)
from runbook.engine.incidents import reopen
from runbook.engine.ledger import Ledger
from runbook.engine.schema import (
    ApprovalRow,
    AuditRow,
    ExceptionRow,
    ExecutionRow,
    IncidentRow,
    PlanRow,
)
from runbook.engine.states import RequesterKind
from runbook.scrub import scrub


class Exceptions:
    """Adds, finds, watches and ends exceptions."""

    def __init__(self, ledger: Ledger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    # --- adding: once per execution, kind and subject, so that a flow that is resumed adds nothing twice -------

    def add_bar(
        self,
        execution_id: str,
        *,
        repository: str,
        subject: str,
        service: str,
        owner: str,
        reason: str,
        deadline: datetime,
        incident_id: int | None,
        effect_id: int | None = None,
    ) -> StandingException:
        """Note that something must not come back; again, it returns what was noted before.

        Args:
            execution_id: The execution that took it away.
            repository: owner/name.
            subject: What: ``ghcr.io/acme/x@sha256:…``.
            service: Whose it was.
            owner: Who answers for it (:meth:`owner`).
            reason: Why.
            deadline: Until when.
            incident_id: The incident that is opened again where it is seen.
            effect_id: What took it away; once that is undone, it may be there again.
        """
        return self._add(
            execution_id,
            ExceptionKind.BAR,
            subject=subject,
            repository=repository,
            service=service,
            owner=owner,
            reason=reason,
            deadline=deadline,
            incident_id=incident_id,
            effect_id=effect_id,
        )

    def add_obligation(
        self,
        execution_id: str,
        *,
        repository: str,
        subject: str,
        owner: str,
        reason: str,
        deadline: datetime,
        incident_id: int | None,
        service: str = "",
        effect_id: int | None = None,
    ) -> StandingException:
        """Note that something is still owed; the arguments are those of :meth:`add_bar`.

        ``effect_id`` is what it is owed for: it ends with its execution's undo unless that effect still stands.
        """
        return self._add(
            execution_id,
            ExceptionKind.OBLIGATION,
            subject=subject,
            repository=repository,
            service=service,
            owner=owner,
            reason=reason,
            deadline=deadline,
            incident_id=incident_id,
            effect_id=effect_id,
        )

    def add_restore(
        self,
        execution_id: str,
        *,
        effect_id: int,
        repository: str,
        owner: str,
        reason: str,
        deadline: datetime,
        incident_id: int | None,
        service: str = "",
    ) -> StandingException | None:
        """Note that a confirmed effect is undone at a deadline.

        Args:
            execution_id: The execution that it belongs to.
            effect_id: The effect, as the journal numbers it.
            repository: owner/name.
            owner: Who answers for it.
            reason: Why it was done.
            deadline: When it is undone.
            incident_id: Where that is told.
            service: The service that it is about.

        Returns:
            The exception; None where there is nothing of ours to put back: the world was already so, or refused it.

        Raises:
            UsageError: It is no effect of that execution, was not confirmed yet, or can never be undone.
        """
        known = self._find(
            ExceptionRow.effect_id == effect_id,
            ExceptionRow.execution_id == execution_id,
            ExceptionRow.kind == ExceptionKind.RESTORE,
        )
        if known:
            return known[0]
        with self._ledger.read() as session:
            subject = subject_of(session, effect_id, execution_id)
        if subject is None:
            return None
        return self._add(
            execution_id,
            ExceptionKind.RESTORE,
            subject=subject,
            repository=repository,
            service=service,
            owner=owner,
            reason=reason,
            deadline=deadline,
            incident_id=incident_id,
            effect_id=effect_id,
        )

    def owner(self, execution_id: str, *, on_call: str | None) -> str:
        """Return who answers for what an execution leaves: who asked, else who approved, else who is on call.

        Args:
            execution_id: The execution.
            on_call: The policy's.
        """
        approved = (
            select(ApprovalRow.login)
            .join(PlanRow, PlanRow.id == ApprovalRow.plan_id)
            .where(PlanRow.execution_id == execution_id, ApprovalRow.decision == "approve")
            .where(ApprovalRow.login.is_not(None))
            .order_by(ApprovalRow.id)
        )
        with self._ledger.read() as session:
            execution = session.get_one(ExecutionRow, execution_id)
            person = execution.requester_kind == RequesterKind.PERSON
            return owner_of(
                execution.requester if person else None,
                approver=session.scalars(approved).first(),
                on_call=on_call,
            )

    # --- finding ----------------------------------------------------------------------------------------------

    def get(self, exception_id: int) -> StandingException:
        """Return one exception.

        Raises:
            UsageError: There is none of that number.
        """
        with self._ledger.read() as session:
            return copy_of(session, require(session, exception_id))

    def of_execution(self, execution_id: str) -> tuple[StandingException, ...]:
        """Return what an execution left, oldest first."""
        return self._find(ExceptionRow.execution_id == execution_id)

    def every(self, *, limit: int) -> tuple[StandingException, ...]:
        """Return the newest exceptions, ended ones too, newest first."""
        query = select(ExceptionRow).order_by(ExceptionRow.id.desc()).limit(limit)
        with self._ledger.read() as session:
            return tuple(copy_of(session, row) for row in session.scalars(query))

    def open(
        self, kind: ExceptionKind | None = None, repository: str | None = None
    ) -> tuple[StandingException, ...]:
        """Return what is abnormal now, oldest first.

        Args:
            kind: Only of this kind.
            repository: Only of this repository.
        """
        wanted: list[ColumnElement[bool]] = [ExceptionRow.state.in_(STANDING_STATES)]
        if kind is not None:
            wanted.append(ExceptionRow.kind == kind)
        if repository is not None:
            wanted.append(ExceptionRow.repository == repository)
        return self._find(*wanted)

    def due(self, now: datetime) -> tuple[StandingException, ...]:
        """Return those that the sweeper has to do something about, oldest first.

        Args:
            now: The time, UTC-aware.
        """
        standing = self._find(
            ExceptionRow.state.in_((ExceptionState.OPEN, ExceptionState.RESTORING)),
            (ExceptionRow.deadline <= now) | (ExceptionRow.state == ExceptionState.RESTORING),
        )
        leave = ExceptionAction.LEAVE
        return tuple(one for one in standing if decide_exception(one.facts, now=now).action is not leave)

    def barred(self, repository: str) -> tuple[str, ...]:
        """Return what must not come back in a repository's services, by subject, without repeats.

        Args:
            repository: owner/name.
        """
        now = self._clock.now()
        bars = self.open(ExceptionKind.BAR, repository)
        return tuple(dict.fromkeys(bar.subject for bar in bars if bar.deadline > now))

    def watched(self) -> tuple[StandingException, ...]:
        """Return the bars in force; what the execution that made one is still taking away does not count as back."""
        now = self._clock.now()
        return tuple(
            bar for bar in self.open(ExceptionKind.BAR) if bar.deadline > now and not bar.execution_open
        )

    def untold(self) -> tuple[StandingException, ...]:
        """Return those of which there is something to say, oldest first."""
        return self._find(
            ExceptionRow.untold.in_(list(Telling))
        )  # by its index, which an inequality would not use

    # --- moving -----------------------------------------------------------------------------------------------

    def seen(self, exception_id: int, where: str, now: datetime) -> bool:
        """Note that what is barred was seen again, and open its incident again.

        Args:
            exception_id: The bar.
            where: Where it was seen.
            now: When, UTC-aware.

        Returns:
            Whether that is news: the first time on that day. A bar that is over tells nothing.
        """
        with self._ledger.write() as session:
            row = require(session, exception_id)
            if row.kind != ExceptionKind.BAR or row.state != ExceptionState.OPEN or now >= row.deadline:
                return False
            news = is_new_sighting(row.seen_at, now=now)
            row.seen_at, row.seen_where = now, scrub(where)
            if news:
                row.untold = Telling.SEEN_AGAIN
                self._audit(session, row, "exception.seen_again", {"reason": where})
                self._reopen(session, row, now=now)
            return news

    def begin_restore(self, exception_id: int, *, by: str | None = None, reason: str) -> StandingException:
        """Note that the undo of a restore begins, which allows the journal to claim it; again, nothing changes.

        Args:
            exception_id: The exception.
            by: The person who wants it now; None where its deadline has come.
            reason: Why.

        Raises:
            UsageError: There is none of that number, or it is not to be restored.
            Conflict: It is over, not due, or its plan is still being applied.
        """
        with self._ledger.write() as session:
            row = require(session, exception_id)
            if row.state == ExceptionState.RESTORING:
                return copy_of(session, row)
            require_restorable(session, row, due=by is not None or self._clock.now() >= row.deadline)
            row.state, row.note = ExceptionState.RESTORING, scrub(reason)
            self._audit(session, row, "exception.restoring", {"reason": reason}, actor=by or PRODUCT)
            return copy_of(session, row)

    def put_off(self, exception_id: int, deadline: datetime, *, execution_id: str, reason: str) -> bool:
        """Move the deadline of an open restore on for another execution that needs it: once for each.

        Args:
            exception_id: The exception.
            deadline: Until when that execution needs it; an earlier one than it has shortens nothing.
            execution_id: The execution that needs it.
            reason: Why.

        Returns:
            Whether it is open until then; False where it is over, being restored, or a person's by now.

        Raises:
            UsageError: There is none of that number.
        """
        event, body = "exception.put_off", {"execution": execution_id, "reason": reason}
        with self._ledger.write() as session:
            row = require(session, exception_id)
            if row.kind != ExceptionKind.RESTORE or row.state != ExceptionState.OPEN:
                return False
            earlier = select(AuditRow).where(
                AuditRow.subject == f"exception:{row.id}", AuditRow.event == event
            )
            if any(line.body.get("execution") == execution_id for line in session.scalars(earlier)):
                return True
            row.deadline = max(row.deadline, deadline)
            self._audit(session, row, event, {**body, "deadline": row.deadline.isoformat()})
            return True

    def escalate(self, exception_id: int) -> None:
        """Note that an obligation is overdue, once: it is said on its issue, and stays owed."""
        with self._ledger.write() as session:
            row = require(session, exception_id)
            if not row.escalated and row.state == ExceptionState.OPEN:
                row.escalated, row.untold = True, Telling.OVERDUE
                self._audit(session, row, "exception.overdue", {"reason": row.reason})

    def end(
        self, exception_id: int, state: ExceptionState, note: str, *, by: str | None = None
    ) -> StandingException:
        """Note how an exception ended, or that it needs a person; one that has ended stays as it is.

        Args:
            exception_id: The exception.
            state: Ended, restored, or that a person is needed.
            note: How, or why.
            by: The person who ends it; None for the product.

        Raises:
            UsageError: There is none of that number.
            Conflict: A person would end it while its undo is under way.
        """
        with self._ledger.write() as session:
            row = require(session, exception_id)
            if ExceptionState(row.state) not in STANDING_STATES:
                return copy_of(session, row)
            if by is not None:
                require_no_undo_under_way(session, row)
            self._end(session, row, state, note, by=by)
            return copy_of(session, row)

    def end_undone(self, execution_id: str, *, whole: bool, reason: str) -> None:
        """End what an execution left when its effects were undone: nothing is abnormal any more.

        Args:
            execution_id: The execution.
            whole: All of them were; else only what belongs to an effect that is.
            reason: Why.
        """
        note = f"the effects of its execution were undone: {reason}"
        with self._ledger.write() as session:
            for row in session.scalars(
                select(ExceptionRow).where(
                    ExceptionRow.execution_id == execution_id, ExceptionRow.state.in_(STANDING_STATES)
                )
            ):
                if whole or ends_with_its_effect(session, row):
                    self._end(session, row, ExceptionState.ENDED, note)

    def told(self, exception_id: int, what: Telling) -> None:
        """Note that something was said of an exception on its issue, unless there is something newer to say."""
        with self._ledger.write() as session:
            row = require(session, exception_id)
            if row.untold != what:
                return
            row.untold = ""
            if what is Telling.SEEN_AGAIN:
                # While its issue was still closed, the incident may have been taken for one that a person closed.
                self._reopen(session, row, now=self._clock.now())

    # ----------------------------------------------------------------------------------------------------------

    def _add(
        self,
        execution_id: str,
        kind: ExceptionKind,
        *,
        subject: str,
        repository: str,
        service: str,
        owner: str,
        reason: str,
        deadline: datetime,
        incident_id: int | None,
        effect_id: int | None = None,
    ) -> StandingException:
        known = select(ExceptionRow).where(
            ExceptionRow.execution_id == execution_id,
            ExceptionRow.kind == kind,
            ExceptionRow.subject == subject,
        )
        with self._ledger.write() as session:
            row = session.scalars(known).first()
            if row is None:
                row = ExceptionRow(
                    execution_id=execution_id,
                    kind=kind,
                    subject=subject,
                    repository=repository,
                    service=service,
                    owner=owner,
                    reason=scrub(reason),
                    incident_id=incident_id,
                    effect_id=effect_id,
                    state=ExceptionState.OPEN,
                    created_at=self._clock.now(),
                    deadline=deadline,
                )
                session.add(row)
                session.flush()
                said = {"owner": owner, "deadline": deadline.isoformat(), "reason": reason}
                self._audit(session, row, "exception.added", said)
            return copy_of(session, row)

    def _reopen(self, session: Session, row: ExceptionRow, *, now: datetime) -> None:
        if row.incident_id is not None:
            incident = session.get_one(IncidentRow, row.incident_id)
            reopen(session, incident, reason=f"{row.subject} was seen again", now=now)

    def _find(self, *wanted: ColumnElement[bool]) -> tuple[StandingException, ...]:
        query = select(ExceptionRow).where(*wanted).order_by(ExceptionRow.id)
        with self._ledger.read() as session:
            return tuple(copy_of(session, row) for row in session.scalars(query))

    def _end(
        self, session: Session, row: ExceptionRow, state: ExceptionState, note: str, *, by: str | None = None
    ) -> None:
        row.state, row.note = state, scrub(note)
        if state not in STANDING_STATES:
            row.ended_at = self._clock.now()
        # What passes by itself, or with what it belonged to, is no news.
        row.untold = Telling(state) if by is not None or state is not ExceptionState.ENDED else ""
        self._audit(session, row, f"exception.{state}", {"reason": note}, actor=by or PRODUCT)

    def _audit(
        self,
        session: Session,
        row: ExceptionRow,
        event: str,
        body: dict[str, str],
        *,
        actor: str = PRODUCT,
    ) -> None:
        audit.append(
            session,
            now=self._clock.now(),
            actor=actor,
            event=event,
            subject=f"exception:{row.id}",
            body={"kind": row.kind, "what": row.subject, **body},
        )
