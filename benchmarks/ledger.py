"""Whether what a triage asks of the ledger takes as long after 100,000 incidents as after 10.

Run: .venv/bin/python -m benchmarks.ledger [--incidents 100000] [--rounds 50] [--json]
Fills two SQLite ledgers, then lets the same triages ask both in turn, by the classes that flows use. Prints for each
call its median time at both sizes and their ratio (near 1 is wanted: flat), beside that of the yardstick, one look-up
by a primary key. Today's work is the same in both ledgers (benchmarks/ledger_history.py); the past is not. Filling
them takes half a minute.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.ledger_history import (
    PER_OUTAGE,
    PROCEDURE,
    REMEDY,
    REPOSITORY,
    SCOPE,
    TODAY,
    WORKFLOW,
    fill,
    fingerprint_of,
    payload,
    plan_of,
    view_of,
)
from runbook.clock import SystemClock
from runbook.decisions.outage import OutsideReason, Together, alone, outage_fingerprint
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine import audit
from runbook.engine.automatic import DAY, remedied_without_person, was_turned_down
from runbook.engine.deliveries import Deliveries, Incoming
from runbook.engine.entries import Entries
from runbook.engine.executions import BY_PRODUCT, Executions
from runbook.engine.incidents import Incident, Incidents
from runbook.engine.leases import Leases
from runbook.engine.ledger import Ledger
from runbook.engine.plans import Plans
from runbook.engine.states import ExecutionState, PlanState
from runbook.triage.classes import FailureClass

LOOK_UP = "one look-up by a primary key"
"""The yardstick."""

_FIRST_RUN = 90_000_000_000  # later than any of the history
_WARM_UP_ROUNDS = 3
_WINDOW_MINUTES = 30.0

T = TypeVar("T")


class Times:
    """Times calls by their name."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def __call__(self, name: str, call: Callable[[], T]) -> T:
        """Time one call and return what it returned."""
        started = time.perf_counter()
        result = call()
        self._seconds[name].append(time.perf_counter() - started)
        return result

    def medians_ms(self, *, without_first: int) -> dict[str, float]:
        """Return each call's median.

        Args:
            without_first: So many of each call do not count: they warmed it up.
        """
        return {
            name: statistics.median(times[without_first:]) * 1000 for name, times in self._seconds.items()
        }


class Side:
    """One of the two ledgers, and what asks it.

    Args:
        path: The ledger's file, to be made.
        incidents: How many incidents its history has.
    """

    def __init__(self, path: Path, incidents: int) -> None:
        clock = SystemClock()
        self.clock = clock
        self.ledger = Ledger(f"sqlite:///{path}")
        self.rows = fill(self.ledger, incidents=incidents, now=clock.now())
        today = range(incidents - TODAY, incidents)
        self._incidents = incidents
        self._closed = next(number for number in today if number % 2)
        self._open = next(number for number in today if number % 2 == 0 and number % PER_OUTAGE)
        self.executions = Executions(self.ledger, clock=clock)
        self.incidents = Incidents(self.ledger, clock=clock)
        self.plans = Plans(self.ledger, clock=clock)
        self.deliveries = Deliveries(self.ledger, clock=clock)
        leases = Leases(self.ledger, clock=clock, lease_seconds=60, poll_seconds=1)
        self.entries = Entries(self.ledger, clock=clock, leases=leases)
        self.times = Times()

    def triage(self, number: int) -> None:
        """Ask what one triage asks, and end what it began: today's open work stays as much as it was."""
        run_id, execution_id = _FIRST_RUN + number, f"triage-{number}"
        self._deliver(number, run_id)
        self._claim(execution_id, run_id)
        self._ask_of_the_past()
        opened = self._open_incidents(execution_id, number)
        self._plan(execution_id, run_id)
        self.executions.end(execution_id, ExecutionState.DONE, reason="measured")
        self.incidents.resolve(opened.id, runs={run_id})
        self.incidents.close(opened.id, resolution="measured")
        self.deliveries.done([f"measured-{number}"], reason="measured")

    def _deliver(self, number: int, run_id: int) -> None:
        key = f"{REPOSITORY}:{run_id}:1"
        arrived = Incoming(
            id=f"measured-{number}",
            event="workflow_run",
            action="completed",
            repository=REPOSITORY,
            key=key,
            body=payload(run_id),
        )
        self.times("store a delivery", lambda: self.deliveries.store([arrived]))
        self.times("deliveries that are due", lambda: self.deliveries.due(limit=10))
        self.times("whether one like it was acted on", lambda: self.deliveries.handled(key))

    def _claim(self, execution_id: str, run_id: int) -> None:
        self._begin(execution_id)
        self.times(LOOK_UP, lambda: self.executions.get(execution_id))
        newest = range(run_id - 50, run_id)
        self.times(
            "which of 50 runs are claimed",
            lambda: self.executions.claimed(repository=REPOSITORY, run_ids=newest),
        )
        self.times(
            "claim an attempt",
            lambda: self.executions.claim_attempt(
                execution_id, repository=REPOSITORY, run_id=run_id, run_attempt=1
            ),
        )

    def _begin(self, execution_id: str) -> None:
        self.times(
            "begin an execution",
            lambda: self.executions.begin(
                execution_id,
                procedure=PROCEDURE,
                repository=REPOSITORY,
                subject=f"run of {WORKFLOW}",
                request={"execution": execution_id},
                requester=BY_PRODUCT,
            ),
        )

    def _ask_of_the_past(self) -> None:
        again = fingerprint_of(self._closed)
        # One, so that both sides return as many: triage asks for up to 50, of which a young ledger has fewer.
        self.times(
            "the last incident of the same failure",
            lambda: self.incidents.recent(repository=REPOSITORY, fingerprint=again, limit=1),
        )
        self.times(
            "re-runs of a workflow today",
            lambda: self.entries.count_since(
                RerunFailedJobs.kind,
                params={"repository": REPOSITORY, "workflow_file": WORKFLOW},
                since=self.clock.now() - DAY,
            ),
        )
        self.times(
            "how a remedy fared before",
            lambda: self.plans.scorecard(remedy=REMEDY, failure_class=FailureClass.FLAKY_TEST),
        )
        self.times("what needs care", lambda: self.incidents.open_ones(REPOSITORY, limit=20))
        self.times("an incident's timeline", self._timeline)

    def _timeline(self) -> None:
        with self.ledger.read() as session:
            audit.timeline(session, self._closed + 1)

    def _open_incidents(self, execution_id: str, number: int) -> Incident:
        """Open a new one, and have two more executions join one that is open, and an outage."""
        opened = self.times(
            "open an incident", lambda: self._open_or_join(execution_id, f"never-seen-{number}")
        )
        outside = alone(OutsideReason.INFRASTRUCTURE, workflow_file=WORKFLOW, failed_at=self.clock.now())
        joining: dict[str, tuple[str, Together | None]] = {
            "join an incident": (fingerprint_of(self._open), None),
            "join an outage's incident": (outage_fingerprint(outside.reason, f"{number:x}"), outside),
        }
        for name, (fingerprint, reason) in joining.items():
            other = f"{execution_id}: {name}"
            self._begin(other)
            joined = self.times(name, lambda: self._open_or_join(other, fingerprint, reason))  # noqa: B023 - called at once
            if joined.id > self._incidents:
                raise SystemExit(f"{name}: incident {joined.id} was opened instead")
            self.executions.end(other, ExecutionState.DONE, reason="measured")
        return opened

    def _open_or_join(self, execution_id: str, fingerprint: str, outside: Together | None = None) -> Incident:
        return self.incidents.open_or_join(
            execution_id,
            repository=REPOSITORY,
            issues_repository=REPOSITORY,
            fingerprint=fingerprint,
            failure_class=FailureClass.FLAKY_TEST,
            severity="P2",
            title="P2: measured",
            detail={},
            scope=SCOPE,
            outside=outside,
            outage_window_minutes=_WINDOW_MINUTES,
        )

    def _plan(self, execution_id: str, run_id: int) -> None:
        plan = self.times(
            "store a plan",
            lambda: self.plans.store(
                execution_id,
                plan_of(run_id),
                view=view_of(FailureClass.FLAKY_TEST),
                expires_after_seconds=3600,
            ),
        )
        self.times("whether it was turned down", lambda: was_turned_down(self.ledger, plan))
        self.times("what waits beside it", lambda: self.plans.waiting_digests(other_than=plan.id))
        self.times("what was remedied without a person today", lambda: self._remedied(plan.id))
        self.plans.end(plan.id, PlanState.VOIDED, reason="measured")

    def _remedied(self, plan_id: str) -> None:
        with self.ledger.read() as session:
            remedied_without_person(session, since=self.clock.now() - DAY, other_than=plan_id)


