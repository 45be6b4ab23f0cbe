"""The engine as procedures use it: begin, record, plan, gate, apply, verify, undo.

It knows no Prefect. A caller that wants each effect to be a Prefect task hands in ``step``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select

from runbook.decisions.exceptions import ExceptionState
from runbook.engine import audit
from runbook.engine.effects import Effect
from runbook.engine.entries import Entries, JournalEntry
from runbook.engine.exception_rows import StandingException
from runbook.engine.exceptions import Exceptions
from runbook.engine.executions import Executions
from runbook.engine.gate import Gate
from runbook.engine.incidents import Incidents
from runbook.engine.journal import Journal, JournalTimings
from runbook.engine.leases import Fenced, Lease, Leases
from runbook.engine.ledger import Ledger
from runbook.engine.plan import PlannedEffect
from runbook.engine.plans import Plans, StoredPlan
from runbook.engine.schema import EffectRow
from runbook.engine.states import EffectState, ExecutionState, PlanState
from runbook.errors import Denied, NeedsPerson, Permanent, Transient
from runbook.policy.operations import Timings
from runbook.world import World

Step = Callable[[JournalEntry, Lease], JournalEntry]
"""How one effect is applied: plainly, or as a task."""


@dataclass(frozen=True)
class Verification:
    """What a procedure's own check of the outside world found (R5)."""

    passed: bool
    reason: str


class Ended(StrEnum):
    """How applying a plan ended."""

    DONE = "done"
    UNDONE = "undone"
    NEEDS_PERSON = "needs_person"


@dataclass(frozen=True)
class Outcome:
    """How applying a plan ended, and what stands in the world now.

    Args:
        ended: How.
        reason: Why.
        entries: Every effect as the journal has it.
    """

    ended: Ended
    reason: str
    entries: tuple[JournalEntry, ...]

    @property
    def not_undone(self) -> tuple[JournalEntry, ...]:
        """What was changed and stays changed although the plan failed."""
        if self.ended is Ended.DONE:
            return ()
        stays = {EffectState.KEPT, EffectState.CONFIRMED, EffectState.NEEDS_PERSON, EffectState.CLAIMED}
        return tuple(entry for entry in self.entries if entry.state in stays)


