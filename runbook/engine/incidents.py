"""Incidents: what failed, where its issue is, which attempts belong to it, how it ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from runbook.clock import Clock
from runbook.decisions.outage import Together
from runbook.decisions.severity import AffectedRef
from runbook.engine import audit
from runbook.engine.audit import PRODUCT
from runbook.engine.executions import Execution
from runbook.engine.ledger import Ledger
from runbook.engine.outages import grow, outage_of, together_of
from runbook.engine.schema import AttemptRow, ExecutionRow, IncidentRow
from runbook.engine.states import OPEN_STATES, IncidentState


@dataclass(frozen=True)
class Incident:
    """One incident as the ledger has it."""

    id: int
    repository: str
    issues_repository: str
    issue_number: int | None
    issue_url: str
    fingerprint: str
    failure_class: str
    severity: str
    title: str
    state: IncidentState
    resolution: str
    detail: dict[str, Any]
    opened_at: datetime
    closed_at: datetime | None

    @property
    def together(self) -> Together | None:
        """What fails together in it for one outside reason; None where it has none."""
        return together_of(self.detail)

    @property
    def closings(self) -> int:
        """How often it was closed so far; one that was opened again has been before."""
        return int(self.detail.get("closings", 0))

    @property
    def raised_by(self) -> str | None:
        """The execution that joined it last with something more urgent."""
        return self.detail.get("raised_by")

    @classmethod
    def of(cls, row: IncidentRow) -> "Incident":
        """Copy a row out of its session."""
        return cls(
            id=row.id,
            repository=row.repository,
            issues_repository=row.issues_repository,
            issue_number=row.issue_number,
            issue_url=row.issue_url,
            fingerprint=row.fingerprint,
            failure_class=row.failure_class,
            severity=row.severity,
            title=row.title,
            state=IncidentState(row.state),
            resolution=row.resolution,
            detail=row.detail,
            opened_at=row.opened_at,
            closed_at=row.closed_at,
        )


@dataclass(frozen=True)
class OpenOne:
    """An open incident, and what is still to be done about it.

    Args:
        incident: The incident.
        about_runs: Failed runs belong to it, so that they tell when it is over; a bad image has none.
        runs: Its runs that nobody has seen green again.
        executions: The executions of it that have not ended.
    """

    incident: Incident
    about_runs: bool
    runs: frozenset[int]
    executions: tuple[Execution, ...]


class Incidents:
    """Opens, joins, finds and closes incidents."""

    def __init__(self, ledger: Ledger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def open_or_join(
        self,
        execution_id: str,
        *,
        repository: str,
        issues_repository: str,
        fingerprint: str,
        failure_class: str,
        severity: str,
        title: str,
        detail: dict[str, Any],
        scope: str = "",
        outside: Together | None = None,
        outage_window_minutes: float = 0.0,
    ) -> Incident:
        """Give an execution its incident: the one it has, an open one that it belongs to, or a new one.

        It belongs to the incident of the same outage, else to the open one of the same failure in the same scope.
        An outage's incident that was closed within the window is opened again: what one re-run ended, others
        still have. One that is joined by something more urgent becomes as urgent, and is named after it.
        The attempts that the execution claimed belong to the incident from then on (R10).

        Args:
            execution_id: The execution.
            repository: owner/name.
            issues_repository: Where its issue is to be.
            fingerprint: The same for the same failure.
            failure_class: What triage found.
            severity: How urgent it is; of two, the one that sorts first is more urgent.
            title: The incident's title.
            detail: What else is kept of the first failure.
            scope: Where the same failure is the same incident: a branch, or one pull request.
            outside: The failure's outside reason, where it has one.
            outage_window_minutes: How near in time failures for one outside reason are one outage.
        """
        with self._ledger.write() as session:
            execution = session.get_one(ExecutionRow, execution_id)
            if execution.incident_id is not None:
                return Incident.of(session.get_one(IncidentRow, execution.incident_id))
            row = None
            if outside is not None:
                window = timedelta(minutes=outage_window_minutes)
                row = outage_of(session, repository, outside, window=window, now=self._clock.now())
                if row is not None and row.state == IncidentState.CLOSED:
                    reopen(session, row, reason=outside.reason.value, now=self._clock.now())
            if row is None:
                row = session.scalars(
                    select(IncidentRow).where(
                        IncidentRow.repository == repository,
                        IncidentRow.fingerprint == fingerprint,
                        IncidentRow.state == IncidentState.OPEN,
                        IncidentRow.scope == scope,
                    )
                ).first()
            event = "incident.joined"
            if row is not None and severity < row.severity:
                row.severity, row.title = severity, title
                row.detail = {**row.detail, "raised_by": execution_id}
            if row is None:
                event = "incident.opened"
                row = IncidentRow(
                    repository=repository,
                    issues_repository=issues_repository,
                    fingerprint=fingerprint,
                    scope=scope,
                    failure_class=failure_class,
                    severity=severity,
                    title=title,
                    state=IncidentState.OPEN,
                    detail=detail,
                    opened_at=self._clock.now(),
                )
                session.add(row)
                session.flush()
            if outside is not None:
                grow(row, outside)
            execution.incident_id = row.id
            session.execute(
                update(AttemptRow).where(AttemptRow.execution_id == execution_id).values(incident_id=row.id)
            )
            self._audit(session, row, event, {"execution": execution_id, "severity": row.severity})
            return Incident.of(row)

    def get(self, incident_id: int) -> Incident:
        """Return one incident."""
        with self._ledger.read() as session:
            return Incident.of(session.get_one(IncidentRow, incident_id))

    def issue_opened(self, incident_id: int, *, number: int, url: str) -> Incident:
        """Note where its issue is; the first one noted stays."""
        with self._ledger.write() as session:
            row = session.get_one(IncidentRow, incident_id)
            if row.issue_number is None:
                row.issue_number = number
                row.issue_url = url
                self._audit(session, row, "incident.issue_opened", {"issue": number})
            return Incident.of(row)

    def resolve(self, incident_id: int, *, runs: Collection[int]) -> frozenset[int]:
        """Note that runs of an incident need nobody's care any more: they are green by now, say, or gone.

        Args:
            incident_id: The incident.
            runs: The runs.

        Returns:
            The incident's runs that still need it.
        """
        with self._ledger.write() as session:
            for attempt in _unresolved(session, incident_id):
                if attempt.run_id in runs:
                    attempt.resolved_at = self._clock.now()
            session.flush()
            return frozenset(attempt.run_id for attempt in _unresolved(session, incident_id))

    def close(self, incident_id: int, *, resolution: str) -> Incident:
        """Close it, unless a run of it still needs care; one that is closed stays as it was closed.

        Args:
            incident_id: The incident.
            resolution: How it was resolved.
        """
        with self._ledger.write() as session:
            row = session.get_one(IncidentRow, incident_id)
            if row.state != IncidentState.CLOSED and not _unresolved(session, incident_id):
                self._close(session, row, resolution)
            return Incident.of(row)

    def closed_by_hand(self, incident_id: int, *, resolution: str) -> None:
        """Close one whose issue a person closed: whatever its runs say, they need our care no more.

        One that an execution is at work on stays open: what has joined it meanwhile opens the issue again.

        Args:
            incident_id: The incident.
            resolution: What was seen.
        """
        with self._ledger.write() as session:
            if _open_executions(session, incident_id):
                return
            for attempt in _unresolved(session, incident_id):
                attempt.resolved_at = self._clock.now()
            row = session.get_one(IncidentRow, incident_id)
            if row.state != IncidentState.CLOSED:
                self._close(session, row, resolution)

    def cared_for(self, execution_id: str) -> frozenset[int]:
        """Return the runs of which an execution claimed attempts.

        Args:
            execution_id: The execution.
        """
        with self._ledger.read() as session:
            return frozenset(
                session.scalars(select(AttemptRow.run_id).where(AttemptRow.execution_id == execution_id))
            )

    def open_ones(self, repository: str, *, limit: int) -> tuple["OpenOne", ...]:
        """Return a repository's open incidents that have an issue, with what still needs care.

        Newest first, those of pull requests last: nobody may ever mend an abandoned one.

        Args:
            repository: owner/name.
            limit: The most to return.
        """
        query = (
            select(IncidentRow)
            .where(
                IncidentRow.repository == repository,
                IncidentRow.state == IncidentState.OPEN,
                IncidentRow.issue_number.is_not(None),
            )
            .order_by(IncidentRow.scope.startswith(AffectedRef.PULL_REQUEST), IncidentRow.id.desc())
            .limit(limit)
        )
        with self._ledger.read() as session:
            return tuple(
                OpenOne(
                    incident=Incident.of(row),
                    about_runs=_has_runs(session, row.id),
                    runs=frozenset(attempt.run_id for attempt in _unresolved(session, row.id)),
                    executions=_open_executions(session, row.id),
                )
                for row in session.scalars(query)
            )

    def of_attempt(self, *, repository: str, run_id: int, run_attempt: int) -> Incident | None:
        """Return the incident that a claimed attempt belongs to."""
        with self._ledger.read() as session:
            row = session.get(AttemptRow, (repository, run_id, run_attempt))
            if row is None or row.incident_id is None:
                return None
            return Incident.of(session.get_one(IncidentRow, row.incident_id))

    def recent(
        self,
        *,
        repository: str | None = None,
        fingerprint: str | None = None,
        state: IncidentState | None = None,
        limit: int = 50,
    ) -> tuple[Incident, ...]:
        """Return incidents, newest first: of a repository, of one kind of failure, or open ones alone."""
        query = select(IncidentRow).order_by(IncidentRow.opened_at.desc()).limit(limit)
        if repository is not None:
            query = query.where(IncidentRow.repository == repository)
        if fingerprint is not None:
            query = query.where(IncidentRow.fingerprint == fingerprint)
        if state is not None:
            query = query.where(IncidentRow.state == state)
        with self._ledger.read() as session:
            return tuple(Incident.of(row) for row in session.scalars(query))

    def _close(self, session: Session, row: IncidentRow, resolution: str) -> None:
        row.state = IncidentState.CLOSED
        row.resolution = resolution
        row.closed_at = self._clock.now()
        row.detail = {**row.detail, "closings": Incident.of(row).closings + 1}
        self._audit(session, row, "incident.closed", {"resolution": resolution})

    def _audit(self, session: Session, row: IncidentRow, event: str, body: dict[str, Any]) -> None:
        audit.append(
            session,
            now=self._clock.now(),
            actor=PRODUCT,
            event=event,
            subject=f"incident:{row.id}",
            body=body,
        )


def reopen(session: Session, row: IncidentRow, *, reason: str, now: datetime) -> None:
    """Open a closed incident again, within the caller's transaction; one that is open stays as it is.

    Args:
        session: A writing transaction.
        row: The incident.
        reason: What has come back.
        now: The time, UTC-aware.
    """
    if row.state == IncidentState.CLOSED:
        row.state, row.closed_at, row.resolution = IncidentState.OPEN, None, ""
        audit.append(
            session,
            now=now,
            actor=PRODUCT,
            event="incident.reopened",
            subject=f"incident:{row.id}",
            body={"reason": reason},
        )


def _unresolved(session: Session, incident_id: int) -> Sequence[AttemptRow]:
    query = select(AttemptRow).where(AttemptRow.incident_id == incident_id, AttemptRow.resolved_at.is_(None))
    return session.scalars(query).all()


def _has_runs(session: Session, incident_id: int) -> bool:
    return (
        session.scalars(
            select(AttemptRow.run_id).where(AttemptRow.incident_id == incident_id).limit(1)
        ).first()
        is not None
    )


def _open_executions(session: Session, incident_id: int) -> tuple[Execution, ...]:
    query = select(ExecutionRow).where(
        ExecutionRow.incident_id == incident_id, ExecutionRow.state.in_(OPEN_STATES)
    )
    return tuple(Execution.of(row) for row in session.scalars(query))