@dataclass(frozen=True)
class Call:
    """What one call takes, in milliseconds (medians), with a past of ten incidents and with a long one."""

    short_ms: float
    long_ms: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes with the long past."""
        return self.long_ms / self.short_ms


def measure(*, incidents: int, rounds: int) -> dict[str, Call]:
    """Fill both ledgers and let the same triages ask them, in turn.

    Args:
        incidents: How many the longer past has; the shorter has ten.
        rounds: How many triages ask, each once of either.
    """
    if incidents < TODAY or rounds < 1:
        raise SystemExit(f"At least {TODAY} incidents and one round are needed.")
    with tempfile.TemporaryDirectory() as folder:
        short, long = (
            Side(Path(folder) / f"{name}.db", size) for name, size in (("short", TODAY), ("long", incidents))
        )
        for number in range(_WARM_UP_ROUNDS + rounds):
            # Whoever asks second finds the processor warm: they take turns.
            for side in (short, long) if number % 2 else (long, short):
                side.triage(number)
        short.ledger.close()
        long.ledger.close()
    shorter = short.times.medians_ms(without_first=_WARM_UP_ROUNDS)
    longer = long.times.medians_ms(without_first=_WARM_UP_ROUNDS)
    return {name: Call(shorter[name], longer[name]) for name in shorter}


def ratios(calls: Mapping[str, Call]) -> dict[str, float]:
    """Return what the claim rests on: how much longer things take with the long past.

    Args:
        calls: What was measured.
    """
    short, long = (sum(getattr(call, side) for call in calls.values()) for side in ("short_ms", "long_ms"))
    return {
        "all_calls_long_past_to_short": long / short,
        "slowest_grown_call": max(call.ratio for call in calls.values()),
        "index_look_up": calls[LOOK_UP].ratio,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--incidents", type=int, default=100_000, help="of the longer past (100000)")
    parser.add_argument("--rounds", type=int, default=50, help="triages that ask (50)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    calls = measure(incidents=options.incidents, rounds=options.rounds)
    if options.json:
        print(json.dumps({name: asdict(call) | {"ratio": call.ratio} for name, call in calls.items()}))
        return 0
    print(f"{'incidents in the past':42}{TODAY:>10}{options.incidents:>10}{'ratio':>9}")
    for name, call in calls.items():
        print(f"{name:42}{call.short_ms:>7.2f} ms{call.long_ms:>7.2f} ms{call.ratio:>9.2f}")
    for name, ratio in ratios(calls).items():
        print(f"{name.replace('_', ' ')}: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