class Engine:
    """Everything that decides and acts, over one ledger and one world.

    Args:
        ledger: The ledger.
        world: The clients that effects act through.
        timings: The policy's timings.
        boundary: Handed to the journal; tests stop processes there.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        world: World,
        timings: Timings,
        boundary: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.ledger = ledger
        self.world = world
        self.executions = Executions(ledger, clock=world.clock)
        self.incidents = Incidents(ledger, clock=world.clock)
        self.exceptions = Exceptions(ledger, clock=world.clock)
        self.plans = Plans(ledger, clock=world.clock)
        self.leases = Leases(
            ledger,
            clock=world.clock,
            lease_seconds=timings.lease_seconds,
            poll_seconds=timings.probe_interval_seconds,
        )
        self.entries = Entries(ledger, clock=world.clock, leases=self.leases)
        self.journal = Journal(
            self.entries,
            world=world,
            timings=JournalTimings(
                settle_seconds=timings.settle_seconds,
                probe_interval_seconds=timings.probe_interval_seconds,
                keep_seconds=timings.lease_seconds / 3,
            ),
            boundary=boundary,
        )
        self.gate = Gate(ledger, world=world, plans=self.plans)

    def record(
        self, execution_id: str, name: str, effect: Effect, *, within: str | None = None
    ) -> JournalEntry:
        """Make a record write: the product's own issue, comment or label; journaled, once per name.

        Args:
            execution_id: The execution that writes it.
            name: Names it within the execution; the same name is written once, whatever it says later.
            effect: The write.
            within: What else the name is unique within: an incident that several executions may join at once.

        Raises:
            Transient, Permanent, Denied: It was not written; call again later.
        """
        key = f"{within or execution_id}/{name}"
        with self.ledger.write() as session:
            entry_id = session.scalars(select(EffectRow.id).where(EffectRow.key == key)).first()
            if entry_id is None:
                planned = PlannedEffect.of(effect)
                row = EffectRow(
                    key=key,
                    execution_id=execution_id,
                    position=0,
                    kind=planned.kind,
                    effect_class=planned.effect_class,
                    params=planned.params,
                    state=EffectState.PLANNED,
                )
                session.add(row)
                session.flush()
                entry_id = row.id
        return self.journal.apply(entry_id, lease=None)

    def apply(
        self,
        plan: StoredPlan,
        *,
        verify: Callable[[Lease], Verification],
        may_go_on: Callable[[Effect], None] = lambda effect: None,
        step: Step | None = None,
    ) -> Outcome:
        """Apply an approved plan, verify it, and undo it if that fails; re-entrant at every point.

        Args:
            plan: The plan, past its gate.
            verify: The procedure's own check; it calls ``engine.keep`` while it waits.
            may_go_on: Asked before each effect of which nothing was sent yet; raises ``Denied`` to stop there.
            step: How one effect is applied; the journal's ``apply`` by default.

        Returns:
            How it ended; the plan's row says the same. Ending the execution is left to the caller, who
            first writes the record: a process that dies in between goes on with that.

        Raises:
            Transient: Not now; called again, it goes on where it was.
            Fenced: Another process goes on with it.
        """
        lease = self.leases.acquire(plan.plan.targets, execution_id=plan.execution_id)
        try:
            execution = self.executions.get(plan.execution_id)
            if execution is not None and execution.state is ExecutionState.SETTLING:
                return self._undo(plan, lease, reason=execution.reason, state=PlanState.UNDONE)
            try:
                for entry in self.entries.of_plan(plan.id):
                    self.executions.beat(plan.execution_id)
                    if entry.state is EffectState.PLANNED:
                        may_go_on(entry.effect)
                    self._apply_one(entry, lease, step or self._step)
                verification = verify(lease)
            except NeedsPerson as error:
                return self._end(plan, Ended.NEEDS_PERSON, str(error))
            except (Permanent, Denied) as error:
                verification = Verification(passed=False, reason=str(error))
            if verification.passed:
                return self._end(plan, Ended.DONE, verification.reason)
            return self._undo(plan, lease, reason=verification.reason, state=PlanState.UNDONE)
        finally:
            self.leases.release(lease)

    def settle(self, execution_id: str, *, state: ExecutionState, reason: str) -> Outcome | None:
        """Settle an execution whose run will not go on: undo what it confirmed, last first (R4).

        Args:
            execution_id: The execution; ending it is left to the caller, who first writes the record.
            state: What its plan ends as where everything could be taken back.
            reason: Why.

        Returns:
            What became of its plan; None where nothing had been applied. Asked again, it says the same: a
            sweeper may die before it wrote the record.
        """
        plan = self.plans.active(execution_id)
        if plan is None:
            latest = self.plans.latest(execution_id)
            return None if latest is None else self.outcome_of(latest)
        # Said first: from here on no process claims an effect for it, so that what is found untouched stays so.
        self.executions.settle(execution_id, reason=reason)
        if self._untouched(plan):
            self.exceptions.end_undone(execution_id, whole=True, reason=reason)
            self.plans.end(plan.id, PlanState(state), reason=reason)
            return None
        lease = self.leases.acquire(plan.plan.targets, execution_id=execution_id)
        try:
            return self._undo(plan, lease, reason=reason, state=PlanState(state))
        finally:
            self.leases.release(lease)

    def restore(
        self, exception_id: int, *, by: str | None = None, reason: str, wait: bool = False
    ) -> StandingException:
        """Undo the effect that an exception left, under the lease of its target (R6); re-entrant at every point.

        Args:
            exception_id: The exception.
            by: The person who wants it before its deadline; None where that has come.
            reason: Why.
            wait: Wait for another procedure to be done with the target.

        Returns:
            The exception as it stands now: restored, or with a person who is needed, for the reason in its note.

        Raises:
            UsageError: There is none of that number, or it is not to be restored.
            Conflict: It is over, not due, or its plan is still being applied.
            Transient: Not now; called again, it goes on where it was.
            Fenced: Another process goes on with it.
        """
        exception = self.exceptions.begin_restore(exception_id, by=by, reason=reason)
        if exception.effect_id is None:
            raise AssertionError(f"exception {exception_id} is restored without an effect")
        entry = self.entries.get(exception.effect_id)
        lease = self._lease_for(entry, exception.execution_id, wait=wait)
        try:
            entry = self.journal.undo(entry.id, lease=lease)
        finally:
            self.leases.release(lease)
        if entry.state is EffectState.UNDONE:
            return self.exceptions.end(exception.id, ExceptionState.RESTORED, exception.note)
        return self.exceptions.end(exception.id, ExceptionState.NEEDS_PERSON, entry.note)

    def outcome_of(self, plan: StoredPlan) -> Outcome | None:
        """Return how a plan ended, for whoever has yet to write the record; None if it was never applied."""
        ended = {
            PlanState.DONE: Ended.DONE,
            PlanState.UNDONE: Ended.UNDONE,
            PlanState.CANCELLED: Ended.UNDONE,
            PlanState.EXPIRED: Ended.UNDONE,
            PlanState.NEEDS_PERSON: Ended.NEEDS_PERSON,
        }.get(plan.state)
        if ended is None or (ended is not Ended.DONE and self._untouched(plan)):
            return None
        return Outcome(ended=ended, reason=plan.reason, entries=self.entries.of_plan(plan.id))

    def timeline(self, incident_id: int) -> tuple[tuple[datetime, str], ...]:
        """Return what the audit says of an incident, its executions, plans and effects, oldest first."""
        with self.ledger.read() as session:
            return audit.timeline(session, incident_id)

    def audit_head(self) -> audit.AuditHead:
        """Return the newest line of the audit: what a witness outside keeps."""
        with self.ledger.read() as session:
            return audit.head_of(session)

    def keep(self, lease: Lease) -> None:
        """Say during a long wait that this process is alive and still holds the lease.

        Raises:
            Fenced: Another process took over.
        """
        self.leases.keep(lease)
        self.executions.beat(lease.execution_id)

    def _step(self, entry: JournalEntry, lease: Lease) -> JournalEntry:
        return self.journal.apply(entry.id, lease=lease)

    def _apply_one(self, entry: JournalEntry, lease: Lease, step: Step) -> None:
        """Apply one effect; what stands beside the plan's purpose may fail in any way, and the rest goes on."""
        if not entry.effect.may_be_refused():
            step(entry, lease)
        elif entry.state not in {EffectState.REFUSED, EffectState.NEEDS_PERSON}:
            try:
                step(entry, lease)
            except Fenced:
                raise
            except (Permanent, Denied, Transient, NeedsPerson) as error:
                self._pass_over(entry.id, str(error))

    def _pass_over(self, entry_id: int, why: str) -> None:
        """Note that the plan goes on without an effect: refused if nothing was sent, else a person's to look at."""
        now = self.entries.get(entry_id)
        if now.state is EffectState.PLANNED:  # it was refused, or nobody answered, before it was claimed
            self.entries.move(now, EffectState.REFUSED, note=why)
        elif now.state is EffectState.CLAIMED:
            self.entries.move(now, EffectState.NEEDS_PERSON, note=why)

    def _lease_for(self, entry: JournalEntry, execution_id: str, *, wait: bool) -> Lease:
        target = entry.effect.target
        if wait:
            return self.leases.acquire((target,), execution_id=execution_id)
        lease = self.leases.acquire_now((target,), execution_id=execution_id)
        if lease is None:
            raise Transient(
                f"{target} is being changed by another procedure.",
                unchanged="Nothing was changed.",
                next_step="nothing: it is tried again once that has ended",
            )
        return lease

    def _undo(self, plan: StoredPlan, lease: Lease, *, reason: str, state: PlanState) -> Outcome:
        self.executions.settle(plan.execution_id, reason=reason)
        undone = [
            self.journal.undo(entry.id, lease=lease) for entry in reversed(self.entries.of_plan(plan.id))
        ]
        # What stands beside the plan's purpose may stay with a person: the world is as it was all the same.
        stuck = any(
            entry.state is EffectState.NEEDS_PERSON and not entry.effect.may_be_refused() for entry in undone
        )
        if stuck:
            return self._end(plan, Ended.NEEDS_PERSON, reason)
        return self._end(plan, Ended.UNDONE, reason, plan_state=state)

    def _end(
        self, plan: StoredPlan, ended: Ended, reason: str, *, plan_state: PlanState | None = None
    ) -> Outcome:
        state = plan_state or PlanState(ended)
        if ended is not Ended.DONE:
            # First, for what ends the plan is not asked again.
            self.exceptions.end_undone(plan.execution_id, whole=ended is Ended.UNDONE, reason=reason)
        self.plans.end(plan.id, state, reason=reason)
        return Outcome(ended=ended, reason=reason, entries=self.entries.of_plan(plan.id))

    def _untouched(self, plan: StoredPlan) -> bool:
        return all(entry.state is EffectState.PLANNED for entry in self.entries.of_plan(plan.id))
