"""Pods: what becomes of one follows from its images, its age and the time."""

import copy
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.kubernetes.objects import Thing, stamp
from sandbox.wire import Json

CRASH_SECONDS = (0, 10, 30, 70, 150, 310)
"""When a container that dies at once was started again: the kubelet's pause doubles, up to five minutes."""


@dataclass(frozen=True)
class Behaviour:
    """What an image does when it runs.

    Attributes:
        start: ``ready``, ``image_pull_backoff`` or ``crash_loop``.
        start_seconds: From its pod's making until it is ready; None for the stand-in's setting.
        health: Status that its service answers at a health path.
        log: What it has written.
        health_path: Another path that it takes for a health path, beside the usual ones.
        metrics: What it says at its metrics path.
        metrics_path: Where.
        restarts_every: Seconds after which it dies and is started again, over and over; None for never.
        digest: ``sha256:…`` that the node found behind the tag.
    """

    start: str = "ready"
    start_seconds: float | None = None
    health: int = 200
    log: str = ""
    health_path: str = ""
    metrics: str = ""
    metrics_path: str = "/metrics"
    restarts_every: float | None = None
    digest: str = ""


STARTS = ("ready", "image_pull_backoff", "crash_loop")


def digest_of(image: str, behaviour: Behaviour) -> str:
    """Return the digest behind an image's name."""
    if "@" in image:
        return image.partition("@")[2]
    return behaviour.digest or "sha256:" + hashlib.sha256(image.encode()).hexdigest()


def repository_of(image: str) -> str:
    """Return an image without tag and digest."""
    name = image.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def ready_at(pod: Thing, behaviours: list[Behaviour], start_seconds: float) -> datetime | None:
    """Return when a pod takes traffic; None if never."""
    if any(one.start != "ready" for one in behaviours):
        return None
    waits = [start_seconds if one.start_seconds is None else one.start_seconds for one in behaviours]
    return pod.made_at + timedelta(seconds=max(waits))


def restarts_of(pod: Thing, behaviour: Behaviour, started: datetime | None, now: datetime) -> int:
    """Return how often a container was started again."""
    if behaviour.start == "crash_loop":
        age = (now - pod.made_at).total_seconds()
        last = CRASH_SECONDS[-1]
        return sum(age > one for one in CRASH_SECONDS[1:]) + max(0, int((age - last) // 300))
    if behaviour.restarts_every and started is not None and now > started:
        return int((now - started).total_seconds() // behaviour.restarts_every)
    return 0


def rendered(pod: Thing, behaviours: list[Behaviour], start_seconds: float, now: datetime) -> Json:
    """Return a pod as it is read at ``now``."""
    started = ready_at(pod, behaviours, start_seconds)
    ready = started is not None and started <= now
    changed = started if ready and started else pod.made_at
    body = copy.deepcopy(pod.body)
    containers = body["spec"]["containers"]
    statuses = [
        _container(pod, container, behaviour, started, now)
        for container, behaviour in zip(containers, behaviours, strict=True)
    ]
    pulling = any(one.start == "image_pull_backoff" for one in behaviours)
    unready: Json = {"reason": "ContainersNotReady", "message": "containers with unready status"}
    conditions = [_condition("PodScheduled", True, pod.made_at), _condition("Initialized", True, pod.made_at)]
    conditions += [
        {**_condition(kind, ready, changed), **({} if ready else unready)}
        for kind in ("ContainersReady", "Ready")
    ]
    crashed = any(one.start == "crash_loop" for one in behaviours)
    body["status"] = {
        "phase": "Running" if ready or (crashed and not pulling) else "Pending",
        "conditions": conditions,
        "containerStatuses": statuses,
        "hostIP": "127.0.0.1",
        "podIP": "10.0.0.1",
        "qosClass": "BestEffort",
        "startTime": stamp(pod.made_at),
    }
    if inits := body["spec"].get("initContainers"):
        body["status"]["initContainerStatuses"] = [_init(one, pod.made_at) for one in inits]
    return body


def _container(
    pod: Thing, container: Json, behaviour: Behaviour, started: datetime | None, now: datetime
) -> Json:
    image = str(container["image"])
    pulled = f"{repository_of(image)}@{digest_of(image, behaviour)}"
    restarts = restarts_of(pod, behaviour, started, now)
    last: Json = {}
    if restarts:
        span = {"startedAt": stamp(pod.made_at), "finishedAt": stamp(now)}
        last = {"terminated": {"exitCode": 1, "reason": "Error", **span}}
    ready = started is not None and started <= now
    if behaviour.start == "image_pull_backoff":
        message = f'Back-off pulling image "{image}": ErrImagePull: {image}: not found'
        state: Json = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
        pulled = ""
    elif behaviour.start == "crash_loop":
        message = f"back-off 5m0s restarting failed container={container['name']} pod={pod.name}"
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        span = {"startedAt": stamp(pod.made_at), "finishedAt": stamp(now)}
        last = {"terminated": {"exitCode": 1, "reason": "Error", **span}}
    elif ready and started is not None:
        again = timedelta(seconds=restarts * (behaviour.restarts_every or 0))
        state = {"running": {"startedAt": stamp(started + again)}}
    else:
        state = {"waiting": {"reason": "ContainerCreating"}}
        pulled = ""
    return {
        "name": container["name"],
        "image": image,
        "imageID": pulled,
        "ready": ready,
        "started": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": last,
    }


def _init(container: Json, moment: datetime) -> Json:
    span = {"startedAt": stamp(moment), "finishedAt": stamp(moment)}
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "reason": "Completed", **span}},
        "lastState": {},
    }


def _condition(kind: str, holds: bool, moment: datetime) -> Json:
    return {"type": kind, "status": str(holds), "lastProbeTime": None, "lastTransitionTime": stamp(moment)}
