"""The Deployment controller: ReplicaSets by template, a rolling update, and the conditions that tell of it."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.kubernetes.family import (
    LAST_APPLIED,
    REVISION,
    add_pod,
    number_of,
    pods_of,
    share,
    without_zeros,
)
from sandbox.kubernetes.objects import HASH_LABEL, Thing, hash_of, kind_of, stamp, unlabelled
from sandbox.wire import Json

if TYPE_CHECKING:
    from sandbox.kubernetes.state import State

HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED, MOST = "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas"
NOT_COPIED = (REVISION, HISTORY, DESIRED, MOST, LAST_APPLIED)
DONE, TIMED_OUT, PAUSED = "NewReplicaSetAvailable", "ProgressDeadlineExceeded", "DeploymentPaused"


def observe(state: "State", thing: Thing, status: Json) -> None:
    """Take note of what is wanted: find or make the ReplicaSet of the template, and move the revision on."""
    progressing = condition(status, "Progressing")
    if thing.body["spec"].get("paused"):
        if progressing is None or progressing["reason"] != PAUSED:
            _set(state, status, "Progressing", "Unknown", PAUSED, "Deployment is paused")
        return
    if progressing is not None and progressing["reason"] == PAUSED:
        _set(state, status, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
    replica_sets = state.owned(thing, "ReplicaSet")
    new = current_set(state, thing)
    highest = max((number_of(one) for one in replica_sets if one is not new), default=0)
    if new is None:
        new = _add_set(state, thing)
        text = f'Created new replica set "{new.name}"'
        _set(state, status, "Progressing", "True", "NewReplicaSetCreated", text)
    _annotate(thing, new, highest + 1)
    thing.annotations[REVISION] = new.annotations[REVISION]
    state.touch(new)
    state.touch(thing)


def _add_set(state: "State", thing: Thing) -> Thing:
    template = unlabelled(thing.body["spec"]["template"])
    label = hash_of(template)
    labels = template["metadata"]["labels"]
    labels[HASH_LABEL] = label
    selector = {"matchLabels": {**thing.body["spec"]["selector"]["matchLabels"], HASH_LABEL: label}}
    body = {
        "metadata": {"name": f"{thing.name}-{label}", "labels": dict(labels), "annotations": {}},
        "spec": {"replicas": 0, "selector": selector, "template": template},
        "status": {"replicas": 0},
    }
    return state.add(kind_of("ReplicaSet"), body, owner=thing)


def _annotate(thing: Thing, new: Thing, least: int) -> None:
    """Number the ReplicaSet that is wanted now, and give it the Deployment's annotations, change-cause too."""
    before = number_of(new)
    new.annotations.update(_copied(thing))
    if before < least:
        new.annotations[REVISION] = str(least)
        if before:
            earlier = new.annotations.get(HISTORY)
            new.annotations[HISTORY] = f"{earlier},{before}" if earlier else str(before)


def _copied(thing: Thing) -> dict[str, str]:
    return {name: value for name, value in thing.annotations.items() if name not in NOT_COPIED}


def current_set(state: "State", thing: Thing) -> Thing | None:
    """Return the ReplicaSet of the template that is wanted now."""
    wanted = thing.body["spec"]["template"]
    for one in state.owned(thing, "ReplicaSet"):
        if unlabelled(one.body["spec"]["template"]) == wanted:
            return one
    return None


def roll(state: "State", thing: Thing) -> bool:
    """Start and end pods as far as the strategy allows now; return whether any was."""
    new = current_set(state, thing)
    if thing.body["spec"].get("paused") or new is None:
        return False
    ours = state.owned(new, "Pod")
    old = [pod for pod in pods_of(state, thing) if pod not in ours]
    wanted, surge, unavailable = _limits(thing)
    if len(ours) > wanted:
        for pod in ours[wanted:]:
            state.remove(pod)
        return True
    if thing.body["spec"]["strategy"]["type"] == "Recreate":
        surge, unavailable = (0, wanted)
        room = 0 if old else wanted - len(ours)
    else:
        room = min(wanted + surge - len(ours) - len(old), wanted - len(ours))
    for number in range(max(0, room)):
        add_pod(state, new, new.body["spec"]["template"], {}, node=len(ours) + number)
    ending = _to_end(state, ours, old, wanted - unavailable)
    for pod in ending:
        state.remove(pod)
    return room > 0 or bool(ending)


def _to_end(state: "State", ours: list[Thing], old: list[Thing], least: int) -> list[Thing]:
    """Return the old pods that may end: those that serve nobody, and what leaves ``least`` that do."""
    idle = [pod for pod in old if not state.ready(pod)]
    serving = [pod for pod in old if state.ready(pod)]
    spare = len(serving) + sum(state.ready(pod) for pod in ours) - least
    return idle + serving[: max(0, spare)]


