"""Watching services that were rolled back: to the end of their rollout, then for the soak time (RB-06 to RB-11)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from prefect.logging import get_run_logger

from runbook.decisions.rollout import RolloutState, RolloutVerdict, held_up_by, judge_rollout
from runbook.decisions.soak import (
    Sample,
    SoakState,
    SoakVerdict,
    Watched,
    compare,
    judge_set,
)
from runbook.engine.engine import Verification
from runbook.engine.leases import Lease
from runbook.errors import NeedsPerson, Transient
from runbook.installation import installation
from runbook.policy.estate import Service
from runbook.scrub import scrub
from runbook.workloads import Workload, WorkloadKind
from tasks.progress import Progress
from tasks.retrying import system_task
from tasks.service_samples import sample_service
from tasks.workloads import read_workloads, ref_of

MOST_COMPARED = 5
"""Services whose state before and after is told in words."""


@system_task("sample services", run_name="look at {what}")
def sample_services(services: Sequence[Service], *, what: str) -> dict[str, Sample]:
    """Look at services before anything is changed: what verification compares with.

    Args:
        services: The services.
        what: Their names, for the task run's.

    Raises:
        NotFound, Denied, Transient: One of them cannot be looked at.
    """
    workloads = read_workloads(ref_of(service) for service in services)
    return {
        service.name: sample_service(service, workloads[ref_of(service)], logs=True) for service in services
    }


@system_task("watch rollback", run_name="watch {what}")
def watch_rollback(
    services: Sequence[Service],
    *,
    since: Mapping[str, datetime | None],
    before: Mapping[str, Sample],
    lease: Lease,
    what: str,
) -> Verification:
    """Watch services to the end of their rollouts and then for their soak time, keeping the lease.

    Args:
        services: The services.
        since: By service: a Progressing condition that was updated then or before is no verdict (rollout module).
        before: By service: how it was before.
        lease: What this process holds meanwhile.
        what: Their names, for the task run's.

    Raises:
        Fenced: Another process took over.
        NeedsPerson: A rollout waits for a person: it is paused, or pods are replaced only when somebody deletes them.
        Denied: The product's account may not look; the text names verb and resource.
        Transient: The cluster did not answer for the policy's ``settle_seconds``.
    """
    watch = _Watch(services, lease)
    failed = watch.rollouts(since)
    return failed or watch.soak(before)


class _Watch:
    """One watching: the services, and since when the cluster has not answered."""

    def __init__(self, services: Sequence[Service], lease: Lease) -> None:
        self._here = installation()
        self._rules = self._here.policy.image_rollback
        self._services = services
        self._lease = lease
        self._silent_since: datetime | None = None

    def rollouts(self, since: Mapping[str, datetime | None]) -> Verification | None:
        """Wait for every rollout; return why one failed, or None."""
        clock = self._here.clock
        deadline = clock.now() + timedelta(seconds=self._rules.rollout_timeout_seconds)
        patient_until = clock.now() + timedelta(seconds=self._here.policy.timings.settle_seconds)
        progress = Progress("Rollout", total=len(self._services))
        while True:
            verdicts = self._judge(since)
            if verdicts is not None:
                _require_no_person(verdicts)
                done = sum(one.state is RolloutState.COMPLETE for one in verdicts.values())
                waiting = [one.detail for one in verdicts.values() if one.state is not RolloutState.COMPLETE]
                progress.show(done, f"{done} of {len(verdicts)} complete")
                failed = [one.detail for one in verdicts.values() if one.state is RolloutState.FAILED]
                if failed:
                    return Verification(passed=False, reason="; ".join(failed))
                if not waiting:
                    return None
                if clock.now() >= patient_until:
                    self._require_not_held_up()
                if clock.now() >= deadline:
                    limit = f"not rolled out within {self._rules.rollout_timeout_seconds:g} s"
                    return Verification(passed=False, reason=f"{limit}: {'; '.join(waiting)}")
            self._wait()

    def soak(self, before: Mapping[str, Sample]) -> Verification:
        """Watch for the soak time; not well is not passed.

        Raises:
            NeedsPerson: An outage is over, and something else is not well.
        """
        clock = self._here.clock
        longest = max(service.soak_seconds for service in self._services)
        progress = Progress("Soak", total=longest)
        samples: dict[str, list[Sample]] = {service.name: [] for service in self._services}
        logs_at = clock.now()
        while True:
            logs = clock.now() >= logs_at
            if self._look(samples, logs=logs):
                if logs:
                    logs_at = clock.now() + timedelta(seconds=self._rules.log_poll_seconds)
                verdict = self._verdict(samples, before)
                if verdict.state is SoakState.SOAKED and not logs:
                    logs_at = clock.now()  # nothing is done before its logs were read to the end
                    continue
                progress.show(verdict.watched_seconds, verdict.reason)
                reason = f"{verdict.reason}. {_compared(samples, before)}"
                if verdict.state is SoakState.MENDED:
                    raise NeedsPerson(
                        f"What was down is up again, but not well: {reason}",
                        next_step="look at it; the rollback stands, for to undo it would bring the outage back",
                    )
                if verdict.state is not SoakState.WELL_SO_FAR:
                    return Verification(passed=verdict.state is SoakState.SOAKED, reason=reason)
            self._wait()

    def _judge(self, since: Mapping[str, datetime | None]) -> dict[str, RolloutVerdict] | None:
        workloads = self._read()
        if workloads is None:
            return None
        self._silent_since = None
        return {
            service.name: judge_rollout(workloads[service.name], since=since.get(service.name))
            for service in self._services
        }

    def _require_not_held_up(self) -> None:
        """Call a person where a StatefulSet waits for a broken pod of the template that it left.

        Raises:
            NeedsPerson: One does.
        """
        workloads = self._read() or {}
        for service in self._services:
            if service.workload is not WorkloadKind.STATEFUL_SET or service.name not in workloads:
                continue
            workload = workloads[service.name]
            pods = self._here.kubernetes.pods(service.namespace, workload.selector)
            held_up = held_up_by(workload, pods)
            if held_up:
                raise NeedsPerson(
                    f"{workload.ref} replaces no pod before {', '.join(held_up)} is ready, which has the template that "
                    "was left.",
                    next_step=f"delete it: kubectl delete pod {' '.join(held_up)} --namespace {service.namespace}",
                )

    def _look(self, samples: dict[str, list[Sample]], *, logs: bool) -> bool:
        """Add a sample of every service; none where the cluster did not answer."""
        workloads = self._read()
        if workloads is None:
            return False
        try:
            taken = {
                service.name: sample_service(
                    service, workloads[service.name], logs=logs, known=_known(samples[service.name])
                )
                for service in self._services
            }
        except Transient as error:
            self._silent(error)
            return False
        self._silent_since = None
        for name, sample in taken.items():
            samples[name].append(sample)
        return True

    def _verdict(self, samples: Mapping[str, list[Sample]], before: Mapping[str, Sample]) -> SoakVerdict:
        watched = [
            Watched(
                service=service.name,
                soak_seconds=service.soak_seconds,
                thresholds=service.metrics,
                before=before.get(service.name),
                samples=tuple(samples[service.name]),
            )
            for service in self._services
        ]
        return judge_set(watched, health_failures=self._rules.health_failures)

    def _read(self) -> dict[str, Workload] | None:
        try:
            found = read_workloads(ref_of(service) for service in self._services)
        except Transient as error:
            self._silent(error)
            return None
        return {service.name: found[ref_of(service)] for service in self._services}

    def _silent(self, error: Transient) -> None:
        """Bear with a cluster that does not answer, for a while: that says nothing about the services."""
        now = self._here.clock.now()
        self._silent_since = self._silent_since or now
        if (now - self._silent_since).total_seconds() >= self._here.policy.timings.settle_seconds:
            raise error
        get_run_logger().warning("The cluster does not answer: %s", scrub(error.message))

    def _wait(self) -> None:
        self._here.engine.keep(self._lease)
        self._here.clock.sleep(self._rules.poll_seconds)


def _compared(samples: Mapping[str, Sequence[Sample]], before: Mapping[str, Sample]) -> str:
    """Say how the services were and how they are, in the order of the set."""
    said = [f"{name}: {compare(before.get(name), taken[-1])}" for name, taken in samples.items() if taken]
    more = f"; and {len(said) - MOST_COMPARED} more" if len(said) > MOST_COMPARED else ""
    return "; ".join(said[:MOST_COMPARED]) + more


def _known(samples: Sequence[Sample]) -> tuple[str, ...]:
    return samples[-1].log_failures if samples else ()


def _require_no_person(verdicts: Mapping[str, RolloutVerdict]) -> None:
    """Call a person where nothing will move by itself.

    Raises:
        NeedsPerson: A rollout is paused, or its pods wait to be deleted.
    """
    steps = {
        RolloutState.PAUSED: "resume it (kubectl rollout resume), then look at its health",
        RolloutState.ON_DELETE: "delete the pods that still run the other template, one after another",
    }
    for verdict in verdicts.values():
        if verdict.state in steps:
            raise NeedsPerson(
                f"The rollout does not go on by itself: {verdict.detail}.", next_step=steps[verdict.state]
            )
