"""When the controllers of workloads act: they trail a write, and then roll pods until they rest.

``run`` brings one to rest at one moment, and notes when there is something to do again. They follow what the real
controllers do as far as a client can see it, and no further.
"""

import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sandbox.kubernetes import deployments, sets
from sandbox.kubernetes.family import pods_of
from sandbox.kubernetes.objects import WORKLOADS, Thing
from sandbox.wire import Json

if TYPE_CHECKING:
    from sandbox.kubernetes.state import State

NEVER = datetime.max.replace(tzinfo=UTC)
MOST_STEPS = 10_000
"""A controller that comes to no rest after so many steps is a mistake of these modules."""
CONTROLLERS = {"Deployment": deployments, "StatefulSet": sets, "DaemonSet": sets}


def blank_status(thing: Thing) -> Json:
    """Return the status of a workload that no controller has seen yet."""
    if thing.kind.kind == "DaemonSet":
        names = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
        return dict.fromkeys(names, 0)
    return {"replicas": 0} if thing.kind.kind == "StatefulSet" else {}


def run(state: "State", thing: Thing) -> None:
    """Let a workload's controller work until it has nothing left to do at ``state.at``, and note when it will."""
    for _ in range(MOST_STEPS):
        if not _step(state, thing):
            break
    else:
        raise AssertionError(f"the controller of {thing.key} comes to no rest")
    thing.due = _next_moment(state, thing)


def _step(state: "State", thing: Thing) -> bool:
    """Do one thing; return whether there may be another to do at this moment."""
    controller = CONTROLLERS[thing.kind.kind]
    status, generation = copy.deepcopy(thing.body["status"]), thing.body["metadata"]["generation"]
    seen = status.get("observedGeneration", 0) == generation
    if not seen and state.at < thing.changed_at + state.observe:
        return False
    if not seen:
        status["observedGeneration"] = generation
        thing.look_at = state.at + state.observe
        controller.observe(state, thing, status)
        controller.count(state, thing, status)
    elif thing.look_at is not None and state.at < thing.look_at:
        # What it has seen is written a moment before what it does about it: conditions of the rollout before
        # still stand, although observedGeneration has caught up.
        return False
    else:
        thing.look_at = None
        if controller.roll(state, thing):
            return True
        controller.count(state, thing, status)
        controller.judge(state, thing, status)
    if status != thing.body["status"]:
        thing.body["status"] = status
        state.touch(thing)
    return not seen


def _next_moment(state: "State", thing: Thing) -> datetime:
    moments = [
        NEVER,
        *(moment for pod in pods_of(state, thing) if (moment := state.ready_at(pod)) is not None),
    ]
    if thing.body["status"].get("observedGeneration", 0) < thing.body["metadata"]["generation"]:
        moments.append(thing.changed_at + state.observe)
    if thing.look_at is not None:
        moments.append(thing.look_at)
    if thing.kind.kind == "Deployment" and (deadline := deployments.deadline(thing)) is not None:
        moments.append(deadline)
    return min(one for one in moments if one > state.at)


def autoscaler_status(state: "State", autoscaler: Thing) -> Json:
    """Return what an autoscaler sees; none of them ever scales here."""
    target = autoscaler.body["spec"]["scaleTargetRef"]
    workload = state.find(WORKLOADS[target["kind"]].resource, autoscaler.namespace, target["name"])
    replicas = int(workload.body["status"].get("replicas", 0)) if workload is not None else 0
    return {
        "currentReplicas": replicas,
        "desiredReplicas": replicas,
        "currentMetrics": None,
        "conditions": [],
    }
