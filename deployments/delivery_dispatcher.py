"""Turns stored deliveries into flow runs: ``python -m deployments.delivery_dispatcher``, one instance per ledger.

It keeps nothing in memory that matters: what is due, how often it was tried and what became of it stand in the
ledger, and every start carries an idempotency key that stays the same. Killed at any moment, it goes on where it was.
"""

import logging
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NoReturn

from deployments.delivery_actions import PlanWaker, PrefectStarter, Starter
from deployments.dispatching import run_until_told
from runbook.clock import Clock, SystemClock
from runbook.decisions.deliveries import Ignore, StartTriage, WakePlans, read_delivery
from runbook.decisions.failed_deployments import StartRollback
from runbook.engine.deliveries import Deliveries, Delivery
from runbook.engine.executions import Executions
from runbook.engine.leases import Lease, Leases
from runbook.engine.ledger import Ledger
from runbook.engine.plans import Plans
from runbook.errors import Denied, LedgerError, Permanent, RunbookError, Transient, UsageError
from runbook.policy import Policy, find_policy, load_policy
from runbook.requests import Mode, RollbackImageRequest, TriageRequest
from runbook.scrub import neutralise_terminal
from runbook.settings import Settings

_LOG = logging.getLogger("runbook.delivery_dispatcher")
TARGET = "delivery-dispatcher"
"""What the one instance holds a lease on."""

TRIAGE = "triage-failed-run"
ROLLBACK = "rollback-image"
FAILED_ATTEMPT = "runbook.attempt.failed"
"""The event that users' automations may wait for. A triage that one starts leaves, as the attempt is claimed."""

POLL_SECONDS = 0.25
"""How often the ledger is asked for new deliveries: one look into an index."""

LONGEST_BACKOFF_SECONDS = 60.0
KEPT_DAYS = 14
"""How long handled deliveries are kept; GitHub sends one again for a few days."""

_BATCH = 100
# So often a delivery is tried that Prefect itself refuses; with the doubling pauses that is most of an hour.
_TRIES = 12
# A comment that nobody could be woken for is found by the dispatcher's own poll.
_WAKE_TRIES = 3
_LEASE_SECONDS = 120.0
_LARGEST_DOUBLINGS = 10
_PRUNE_EVERY = timedelta(hours=1)


class DeliveryDispatcher:
    """Acts on stored deliveries, oldest first, one call at a time.

    Args:
        deliveries: The ledger's deliveries.
        policy: Gives the policy in force; where it cannot be read, nothing is done.
        starter: Starts runs.
        executions: Where it is noted that the product asks for a rollback.
        wake: Wakes the plans of an issue; returns what was done.
        clock: What waits between the cycles.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        *,
        policy: Callable[[], Policy],
        starter: Starter,
        executions: Executions,
        wake: Callable[[WakePlans, Policy], str],
        clock: Clock,
    ) -> None:
        self._deliveries = deliveries
        self._policy = policy
        self._starter = starter
        self._executions = executions
        self._wake = wake
        self._clock = clock
        self._failures = 0
        self._said = ""
        self._prune_at: datetime | None = None

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next cycle: longer after each one that found something away."""
        if not self._failures:
            return POLL_SECONDS
        return min(
            LONGEST_BACKOFF_SECONDS, POLL_SECONDS * float(1 << min(self._failures, _LARGEST_DOUBLINGS))
        )

    def cycle(self, keep: Callable[[], None] = lambda: None) -> int:
        """Act on the deliveries that are due, until none is left or something that all need is away.

        Args:
            keep: Called between two deliveries; raises where another instance took over.

        Returns:
            How many were settled.
        """
        settled = 0
        try:
            keep()
            while due := self._deliveries.due(limit=_BATCH):
                policy = self._policy()  # by the one in force, if any is: it may have changed meanwhile
                for alike in _alike(due):
                    keep()
                    settled += self._act(alike, policy)
            self._prune()
        except (Transient, Denied, LedgerError, UsageError) as error:
            self._failures += 1
            self._say(str(error))
        else:
            self._failures = 0
            if self._said:
                _LOG.info("That trouble is over.")
                self._said = ""
        return settled

    def _act(self, alike: Sequence[Delivery], policy: Policy) -> int:
        """Act on deliveries with the same to do, once; return how many were settled.

        Raises:
            RunbookError: What all deliveries need is away; these were put off.
        """
        first, ids = alike[0], [delivery.id for delivery in alike]
        try:
            match read_delivery(first.event, first.payload(), policy=policy).decision:
                case Ignore() as ignored:
                    self._deliveries.ignored(ids, reason=ignored.reason)
                case WakePlans() as wanted:
                    if not self._woken(wanted, policy, ids):
                        return 0
                case StartTriage() as wanted:
                    self._deliveries.done(ids, reason=self._started(wanted))
                case StartRollback() as wanted:
                    self._plan_rollback(wanted, ids)
        except LedgerError:
            raise
        except Permanent as error:
            # About this one alone.
            self._deliveries.retry(ids, reason=error.message, give_up_after=_TRIES)
            self._say(str(error))
            return 0
        except RunbookError as error:
            self._deliveries.retry(ids, reason=error.message)
            raise
        return len(ids)

    def _started(self, wanted: StartTriage) -> str:
        if self._deliveries.handled(wanted.key):
            return "another delivery of this attempt was acted on before"
        request = TriageRequest(
            repository=wanted.repository,
            mode=Mode.APPLY,
            run_id=wanted.run_id,
            run_attempt=wanted.run_attempt,
        )
        name = self._starter.start(TRIAGE, request, idempotency_key=wanted.key)
        _LOG.info("Attempt %s is triaged by the run %s.", wanted.key, neutralise_terminal(name))
        self._announce(wanted, request)
        return f"run {name} was started"

    def _plan_rollback(self, wanted: StartRollback, ids: Sequence[str]) -> None:
        """Start a rollback, which plans and asks; where it is not deployed, that is all there is to say."""
        if self._deliveries.handled(wanted.key):
            self._deliveries.done(ids, reason="another delivery of this failure was acted on before")
            return
        request = RollbackImageRequest(
            repository=wanted.repository,
            mode=Mode.APPLY,
            services=wanted.services,
            deployment_id=wanted.deployment_id,
        )
        key = self._executions.ask_as_product(
            procedure=ROLLBACK, request=request.canonical(), about=wanted.key
        )
        try:
            name = self._starter.start(ROLLBACK, request, idempotency_key=key)
        except UsageError as error:
            # Of no concern to other deliveries; sent again by hand, it is taken up anew.
            self._deliveries.ignored(ids, reason=str(error))
            _LOG.warning("No rollback is planned for %s: %s", wanted.key, error)
            return
        _LOG.info("A rollback for %s is planned by the run %s.", wanted.key, neutralise_terminal(name))
        self._deliveries.done(ids, reason=f"run {name} was started")

    def _announce(self, wanted: StartTriage, request: TriageRequest) -> None:
        try:
            self._starter.announce(
                FAILED_ATTEMPT, about=wanted.key, payload=request.canonical(), at=self._clock.now()
            )
        except RunbookError as error:
            # Nothing of ours waits for it.
            _LOG.info("The event about attempt %s was not emitted: %s", wanted.key, error)

    def _woken(self, wanted: WakePlans, policy: Policy, ids: Sequence[str]) -> bool:
        try:
            self._deliveries.done(ids, reason=self._wake(wanted, policy))
        except LedgerError:
            raise
        except RunbookError as error:
            self._deliveries.retry(ids, reason=error.message, give_up_after=_WAKE_TRIES)
            return False
        return True

    def _prune(self) -> None:
        now = self._clock.now()
        if self._prune_at is not None and now < self._prune_at:
            return
        # Ten thousand at a time: the rest goes in the next cycles.
        if not self._deliveries.prune(older_than=timedelta(days=KEPT_DAYS)):
            self._prune_at = now + _PRUNE_EVERY

    def _say(self, text: str) -> None:
        if self._said != text:
            self._said = text
            _LOG.warning("%s", neutralise_terminal(text).replace("\n", " "))


