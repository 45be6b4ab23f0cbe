"""The journal (R3, R4): no effect twice, none lost; what failed is undone, last first.

An effect is claimed here before it is sent and confirmed after. Whoever finds a claim without a confirmation
asks the outside world before sending again. The names passed to ``boundary`` are the points at which the kill
tests stop the process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from runbook.engine import audit
from runbook.engine.effects import Effect, EffectClass, Found, ProbeResult, load_effect
from runbook.engine.leases import Fenced, Lease, Leases
from runbook.engine.ledger import Ledger
from runbook.engine.schema import EffectRow, ExecutionRow, PlanRow
from runbook.errors import Ambiguous, Denied, NeedsPerson, Permanent, Transient
from runbook.scrub import scrub, shell_quote
from runbook.world import World

PRODUCT = "runbook"
"""The actor in the audit for what the product does by itself."""


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


_SETTLING = "settling"  # ExecutionState.SETTLING, whose module imports this one

SETTLED = frozenset({EffectState.CONFIRMED, EffectState.FOUND})


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
        )


@dataclass(frozen=True)
class JournalTimings:
    """How long doubt is probed.

    Args:
        settle_seconds: How long after a claim the outside world may still take to show its effect.
        probe_interval_seconds: How often it is looked at meanwhile.
        max_sends: How often one effect is sent at most before a person is asked.
    """

    settle_seconds: float
    probe_interval_seconds: float
    max_sends: int = 3


class Journal:
    """Applies and undoes effects under the rules above.

    Args:
        ledger: Where the journal is.
        world: What effects act through.
        leases: Whose tokens claims carry.
        timings: How long doubt lasts.
        boundary: Called with the name of each point at which a crash is interesting; tests stop there.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        world: World,
        leases: Leases,
        timings: JournalTimings,
        boundary: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._ledger = ledger
        self._world = world
        self._leases = leases
        self._timings = timings
        self._boundary = boundary

    def of_plan(self, plan_id: str) -> tuple[JournalEntry, ...]:
        """Return a plan's effects in their order."""
        query = select(EffectRow).where(EffectRow.plan_id == plan_id).order_by(EffectRow.position)
        with self._ledger.read() as session:
            return tuple(JournalEntry.of(row) for row in session.scalars(query))

    def of_execution(self, execution_id: str) -> tuple[JournalEntry, ...]:
        """Return everything an execution wrote or meant to write, records included, in the order of enrolment."""
        query = select(EffectRow).where(EffectRow.execution_id == execution_id).order_by(EffectRow.id)
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

    def apply(self, entry_id: int, *, lease: Lease | None) -> JournalEntry:
        """Bring one effect to *confirmed* (or find that the world was already so).

        Args:
            entry_id: Its number in the journal.
            lease: The lease on its target; None only for record writes, which have no target to guard.

        Raises:
            Transient: Nothing is in doubt that a later call will not settle; call again.
            Permanent, Denied: Refused; nothing was changed by this effect.
            NeedsPerson: It may have taken effect and no probe can tell.
            Fenced: Another process goes on.
        """
        entry = self._get(entry_id)
        if entry.state in SETTLED:
            return entry
        if entry.state not in {EffectState.PLANNED, EffectState.CLAIMED, EffectState.REFUSED}:
            raise NeedsPerson(
                f"The effect “{entry.effect.describe()}” is {entry.state} and cannot be applied.",
                next_step="read `runbook journal` for what happened to it",
            )
        if entry.state is EffectState.CLAIMED:
            settled = self._settle(entry, self._probe_of(entry.effect))
            if settled is None and entry.effect.effect_class is EffectClass.PROBEABLE:
                raise self._cannot_tell(entry, "interrupted after its claim")
            if settled is not None and settled.found is Found.DONE:
                return self._confirm(entry, settled.result, note="confirmed by a probe after an interruption")
        else:
            before = self._look_before_first_send(entry.effect)
            if before is not None:
                return self._move(entry, EffectState.FOUND, note=before.detail, result=before.result)
        return self._send_until_settled(entry, lease)

    def undo(self, entry_id: int, *, lease: Lease | None) -> JournalEntry:
        """Take one effect back, or note why it stays.

        Only what the product itself changed is touched: an effect that was found done, or never sent, stays.

        Raises:
            Transient: Call again later.
            NeedsPerson: The undo may have taken effect and no probe can tell.
            Fenced: Another process goes on.
        """
        entry = self._get(entry_id)
        if entry.state is EffectState.CLAIMED:
            settled = self._settle(entry, self._probe_of(entry.effect))
            if settled is None:
                return self._needs_person(entry, "it may have been applied, and no probe can tell")
            if settled.found is not Found.DONE:
                return self._move(entry, EffectState.PLANNED, note="never took effect")
            entry = self._confirm(entry, settled.result, note="confirmed by a probe before its undo")
        if entry.state not in {EffectState.CONFIRMED, EffectState.UNDOING}:
            return entry
        if entry.effect.no_undo:
            return self._move(entry, EffectState.KEPT, note=entry.effect.no_undo)
        return self._undo_until_settled(entry, lease)

    # --- sending -----------------------------------------------------------------------------------------

    def _look_before_first_send(self, effect: Effect) -> ProbeResult | None:
        # Repeating an idempotent effect is harmless and a notification wants to be sent: only a probeable one
        # is worth a read before there is any doubt.
        if effect.effect_class is not EffectClass.PROBEABLE:
            return None
        seen = effect.probe(self._world)
        return seen if seen.found is Found.DONE else None

    def _send_until_settled(self, entry: JournalEntry, lease: Lease | None) -> JournalEntry:
        while entry.sends < self._timings.max_sends:
            repeated = entry.sends > 0
            self._boundary("claim.before")
            entry = self._claim(entry, lease, EffectState.CLAIMED)
            self._boundary("claim.after")
            try:
                result = entry.effect.apply(self._world, repeated=repeated)
            except Ambiguous as doubt:
                settled = self._settle(entry, self._probe_of(entry.effect))
                if settled is None and entry.effect.effect_class is EffectClass.PROBEABLE:
                    raise self._cannot_tell(entry, str(doubt)) from doubt
                if settled is not None and settled.found is Found.DONE:
                    return self._confirm(
                        entry, settled.result, note="confirmed by a probe after no clear answer"
                    )
            except Transient:
                self._not_sent(entry, EffectState.PLANNED, note="not sent: the other side was not ready")
                raise
            except (Permanent, Denied) as error:
                self._not_sent(entry, EffectState.REFUSED, note=str(error))
                raise
            else:
                self._boundary("confirm.before")
                entry = self._confirm(
                    entry, result, note="repeated after an interruption" if repeated else ""
                )
                self._boundary("confirm.after")
                return entry
        self._needs_person(entry, f"sent {entry.sends} times without a clear answer")
        raise NeedsPerson(
            f"“{entry.effect.describe()}” was sent {entry.sends} times and never got a clear answer.",
            next_step=_by_hand(entry.effect),
        )

    def _undo_until_settled(self, entry: JournalEntry, lease: Lease | None) -> JournalEntry:
        def probe() -> ProbeResult:
            return entry.effect.probe_undo(self._world, entry.result or {})

        for _ in range(self._timings.max_sends):
            # What may have been sent already (a cancellation, say) gets its time to show before it is sent again.
            seen = self._settle(entry, probe) if entry.state is EffectState.UNDOING else _look(probe)
            if seen is None:
                return self._needs_person(entry, "its undo may have taken effect, and no probe can tell")
            if seen.found is Found.DONE:
                return self._undone(entry)
            self._boundary("undo-claim.before")
            entry = self._claim(entry, lease, EffectState.UNDOING)
            self._boundary("undo-claim.after")
            try:
                entry.effect.undo(self._world, entry.result or {})
            except Ambiguous:
                continue
            except (Permanent, Denied) as error:
                # It may have come about by itself since the look: a run that ended cannot be cancelled.
                if _look(probe).found is Found.DONE:
                    return self._undone(entry)
                return self._needs_person(entry, f"its undo was refused: {error}")
            else:
                self._boundary("undo-confirm.before")
                entry = self._undone(entry)
                self._boundary("undo-confirm.after")
                return entry
        seen = self._settle(entry, probe)
        if seen is not None and seen.found is Found.DONE:
            return self._undone(entry)
        return self._needs_person(entry, "its undo never got a clear answer")

    def _probe_of(self, effect: Effect) -> Callable[[], ProbeResult]:
        return lambda: effect.probe(self._world)

    def _settle(self, entry: JournalEntry, probe: Callable[[], ProbeResult]) -> ProbeResult | None:
        """Probe until the world answers, or until it had its time.

        Returns:
            The last answer; None where the probe cannot tell at all, or is refused.
        """
        clock = self._world.clock
        with self._ledger.read() as session:
            claimed_at = session.get_one(EffectRow, entry.id).claimed_at
        deadline = (claimed_at or clock.now()) + timedelta(seconds=self._timings.settle_seconds)
        while True:
            seen = _look(probe)
            if seen.found is Found.DONE or clock.now() >= deadline:
                return None if seen.found is Found.UNKNOWN else seen
            clock.sleep(self._timings.probe_interval_seconds)

    # --- rows --------------------------------------------------------------------------------------------

    def _get(self, entry_id: int) -> JournalEntry:
        with self._ledger.read() as session:
            return JournalEntry.of(session.get_one(EffectRow, entry_id))

    def _claim(self, entry: JournalEntry, lease: Lease | None, state: EffectState) -> JournalEntry:
        now = self._world.clock.now()
        with self._ledger.write() as session:
            row = session.get_one(EffectRow, entry.id)
            _require_open_plan(session, row, state)
            if lease is None:
                _require_unmoved(row, entry)
            else:
                self._leases.renew(session, lease)
                row.lease_token = lease.tokens[entry.effect.target]
            row.state = state
            row.claimed_at = now
            if state is EffectState.CLAIMED:
                row.sends += 1
            self._audit(session, entry, state, {"sends": row.sends})
            return JournalEntry.of(row)

    def _confirm(self, entry: JournalEntry, result: dict[str, Any], *, note: str) -> JournalEntry:
        return self._move(entry, EffectState.CONFIRMED, note=note, result=result)

    def _undone(self, entry: JournalEntry) -> JournalEntry:
        return self._move(entry, EffectState.UNDONE, note="taken back")

    def _needs_person(self, entry: JournalEntry, why: str) -> JournalEntry:
        return self._move(entry, EffectState.NEEDS_PERSON, note=why)

    def _cannot_tell(self, entry: JournalEntry, why: str) -> NeedsPerson:
        self._needs_person(entry, why)
        return NeedsPerson(
            f"Nobody can tell whether “{entry.effect.describe()}” took effect.",
            next_step=_by_hand(entry.effect),
        )

    def _not_sent(self, entry: JournalEntry, state: EffectState, *, note: str) -> JournalEntry:
        # The claim is taken back: nothing is in doubt, nothing will be "repeated", no send is used up.
        return self._move(entry, state, note=note, unsent=1)

    def _move(
        self,
        entry: JournalEntry,
        state: EffectState,
        *,
        note: str,
        result: dict[str, Any] | None = None,
        unsent: int = 0,
    ) -> JournalEntry:
        now = self._world.clock.now()
        note = scrub(note)
        with self._ledger.write() as session:
            row = session.get_one(EffectRow, entry.id)
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

    def _audit(self, session: Session, entry: JournalEntry, state: EffectState, body: dict[str, Any]) -> None:
        audit.append(
            session,
            now=self._world.clock.now(),
            actor=PRODUCT,
            event=f"effect.{state}",
            subject=f"effect:{entry.id}",
            body={"kind": entry.effect.kind, "what": scrub(entry.effect.describe()), **body},
        )


