"""All objects of the stand-in's cluster, and how time brings them on."""

import copy
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from sandbox.clock import Clock
from sandbox.helm.releases import Releases
from sandbox.kubernetes import controllers
from sandbox.kubernetes.family import number_of, pods_of
from sandbox.kubernetes.objects import CLUSTER_WIDE, WORKLOADS, Kind, Thing, complete, invalid, kind_of, stamp
from sandbox.kubernetes.pods import Behaviour, ready_at, rendered
from sandbox.wire import Json, Refused

CHANGE_CAUSE = "kubernetes.io/change-cause"
Key = tuple[str, str, str]


class State:
    """The cluster.

    Everything happens at ``at``, which ``settle`` moves on; hold ``lock`` while using it from another thread.

    Args:
        clock: Time.
        observe_seconds: How long controllers trail a write.
        start_seconds: How long a pod takes to become ready, where its image does not say.
        nodes: How many nodes there are, for DaemonSets.
    """

    def __init__(
        self, clock: Clock, *, observe_seconds: float = 0.2, start_seconds: float = 1.0, nodes: int = 3
    ) -> None:
        self.clock = clock
        self.observe = timedelta(seconds=observe_seconds)
        self.start_seconds = start_seconds
        self.nodes = nodes
        self.lock = threading.RLock()
        self.at = clock.now()
        self.things: dict[Key, Thing] = {}
        self.images: dict[str, Behaviour] = {}
        self.rules: list[Json] | None = None  # what the product's account may do; None for everything
        self.releases = Releases(self)
        self.writes = 0  # by clients
        self.asked = 0  # through the service proxy
        self._children: dict[str, dict[Key, Thing]] = {}
        self._version = 1000
        self._made = 0
        self._workloads: list[Thing] = []

    @property
    def version(self) -> str:
        """The newest resourceVersion."""
        return str(self._version)

    def of(self, resource: str, namespace: str = "") -> list[Thing]:
        """Return the objects of a resource (``deployments.apps``) by name; of all namespaces if none is given."""
        found = [one for one in self.things.values() if one.kind.resource == resource]
        return sorted(
            (one for one in found if namespace in ("", one.namespace)),
            key=lambda one: (one.namespace, one.name),
        )

    def find(self, resource: str, namespace: str, name: str) -> Thing | None:
        """Return one object, or None."""
        return self.things.get((resource, namespace, name))

    def owned(self, owner: Thing, kind: str) -> list[Thing]:
        """Return what an object controls, oldest first."""
        return [one for one in self._children.get(owner.uid, {}).values() if one.kind.kind == kind]

    def create(self, kind: Kind, namespace: str, body: Json, *, manager: str = "sandbox") -> Thing:
        """Write a new object as a client does.

        Raises:
            Refused: 404 for its namespace, 409 if it exists, 422 for what is wrong with it.
        """
        body = copy.deepcopy(body)
        metadata = body.setdefault("metadata", {})
        if kind.plural not in CLUSTER_WIDE:
            metadata["namespace"] = namespace
            if self.find("namespaces", "", namespace) is None:
                raise Refused(404, f'namespaces "{namespace}" not found', extra={"reason": "NotFound"})
        complete(kind, body)
        body.pop("status", None) if kind.kind in WORKLOADS else None
        if (kind.resource, metadata.get("namespace", ""), metadata["name"]) in self.things:
            text = f'{kind.resource} "{metadata["name"]}" already exists'
            details = {"name": metadata["name"], "group": kind.group, "kind": kind.plural}
            raise Refused(409, text, extra={"reason": "AlreadyExists", "details": details})
        self.writes += 1
        return self.add(kind, body, manager=manager)

    def add(self, kind: Kind, body: Json, *, owner: Thing | None = None, manager: str = "") -> Thing:
        """Store a new object; one that is controlled by ``owner`` goes to its namespace."""
        metadata = body["metadata"]
        self._made += 1
        metadata["uid"] = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind.resource} {self._made}"))
        metadata["creationTimestamp"] = stamp(self.at)
        if kind.kind in WORKLOADS or kind.kind == "ReplicaSet" or "." in kind.group:
            metadata["generation"] = 1
        if owner is not None:
            metadata["namespace"] = owner.namespace
            reference = {"apiVersion": owner.kind.api_version, "kind": owner.kind.kind, "name": owner.name}
            metadata["ownerReferences"] = [
                {**reference, "uid": owner.uid, "controller": True, "blockOwnerDeletion": True}
            ]
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        thing = Thing(kind, whole, self.at, self.at, owner)
        if kind.kind in WORKLOADS:
            whole["status"] = controllers.blank_status(thing)
            self._workloads.append(thing)
        self.things[thing.key] = thing
        if owner is not None:
            self._children.setdefault(owner.uid, {})[thing.key] = thing
        self._manage(thing, manager or "kube-controller-manager")
        self.touch(thing)
        return thing

    def replace(self, thing: Thing, body: Json, *, manager: str = "sandbox") -> bool:
        """Write an object's new content as a client does; return whether that changed anything.

        Raises:
            Refused: 409 for another resourceVersion, 422 for what is wrong with it.
        """
        kind, old = thing.kind, thing.body
        wanted, held = body.get("metadata", {}), old["metadata"]
        if wanted.get("resourceVersion") not in (None, "", held["resourceVersion"]):
            text = (
                f'Operation cannot be fulfilled on {kind.resource} "{thing.name}": the object has been modified; '
                "please apply your changes to the latest version and try again"
            )
            details = {"name": thing.name, "group": kind.group, "kind": kind.plural}
            raise Refused(409, text, extra={"reason": "Conflict", "details": details})
        for name in ("uid", "name", "namespace"):
            if wanted.get(name) != held.get(name):
                raise invalid(
                    kind,
                    thing.name,
                    f"metadata.{name}",
                    f'Invalid value: "{wanted.get(name)}": field is immutable',
                )
        for name in ("resourceVersion", "generation", "creationTimestamp", "managedFields"):
            wanted[name] = held[name]
        complete(kind, body)
        selector = body.get("spec", {}).get("selector")
        if kind.kind in WORKLOADS and selector != old["spec"]["selector"]:
            raise invalid(kind, thing.name, "spec.selector", "Invalid value: field is immutable")
        if "status" in old:
            body["status"] = old["status"]
        if body == old:
            return False
        if body.get("spec") != old.get("spec"):
            wanted["generation"] = held["generation"] + 1
            thing.changed_at = self.at
        thing.body = body
        self.writes += 1
        self._manage(thing, manager)
        self.touch(thing)
        return True

    def touch(self, thing: Thing) -> None:
        """Note that an object changed."""
        self._version += 1
        thing.body["metadata"]["resourceVersion"] = str(self._version)
        thing.root.due = None

    def changed(self) -> None:
        """Have controllers look again: what pods do has changed."""
        for thing in self._workloads:
            thing.due = None

    def remove(self, thing: Thing) -> None:
        """Delete an object that is controlled by another."""
        del self.things[thing.key]
        if thing.owner is not None:
            del self._children[thing.owner.uid][thing.key]
        self._version += 1
        thing.root.due = None

    def _manage(self, thing: Thing, manager: str) -> None:
        fields = thing.body["metadata"].setdefault("managedFields", [])
        fields[:] = [one for one in fields if one["manager"] != manager]
        entry = {"manager": manager, "operation": "Update", "apiVersion": thing.kind.api_version}
        fields.append({**entry, "time": stamp(self.at), "fieldsType": "FieldsV1", "fieldsV1": {}})

    def behaviour(self, image: str) -> Behaviour:
        """Return what an image does: by its name, else by its digest.

        One that the scenario does not know runs well, unless its name holds "bad" (it cannot be pulled) or
        "crash", as on the nodes of the integration tests' cluster.
        """
        if image in self.images:
            return self.images[image]
        digest = image.partition("@")[2]
        for name, one in self.images.items():
            if digest and (one.digest == digest or name.endswith(digest)):
                return one
        start = "image_pull_backoff" if "bad" in image else "crash_loop" if "crash" in image else "ready"
        return Behaviour(start=start)

    def behaviours(self, pod: Thing) -> list[Behaviour]:
        """Return what each container of a pod does."""
        return [self.behaviour(one["image"]) for one in pod.body["spec"]["containers"]]

    def ready_at(self, pod: Thing) -> datetime | None:
        """Return when a pod takes traffic; None if never."""
        return ready_at(pod, self.behaviours(pod), self.start_seconds)

    def ready(self, pod: Thing) -> bool:
        """Return whether a pod takes traffic."""
        moment = self.ready_at(pod)
        return moment is not None and moment <= self.at

    def shown(self, thing: Thing) -> Json:
        """Return an object as it is read."""
        if thing.kind.kind == "Pod":
            return rendered(thing, self.behaviours(thing), self.start_seconds, self.at)
        if thing.kind.kind == "HorizontalPodAutoscaler":
            return {**thing.body, "status": controllers.autoscaler_status(self, thing)}
        return copy.deepcopy(thing.body)

    def settle(self, until: datetime | None = None) -> None:
        """Let controllers do what they have done by ``until`` (now if None)."""
        until = until or self.clock.now()
        while True:
            for thing in self._workloads:
                if thing.due is None or thing.due <= self.at:
                    controllers.run(self, thing)
            moments = [thing.due for thing in self._workloads if thing.due is not None and thing.due <= until]
            if not moments:
                break
            self.at = min(moments)
        self.at = max(self.at, until)

    def workload(self, namespace: str, name: str, kind: str = "Deployment") -> Thing:
        """Return a workload by name.

        Raises:
            KeyError: There is none.
        """
        return self.things[WORKLOADS[kind].resource, namespace, name]

    def put_template(self, namespace: str, name: str, template: Json, *, kind: str = "Deployment") -> None:
        """Replace a workload's pod template now, as somebody else's tool would.

        Args:
            namespace: Its namespace.
            name: Its name.
            template: The whole pod template.
            kind: Its kind.

        Raises:
            KeyError: There is no such workload.
            Refused: The template is not valid.
        """
        with self.lock:
            self.settle(max(self.at, self.clock.now()))
            thing = self.workload(namespace, name, kind)
            body = copy.deepcopy(thing.body)
            body["spec"]["template"] = copy.deepcopy(template)
            self.replace(thing, body)

    def deploy(
        self,
        namespace: str,
        name: str,
        images: str | Mapping[str, str],
        *,
        kind: str = "Deployment",
        change_cause: str | None = None,
    ) -> None:
        """Deploy other images to a workload now.

        Args:
            namespace: Its namespace.
            name: Its name.
            images: The image of every container, or of each container by name.
            kind: Its kind.
            change_cause: Its new change-cause annotation; None leaves the old one.

        Raises:
            KeyError: There is no such workload.
        """
        with self.lock:
            self.settle(max(self.at, self.clock.now()))
            thing = self.workload(namespace, name, kind)
            body = copy.deepcopy(thing.body)
            for one in body["spec"]["template"]["spec"]["containers"]:
                one["image"] = images if isinstance(images, str) else images.get(one["name"], one["image"])
            if change_cause is not None:
                body["metadata"].setdefault("annotations", {})[CHANGE_CAUSE] = change_cause
            self.replace(thing, body)

    def as_json(self) -> Json:
        """Return what ``GET /_sandbox/state`` shows: workloads with their images, revisions and pods."""
        rows: dict[str, list[Json]] = {}
        for kind in WORKLOADS:
            for thing in self.of(kind_of(kind).resource):
                rows.setdefault(thing.namespace, []).append(self._row(thing))
        return {"time": self.at.isoformat(), "namespaces": rows}

    def _row(self, thing: Thing) -> Json:
        revisions = self.owned(thing, "ReplicaSet") + self.owned(thing, "ControllerRevision")
        numbers = {number_of(one): one.name for one in revisions}
        return {
            "kind": thing.kind.kind,
            "name": thing.name,
            "images": [one["image"] for one in thing.body["spec"]["template"]["spec"]["containers"]],
            "revisions": {str(number): numbers[number] for number in sorted(numbers)},
            "status": copy.deepcopy(thing.body["status"]),
            "pods": {pod.name: self.ready(pod) for pod in pods_of(self, thing)},
        }
