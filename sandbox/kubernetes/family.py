"""What the controllers share: a workload's pods and revisions, and counting them."""

import copy
from typing import TYPE_CHECKING

from sandbox.kubernetes.objects import Thing, kind_of, made_up
from sandbox.wire import Json

if TYPE_CHECKING:
    from sandbox.kubernetes.state import State

REVISION = "deployment.kubernetes.io/revision"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def number_of(revision: Thing) -> int:
    """Return the number of a ReplicaSet or ControllerRevision."""
    if revision.kind.kind == "ControllerRevision":
        return int(revision.body["revision"])
    return int(revision.annotations.get(REVISION, 0))


def pods_of(state: "State", workload: Thing) -> list[Thing]:
    """Return a workload's pods, through its ReplicaSets where it has any."""
    owners = [workload, *state.owned(workload, "ReplicaSet")]
    return [pod for owner in owners for pod in state.owned(owner, "Pod")]


def add_pod(
    state: "State", owner: Thing, template: Json, labels: dict[str, str], name: str = "", node: int = 0
) -> None:
    """Start a pod; without a name it gets a made-up one."""
    name = name or f"{owner.name}-{made_up(owner.uid, state.version, length=5)}"
    body = copy.deepcopy(template)
    annotations = body["metadata"].get("annotations", {})
    metadata = {"name": name, "labels": {**body["metadata"]["labels"], **labels}, "annotations": annotations}
    body["spec"]["nodeName"] = f"node-{1 + node % max(1, state.nodes)}"
    state.add(kind_of("Pod"), {"metadata": metadata, "spec": body["spec"]}, owner=owner)


def share(value: int | str, of: int, *, up: bool) -> int:
    """Return maxSurge (rounded up) or maxUnavailable (down): a number, or a percentage of the wanted pods."""
    if isinstance(value, int):
        return value
    percent = int(value.rstrip("%")) * of
    return -(-percent // 100) if up else percent // 100


def without_zeros(status: Json, counts: dict[str, int]) -> None:
    """Write counts into a status; those that are 0 are left out, as the API does."""
    for name, count in counts.items():
        if count:
            status[name] = count
        else:
            status.pop(name, None)
