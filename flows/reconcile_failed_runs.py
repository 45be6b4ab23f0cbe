"""Reconcile (R10): what no webhook announced is triaged, lost deliveries asked for again, mended incidents closed."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prefect import State, flow
from prefect.client.schemas.objects import StateType
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.incident_issue import close_incident, place_of_incident
from flows.waking import flow_run_id
from runbook.decisions.deliveries import StartTriage
from runbook.decisions.reconcile import unclaimed_attempts, wants_triage
from runbook.engine.executions import BY_PRODUCT, Execution
from runbook.engine.incidents import OpenOne
from runbook.engine.leases import Lease
from runbook.engine.states import ExecutionState
from runbook.errors import Denied, NotFound, RunbookError
from runbook.installation import Installation, installation
from runbook.policy import RepositoryPolicy
from runbook.requests import EVERY_REPOSITORY, Mode, ReconcileRequest
from runbook.scrub import scrub
from tasks.actions_runs import list_newest_runs, read_run, read_why_resolved
from tasks.issues import is_open_issue
from tasks.journal import write_record
from tasks.starting import start_triage, wake_run
from tasks.webhooks import read_failed_deliveries

PROCEDURE = "reconcile-failed-runs"
TARGET = "reconcile"
"""What the one pass at a time holds a lease on."""


@flow(name=PROCEDURE, flow_run_name="reconcile {request.repository}", persist_result=False, log_prints=False)
def reconcile_failed_runs(request: ReconcileRequest) -> State[None]:
    """Look for what no webhook announced, in every repository of the policy or in one.

    Failed attempts that no execution claimed get a triage; deliveries that GitHub recorded as failed are sent
    again; incidents whose runs are green without our doing, or whose issue a person closed, are closed.
    In plan mode all of it is only named.
    """
    here = installation()
    lease = here.engine.leases.acquire_now((TARGET,), execution_id=flow_run_id())
    if lease is None:
        return Completed(message="another pass is at work", name="AlreadyReconciling")
    this = _Pass(here, lease, apply=request.mode is Mode.APPLY)
    try:
        return this.over(_repositories(here, request))
    finally:
        this.end_execution()
        here.engine.leases.release(lease)


def _repositories(here: Installation, request: ReconcileRequest) -> tuple[RepositoryPolicy, ...]:
    if request.repository == EVERY_REPOSITORY:
        return here.policy.repositories
    return (here.policy.repository(request.repository),)


@dataclass
class _Pass:
    """One pass over the repositories, and what came of it."""

    here: Installation
    lease: Lease
    apply: bool
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    execution: Execution | None = None

    def over(self, repositories: tuple[RepositoryPolicy, ...]) -> State[None]:
        """Look at each repository; one that cannot be read keeps no other waiting."""
        log = get_run_logger()
        for repository in repositories:
            self.here.engine.leases.keep(self.lease)
            try:
                self._start_triages(repository)
                self._redeliver(repository.name)
                self._close_mended(repository.name)
            except RunbookError as error:
                self.failed.append(f"{repository.name}: {error}")
        if self.failed:
            log.warning(scrub("; ".join(self.failed)))
            return State(type=StateType.FAILED, name="Unreconciled", message=scrub("; ".join(self.failed)))
        message = scrub("; ".join(self.done) or "nothing was missed")
        log.info(message)
        return Completed(message=message, name="Reconciled" if self.apply else "Planned")

    def _start_triages(self, repository: RepositoryPolicy) -> None:
        now = self.here.clock.now()
        since = now - timedelta(minutes=self.here.policy.reconcile.look_back_minutes)
        missed = _missed(self.here, repository, since)
        for triage in missed[: self.here.policy.reconcile.starts_per_pass]:
            if self.apply:
                start_triage(triage, now=now)
            self.done.append(f"triage {triage.key}")

    def _redeliver(self, repository: str) -> None:
        try:
            missing = read_failed_deliveries(repository)
        except (Denied, NotFound) as error:
            # Whoever gave the product no such permission meant it: the runs are found without.
            self.done.append(f"webhook deliveries of {repository} are not looked at: {error.message}")
            return
        for effect in missing:
            if self.apply:
                # Once per failed attempt of it, whichever pass does.
                name = f"{effect.repository}-{effect.hook_id}-{effect.delivery_id}"
                what, execution_id = scrub(effect.describe()), self._execution_id(repository)
                write_record(execution_id, name, what=what, effect=effect, within="redeliver")
            self.done.append(effect.describe())

    def _close_mended(self, repository: str) -> None:
        incidents = self.here.engine.incidents
        for one in incidents.open_ones(repository, limit=self.here.policy.reconcile.incidents_per_pass):
            self.here.engine.leases.keep(self.lease)
            place = place_of_incident(one.incident)
            try:
                if one.executions or is_open_issue(place.repository, place.number):
                    self._close_resolved(one)
                    continue
            except RunbookError as error:  # one that cannot be looked at keeps no other waiting
                self.failed.append(f"{place.repository}#{place.number}: {error}")
                continue
            if self.apply:
                incidents.closed_by_hand(one.incident.id, resolution="its issue was closed by hand")
            self.done.append(f"{place.repository}#{place.number} was closed by hand")

    def _close_resolved(self, one: OpenOne) -> None:
        """Close an incident whose runs are green again, or let the plan that waits for one of them see it."""
        incident, place = one.incident, place_of_incident(one.incident)
        reasons = {
            run: why for run in sorted(one.runs) if (why := read_why_resolved(incident.repository, run))
        }
        if not one.about_runs or (not reasons and (one.runs or one.executions)):
            return
        waiting = [execution for execution in one.executions if execution.state is ExecutionState.WAITING]
        if self.apply and waiting:
            for execution in waiting:
                wake_run(execution.id)
        elif self.apply and not one.executions:
            why = "; ".join(reasons.values()) or "every run of it is resolved"
            close_incident(
                self.here, self._execution_id(incident.repository), incident, why, runs=reasons.keys()
            )
        self.done.append(f"{place.repository}#{place.number}: {'; '.join(reasons.values())}")

    def _execution_id(self, repository: str) -> str:
        """Return the pass's execution, begun only where something is to be written: most passes find nothing."""
        if self.execution is None:
            self.execution = self.here.engine.executions.begin(
                flow_run_id(),
                procedure=PROCEDURE,
                repository=repository,
                subject=f"what was missed in {repository}",
                request={},
                requester=BY_PRODUCT,
            )
        return self.execution.id

    def end_execution(self) -> None:
        """End it, also where GitHub refused: the next pass finds what is still missing, no revival would."""
        if self.execution is not None:
            self.here.engine.executions.end(
                self.execution.id, ExecutionState.DONE, reason="what was missed was looked at"
            )


def _missed(here: Installation, repository: RepositoryPolicy, since: datetime) -> list[StartTriage]:
    """Return the failed attempts that nobody claimed; an earlier attempt of a run is read first."""
    runs = list_newest_runs(repository.name, since=since)
    claimed = here.engine.executions.claimed(
        repository=repository.name, run_ids=frozenset(run.id for run in runs)
    )
    missed: list[StartTriage] = []
    for attempt in unclaimed_attempts(runs, claimed, repository=repository, since=since):
        triage = attempt.triage
        if not attempt.failed:
            earlier = read_run(repository.name, triage.run_id, attempt=triage.run_attempt)
            if not wants_triage(earlier, repository=repository, since=since):
                continue
        missed.append(triage)
    return missed
