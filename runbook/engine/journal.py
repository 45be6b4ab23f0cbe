"""The journal (R3, R4): no effect twice, none lost; what failed is undone, last first.

An effect is claimed here before it is sent and confirmed after. Whoever finds a claim without a confirmation
asks the outside world before sending again. The names passed to ``boundary`` are the points at which the kill
tests stop the process.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runbook.engine.effects import Effect, EffectClass, Found, ProbeResult
from runbook.engine.entries import Entries, JournalEntry
from runbook.engine.leases import Lease
from runbook.engine.states import SETTLED, EffectState
from runbook.errors import Ambiguous, Denied, NeedsPerson, Permanent, RunbookError, Transient
from runbook.patience import waiting_at_most
from runbook.scrub import shell_quote
from runbook.world import World

_LOG = logging.getLogger(__name__)

BESIDE_SETTLE_SECONDS = 15.0
"""So long doubt about an effect that stands beside its plan's purpose is probed: what the plan is for waits for it."""


@dataclass(frozen=True)
class JournalTimings:
    """How long doubt is probed, and how long a limit is waited for.

    Args:
        settle_seconds: How long after a claim the outside world may still take to show its effect.
        probe_interval_seconds: How often it is looked at meanwhile.
        keep_seconds: How often a process that waits says that it is alive; well below a lease's length.
        max_sends: How often one effect is sent at most before a person is asked; of a record, before the caller
            is told to come again.
        turn_seconds: How long a rate limit is waited for before the claim; then the caller is told.
        claimed_turn_seconds: How long it is waited for between claim and sending: a moment, for the lease runs.
    """

    settle_seconds: float
    probe_interval_seconds: float
    keep_seconds: float
    max_sends: int = 3
    turn_seconds: float = 900.0
    claimed_turn_seconds: float = 5.0


