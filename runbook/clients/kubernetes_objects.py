"""Facts out of Kubernetes' objects, as the API gives them. Pod templates end here (R8).

What an object lacks raises ``KeyError``, ``TypeError`` or ``ValueError``; the client says of which answer.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from runbook.canonical import digest
from runbook.clients.kubernetes_answers import said
from runbook.workloads import (
    Autoscaler,
    Condition,
    ContainerImage,
    Pod,
    Revision,
    Template,
    Workload,
    WorkloadKind,
    WorkloadRef,
)

Json = dict[str, Any]

CHANGE_CAUSE = "kubernetes.io/change-cause"
_REVISION = "deployment.kubernetes.io/revision"
_EARLIER = "deployment.kubernetes.io/revision-history"
_SOURCE = "org.opencontainers.image.revision"
_HASH_LABEL = "pod-template-hash"
_POD_REVISION = "controller-revision-hash"
# Annotations in which tools keep the whole object that they applied, its environment too: kubectl's
# last-applied-configuration, kapp's original, Rancher's applied. They are told by their size or their brace.
_MAX_ANNOTATION_CHARACTERS = 1_024
_PULLED = re.compile(r"@(sha256:[0-9a-f]{64})$")


def bare_template(template: Json) -> Json:
    """Return a pod template of a ReplicaSet or ControllerRevision as its workload had it.

    Without the label that a Deployment's controller adds, the mark of the patch that a ControllerRevision is, and
    the empty creation time that API servers before 1.34 wrote.
    """
    bare = {key: value for key, value in template.items() if key != "$patch"}
    metadata = dict(bare.get("metadata") or {})
    if metadata.get("creationTimestamp", "") is None:
        del metadata["creationTimestamp"]
    if _HASH_LABEL in (metadata.get("labels") or {}):
        metadata["labels"] = {key: one for key, one in metadata["labels"].items() if key != _HASH_LABEL}
    bare["metadata"] = metadata
    return bare


def template_of(template: Json) -> Template:
    """Return what may be known of a pod template."""
    bare = bare_template(template)
    spec: Json = bare["spec"]
    containers = [*spec["containers"], *(spec.get("initContainers") or [])]
    annotations = bare["metadata"].get("annotations") or {}
    return Template(
        digest=digest(bare),
        images=_images(containers),
        config_maps=tuple(sorted(set(_config_maps(spec, containers)) - {""})),
        secrets=tuple(sorted(set(_secrets(spec, containers)) - {""})),
        source=said(str(annotations.get(_SOURCE, ""))),
    )


def workload_of(body: Json, kind: WorkloadKind) -> Workload:
    """Return a Deployment, StatefulSet or DaemonSet."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    annotations = metadata.get("annotations") or {}
    strategy = spec.get("updateStrategy") or {}
    number = annotations.get(_REVISION) if kind is WorkloadKind.DEPLOYMENT else None
    return Workload(
        ref=WorkloadRef(kind=kind, namespace=metadata["namespace"], name=metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        revision=int(number) if number else None,
        template=template_of(spec["template"]),
        **_counts(kind, spec, status),
        paused=bool(spec.get("paused")),
        partition=(strategy.get("rollingUpdate") or {}).get("partition") or 0,
        on_delete=strategy.get("type") == "OnDelete",
        parallel=spec.get("podManagementPolicy") == "Parallel",
        update_revision=status.get("updateRevision", ""),
        conditions=tuple(_condition(one) for one in status.get("conditions") or []),
        selector=_selector(spec["selector"]),
        labels=metadata.get("labels") or {},
        annotations={
            name: said(value)
            for name, value in annotations.items()
            if name == CHANGE_CAUSE or _is_short_text(value)
        },
        managers=tuple(sorted({one.get("manager", "") for one in metadata.get("managedFields") or []})),
    )


def revision_template(body: Json) -> Json:
    """Return the pod template that a ReplicaSet or ControllerRevision keeps, as its workload had it."""
    kept: Json = body["data"]["spec"]["template"] if "data" in body else body["spec"]["template"]
    return bare_template(kept)


def change_cause_of(body: Json) -> str:
    """Return an object's change-cause to the letter; empty if it has none."""
    return str((body["metadata"].get("annotations") or {}).get(CHANGE_CAUSE, ""))


def revision_of(body: Json) -> Revision | None:
    """Return a ReplicaSet or ControllerRevision as a revision; None before its controller has numbered it."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    number = body.get("revision") or annotations.get(_REVISION)
    if not number:
        return None
    earlier = str(annotations.get(_EARLIER, ""))
    return Revision(
        number=int(number),
        name=metadata["name"],
        created_at=_time(metadata["creationTimestamp"]),
        change_cause=said(change_cause_of(body)),
        template=template_of(revision_template(body)),
        earlier_numbers=tuple(int(one) for one in earlier.split(",") if one.strip().isdecimal()),
    )


def controller_uid(body: Json) -> str:
    """Return the uid of what controls an object; empty if nothing does."""
    owners: Sequence[Json] = body["metadata"].get("ownerReferences") or []
    return next((str(one["uid"]) for one in owners if one.get("controller")), "")


def pod_of(body: Json) -> Pod:
    """Return a pod."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    pulled = (_PULLED.search(one.get("imageID", "")) for one in statuses)
    return Pod(
        name=metadata["name"],
        ready=conditions.get("Ready", {}).get("status") == "True",
        restarts=sum(one.get("restartCount", 0) for one in statuses),
        reasons=tuple(_reasons(status, statuses, conditions)),
        images=_images([*spec["containers"], *(spec.get("initContainers") or [])]),
        image_digests=tuple(dict.fromkeys(found[1] for found in pulled if found)),
        terminating="deletionTimestamp" in metadata,
        revision=str((metadata.get("labels") or {}).get(_POD_REVISION, "")),
    )


def autoscaler_of(body: Json, namespace: str) -> tuple[WorkloadRef, Autoscaler] | None:
    """Return an autoscaler and what it scales; None where that is no workload of ours."""
    spec, status = body["spec"], body.get("status") or {}
    target = spec["scaleTargetRef"]
    if target["kind"] not in set(WorkloadKind) or not target.get("apiVersion", "").startswith("apps/"):
        return None
    ref = WorkloadRef(kind=WorkloadKind(target["kind"]), namespace=namespace, name=target["name"])
    return ref, Autoscaler(
        name=body["metadata"]["name"],
        minimum=spec.get("minReplicas", 1),
        maximum=spec["maxReplicas"],
        current=status.get("currentReplicas", 0),
        desired=status.get("desiredReplicas", 0),
    )


def _is_short_text(value: str) -> bool:
    return len(value) <= _MAX_ANNOTATION_CHARACTERS and not value.lstrip().startswith(("{", "["))


def _counts(kind: WorkloadKind, spec: Json, status: Json) -> dict[str, int]:
    names = {
        "replicas": "replicas",
        "updated": "updatedReplicas",
        "available": "availableReplicas",
        "ready": "readyReplicas",
    }
    if kind is WorkloadKind.DAEMON_SET:
        names = {
            "wanted": "desiredNumberScheduled",
            "replicas": "currentNumberScheduled",
            "updated": "updatedNumberScheduled",
            "available": "numberAvailable",
            "ready": "numberReady",
        }
    # The API leaves counts of 0 out.
    counts = {name: int(status.get(there, 0)) for name, there in names.items()}
    return counts if kind is WorkloadKind.DAEMON_SET else {"wanted": spec.get("replicas", 1), **counts}


def _condition(one: Json) -> Condition:
    when = one.get("lastUpdateTime") or one.get("lastTransitionTime")
    return Condition(
        type=one["type"],
        status=one["status"],
        reason=one.get("reason", ""),
        message=said(one.get("message", "")),
        updated_at=_time(when) if when else None,
    )


def _selector(selector: Json) -> str:
    """Write a label selector as the API's list calls take it."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or []:
        key, values = one["key"], ",".join(one.get("values") or [])
        written = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(written.get(one["operator"], f"!{key}"))
    return ",".join(parts)


def _images(containers: Sequence[Json]) -> tuple[ContainerImage, ...]:
    return tuple(ContainerImage(container=one["name"], image=one.get("image", "")) for one in containers)


def _reasons(status: Json, statuses: Sequence[Json], conditions: Mapping[str, Json]) -> Iterator[str]:
    """Yield why a pod, and each of its containers, does not run."""
    if status.get("reason"):  # evicted, say
        yield f"pod: {said(status['reason'])}"
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason"):
        yield f"pod: {said(scheduled['reason'])}"
    for one in statuses:
        state = one.get("state") or {}
        reason = (state.get("waiting") or state.get("terminated") or {}).get("reason")
        if reason and reason != "Completed":
            yield f"{one['name']}: {said(reason)}"


def _config_maps(spec: Json, containers: Sequence[Json]) -> Iterator[str]:
    yield from _named(spec, containers, volume="configMap", volume_key="name", env="configMap")


def _secrets(spec: Json, containers: Sequence[Json]) -> Iterator[str]:
    yield from _named(spec, containers, volume="secret", volume_key="secretName", env="secret")
    yield from (one["name"] for one in spec.get("imagePullSecrets") or [] if one.get("name"))
    for volume in spec.get("volumes") or []:
        driver = volume.get("csi") or {}
        if (driver.get("nodePublishSecretRef") or {}).get("name"):
            yield driver["nodePublishSecretRef"]["name"]


def _named(
    spec: Json, containers: Sequence[Json], *, volume: str, volume_key: str, env: str
) -> Iterator[str]:
    """Yield the names of config maps or secrets that volumes, projected ones too, and variables refer to."""
    for one in spec.get("volumes") or []:
        yield (one.get(volume) or {}).get(volume_key, "")
        for source in (one.get("projected") or {}).get("sources") or []:
            yield (source.get(volume) or {}).get("name", "")
    for container in containers:
        for one in container.get("envFrom") or []:
            yield (one.get(f"{env}Ref") or {}).get("name", "")
        for one in container.get("env") or []:
            yield ((one.get("valueFrom") or {}).get(f"{env}KeyRef") or {}).get("name", "")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
