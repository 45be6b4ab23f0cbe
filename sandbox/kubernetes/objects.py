"""What kinds there are, and what the API server fills in and refuses when an object is written."""

import copy
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from sandbox.wire import Json, Refused

HASH_LABEL = "pod-template-hash"
SAFE = "bcdfghjklmnpqrstvwxz2456789"  # the letters of names that Kubernetes makes up


@dataclass(frozen=True)
class Kind:
    """One kind of object and how the API calls it."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """``deployments.apps``, as errors name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


KINDS = [
    Kind("", "v1", "namespaces", "Namespace"),
    Kind("", "v1", "pods", "Pod"),
    Kind("", "v1", "services", "Service"),
    Kind("apps", "v1", "deployments", "Deployment"),
    Kind("apps", "v1", "statefulsets", "StatefulSet"),
    Kind("apps", "v1", "daemonsets", "DaemonSet"),
    Kind("apps", "v1", "replicasets", "ReplicaSet"),
    Kind("apps", "v1", "controllerrevisions", "ControllerRevision"),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"),
]
WORKLOADS = {one.kind: one for one in KINDS if one.kind in ("Deployment", "StatefulSet", "DaemonSet")}
CLUSTER_WIDE = ("namespaces", "customresourcedefinitions")


def kind_of(name: str) -> Kind:
    """Return a kind by its ``kind``."""
    return next(one for one in KINDS if one.kind == name)


@dataclass
class Thing:
    """One stored object.

    Attributes:
        kind: Its kind.
        body: The object as JSON; a pod's status is made when it is read.
        made_at: When it was made, to the microsecond.
        changed_at: When what is wanted of it changed last.
        owner: What controls it.
        look_at: When its controller acts on what it has seen of it.
        due: When its controller has something to do again; None when it must look what.
    """

    kind: Kind
    body: Json
    made_at: datetime
    changed_at: datetime
    owner: "Thing | None" = None
    look_at: datetime | None = None
    due: datetime | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Its namespace; empty where it is in none."""
        return str(self.body["metadata"].get("namespace", ""))

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.body["metadata"]["uid"])

    @property
    def annotations(self) -> dict[str, str]:
        """Its annotations, to be changed in place."""
        found: dict[str, str] = self.body["metadata"].setdefault("annotations", {})
        return found

    @property
    def root(self) -> "Thing":
        """What it belongs to in the end: a pod's workload."""
        return self if self.owner is None else self.owner.root

    @property
    def key(self) -> tuple[str, str, str]:
        """Where it is kept."""
        return self.kind.resource, self.namespace, self.name


def stamp(moment: datetime) -> str:
    """Write a time as the API does: whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def made_up(*parts: object, length: int = 10) -> str:
    """Return letters that follow from ``parts``."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return "".join(SAFE[byte % len(SAFE)] for byte in digest[:length])


def hash_of(template: Json) -> str:
    """Return the hash that names a template's ReplicaSet or ControllerRevision."""
    return made_up(json.dumps(template, sort_keys=True))


def unlabelled(template: Json) -> Json:
    """Return a ReplicaSet's template as its Deployment has it."""
    bare = copy.deepcopy(template)
    bare["metadata"]["labels"].pop(HASH_LABEL, None)
    return bare


def invalid(
    thing: Kind, name: str, field_path: str, message: str, reason: str = "FieldValueInvalid"
) -> Refused:
    """Return the API server's 422 about one field."""
    cause = {"reason": reason, "message": message, "field": field_path}
    details = {"name": name, "group": thing.group, "kind": thing.kind, "causes": [cause]}
    qualified = f"{thing.kind}.{thing.group}" if thing.group else thing.kind
    return Refused(
        422,
        f'{qualified} "{name}" is invalid: {field_path}: {message}',
        extra={"reason": "Invalid", "details": details},
    )


def complete(kind: Kind, body: Json) -> None:
    """Fill in what the API server fills in, and refuse what it refuses.

    Raises:
        Refused: 422, in the API server's words.
    """
    name = str(body["metadata"].get("name", ""))
    if not name:
        raise invalid(
            kind,
            "",
            "metadata.name",
            "Required value: name or generateName is required",
            "FieldValueRequired",
        )
    if kind.kind in WORKLOADS:
        _complete_workload(kind, name, body.setdefault("spec", {}))
    elif kind.kind == "Service":
        _complete_service(body.setdefault("spec", {}), name)
        body.setdefault("status", {"loadBalancer": {}})
    elif kind.kind == "Namespace":
        body.setdefault("spec", {"finalizers": ["kubernetes"]})
        body.setdefault("status", {"phase": "Active"})
    elif kind.kind == "HorizontalPodAutoscaler":
        body.setdefault("spec", {}).setdefault("minReplicas", 1)


def _complete_workload(kind: Kind, name: str, spec: Json) -> None:
    template = spec.setdefault("template", {})
    _complete_template(kind, name, template)
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    wanted = spec.get("selector", {}).get("matchLabels") or {}
    if not wanted:
        raise invalid(kind, name, "spec.selector", "Required value", "FieldValueRequired")
    if any(labels.get(label) != value for label, value in wanted.items()):
        shown = json.dumps(labels, separators=(",", ":"))
        text = f"Invalid value: {shown}: `selector` does not match template `labels`"
        raise invalid(kind, name, "spec.template.metadata.labels", text)
    spec.setdefault("revisionHistoryLimit", 10)
    rolling: Json = {"maxSurge": "25%", "maxUnavailable": "25%"}
    if kind.kind == "Deployment":
        spec.setdefault("replicas", 1)
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = spec.setdefault("strategy", {})
    else:
        rolling = {"maxSurge": 0, "maxUnavailable": 1} if kind.kind == "DaemonSet" else {"partition": 0}
        strategy = spec.setdefault("updateStrategy", {})
    if kind.kind == "StatefulSet":
        spec.setdefault("replicas", 1)
        spec.setdefault("serviceName", name)
        spec.setdefault("podManagementPolicy", "OrderedReady")
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy["rollingUpdate"] = {**rolling, **strategy.get("rollingUpdate", {})}


def _complete_template(kind: Kind, name: str, template: Json) -> None:
    spec = template.setdefault("spec", {})
    if not spec.get("containers"):
        raise invalid(kind, name, "spec.template.spec.containers", "Required value", "FieldValueRequired")
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")


def _complete_service(spec: Json, name: str) -> None:
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("clusterIP", "10.96.0." + str(1 + hashlib.sha256(name.encode()).digest()[0] % 250))
    for port in spec.setdefault("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