class Journal:
    """Applies and undoes effects under the rules above.

    Args:
        entries: Its rows.
        world: What effects act through.
        timings: How long doubt lasts.
        boundary: Called with the name of each point at which a crash is interesting; tests stop there.
    """

    def __init__(
        self,
        entries: Entries,
        *,
        world: World,
        timings: JournalTimings,
        boundary: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._entries = entries
        self._world = world
        self._timings = timings
        self._boundary = boundary

    def apply(self, entry_id: int, *, lease: Lease | None) -> JournalEntry:
        """Bring one effect to *confirmed* (or find that the world was already so).

        Args:
            entry_id: Its number in the journal.
            lease: The lease on its target; None only for record writes, which have no target to guard.

        Raises:
            Transient: Nothing is in doubt that a later call will not settle; call again.
            Permanent, Denied: Refused; nothing was changed by this effect.
            NeedsPerson: It may have taken effect and no probe can tell, or it was sent too often without an answer.
            Fenced: Another process goes on, or no gate has let the plan pass.
        """
        if not self._entries.get(entry_id).effect.may_be_refused():
            return self._in_turn(self._apply, entry_id, lease)
        # The plan's purpose waits behind it: no limit is waited for, neither by a call nor here.
        with waiting_at_most(self._timings.claimed_turn_seconds):
            return self._apply(entry_id, lease)

    def undo(self, entry_id: int, *, lease: Lease | None) -> JournalEntry:
        """Take one effect back, or note why it stays.

        Only what the product itself changed is touched: an effect that was found done, or never sent, stays.

        Returns:
            The effect as it stands now: taken back, kept for the reason in its note, or left to a person where no
            probe can tell whether it, or its undo, took effect. That is no error: the others are still undone.

        Raises:
            Transient: Call again later.
            Fenced: Another process goes on.
        """
        return self._in_turn(self._undo, entry_id, lease)

    def _in_turn(
        self, act: Callable[[int, Lease | None], JournalEntry], entry_id: int, lease: Lease | None
    ) -> JournalEntry:
        """Act, and where a limit says when it may be tried again, wait for that with nothing claimed."""
        clock = self._world.clock
        deadline = clock.now() + timedelta(seconds=self._timings.turn_seconds)
        while True:
            try:
                return act(entry_id, lease)
            except Transient as busy:
                again_at = clock.now() + timedelta(seconds=busy.retry_after_seconds or 0.0)
                if not busy.retry_after_seconds or again_at > deadline:
                    raise
                _LOG.info("Waiting %.0f s: %s", busy.retry_after_seconds, busy.message)
            self._wait_until(again_at, entry_id, lease)

    def _wait_until(self, at: datetime, entry_id: int, lease: Lease | None) -> None:
        """Let time pass, and say meanwhile that this process is alive.

        Raises:
            Fenced: Another process took over.
        """
        clock = self._world.clock
        while (left := (at - clock.now()).total_seconds()) > 0:
            self._entries.keep_alive(entry_id, lease)
            clock.sleep(min(left, self._timings.keep_seconds))

    def _apply(self, entry_id: int, lease: Lease | None) -> JournalEntry:
        entry = self._entries.get(entry_id)
        if entry.state in SETTLED:
            return entry
        if entry.state not in {EffectState.PLANNED, EffectState.CLAIMED, EffectState.REFUSED}:
            raise NeedsPerson(
                f"The effect “{entry.effect.describe()}” is {entry.state} and cannot be applied.",
                next_step="read `runbook journal` for what happened to it",
            )
        if entry.state is EffectState.CLAIMED:
            settled = self._settle(entry, lease, self._probe_of(entry.effect))
            if settled is None and entry.effect.effect_class is EffectClass.PROBEABLE:
                raise self._cannot_tell(entry, "interrupted after its claim")
            if settled is not None and settled.found is Found.DONE:
                return self._confirm(entry, settled.result, note="confirmed by a probe after an interruption")
        else:
            before = self._look_before_first_send(entry.effect)
            if before is not None:
                return self._entries.move(entry, EffectState.FOUND, note=before.detail, result=before.result)
        return self._send_until_settled(entry, lease)

    def _undo(self, entry_id: int, lease: Lease | None) -> JournalEntry:
        entry = self._entries.get(entry_id)
        if entry.state is EffectState.CLAIMED:
            settled = self._settle(entry, lease, self._probe_of(entry.effect))
            if settled is None:
                return self._needs_person(entry, "it may have been applied, and no probe can tell")
            if settled.found is not Found.DONE:
                return self._entries.move(entry, EffectState.PLANNED, note="never took effect")
            entry = self._confirm(entry, settled.result, note="confirmed by a probe before its undo")
        if entry.state not in {EffectState.CONFIRMED, EffectState.UNDOING}:
            return entry
        if entry.effect.no_undo:
            return self._entries.move(entry, EffectState.KEPT, note=entry.effect.no_undo)
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
        most = self._timings.max_sends
        if lease is None:
            most = max(most, entry.sends + 1)  # a record may repeat: each later call is worth one more
        elif entry.effect.may_be_refused():
            most = min(most, entry.sends + 1)  # once, and no more: the rest of the plan is waiting
        while entry.sends < most:
            self._boundary("claim.before")
            entry = self._entries.claim(entry, lease, EffectState.CLAIMED)
            self._boundary("claim.after")
            entry = self._send(entry, lease)
            if entry.state in SETTLED:
                return entry
        raise self._unanswered(entry, lease)

    def _send(self, entry: JournalEntry, lease: Lease | None) -> JournalEntry:
        """Send what is claimed, once; it stays claimed where it got no clear answer and is not there."""
        effect, repeated = entry.effect, entry.sends > 1
        try:
            with waiting_at_most(self._timings.claimed_turn_seconds):
                result = effect.apply(self._world, repeated=repeated)
        except Ambiguous as doubt:
            self._boundary("doubt.before")
            settled = self._settle(entry, lease, self._probe_of(effect))
            if settled is None and effect.effect_class is EffectClass.PROBEABLE:
                raise self._cannot_tell(entry, str(doubt)) from doubt
            if settled is not None and settled.found is Found.DONE:
                return self._confirm(entry, settled.result, note="confirmed by a probe after no clear answer")
            return entry
        except Transient:
            # An earlier sending may show yet: then it is ours, and to be asked after before it is sent again.
            state = EffectState.CLAIMED if repeated else EffectState.PLANNED
            self._entries.unclaim(entry, state, note="not sent: the other side was not ready")
            raise
        except (Permanent, Denied) as error:
            # An earlier sending may have shown by now, and be why: what runs cannot be run again.
            if repeated and (seen := _look(self._probe_of(effect))).found is Found.DONE:
                return self._confirm(
                    entry, seen.result, note=f"confirmed by a probe after a refusal: {error}"
                )
            self._entries.unclaim(entry, EffectState.REFUSED, note=str(error))
            raise
        self._boundary("confirm.before")
        entry = self._confirm(entry, result, note="repeated after an interruption" if repeated else "")
        self._boundary("confirm.after")
        return entry

    def _undo_until_settled(self, entry: JournalEntry, lease: Lease | None) -> JournalEntry:
        def probe() -> ProbeResult:
            return entry.effect.probe_undo(self._world, entry.result or {})

        for _ in range(self._timings.max_sends):
            # What may have been sent already (a cancellation, say) gets its time to show before it is sent again.
            seen = self._settle(entry, lease, probe) if entry.state is EffectState.UNDOING else _look(probe)
            if seen is None:
                return self._needs_person(entry, "its undo may have taken effect, and no probe can tell")
            if seen.found is Found.DONE:
                return self._undone(entry)
            self._boundary("undo-claim.before")
            entry = self._entries.claim(entry, lease, EffectState.UNDOING)
            self._boundary("undo-claim.after")
            try:
                with waiting_at_most(self._timings.claimed_turn_seconds):
                    entry.effect.undo(self._world, entry.result or {})
            except Ambiguous:
                self._boundary("undo-doubt.before")
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
        seen = self._settle(entry, lease, probe)
        if seen is not None and seen.found is Found.DONE:
            return self._undone(entry)
        return self._needs_person(entry, "its undo never got a clear answer")

    def _probe_of(self, effect: Effect) -> Callable[[], ProbeResult]:
        return lambda: effect.probe(self._world)

    def _settle(
        self, entry: JournalEntry, lease: Lease | None, probe: Callable[[], ProbeResult]
    ) -> ProbeResult | None:
        """Probe until the world answers, or until it had its time.

        Returns:
            The last answer; None where the probe cannot tell at all, or is refused.

        Raises:
            Fenced: Another process took over meanwhile.
        """
        clock = self._world.clock
        seconds = self._timings.settle_seconds
        if entry.state is EffectState.CLAIMED and entry.effect.may_be_refused():
            seconds = min(seconds, BESIDE_SETTLE_SECONDS)
        deadline = (entry.claimed_at or clock.now()) + timedelta(seconds=seconds)
        while True:
            seen = _look(probe)
            if seen.found is Found.DONE or clock.now() >= deadline:
                return None if seen.found is Found.UNKNOWN else seen
            again_at = clock.now() + timedelta(seconds=self._timings.probe_interval_seconds)
            self._wait_until(again_at, entry.id, lease)

    def _confirm(self, entry: JournalEntry, result: dict[str, Any], *, note: str) -> JournalEntry:
        return self._entries.move(entry, EffectState.CONFIRMED, note=note, result=result)

    def _undone(self, entry: JournalEntry) -> JournalEntry:
        return self._entries.move(entry, EffectState.UNDONE, note="taken back")

    def _needs_person(self, entry: JournalEntry, why: str) -> JournalEntry:
        return self._entries.move(entry, EffectState.NEEDS_PERSON, note=why)

    def _unanswered(self, entry: JournalEntry, lease: Lease | None) -> RunbookError:
        said = f"“{entry.effect.describe()}” was sent {entry.sends} times and never got a clear answer."
        if lease is None:
            # It stays claimed: a record that nobody could write any more would end its incident with it.
            return Transient(said, next_step="none is needed: a later call looks for it, then sends it again")
        self._needs_person(entry, f"sent {entry.sends} times without a clear answer")
        return NeedsPerson(said, next_step=_by_hand(entry.effect))

    def _cannot_tell(self, entry: JournalEntry, why: str) -> NeedsPerson:
        self._needs_person(entry, why)
        return NeedsPerson(
            f"Nobody can tell whether “{entry.effect.describe()}” took effect.",
            next_step=_by_hand(entry.effect),
        )


def _look(probe: Callable[[], ProbeResult]) -> ProbeResult:
    """Ask a probe; one that is refused cannot tell."""
    try:
        return probe()
    except (Permanent, Denied) as error:
        return ProbeResult(found=Found.UNKNOWN, detail=str(error))


def _by_hand(effect: Effect) -> str:
    return f"look for yourself, then act by hand: {' '.join(map(shell_quote, effect.command_line()))}"
