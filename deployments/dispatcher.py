"""Wakes runs whose plans were decided: ``python -m deployments.dispatcher``, one instance per ledger.

Every ``approvals.poll_seconds`` it looks at each waiting plan as the gate would, and resumes the run where the gate
would no longer wait. It decides nothing (R2): a run that is woken in vain asks again and sleeps on.
"""

import logging
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

from deployments.dispatching import run_until_told
from runbook.clock import Clock, SystemClock
from runbook.decisions.approval import Verdict
from runbook.engine.leases import Fenced, Lease, Leases
from runbook.engine.plans import StoredPlan
from runbook.errors import LedgerError, PolicyError, RunbookError, Transient
from runbook.installation import Installation
from runbook.policy import find_policy, load_policy
from runbook.scrub import neutralise_terminal
from tasks.waking import Woken, resume

_LOG = logging.getLogger("runbook.dispatcher")
TARGET = "dispatcher"
"""What the one instance holds a lease on."""

LONGEST_BACKOFF_SECONDS = 120.0
_LARGEST_DOUBLINGS = 10
# After so many plans in a row that got no answer the rest would most likely get none either.
_AWAY_AFTER = 3
# A lease outlives the longest look at one plan: four attempts of a read that times out after 30 s each.
_LEASE_SECONDS = 180.0


class Dispatcher:
    """Looks at waiting plans, again and again.

    Args:
        here: The installation; its policy is read anew in each cycle.
        wake: Resumes a run.
        clock: What waits between the cycles.
    """

    def __init__(self, here: Installation, *, wake: Callable[[str], Woken] = resume, clock: Clock) -> None:
        self._here = here
        self._wake = wake
        self._clock = clock
        self._leases = Leases(
            here.ledger,
            clock=clock,
            lease_seconds=_LEASE_SECONDS,
            poll_seconds=here.policy.timings.probe_interval_seconds,
        )
        self._failures = 0
        self._said: dict[str, str] = {}
        self._gave_up_at: str | None = None

    def run(self) -> NoReturn:
        """Work until the process is told to end.

        Raises:
            Transient: Another dispatcher works on this ledger.
            Fenced: Another one took over, because this one was silent for too long.
        """
        lease = self._acquire()
        _LOG.info("The dispatcher looks at waiting plans every %g s.", self.pause_seconds)
        try:
            while True:
                self.cycle(lease)
                self._pause(lease)
        finally:
            self._leases.release(lease)

    def cycle(self, lease: Lease | None = None) -> None:
        """Look at every waiting plan once; what fails is said once and tried again next time.

        Args:
            lease: Kept alive, before each plan too; None where the caller sees to that.
        """
        try:
            if lease is not None:
                self._leases.keep(lease)
            self._read_policy()
            self._look_at_all(lease)
        except Fenced:
            raise
        except (Transient, LedgerError, PolicyError) as error:
            # A system that all plans need is away.
            self._failures += 1
            # Which plan's read it was that got no answer differs from cycle to cycle.
            self._say("cycle", str(error), known_by="unanswered" if isinstance(error, Transient) else "")
        else:
            self._failures = 0
            self._settle("cycle")

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next cycle: longer after each one that failed."""
        poll = self._here.policy.approvals.poll_seconds
        if not self._failures:
            return poll
        longest = max(poll, LONGEST_BACKOFF_SECONDS)
        return float(min(longest, poll * 2 ** min(self._failures, _LARGEST_DOUBLINGS)))

    def _pause(self, lease: Lease) -> None:
        """Wait for the next cycle, and keep the lease meanwhile."""
        until = self._clock.now() + timedelta(seconds=self.pause_seconds)
        while (left := (until - self._clock.now()).total_seconds()) > 0:
            self._clock.sleep(min(left, _LEASE_SECONDS / 3))
            try:
                self._leases.keep(lease)
            except LedgerError:
                return  # the next cycle meets it, too, and says so

    def _acquire(self) -> Lease:
        try:
            return self._leases.acquire((TARGET,), execution_id=f"dispatcher:{uuid.uuid4()}")
        except Transient as error:
            raise Transient(
                "Another dispatcher works on this ledger.",
                unchanged="Nothing was woken.",
                next_step="stop that one first, if this one is to take its place.",
            ) from error

    def _read_policy(self) -> None:
        policy = load_policy(self._here.settings.policy_file)
        if policy.digest == self._here.policy.digest:
            return
        _LOG.info("The policy has changed.")
        before = self._here
        self._here = replace(before, policy=policy)  # clients and engine are made anew when they are needed
        before.ledger.close()  # the leases, which keep it, open it again

    def _look_at_all(self, lease: Lease | None) -> None:
        waiting = self._here.engine.plans.waiting(shown=True)
        unanswered: list[tuple[StoredPlan, Transient]] = []
        looked_at = in_a_row = 0
        in_turn, self._gave_up_at = _in_turn(waiting, self._gave_up_at), None
        for plan in in_turn:
            if lease is not None:
                self._leases.keep(lease)
            error = self._try(plan)
            looked_at += 1
            in_a_row = in_a_row + 1 if error else 0
            if error:
                unanswered.append((plan, error))
            if in_a_row == _AWAY_AFTER:
                self._gave_up_at = plan.id
                break
        if unanswered and len(unanswered) == looked_at:
            raise unanswered[-1][1]
        for plan, error in unanswered:
            # Others were answered, so it is about this plan alone; the next cycle tries again.
            self._say(plan.id, f"Plan {plan.short_digest}: {error}")
        self._said = {
            key: text for key, text in self._said.items() if key in {"cycle", *(p.id for p in waiting)}
        }

    def _try(self, plan: StoredPlan) -> Transient | None:
        """Look at one plan; return why there was no answer about it, if there was none."""
        try:
            self._look_at(plan)
        except (LedgerError, Fenced):
            raise
        except Transient as error:
            return error
        except RunbookError as error:
            # About this plan alone: its issue is gone, a permission is missing.
            self._say(plan.id, f"Plan {plan.short_digest}: {error}")
        else:
            self._settle(plan.id)
        return None

    def _look_at(self, plan: StoredPlan) -> None:
        decision = self._here.engine.gate.look(plan, self._here.gate_context(plan))
        if decision.verdict is Verdict.WAITING:
            return
        woken = self._wake(plan.execution_id)
        if woken is Woken.RESUMED:
            _LOG.info(
                "Plan %s is %s: its run %s was woken.", plan.short_digest, decision.verdict, plan.execution_id
            )

    def _say(self, about: str, text: str, *, known_by: str = "") -> None:
        """Log a trouble, once until it changes: its text, or what it is ``known_by``."""
        if self._said.get(about) != (known_by or text):
            self._said[about] = known_by or text
            _LOG.warning("%s", neutralise_terminal(text).replace("\n", " "))

    def _settle(self, about: str) -> None:
        if self._said.pop(about, None) is not None:
            _LOG.info("That trouble is over.")


def _in_turn(waiting: Sequence[StoredPlan], gave_up_at: str | None) -> list[StoredPlan]:
    """Return all plans, the one where the last cycle gave up last: none waits behind broken ones for ever."""
    first = next((index for index, plan in enumerate(waiting, start=1) if plan.id == gave_up_at), 0)
    return [*waiting[first:], *waiting[:first]]


def main() -> int:
    """Run the dispatcher until SIGTERM or SIGINT; return the exit status."""
    return run_until_told(_dispatch, log=_LOG)


def _dispatch() -> NoReturn:
    find_policy()
    Dispatcher(Installation.open(), clock=SystemClock()).run()


if __name__ == "__main__":
    sys.exit(main())
