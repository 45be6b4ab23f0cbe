"""The StatefulSet and DaemonSet controllers: ControllerRevisions, and pods replaced one after another."""

import copy
from typing import TYPE_CHECKING

from sandbox.kubernetes.family import add_pod, number_of, share, without_zeros
from sandbox.kubernetes.objects import Thing, hash_of, kind_of
from sandbox.wire import Json

if TYPE_CHECKING:
    from sandbox.kubernetes.state import State

POD_LABEL = "controller-revision-hash"


def observe(state: "State", thing: Thing, status: Json) -> None:
    """Take note of what is wanted: find or make the revision of the template, and number it as the newest."""
    new = current_revision(state, thing)
    highest = max((number_of(one) for one in _revisions(state, thing) if one is not new), default=0)
    if new is None:
        new = _add_revision(state, thing, highest + 1)
    elif number_of(new) < highest:
        new.body["revision"] = highest + 1
        state.touch(new)
    if thing.kind.kind == "StatefulSet":
        status["updateRevision"] = new.name
        status.setdefault("currentRevision", new.name)


def _revisions(state: "State", thing: Thing) -> list[Thing]:
    return state.owned(thing, "ControllerRevision")


def _add_revision(state: "State", thing: Thing, number: int) -> Thing:
    template = copy.deepcopy(thing.body["spec"]["template"])
    label = hash_of(template)
    key = "controller.kubernetes.io/hash" if thing.kind.kind == "StatefulSet" else POD_LABEL
    labels = {**thing.body["spec"]["selector"]["matchLabels"], key: label}
    metadata = {"name": f"{thing.name}-{label}", "labels": labels, "annotations": dict(thing.annotations)}
    data = {"spec": {"template": {**template, "$patch": "replace"}}}
    body = {"metadata": metadata, "data": data, "revision": number}
    return state.add(kind_of("ControllerRevision"), body, owner=thing)


def current_revision(state: "State", thing: Thing) -> Thing | None:
    """Return the revision of the template that is wanted now."""
    wanted = {**thing.body["spec"]["template"], "$patch": "replace"}
    return next(
        (one for one in _revisions(state, thing) if one.body["data"]["spec"]["template"] == wanted), None
    )


def _label(thing: Thing, revision: Thing) -> str:
    return revision.name if thing.kind.kind == "StatefulSet" else revision.name.removeprefix(f"{thing.name}-")


def _of(pod: Thing, thing: Thing, revision: Thing) -> bool:
    return bool(pod.body["metadata"]["labels"][POD_LABEL] == _label(thing, revision))


def _start(state: "State", thing: Thing, revision: Thing, name: str = "", node: int = 0) -> None:
    template = {
        key: value for key, value in revision.body["data"]["spec"]["template"].items() if key != "$patch"
    }
    add_pod(state, thing, template, {POD_LABEL: _label(thing, revision)}, name=name, node=node)


def roll(state: "State", thing: Thing) -> bool:
    """Start and end pods as far as the strategy allows now; return whether any was."""
    new = current_revision(state, thing)
    if new is None:
        return False
    strategy = thing.body["spec"]["updateStrategy"]
    if thing.kind.kind == "StatefulSet":
        return _roll_stateful(state, thing, new, strategy)
    return _roll_daemons(state, thing, new, strategy)


def _roll_stateful(state: "State", thing: Thing, new: Thing, strategy: Json) -> bool:
    """One pod at a time, from the last to the first; a pod that is not ready holds up all (kubernetes#67250)."""
    spec = thing.body["spec"]
    pods = {pod.name: pod for pod in state.owned(thing, "Pod")}
    names = [f"{thing.name}-{ordinal}" for ordinal in range(int(spec["replicas"]))]
    partition = int(strategy.get("rollingUpdate", {}).get("partition", 0))
    in_order = spec["podManagementPolicy"] == "OrderedReady"
    for ordinal, name in enumerate(names):
        if name not in pods:
            kept = state.find(
                "controllerrevisions.apps", thing.namespace, thing.body["status"]["currentRevision"]
            )
            revision = kept if kept is not None and ordinal < partition else new
            _start(state, thing, revision, name, node=ordinal)
            return True
        if in_order and not state.ready(pods[name]):
            return False
    if surplus := [pod for name, pod in pods.items() if name not in names]:
        state.remove(max(surplus, key=lambda pod: int(pod.name.rpartition("-")[2])))
        return True
    if strategy["type"] != "OnDelete":
        for name in reversed(names[partition:]):
            if not _of(pods[name], thing, new):
                state.remove(pods[name])
                return True
            if not state.ready(pods[name]):
                return False
    return False


def _roll_daemons(state: "State", thing: Thing, new: Thing, strategy: Json) -> bool:
    pods = {pod.body["spec"]["nodeName"]: pod for pod in state.owned(thing, "Pod")}
    missing = [node for node in range(state.nodes) if f"node-{node + 1}" not in pods]
    for node in missing:
        _start(state, thing, new, node=node)
    if missing or strategy["type"] == "OnDelete":
        return bool(missing)
    old = [pod for pod in pods.values() if not _of(pod, thing, new)]
    idle = [pod for pod in old if not state.ready(pod)]
    down = sum(not state.ready(pod) for pod in pods.values())
    room = max(0, share(strategy["rollingUpdate"]["maxUnavailable"], state.nodes, up=True) - down)
    ending = idle + [pod for pod in old if pod not in idle][:room]
    for pod in ending:
        state.remove(pod)
    return bool(ending)


def count(state: "State", thing: Thing, status: Json) -> None:
    """Count pods."""
    pods = state.owned(thing, "Pod")
    new = current_revision(state, thing)
    updated = sum(new is not None and _of(pod, thing, new) for pod in pods)
    ready = sum(state.ready(pod) for pod in pods)
    if thing.kind.kind == "DaemonSet":
        scheduled = {
            "currentNumberScheduled": len(pods),
            "desiredNumberScheduled": state.nodes,
            "numberReady": ready,
        }
        status.update(scheduled, numberMisscheduled=0)
        counts = {"numberAvailable": ready, "numberUnavailable": state.nodes - ready}
        without_zeros(status, {**counts, "updatedNumberScheduled": updated})
        return
    status.update(replicas=len(pods), availableReplicas=ready, collisionCount=0)
    current = [pod for pod in pods if pod.body["metadata"]["labels"][POD_LABEL] == status["currentRevision"]]
    counts = {"readyReplicas": ready, "updatedReplicas": updated, "currentReplicas": len(current)}
    without_zeros(status, counts)


def judge(state: "State", thing: Thing, status: Json) -> None:
    """Make the new revision a StatefulSet's current one once all pods are of it, and forget the oldest ones."""
    new = current_revision(state, thing)
    pods = state.owned(thing, "Pod")
    if new is None or any(not (_of(pod, thing, new) and state.ready(pod)) for pod in pods):
        return
    if thing.kind.kind == "StatefulSet":
        status["currentRevision"] = new.name
        without_zeros(status, {"currentReplicas": len(pods)})
    idle = [one for one in _revisions(state, thing) if one is not new]
    limit = int(thing.body["spec"]["revisionHistoryLimit"])
    for one in sorted(idle, key=number_of)[: max(0, len(idle) - limit)]:
        state.remove(one)
