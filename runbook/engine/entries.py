"""The journal's rows: each effect with what was sent, confirmed, undone; every move is a line of the audit.

Nothing here decides. A claim is refused where the ledger says that nothing may be sent: the checks stand in the
claim's own transaction, so that a process which slept cannot act on what it read before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from runbook.clock import Clock
from runbook.engine import audit
from runbook.engine.effects import Effect, load_effect
from runbook.engine.exception_rows import is_restoring
from runbook.engine.leases import Fenced, Lease, Leases
from runbook.engine.ledger import Ledger
from runbook.engine.schema import EffectRow, ExecutionRow, PlanRow
from runbook.engine.states import SETTLED, EffectState, ExecutionState, PlanState
from runbook.errors import Transient
from runbook.scrub import scrub


@dataclass(frozen=True)
class JournalEntry:
    """One effect as the journal has it."""

    id: int
    position: int
    effect: Effect
    state: EffectState
    sends: int
    note: str
    result: dict[str, Any] | None
    claimed_at: datetime | None = None

    @classmethod
    def of(cls, row: EffectRow) -> "JournalEntry":
        """Copy a row out of its session."""
        return cls(
            id=row.id,
            position=row.position,
            effect=load_effect(row.kind, row.params),
            state=EffectState(row.state),
            sends=row.sends,
            note=row.note,
            result=row.result,
            claimed_at=row.claimed_at,
        )


@dataclass(frozen=True)
class Settled:
    """An effect that was confirmed, and where it stands.

    Args:
        params: Its parameters.
        state: Its state.
        at: When it was confirmed, or taken back.
        disproved: It was taken back because its plan was carried out whole and then failed its verification; not for
            another effect's sake, nor because a person, or time, stopped the plan.
    """

    params: dict[str, Any]
    state: EffectState
    at: datetime
    disproved: bool


class Entries:
    """Reads and moves the journal's rows.

    Args:
        ledger: Where they are.
        clock: Whose time they carry.
        leases: Whose tokens claims carry.
    """

    def __init__(self, ledger: Ledger, *, clock: Clock, leases: Leases) -> None:
        self._ledger = ledger
        self._clock = clock
        self._leases = leases

    def get(self, entry_id: int) -> JournalEntry:
        """Return one effect."""
        with self._ledger.read() as session:
            return JournalEntry.of(session.get_one(EffectRow, entry_id))

    def of_plan(self, plan_id: str) -> tuple[JournalEntry, ...]:
        """Return a plan's effects in their order."""
        query = select(EffectRow).where(EffectRow.plan_id == plan_id).order_by(EffectRow.position)
        with self._ledger.read() as session:
            return tuple(JournalEntry.of(row) for row in session.scalars(query))

    def count_since(self, kind: str, *, params: Mapping[str, Any], since: datetime) -> int:
        """Count the effects of a kind that were claimed since a time and not refused.

        Args:
            kind: The effect's kind.
            params: Parameters that must be equal.
            since: The earliest claim.
        """
        query = select(EffectRow.params).where(
            EffectRow.kind == kind, EffectRow.sends > 0, EffectRow.claimed_at >= since
        )
        with self._ledger.read() as session:
            found = list(session.scalars(query))
        return sum(all(row.get(name) == value for name, value in params.items()) for row in found)

    def settled(self, kind: str, *, params: Mapping[str, Any]) -> tuple["Settled", ...]:
        """Return the effects of a kind that were confirmed, taken back since or not, oldest first.

        Args:
            kind: The effect's kind.
            params: Parameters that must be equal.
        """
        query = (
            select(EffectRow)
            .where(EffectRow.kind == kind, EffectRow.confirmed_at.is_not(None))
            .order_by(EffectRow.id)
        )
        with self._ledger.read() as session:
            return tuple(
                Settled(
                    params=row.params,
                    state=EffectState(row.state),
                    at=row.undone_at or row.confirmed_at,
                    disproved=row.state == EffectState.UNDONE and _failed_verification(session, row.plan_id),
                )
                for row in session.scalars(query)
                if row.confirmed_at and all(row.params.get(name) == value for name, value in params.items())
            )

    def claim(self, entry: JournalEntry, lease: Lease | None, state: EffectState) -> JournalEntry:
        """Claim an effect for sending it (``CLAIMED``) or for taking it back (``UNDOING``).

        Args:
            entry: The effect as it was read.
            lease: The lease on its target; None for a record, which has no target to guard.
            state: What it is claimed for.

        Raises:
            Fenced: Its plan is not being applied (any more), or another process took over its target.
            Transient: Another process claimed this record since it was read.
        """
        with self._ledger.write() as session:
            row = session.get_one(EffectRow, entry.id)
            _require_applying(session, row, state)
            if lease is None:
                _require_unmoved(row, entry)
            else:
                self._leases.renew(session, lease)
                row.lease_token = lease.tokens[entry.effect.target]
            row.state = state
            row.claimed_at = self._clock.now()
            if state is EffectState.CLAIMED:
                row.sends += 1
            self._audit(session, entry, state, {"sends": row.sends})
            return JournalEntry.of(row)

    def unclaim(self, entry: JournalEntry, state: EffectState, *, note: str) -> JournalEntry:
        """Take back a claim of which nothing was sent: nothing is in doubt, no send is used up."""
        return self.move(entry, state, note=note, unsent=1)

    def move(
        self,
        entry: JournalEntry,
        state: EffectState,
        *,
        note: str,
        result: dict[str, Any] | None = None,
        unsent: int = 0,
    ) -> JournalEntry:
        """Note where an effect stands now.

        Args:
            entry: The effect.
            state: Its new state.
            note: Why, for people.
            result: What applying it gave; the one known before stays where None.
            unsent: So many sends did not happen.

        Returns:
            The effect as it stands now; a record that another process has found written meanwhile, as that noted it.

        Raises:
            Fenced: Another process has moved it since: this one was taken for dead, and must not overwrite that.
        """
        now = self._clock.now()
        note = scrub(note)
        with self._ledger.write() as session:
            row = session.get_one(EffectRow, entry.id)
            if row.plan_id is None and row.state in SETTLED and state in SETTLED:
                return JournalEntry.of(row)  # no lease guards records: another writer may find it there first
            _require_ours(row, entry)
            row.state = state
            row.note = note
            row.sends -= unsent
            if result is not None:
                row.result = result
            if state in SETTLED:
                row.confirmed_at = now
            if state is EffectState.UNDONE:
                row.undone_at = now
            self._audit(session, entry, state, {"note": note})
            return JournalEntry.of(row)

    def keep_alive(self, entry_id: int, lease: Lease | None) -> None:
        """Say during a wait between two sends that the execution is alive, and keep its lease.

        Raises:
            Fenced: Another process took over.
        """
        with self._ledger.write() as session:
            row = session.get_one(EffectRow, entry_id)
            session.get_one(ExecutionRow, row.execution_id).heartbeat_at = self._clock.now()
            if lease is not None:
                self._leases.renew(session, lease)

    def _audit(self, session: Session, entry: JournalEntry, state: EffectState, body: dict[str, Any]) -> None:
        audit.append(
            session,
            now=self._clock.now(),
            actor=audit.PRODUCT,
            event=f"effect.{state}",
            subject=f"effect:{entry.id}",
            body={"kind": entry.effect.kind, "what": scrub(entry.effect.describe()), **body},
        )


