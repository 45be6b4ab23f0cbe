"""Executions: one run of one procedure, who asked for it, and what it has claimed."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from runbook.canonical import digest
from runbook.clock import Clock
from runbook.engine import audit
from runbook.engine.audit import PRODUCT
from runbook.engine.ledger import Ledger
from runbook.engine.processes import process_identity
from runbook.engine.schema import AttemptRow, ExecutionRow, OpenTargetRow, RequestRow
from runbook.engine.states import OPEN_STATES, ExecutionState, RequesterKind
from runbook.errors import Denied
from runbook.scrub import scrub


@dataclass(frozen=True)
class Requester:
    """Who asked, where the caller knows it for itself.

    Args:
        kind: What kind of requester it is.
        name: Its name.
        at_most_every_seconds: A run within this time of the last one in its name is taken for nobody's.
    """

    kind: RequesterKind
    name: str
    at_most_every_seconds: float = 0.0


BY_PRODUCT = Requester(RequesterKind.PRODUCT, PRODUCT)
_AS_PRODUCT = "@product"  # in a request's row; no account's login holds this sign


@dataclass(frozen=True)
class Execution:
    """One run of one procedure as the ledger has it."""

    id: str
    procedure: str
    repository: str
    subject: str
    requester: str | None
    requester_kind: RequesterKind
    state: ExecutionState
    reason: str
    incident_id: int | None
    process: str
    revivals: int
    started_at: datetime
    heartbeat_at: datetime

    @classmethod
    def of(cls, row: ExecutionRow) -> "Execution":
        """Copy a row out of its session."""
        return cls(
            id=row.id,
            procedure=row.procedure,
            repository=row.repository,
            subject=row.subject,
            requester=row.requester,
            requester_kind=RequesterKind(row.requester_kind),
            state=ExecutionState(row.state),
            reason=row.reason,
            incident_id=row.incident_id,
            process=row.process,
            revivals=row.revivals,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
        )

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN_STATES


class Executions:
    """Begins, finds and ends executions."""

    def __init__(self, ledger: Ledger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def ask(self, *, procedure: str, request: Mapping[str, Any], requester: str) -> str:
        """Note who asks, before the run is created.

        Returns:
            The idempotency key to create the run with. It is the only way to this row, and Prefect gives a
            run of this flow with this key once; whoever reads it later can only repeat the very same request.
        """
        key = f"request:{uuid.uuid4()}"
        with self._ledger.write() as session:
            row = RequestRow(
                id=key,
                procedure=procedure,
                request_digest=digest(request),
                requester=requester,
                created_at=self._clock.now(),
            )
            session.add(row)
            self._audit(session, requester, "run.requested", key, {"procedure": procedure})
        return key

    def ask_as_product(self, *, procedure: str, request: Mapping[str, Any], about: str) -> str:
        """Note that the product itself asks, before the run is created; asked again, the same row stands.

        Args:
            procedure: The procedure.
            request: Its parameters.
            about: What it asks because of; one row for each.

        Returns:
            The idempotency key to create the run with, the same each time. Nobody can guess it: Prefect gives
            whoever comes second the first one's run, and what is asked because of something is no secret.
        """
        asked = digest(request)
        known = select(RequestRow).where(
            RequestRow.requester == _AS_PRODUCT, RequestRow.id.startswith(f"{about}#", autoescape=True)
        )
        with self._ledger.write() as session:
            row = session.scalars(known).first()
            if row is not None:
                if row.execution_id is None:  # the policy may have changed since it was tried before
                    row.procedure, row.request_digest = procedure, asked
                return row.id
            key = f"{about}#{uuid.uuid4()}"
            row = RequestRow(
                id=key,
                procedure=procedure,
                request_digest=asked,
                requester=_AS_PRODUCT,
                created_at=self._clock.now(),
            )
            session.add(row)
            self._audit(session, PRODUCT, "run.requested", key, {"procedure": procedure})
        return key

    def begin(
        self,
        execution_id: str,
        *,
        procedure: str,
        repository: str,
        subject: str,
        request: Mapping[str, Any],
        idempotency_key: str | None = None,
        requester: Requester | None = None,
    ) -> Execution:
        """Note that this process now carries out an execution, new or resumed.

        Args:
            execution_id: The flow run's id.
            procedure: Its procedure.
            repository: The repository it is about.
            subject: What it is about, for people (``run 42 of ci-test.yml``).
            request: Its parameters, as JSON data.
            idempotency_key: The run's; names the row that :meth:`ask` or :meth:`ask_as_product` wrote.
            requester: Who asked, where that is not to be looked up: triage, a declared schedule.

        Raises:
            Denied: It is not what this execution was begun with: Prefect lets anybody change a run's parameters.
        """
        now = self._clock.now()
        with self._ledger.write() as session:
            row = session.get(ExecutionRow, execution_id)
            if row is None:
                if requester is None or self._too_soon(session, requester):
                    name, kind = self._look_up(session, execution_id, procedure, request, idempotency_key)
                else:
                    name, kind = requester.name, requester.kind
                row = ExecutionRow(
                    id=execution_id,
                    procedure=procedure,
                    repository=repository,
                    subject=subject,
                    request_digest=digest(request),
                    requester=name,
                    requester_kind=kind,
                    state=ExecutionState.RUNNING,
                    process=process_identity(),
                    started_at=now,
                    heartbeat_at=now,
                )
                session.add(row)
                session.flush()
                self._audit(
                    session,
                    name or kind,
                    "execution.begun",
                    execution_id,
                    {"procedure": procedure, "repository": repository, "subject": subject},
                )
            else:
                _require_same(row, procedure, request)
            if ExecutionState(row.state) in OPEN_STATES:
                row.process = process_identity()
                row.heartbeat_at = now
                if row.state == ExecutionState.WAITING:
                    row.state = ExecutionState.RUNNING
            session.flush()
            return Execution.of(row)

    def get(self, execution_id: str) -> Execution | None:
        """Return one execution, or None."""
        with self._ledger.read() as session:
            row = session.get(ExecutionRow, execution_id)
            return None if row is None else Execution.of(row)

    def open(self) -> tuple[Execution, ...]:
        """Return every execution that has not ended, oldest first."""
        query = (
            select(ExecutionRow).where(ExecutionRow.state.in_(OPEN_STATES)).order_by(ExecutionRow.started_at)
        )
        with self._ledger.read() as session:
            return tuple(Execution.of(row) for row in session.scalars(query))

    def claim_attempt(self, execution_id: str, *, repository: str, run_id: int, run_attempt: int) -> bool:
        """Claim a failed attempt for this execution (R10).

        One whose holder ended without having resolved it (its plan was rejected or expired, its run cancelled)
        can be claimed anew: else nobody could ever ask for its triage again.

        Returns:
            Whether it is ours; False where another execution claimed it first.
        """
        with self._ledger.write() as session:
            row = session.get(AttemptRow, (repository, run_id, run_attempt))
            if row is not None and not _abandoned(session, row):
                return row.execution_id == execution_id
            if row is None:
                row = AttemptRow(repository=repository, run_id=run_id, run_attempt=run_attempt)
                session.add(row)
            row.execution_id = execution_id
            row.incident_id = session.get_one(ExecutionRow, execution_id).incident_id
            row.resolved_at = None
            self._audit(
                session,
                PRODUCT,
                "attempt.claimed",
                execution_id,
                {"repository": repository, "run_id": run_id, "run_attempt": run_attempt},
            )
            return True

    def claimed(self, *, repository: str, run_ids: Collection[int]) -> frozenset[tuple[int, int]]:
        """Return which attempts of some runs were claimed, by whomever, as run and attempt.

        One whose holder ended before it gave it an incident is claimed by nobody: it would be in none for ever (R10).

        Args:
            repository: owner/name.
            run_ids: The runs.
        """
        stands = ExecutionRow.state.in_((*OPEN_STATES, ExecutionState.DONE))
        query = (
            select(AttemptRow.run_id, AttemptRow.run_attempt)
            .join(ExecutionRow, ExecutionRow.id == AttemptRow.execution_id)
            .where(
                AttemptRow.repository == repository,
                AttemptRow.run_id.in_(run_ids),
                or_(AttemptRow.incident_id.is_not(None), stands),
            )
        )
        with self._ledger.read() as session:
            return frozenset((row.run_id, row.run_attempt) for row in session.execute(query))

    def of_attempt(self, *, repository: str, run_id: int, run_attempt: int) -> str | None:
        """Return the execution that claimed a failed attempt, if one did."""
        with self._ledger.read() as session:
            row = session.get(AttemptRow, (repository, run_id, run_attempt))
            return None if row is None else row.execution_id

    def beat(self, execution_id: str) -> None:
        """Note that the execution is alive."""
        with self._ledger.write() as session:
            session.get_one(ExecutionRow, execution_id).heartbeat_at = self._clock.now()

    def wait(self, execution_id: str) -> None:
        """Note that the execution waits for people; one that is being undone does not."""
        self._move(execution_id, ExecutionState.WAITING, "waits for approval")

    def settle(self, execution_id: str, *, reason: str) -> None:
        """Note that the execution's effects are being undone; a revived one goes on with that."""
        self._move(execution_id, ExecutionState.SETTLING, reason)

    def revived(self, execution_id: str) -> None:
        """Count a revival by the sweeper."""
        with self._ledger.write() as session:
            row = session.get_one(ExecutionRow, execution_id)
            row.revivals += 1
            self._audit(session, PRODUCT, "execution.revived", execution_id, {"revivals": row.revivals})

    def end(self, execution_id: str, state: ExecutionState, *, reason: str) -> None:
        """End an execution and free its targets; ending one that has ended changes nothing."""
        with self._ledger.write() as session:
            end_execution(session, execution_id, state, reason=reason, now=self._clock.now())

    def _move(self, execution_id: str, state: ExecutionState, reason: str) -> None:
        with self._ledger.write() as session:
            row = session.get_one(ExecutionRow, execution_id)
            undoing = row.state == ExecutionState.SETTLING and state is ExecutionState.WAITING
            if ExecutionState(row.state) not in OPEN_STATES or undoing:
                return
            row.state = state
            row.reason = scrub(reason)
            row.heartbeat_at = self._clock.now()
            if state is ExecutionState.WAITING:
                row.revivals = 0  # it came through by itself; what it died of before is over
            self._audit(session, PRODUCT, f"execution.{state}", execution_id, {"reason": reason})

    def _too_soon(self, session: Session, requester: Requester) -> bool:
        """Whether the last run in this name is too fresh: whoever adds a schedule could ask in it as often."""
        if not requester.at_most_every_seconds:
            return False
        earliest = self._clock.now() - timedelta(seconds=requester.at_most_every_seconds)
        query = select(ExecutionRow.id).where(
            ExecutionRow.requester_kind == requester.kind,
            ExecutionRow.requester == requester.name,
            ExecutionRow.started_at > earliest,
        )
        return session.scalars(query).first() is not None

    def _look_up(
        self,
        session: Session,
        execution_id: str,
        procedure: str,
        request: Mapping[str, Any],
        idempotency_key: str | None,
    ) -> tuple[str | None, RequesterKind]:
        row = session.get(RequestRow, idempotency_key) if idempotency_key else None
        if (
            row is None
            or row.execution_id is not None
            or row.procedure != procedure
            or row.request_digest != digest(request)
        ):
            return None, RequesterKind.UNNAMED
        row.execution_id = execution_id
        if row.requester == _AS_PRODUCT:
            return BY_PRODUCT.name, BY_PRODUCT.kind
        return row.requester, RequesterKind.PERSON

    def _audit(self, session: Session, actor: str, event: str, subject: str, body: dict[str, Any]) -> None:
        audit.append(
            session,
            now=self._clock.now(),
            actor=actor,
            event=event,
            subject=f"execution:{subject}",
            body=body,
        )


