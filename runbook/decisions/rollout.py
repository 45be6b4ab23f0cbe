"""Whether a rollout is over, judged as ``kubectl rollout status`` judges it (RB-06).

The rules are those of kubectl's status viewers (kubernetes/kubectl, ``pkg/polymorphichelpers/rollout_status.go``), with
one difference: a Deployment that is rolled back out of a failed rollout still carries the old verdict for a moment,
and kubectl straight after an undo reports that failure as the new one's. Here a verdict from before is none.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from runbook.models import Frozen
from runbook.workloads import Condition, Pod, Workload, WorkloadKind

_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
_REPLICA_FAILURE = "ReplicaFailure"


class RolloutState(StrEnum):
    """Where a rollout stands."""

    PROGRESSING = "progressing"
    COMPLETE = "complete"
    FAILED = "failed"
    PAUSED = "paused"
    """A person paused it: nothing moves until somebody resumes it."""
    ON_DELETE = "on_delete"
    """Its strategy is OnDelete: pods of the old template stay until somebody deletes them."""


class RolloutVerdict(Frozen):
    """Where a rollout stands, in kubectl's words."""

    state: RolloutState
    detail: str


def progressing_since(workload: Workload) -> datetime | None:
    """Return when its Progressing condition was last updated, by the cluster's own clock: a ``since`` for later.

    Args:
        workload: As it was just before the patch.
    """
    condition = _condition(workload, "Progressing")
    return condition.updated_at if condition else None


def judge_rollout(workload: Workload, *, since: datetime | None) -> RolloutVerdict:
    """Say where a workload's rollout stands.

    Args:
        workload: As it stands.
        since: A Progressing condition that was updated then or before is no verdict on this rollout: the time of
            the patch, or better :func:`progressing_since` of the workload as it was before (no clock but the
            cluster's is asked then). None where nothing was patched.
    """
    if workload.paused:
        return _verdict(RolloutState.PAUSED, f"{_named(workload)} is paused")
    if workload.observed_generation < workload.generation or not workload.observed_generation:
        return _verdict(
            RolloutState.PROGRESSING, f"Waiting for {_kind(workload)} spec update to be observed..."
        )
    if workload.on_delete:
        return _judge_on_delete(workload)
    match workload.ref.kind:
        case WorkloadKind.DEPLOYMENT:
            return _judge_deployment(workload, since)
        case WorkloadKind.STATEFUL_SET:
            return _judge_stateful_set(workload)
        case WorkloadKind.DAEMON_SET:
            return _judge_daemon_set(workload)


def held_up_by(workload: Workload, pods: Sequence[Pod]) -> tuple[str, ...]:
    """Name the pods that a StatefulSet's rollout waits for in vain.

    One that goes pod by pod waits until each is ready, also those of the template that it left: a broken one is not
    replaced by the good template, until somebody deletes it (kubernetes/kubernetes#67250). Of which template a pod is,
    its label says: its images may have been rewritten, and others injected, on its way in.

    Args:
        workload: As it stands.
        pods: Its pods.
    """
    in_order = workload.ref.kind is WorkloadKind.STATEFUL_SET and not workload.parallel
    wanted = workload.update_revision
    if not in_order or not wanted or workload.observed_generation < workload.generation:
        return ()
    return tuple(
        pod.name
        for pod in pods
        if pod.revision and pod.revision != wanted and not (pod.ready or pod.terminating)
    )


def _judge_deployment(workload: Workload, since: datetime | None) -> RolloutVerdict:
    condition = _condition(workload, "Progressing")
    if condition is not None and condition.reason == _DEADLINE_EXCEEDED and not _stale(condition, since):
        why = _condition(workload, _REPLICA_FAILURE)
        said = f": {why.message}" if why is not None and why.status == "True" and why.message else ""
        return _verdict(RolloutState.FAILED, f"{_named(workload)} exceeded its progress deadline{said}")
    waiting = f"Waiting for {_named(workload)} rollout to finish:"
    if workload.updated < workload.wanted:
        detail = f"{workload.updated} out of {workload.wanted} new replicas have been updated..."
    elif workload.replicas > workload.updated:
        detail = f"{workload.replicas - workload.updated} old replicas are pending termination..."
    elif workload.available < workload.updated:
        detail = f"{workload.available} of {workload.updated} updated replicas are available..."
    else:
        return _verdict(RolloutState.COMPLETE, f"{_named(workload)} successfully rolled out")
    return _verdict(RolloutState.PROGRESSING, f"{waiting} {detail}")


def _judge_stateful_set(workload: Workload) -> RolloutVerdict:
    if workload.ready < workload.wanted:
        missing = workload.wanted - workload.ready
        return _verdict(RolloutState.PROGRESSING, f"Waiting for {missing} pods to be ready...")
    # kubectl demands this much of updated pods at partition 0 too: the API server always fills the partition in.
    if workload.updated < workload.wanted - workload.partition:
        return _verdict(
            RolloutState.PROGRESSING,
            f"Waiting for partitioned roll out to finish: {workload.updated} out of "
            f"{workload.wanted - workload.partition} new pods have been updated...",
        )
    kept = min(workload.partition, workload.wanted)
    below = f"; {kept} below partition {workload.partition} keep the template they have" if kept else ""
    return _verdict(
        RolloutState.COMPLETE,
        f"partitioned roll out complete: {workload.updated} new pods have been updated...{below}",
    )


def _judge_daemon_set(workload: Workload) -> RolloutVerdict:
    waiting = f"Waiting for {_named(workload)} rollout to finish:"
    if workload.updated < workload.wanted:
        detail = f"{workload.updated} out of {workload.wanted} new pods have been updated..."
    elif workload.available < workload.wanted:
        detail = f"{workload.available} of {workload.wanted} updated pods are available..."
    else:
        return _verdict(RolloutState.COMPLETE, f"{_named(workload)} successfully rolled out")
    return _verdict(RolloutState.PROGRESSING, f"{waiting} {detail}")


def _judge_on_delete(workload: Workload) -> RolloutVerdict:
    """Judge what kubectl refuses to (it asks for the RollingUpdate strategy): pods that wait for a person."""
    if workload.updated < workload.wanted:
        return _verdict(
            RolloutState.ON_DELETE,
            f"{_named(workload)} replaces a pod only when somebody deletes it (OnDelete): {workload.updated} of "
            f"{workload.wanted} run the new template",
        )
    if workload.ready < workload.wanted:
        missing = workload.wanted - workload.ready
        return _verdict(RolloutState.PROGRESSING, f"Waiting for {missing} pods to be ready...")
    return _verdict(RolloutState.COMPLETE, f"all pods of {_named(workload)} run the new template")


def _condition(workload: Workload, kind: str) -> Condition | None:
    return next((condition for condition in workload.conditions if condition.type == kind), None)


def _stale(condition: Condition, since: datetime | None) -> bool:
    # Kubernetes keeps whole seconds; a deadline is at least one, so a true verdict is never from `since` itself.
    return since is not None and condition.updated_at is not None and condition.updated_at <= since


def _kind(workload: Workload) -> str:
    return {
        WorkloadKind.DEPLOYMENT: "deployment",
        WorkloadKind.STATEFUL_SET: "statefulset",
        WorkloadKind.DAEMON_SET: "daemon set",
    }[workload.ref.kind]


def _named(workload: Workload) -> str:
    return f'{_kind(workload)} "{workload.ref.name}"'


def _verdict(state: RolloutState, detail: str) -> RolloutVerdict:
    return RolloutVerdict(state=state, detail=detail)