def _look(probe: Callable[[], ProbeResult]) -> ProbeResult:
    """Ask a probe; one that is refused cannot tell."""
    try:
        return probe()
    except (Permanent, Denied) as error:
        return ProbeResult(found=Found.UNKNOWN, detail=str(error))


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


def _require_open_plan(session: Session, row: EffectRow, state: EffectState) -> None:
    """Refuse a claim for a plan that was ended or is being undone: by the sweeper, say, while this process slept.

    Raises:
        Fenced: It was.
    """
    plan = session.get(PlanRow, row.plan_id) if row.plan_id is not None else None
    if plan is not None and plan.ended_at is not None:
        raise Fenced(
            f"Plan {plan.digest[:16]} ended meanwhile as {plan.state}: {plan.reason}.",
            unchanged="This process has sent nothing since.",
            next_step="nothing: whoever ended it has settled it",
        )
    execution = session.get_one(ExecutionRow, row.execution_id)
    if plan is not None and state is EffectState.CLAIMED and execution.state == _SETTLING:
        raise Fenced(
            f"Plan {plan.digest[:16]} is being undone: {execution.reason}.",
            unchanged="This process has sent nothing since.",
            next_step="nothing: whoever undoes it settles it",
        )


def _by_hand(effect: Effect) -> str:
    return f"look for yourself, then act by hand: {' '.join(map(shell_quote, effect.command_line()))}"
