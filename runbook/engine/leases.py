"""One at a time per target (R7): leases with fencing tokens.

A lease is held per phase, from the first effect to its verification, never while waiting for people. Its
token only grows; a claim checks it in the transaction that journals the claim, so that a process which was
taken for dead can send nothing more once another one holds the lease.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from runbook.clock import Clock
from runbook.engine.ledger import Ledger
from runbook.engine.processes import is_provably_dead, process_identity
from runbook.engine.schema import LeaseRow
from runbook.errors import RunbookError, Transient


class Fenced(RunbookError):
    """Another process holds the lease now; this one must stop, and has changed nothing since it lost it."""


@dataclass(frozen=True)
class Lease:
    """What a holder shows when it claims: its targets and their tokens."""

    execution_id: str
    tokens: Mapping[str, int]


class Leases:
    """Leases on targets, in the ledger.

    Args:
        ledger: Where they are kept.
        clock: Whose time counts.
        lease_seconds: How long a silent holder keeps its lease; must exceed the longest single request.
        poll_seconds: How often a waiting process looks again.
    """

    def __init__(self, ledger: Ledger, *, clock: Clock, lease_seconds: float, poll_seconds: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._length = timedelta(seconds=lease_seconds)
        self._poll_seconds = poll_seconds

    def acquire(self, targets: tuple[str, ...], *, execution_id: str) -> Lease:
        """Take all of ``targets`` or none, waiting for as long as one lease can last.

        Raises:
            Transient: Another holder keeps renewing one of them.
        """
        deadline = self._clock.now() + 2 * self._length
        while True:
            lease, holder = self._try(targets, execution_id)
            if lease is not None:
                return lease
            if self._clock.now() >= deadline:
                raise Transient(
                    f"{holder} is being changed by another procedure.",
                    unchanged="Nothing was changed.",
                    next_step="wait for it to end (runbook journal shows it), then try again",
                    retry_after_seconds=self._length.total_seconds(),
                )
            self._clock.sleep(self._poll_seconds)

    def acquire_now(self, targets: tuple[str, ...], *, execution_id: str) -> Lease | None:
        """Take all of ``targets`` at once, or return None where somebody else is at work on one of them."""
        return self._try(targets, execution_id)[0]

    def renew(self, session: Session, lease: Lease) -> None:
        """Check every token and extend the lease, within the caller's transaction.

        Raises:
            Fenced: Somebody else took over.
        """
        # Two statements, however many targets: a set of fifty is renewed before each of its fifty effects.
        ours = _ours(session, lease)
        for target in lease.tokens:
            if target not in ours:
                raise Fenced(
                    f"The lease on {target} was taken over by another process.",
                    unchanged="This process has sent nothing since.",
                    next_step="nothing: the other process goes on",
                )
        session.execute(
            update(LeaseRow)
            .where(LeaseRow.target.in_(ours))
            .values(expires_at=self._clock.now() + self._length)
        )

    def keep(self, lease: Lease) -> None:
        """Renew in a transaction of its own: for long waits between effects."""
        with self._ledger.write() as session:
            self.renew(session, lease)

    def release(self, lease: Lease) -> None:
        """Give back what is still ours; the tokens stay, so that they never repeat."""
        with self._ledger.write() as session:
            session.execute(
                update(LeaseRow)
                .where(LeaseRow.target.in_(_ours(session, lease)))
                .values(execution_id=None, expires_at=self._clock.now())
            )

    def _try(self, targets: tuple[str, ...], execution_id: str) -> tuple[Lease | None, str]:
        now = self._clock.now()
        me = process_identity()
        tokens: dict[str, int] = {}
        with self._ledger.write() as session:
            rows = {target: session.get(LeaseRow, target) for target in targets}
            for target, row in rows.items():
                if row is not None and row.execution_id is not None and row.expires_at > now:
                    own = row.execution_id == execution_id and row.process == me
                    if not own and not is_provably_dead(row.process):
                        return None, target
            for target, known in rows.items():
                row = known or LeaseRow(target=target, token=0)
                session.add(row)
                row.token += 1
                row.execution_id = execution_id
                row.process = me
                row.expires_at = now + self._length
                tokens[target] = row.token
        return Lease(execution_id=execution_id, tokens=tokens), ""


def _ours(session: Session, lease: Lease) -> frozenset[str]:
    """Return the targets that nobody took over."""
    query = select(LeaseRow.target, LeaseRow.token).where(
        LeaseRow.target.in_(lease.tokens), LeaseRow.execution_id == lease.execution_id
    )
    return frozenset(target for target, token in session.execute(query) if token == lease.tokens[target])
