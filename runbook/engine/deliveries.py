"""Webhook deliveries in the ledger: stored before they are acknowledged, handled once, forgotten in the end (R10)."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CursorResult, delete, func, insert, select, update
from sqlalchemy.orm import Session

from runbook.clock import Clock
from runbook.engine.ledger import Ledger
from runbook.engine.schema import DeliveryRow
from runbook.errors import Permanent
from runbook.scrub import scrub

LONGEST_BACKOFF_SECONDS = 600.0
"""The longest that a delivery waits between two tries."""

_FIRST_BACKOFF_SECONDS = 1.0
_LARGEST_DOUBLINGS = 16
# Level 1: JSON shrinks to a sixth in a tenth of the time that the best level takes to make it a seventh.
_COMPRESSION = 1


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """Stored; the dispatcher has yet to act on it."""
    DONE = "done"
    IGNORED = "ignored"
    FAILED = "failed"
    """Tried until nothing more was to be hoped for; the reconciling flow finds what it was about."""


_TAKEN_UP = frozenset({DeliveryState.IGNORED, DeliveryState.FAILED})
"""One that comes again is taken up anew if it stands so: the policy, or Prefect, may have changed meanwhile."""


class Receipt(StrEnum):
    """What became of a delivery that came in."""

    STORED = "stored"
    REPEATED = "repeated"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Incoming:
    """A delivery as it came in.

    Args:
        id: GitHub's, the same when it is sent again.
        event: The kind of event.
        action: The event's action, or empty.
        repository: What it is about, or empty.
        key: What makes two deliveries the same to do; empty for one that is ignored.
        body: What :func:`pack` made of the payload; empty for one that is ignored: nobody will read it, and what
            stands in it is better kept nowhere.
        ignored: Why nothing is to be done; empty where something is.
    """

    id: str
    event: str
    action: str
    repository: str
    key: str
    body: bytes
    ignored: str = ""


@dataclass(frozen=True)
class Delivery:
    """A stored delivery that waits to be handled."""

    id: str
    event: str
    repository: str
    key: str
    body: bytes
    tries: int
    received_at: datetime

    def payload(self) -> bytes:
        """Return what GitHub sent.

        Raises:
            Permanent: What is stored is damaged.
        """
        try:
            return zlib.decompress(self.body)
        except zlib.error as error:
            raise Permanent(
                f"The stored body of delivery {self.id} is damaged.",
                unchanged="Nothing follows from it.",
                next_step="check the disk; the reconciling flow finds what it was about",
            ) from error


@dataclass(frozen=True)
class Backlog:
    """How many deliveries stand where, and since when the oldest waits."""

    counts: dict[DeliveryState, int]
    oldest_waiting_at: datetime | None


def pack(payload: bytes) -> bytes:
    """Compress a payload for the ledger."""
    return zlib.compress(payload, _COMPRESSION)


class Deliveries:
    """Stores, hands out and forgets deliveries.

    Args:
        ledger: Where they are kept.
        clock: Time.
    """

    def __init__(self, ledger: Ledger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def store(self, arrivals: Sequence[Incoming]) -> list[Receipt]:
        """Store deliveries in one transaction; once it returns, none of them can be lost.

        One that is there already is left as it is. Only one that was ignored, and for which there is something to
        do by now, is taken up: its repository was added to the policy, say, and somebody had it sent again.

        Returns:
            What became of each, in order.

        Raises:
            LedgerError: None of them was stored.
        """
        now = self._clock.now()
        receipts: list[Receipt] = []
        fresh: dict[str, Incoming] = {}
        with self._ledger.write() as session:
            states = _states(session, arrivals)
            for incoming in arrivals:
                known = states.get(incoming.id)
                if incoming.id in fresh or (
                    known is not None and (known not in _TAKEN_UP or incoming.ignored)
                ):
                    receipts.append(Receipt.REPEATED)
                    continue
                fresh[incoming.id] = incoming
                receipts.append(Receipt.IGNORED if incoming.ignored else Receipt.STORED)
            taken_up = [id for id in fresh if id in states]
            if taken_up:
                session.execute(delete(DeliveryRow).where(DeliveryRow.id.in_(taken_up)))
            if fresh:
                session.execute(insert(DeliveryRow), [_row(incoming, now) for incoming in fresh.values()])
        return receipts

    def require_ledger(self) -> None:
        """Check that the ledger answers, without reading a delivery of what may be megabytes.

        Raises:
            LedgerError: It does not.
        """
        with self._ledger.read() as session:
            session.execute(select(DeliveryRow.id).limit(1))

    def due(self, *, limit: int) -> tuple[Delivery, ...]:
        """Return deliveries that are to be handled now, oldest first.

        Args:
            limit: At most so many.
        """
        query = (
            select(DeliveryRow)
            .where(DeliveryRow.state == DeliveryState.WAITING, DeliveryRow.due_at <= self._clock.now())
            .order_by(DeliveryRow.due_at)
            .limit(limit)
        )
        with self._ledger.read() as session:
            return tuple(_delivery(row) for row in session.scalars(query))

    def handled(self, key: str) -> bool:
        """Tell whether a delivery with this key was acted on before."""
        query = select(DeliveryRow.id).where(DeliveryRow.key == key, DeliveryRow.state == DeliveryState.DONE)
        with self._ledger.read() as session:
            return session.scalars(query.limit(1)).first() is not None

    def done(self, ids: Sequence[str], *, reason: str) -> None:
        """Note that deliveries were acted on.

        Args:
            ids: Which.
            reason: What was done.
        """
        self._settle(ids, DeliveryState.DONE, reason)

    def ignored(self, ids: Sequence[str], *, reason: str) -> None:
        """Note that nothing is to be done about deliveries after all."""
        self._settle(ids, DeliveryState.IGNORED, reason)

    def retry(self, ids: Sequence[str], *, reason: str, give_up_after: int | None = None) -> None:
        """Put deliveries off: each time for twice as long as the time before.

        Args:
            ids: Which.
            reason: Why they could not be acted on.
            give_up_after: How many tries a delivery is worth; None where it waits for something that comes back.
        """
        now = self._clock.now()
        with self._ledger.write() as session:
            for row in session.scalars(select(DeliveryRow).where(DeliveryRow.id.in_(ids))):
                row.reason = scrub(reason)
                row.due_at = now + timedelta(seconds=_backoff_seconds(row.tries))
                row.tries += 1
                if give_up_after is not None and row.tries >= give_up_after:
                    row.state = DeliveryState.FAILED
                    row.handled_at = now

    def prune(self, *, older_than: timedelta, limit: int = 10_000) -> int:
        """Forget deliveries that were handled, or ignored, long ago; none that waits.

        Args:
            older_than: How long they are kept; longer than GitHub sends one again (a few days).
            limit: At most so many at once: a transaction holds up every other one.

        Returns:
            How many were forgotten.
        """
        ended = (DeliveryState.DONE, DeliveryState.IGNORED, DeliveryState.FAILED)
        # The due time is that of the last try; it stands in the index, and the moment of the end is at most a
        # call later.
        old = (
            select(DeliveryRow.id)
            .where(DeliveryRow.state.in_(ended), DeliveryRow.due_at < self._clock.now() - older_than)
            .limit(limit)
        )
        with self._ledger.write() as session:
            result = session.execute(delete(DeliveryRow).where(DeliveryRow.id.in_(old)))
            return result.rowcount if isinstance(result, CursorResult) else 0

    def backlog(self) -> Backlog:
        """Count the deliveries by their state."""
        counts = select(DeliveryRow.state, func.count()).group_by(DeliveryRow.state)
        oldest = select(func.min(DeliveryRow.received_at)).where(DeliveryRow.state == DeliveryState.WAITING)
        with self._ledger.read() as session:
            found = {DeliveryState(state): number for state, number in session.execute(counts)}
            return Backlog(
                counts={state: found.get(state, 0) for state in DeliveryState},
                oldest_waiting_at=session.scalar(oldest),
            )

    def _settle(self, ids: Sequence[str], state: DeliveryState, reason: str) -> None:
        with self._ledger.write() as session:
            session.execute(
                update(DeliveryRow)
                .where(DeliveryRow.id.in_(ids))
                .values(state=state, reason=scrub(reason), handled_at=self._clock.now())
            )


def _states(session: Session, arrivals: Sequence[Incoming]) -> dict[str, str]:
    query = select(DeliveryRow.id, DeliveryRow.state).where(DeliveryRow.id.in_({one.id for one in arrivals}))
    return {row.id: row.state for row in session.execute(query)}


def _row(incoming: Incoming, now: datetime) -> dict[str, object]:
    ignored = bool(incoming.ignored)
    return {
        "id": incoming.id,
        "event": incoming.event,
        "action": incoming.action,
        "repository": incoming.repository,
        "key": incoming.key,
        "body": incoming.body,
        "state": DeliveryState.IGNORED if ignored else DeliveryState.WAITING,
        "reason": incoming.ignored,
        "tries": 0,
        "received_at": now,
        "due_at": now,
        "handled_at": now if ignored else None,
    }


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(
        id=row.id,
        event=row.event,
        repository=row.repository,
        key=row.key,
        body=row.body,
        tries=row.tries,
        received_at=row.received_at,
    )


def _backoff_seconds(tries: int) -> float:
    doublings = min(tries, _LARGEST_DOUBLINGS)
    return min(LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * float(1 << doublings))