def _limits(thing: Thing) -> tuple[int, int, int]:
    spec = thing.body["spec"]
    wanted = int(spec["replicas"])
    rolling = spec["strategy"].get("rollingUpdate", {})
    surge = share(rolling.get("maxSurge", 0), wanted, up=True)
    unavailable = share(rolling.get("maxUnavailable", 0), wanted, up=False)
    return wanted, surge, unavailable if surge or unavailable else 1


def count(state: "State", thing: Thing, status: Json) -> None:
    """Count pods, for the Deployment and each of its ReplicaSets."""
    new = current_set(state, thing)
    wanted, surge, _ = _limits(thing)
    ready = total = updated = 0
    for one in state.owned(thing, "ReplicaSet"):
        pods = state.owned(one, "Pod")
        up = sum(state.ready(pod) for pod in pods)
        ready, total, updated = ready + up, total + len(pods), len(pods) if one is new else updated
        counts: Json = {"replicas": len(pods), "observedGeneration": 1}
        without_zeros(
            counts, {"fullyLabeledReplicas": len(pods), "readyReplicas": up, "availableReplicas": up}
        )
        limits = {DESIRED: str(wanted), MOST: str(wanted + surge)}
        if one.body["status"] != counts or one.body["spec"]["replicas"] != len(pods):
            one.body["status"], one.body["spec"]["replicas"] = counts, len(pods)
            one.annotations.update(limits)
            state.touch(one)
    figures = {
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    without_zeros(status, {**figures, "unavailableReplicas": max(0, max(wanted, total) - ready)})


def judge(state: "State", thing: Thing, status: Json) -> None:
    """Write the conditions, after the controller's own rules for progress and its deadline."""
    old = thing.body["status"]
    wanted, _, unavailable = _limits(thing)
    total, updated, ready = (
        status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")
    )
    if ready >= wanted - unavailable:
        text = "Deployment has minimum availability."
        _set(state, status, "Available", "True", "MinimumReplicasAvailable", text)
    else:
        text = "Deployment does not have minimum availability."
        _set(state, status, "Available", "False", "MinimumReplicasUnavailable", text)
    new = current_set(state, thing)
    if new is None or thing.body["spec"].get("paused"):
        return
    if not _copied(thing).items() <= new.annotations.items():  # annotated after it was deployed
        new.annotations.update(_copied(thing))
        state.touch(new)
    before = condition(status, "Progressing")
    progressed = (
        updated > old.get("updatedReplicas", 0)
        or total - updated < old.get("replicas", 0) - old.get("updatedReplicas", 0)
        or ready > old.get("availableReplicas", 0)
    )
    over = deadline(thing)
    if updated == wanted == total == ready:
        text = f'ReplicaSet "{new.name}" has successfully progressed.'
        _set(state, status, "Progressing", "True", DONE, text)
        _collect(state, thing, new)
    elif before is not None and before["reason"] == DONE and total == updated:
        return  # it was complete once: pods that die later are no rollout
    elif progressed:
        status["conditions"] = [one for one in status["conditions"] if one is not before]
        text = f'ReplicaSet "{new.name}" is progressing.'
        _set(state, status, "Progressing", "True", "ReplicaSetUpdated", text)
    elif over is not None and state.at >= over:
        text = f'ReplicaSet "{new.name}" has timed out progressing.'
        _set(state, status, "Progressing", "False", TIMED_OUT, text)


def deadline(thing: Thing) -> datetime | None:
    """Return when a rollout that goes on is given up."""
    progressing = condition(thing.body["status"], "Progressing")
    if progressing is None or progressing["reason"] in (DONE, TIMED_OUT, PAUSED):
        return None
    since = datetime.strptime(progressing["lastUpdateTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return since + timedelta(seconds=thing.body["spec"]["progressDeadlineSeconds"])


def _collect(state: "State", thing: Thing, new: Thing) -> None:
    """Remove the oldest idle ReplicaSets beyond revisionHistoryLimit."""
    idle = [one for one in state.owned(thing, "ReplicaSet") if one is not new and not state.owned(one, "Pod")]
    limit = int(thing.body["spec"]["revisionHistoryLimit"])
    for one in sorted(idle, key=number_of)[: max(0, len(idle) - limit)]:
        state.remove(one)


def condition(status: Json, kind: str) -> Json | None:
    """Return a condition by its type."""
    return next((one for one in status.get("conditions", []) if one["type"] == kind), None)


def _set(state: "State", status: Json, kind: str, holds: str, reason: str, message: str) -> None:
    before = condition(status, kind)
    if before is not None and (before["status"], before["reason"]) == (holds, reason):
        return
    now = stamp(state.at)
    turned = before["lastTransitionTime"] if before is not None and before["status"] == holds else now
    others = [one for one in status.get("conditions", []) if one is not before]
    row = {"type": kind, "status": holds, "reason": reason, "message": message}
    status["conditions"] = [*others, {**row, "lastUpdateTime": now, "lastTransitionTime": turned}]