def _failed_verification(session: Session, plan_id: str | None) -> bool:
    """Tell whether a plan was undone for its own result's sake: all that it needed had been done."""
    plan = session.get(PlanRow, plan_id) if plan_id is not None else None
    if plan is None or plan.state != PlanState.UNDONE:
        return False
    query = select(EffectRow).where(
        EffectRow.plan_id == plan_id, EffectRow.state.in_((EffectState.PLANNED, EffectState.REFUSED))
    )
    return all(load_effect(left.kind, left.params).may_be_refused() for left in session.scalars(query))


def _require_unmoved(row: EffectRow, entry: JournalEntry) -> None:
    """Refuse a claim of a record that another process claimed since it was read: no lease guards records.

    Raises:
        Transient: It did; what became of it is to be probed first.
    """
    if (row.state, row.sends) != (entry.state, entry.sends):
        raise Transient(
            f"“{entry.effect.describe()}” is being written by another process.",
            unchanged="This process has sent nothing.",
            next_step="try again in a moment: what the other one wrote is looked for first",
        )


def _require_ours(row: EffectRow, entry: JournalEntry) -> None:
    if (row.state, row.sends) != (entry.state, entry.sends):
        raise Fenced(
            f"“{entry.effect.describe()}” is {row.state} by another process meanwhile.",
            unchanged="What that process noted stands.",
            next_step="nothing: the other process goes on",
        )


def _require_applying(session: Session, row: EffectRow, state: EffectState) -> None:
    """Refuse a claim for a plan that no gate let pass (R1), that was ended, or that is being undone.

    An effect that was left as an exception is taken back after its plan was done, when its time has come (R6).

    Raises:
        Fenced: It is; by the sweeper, say, while this process slept.
    """
    plan = session.get(PlanRow, row.plan_id) if row.plan_id is not None else None
    if plan is None:
        return
    if state is EffectState.UNDOING and is_restoring(session, row.id):
        return
    if plan.state != PlanState.APPLYING:
        raise Fenced(
            f"Plan {plan.digest[:16]} is {plan.state}, not being applied{f': {plan.reason}' if plan.reason else ''}.",
            unchanged="This process has sent nothing since.",
            next_step="nothing: whoever ended it has settled it, or its gate has yet to let it pass",
        )
    execution = session.get_one(ExecutionRow, row.execution_id)
    if state is EffectState.CLAIMED and execution.state == ExecutionState.SETTLING:
        raise Fenced(
            f"Plan {plan.digest[:16]} is being undone: {execution.reason}.",
            unchanged="This process has sent nothing since.",
            next_step="nothing: whoever undoes it settles it",
        )