def _require_same(row: ExecutionRow, procedure: str, request: Mapping[str, Any]) -> None:
    """Refuse another request than the one whose requester, schedule and approvals an execution has (R2)."""
    known = row.request_digest in {"", digest(request)}  # an older version kept none
    if row.procedure != procedure or not known:
        raise Denied(
            f"The request of {row.procedure} ({row.subject}) was changed in Prefect after the run had begun.",
            unchanged="Nothing was done for the changed request.",
            next_step="look who may write to the Prefect API; start a run of its own for another request",
        )


def _abandoned(session: Session, row: AttemptRow) -> bool:
    holder = session.get_one(ExecutionRow, row.execution_id)
    return ExecutionState(holder.state) not in {*OPEN_STATES, ExecutionState.DONE}


def end_execution(
    session: Session, execution_id: str, state: ExecutionState, *, reason: str, now: datetime
) -> None:
    """End an execution within the caller's transaction (see :meth:`Executions.end`)."""
    row = session.get_one(ExecutionRow, execution_id)
    if ExecutionState(row.state) not in OPEN_STATES:
        return
    row.state = state
    row.reason = scrub(reason)
    row.ended_at = now
    session.execute(delete(OpenTargetRow).where(OpenTargetRow.execution_id == execution_id))
    audit.append(
        session,
        now=now,
        actor=PRODUCT,
        event=f"execution.{state}",
        subject=f"execution:{execution_id}",
        body={"reason": reason},
    )
