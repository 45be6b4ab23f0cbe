"""An outage's incidents in the ledger: which of them a failure belongs to, and what fails together in it (IR-12)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from runbook.decisions.outage import OpenIncident, Together, decide_outage, fingerprint_prefix
from runbook.engine.schema import IncidentRow
from runbook.engine.states import IncidentState


def together_of(detail: dict[str, Any]) -> Together | None:
    """Return what fails together in an incident, by its row's detail; None where it has no outside reason."""
    found = detail.get("together")
    return Together.model_validate(found) if found else None


def outage_of(
    session: Session, repository: str, outside: Together, *, window: timedelta, now: datetime
) -> IncidentRow | None:
    """Return the incident of the outage that a failure belongs to: an open one, else one closed just now.

    Args:
        session: A writing transaction.
        repository: owner/name.
        outside: The failure's outside reason.
        window: How near in time failures are together.
        now: The time.
    """
    still_open = _rows(session, repository, outside, IncidentRow.state == IncidentState.OPEN)
    just_closed = _rows(
        session,
        repository,
        outside,
        IncidentRow.state == IncidentState.CLOSED,
        IncidentRow.closed_at >= now - window,
    )
    return _joined(still_open, outside, window) or _joined(just_closed, outside, window)


def grow(row: IncidentRow, outside: Together) -> None:
    """Note on an incident what fails together in it by now."""
    known = together_of(row.detail)
    together = outside if known is None else known.with_also(outside)
    # A new value: the database is not told of a change inside the old one.
    row.detail = {**row.detail, "together": together.model_dump(mode="json")}


def _rows(
    session: Session, repository: str, outside: Together, *standing: ColumnElement[bool]
) -> Sequence[IncidentRow]:
    """Return the incidents of a repository that have this outside reason and stand so.

    Where they stand is what finds them (``incidents_by_state``): few are open or were closed just now, but the
    repository may have had this reason thousands of times. Hence one query for each, and the prefix only sifts.
    """
    prefix = fingerprint_prefix(outside.reason)
    return session.scalars(
        select(IncidentRow).where(
            IncidentRow.repository == repository,
            IncidentRow.fingerprint.startswith(prefix, autoescape=True),
            *standing,
        )
    ).all()


def _joined(rows: Sequence[IncidentRow], outside: Together, window: timedelta) -> IncidentRow | None:
    known = [
        OpenIncident(id=row.id, together=together)
        for row in rows
        if (together := together_of(row.detail)) is not None
    ]
    decision = decide_outage(outside, known, window_minutes=window.total_seconds() / 60)
    return next((row for row in rows if row.id == decision.joins), None)