def run(dispatcher: DeliveryDispatcher, leases: Leases, clock: Clock) -> NoReturn:
    """Work until the process is told to end.

    Args:
        dispatcher: What works.
        leases: Where the one instance says that it is there.
        clock: What waits.

    Raises:
        Transient: Another one works on this ledger.
        Fenced: Another one took over, because this one was silent for too long.
    """
    try:
        lease = leases.acquire((TARGET,), execution_id=f"{TARGET}:{uuid.uuid4()}")
    except Transient as error:
        raise Transient(
            "Another dispatcher of deliveries works on this ledger.",
            unchanged="Nothing was started.",
            next_step="stop that one first, if this one is to take its place.",
        ) from error
    keep = _Keeper(leases, lease, clock)
    try:
        while True:
            dispatcher.cycle(keep)
            clock.sleep(dispatcher.pause_seconds)
    finally:
        leases.release(lease)


class _Keeper:
    """Renews a lease when a third of it has passed: each renewal is a commit."""

    def __init__(self, leases: Leases, lease: Lease, clock: Clock) -> None:
        self._leases = leases
        self._lease = lease
        self._clock = clock
        self._renew_at = clock.now()

    def __call__(self) -> None:
        now = self._clock.now()
        if now >= self._renew_at:
            self._leases.keep(self._lease)
            self._renew_at = now + timedelta(seconds=_LEASE_SECONDS / 3)


def _alike(due: Sequence[Delivery]) -> list[list[Delivery]]:
    """Put deliveries with the same to do together, in the order of their first."""
    groups: dict[str, list[Delivery]] = {}
    for delivery in due:
        groups.setdefault(delivery.key, []).append(delivery)
    return list(groups.values())


def main() -> int:
    """Dispatch until SIGTERM or SIGINT; return the exit status."""
    return run_until_told(lambda: _dispatch(Settings.from_environment()), log=_LOG)


def _dispatch(settings: Settings) -> NoReturn:
    if settings.prefect_api_url is None:
        raise UsageError("No Prefect server is named.", next_step="set PREFECT_API_URL.")
    settings.require_private_prefect()
    policy_file = find_policy()
    policy, clock = load_policy(policy_file), SystemClock()
    ledger = Ledger(settings.ledger_url.get_secret_value())
    with PrefectStarter(settings.prefect_api_url, auth_string=settings.prefect_auth) as starter:
        dispatcher = DeliveryDispatcher(
            Deliveries(ledger, clock=clock),
            policy=lambda: load_policy(policy_file),
            starter=starter,
            executions=Executions(ledger, clock=clock),
            wake=PlanWaker(Plans(ledger, clock=clock)),
            clock=clock,
        )
        probe_seconds = policy.timings.probe_interval_seconds
        leases = Leases(ledger, clock=clock, lease_seconds=_LEASE_SECONDS, poll_seconds=probe_seconds)
        _LOG.info("The dispatcher looks for deliveries every %g s.", POLL_SECONDS)
        run(dispatcher, leases, clock)


if __name__ == "__main__":
    sys.exit(main())
