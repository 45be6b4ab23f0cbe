"""Reads the ``kubernetes`` key of a scenario into a cluster; sandbox/README.md has the format.

A workload's past is played: each revision is deployed when the scenario says, and the controllers do the rest.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Clock
from sandbox.github.scenario_values import ScenarioError, known, seconds
from sandbox.helm.scenario import read_releases
from sandbox.kubernetes.objects import WORKLOADS, Kind, kind_of
from sandbox.kubernetes.pods import STARTS, Behaviour
from sandbox.kubernetes.state import CHANGE_CAUSE, State
from sandbox.wire import Json, Refused

ARGO = Kind("argoproj.io", "v1alpha1", "applications", "Application")
KUSTOMIZATION = Kind("kustomize.toolkit.fluxcd.io", "v1", "kustomizations", "Kustomization")
HELM_RELEASE = Kind("helm.toolkit.fluxcd.io", "v2", "helmreleases", "HelmRelease")
SETTINGS = ("observe_seconds", "start_seconds", "nodes")
Event = tuple[datetime, Callable[[], object]]


def build_cluster(data: Any, clock: Clock) -> State:
    """Make the cluster that a scenario describes.

    Raises:
        ScenarioError: A key is unknown or a value cannot be used.
    """
    known(data, "kubernetes", *SETTINGS, "permissions", "images", "namespaces", "helm_releases")
    state = State(clock, **{name: data[name] for name in SETTINGS if name in data})
    state.rules = data.get("permissions")
    for image, row in (data.get("images") or {}).items():
        state.images[image] = read_behaviour(row, f"kubernetes.images.{image}")
    now, events = clock.now(), list[Event]()
    for namespace, content in (data.get("namespaces") or {}).items():
        where = f"kubernetes.namespaces.{namespace}"
        known(content or {}, where, "workloads")
        for name, row in ((content or {}).get("workloads") or {}).items():
            events += _Workload(state, namespace, name, row, f"{where}.workloads.{name}").events(now)
    events.sort(key=lambda event: event[0])
    state.at = events[0][0] if events else now
    try:
        for namespace in data.get("namespaces") or {}:
            _namespace(state, namespace)
        for moment, act in events:
            state.settle(moment)
            act()
    except Refused as refused:
        raise ScenarioError(f"kubernetes: {refused.message}") from refused
    state.settle(now)
    state.releases = read_releases(data.get("helm_releases"), state)
    state.writes = 0
    return state


def read_behaviour(row: Any, where: str) -> Behaviour:
    """Read what an image does.

    Raises:
        ScenarioError: A key is unknown or a value cannot be used.
    """
    names = ("start", "start_seconds", "health", "health_path", "log", "metrics", "metrics_path")
    known(row, where, *names, "restarts_every", "digest")
    values = dict(row)
    for name in ("start_seconds", "restarts_every"):
        if values.get(name) is not None:
            values[name] = seconds(values[name])
    behaviour = Behaviour(**values)
    if behaviour.start not in STARTS:
        raise ScenarioError(f"{where}: start is one of {', '.join(STARTS)}, not {behaviour.start!r}")
    return behaviour


def _namespace(state: State, name: str) -> None:
    if state.find("namespaces", "", name) is None:
        state.create(kind_of("Namespace"), "", {"metadata": {"name": name}})


class _Workload:
    """Writes one workload with what belongs to it, revision by revision."""

    def __init__(self, state: State, namespace: str, name: str, row: Any, where: str) -> None:
        names = (
            "kind",
            "replicas",
            "revisions",
            "port",
            "autoscaler",
            "argocd",
            "flux",
            "helm",
            "managers",
            "spec",
        )
        self.row: Json = known(row or {}, where, *names, "labels", "annotations")
        self.state, self.namespace, self.name, self.where = state, namespace, name, where
        kind = self.row.get("kind", "Deployment")
        if kind not in WORKLOADS:
            raise ScenarioError(f"{where}: kind is one of {', '.join(WORKLOADS)}, not {kind!r}")
        self.kind = WORKLOADS[kind]
        if not self.row.get("revisions"):
            raise ScenarioError(f"{where}: at least one of revisions is wanted")

    def events(self, now: datetime) -> list[Event]:
        """Return what happened when."""
        made: list[Event] = []
        for number, one in enumerate(self.row["revisions"]):
            here = f"{self.where}.revisions[{number}]"
            names = (
                "image",
                "images",
                "ago",
                "change_cause",
                "config_maps",
                "secrets",
                "env",
                "init",
                "annotations",
            )
            known(one, here, *names)
            if ("image" in one) == ("images" in one):
                raise ScenarioError(f"{here}: image, or images by container, is wanted")
            moment = now - timedelta(seconds=seconds(one.get("ago", 0)))
            made.append((moment, lambda one=one, first=not number: self._deploy(one, first)))  # type: ignore[misc]
        return made

    def _deploy(self, revision: Json, first: bool) -> None:
        template = self._template(revision)
        cause = {CHANGE_CAUSE: revision["change_cause"]} if revision.get("change_cause") else {}
        if not first:
            thing = self.state.workload(self.namespace, self.name, self.kind.kind)
            body = self.state.shown(thing)
            body["spec"]["template"] = template
            body["metadata"]["annotations"] = {**body["metadata"].get("annotations", {}), **cause}
            self.state.replace(thing, body, manager=self._manager)
            return
        owner = self._owner()
        spec = {
            "selector": {"matchLabels": {"app": self.name}},
            "template": template,
            **self.row.get("spec", {}),
        }
        if self.kind.kind != "DaemonSet":
            spec["replicas"] = int(self.row.get("replicas", 1))
        labels = {"app": self.name, **owner["labels"], **self.row.get("labels", {})}
        annotations = {**owner["annotations"], **self.row.get("annotations", {}), **cause}
        body = {"metadata": {"name": self.name, "labels": labels, "annotations": annotations}, "spec": spec}
        self.state.create(self.kind, self.namespace, body, manager=self._manager)
        self._beside()

    @property
    def _manager(self) -> str:
        given = self.row.get("managers") or ["kubectl-client-side-apply"]
        return str(given[0])

    def _template(self, revision: Json) -> Json:
        images = revision.get("images") or {"app": revision["image"]}
        sources = [{"configMapRef": {"name": one}} for one in revision.get("config_maps", [])]
        sources += [{"secretRef": {"name": one}} for one in revision.get("secrets", [])]
        env = [{"name": name, "value": str(value)} for name, value in revision.get("env", {}).items()]
        spec: Json = {"containers": [{"name": name, "image": image} for name, image in images.items()]}
        spec["containers"][0].update({"envFrom": sources} if sources else {}, **({"env": env} if env else {}))
        if "init" in revision:
            spec["initContainers"] = [{"name": "init", "image": revision["init"]}]
        metadata: Json = {"labels": {"app": self.name}}
        if revision.get("annotations"):
            metadata["annotations"] = revision["annotations"]
        return {"metadata": metadata, "spec": spec}

    def _beside(self) -> None:
        """Make the workload's service and autoscaler."""
        port = int(self.row.get("port", 8000))
        spec: Json = {
            "selector": {"app": self.name},
            "ports": [{"name": "http", "port": port, "targetPort": port}],
        }
        service = {"metadata": {"name": self.name, "labels": {"app": self.name}}, "spec": spec}
        self.state.create(kind_of("Service"), self.namespace, service)
        if scaling := self.row.get("autoscaler"):
            known(scaling, f"{self.where}.autoscaler", "min", "max")
            target = {"apiVersion": "apps/v1", "kind": self.kind.kind, "name": self.name}
            limits = {"minReplicas": scaling.get("min", 1), "maxReplicas": scaling["max"]}
            body = {"metadata": {"name": self.name}, "spec": {"scaleTargetRef": target, **limits}}
            self.state.create(kind_of("HorizontalPodAutoscaler"), self.namespace, body)

    def _owner(self) -> Json:
        """Make the object that owns the workload, and return how the workload is marked for it."""
        marks: Json = {"labels": {}, "annotations": {}}
        if release := self.row.get("helm"):
            marks["labels"]["app.kubernetes.io/managed-by"] = "Helm"
            marks["annotations"]["meta.helm.sh/release-name"] = release
            marks["annotations"]["meta.helm.sh/release-namespace"] = self.namespace
        if argo := self.row.get("argocd"):
            self._argo(argo, marks)
        if flux := self.row.get("flux"):
            self._flux(flux, marks)
        return marks

    def _argo(self, argo: Json, marks: Json) -> None:
        known(argo, f"{self.where}.argocd", "application", "namespace", "auto_sync", "self_heal")
        name = str(argo["application"])
        marks["labels"]["app.kubernetes.io/instance"] = name
        tracked = f"{name}:apps/{self.kind.kind}:{self.namespace}/{self.name}"
        marks["annotations"]["argocd.argoproj.io/tracking-id"] = tracked
        policy: Json = {}
        if argo.get("auto_sync", True):
            policy = {"automated": {"prune": True, "selfHeal": bool(argo.get("self_heal", True))}}
        destination = {"server": "https://kubernetes.default.svc", "namespace": self.namespace}
        spec = {"project": "default", "destination": destination, "syncPolicy": policy}
        self._custom(ARGO, str(argo.get("namespace", "argocd")), name, spec)

    def _flux(self, flux: Json, marks: Json) -> None:
        known(flux, f"{self.where}.flux", "kustomization", "helm_release", "namespace", "suspend")
        kind = KUSTOMIZATION if "kustomization" in flux else HELM_RELEASE
        name, namespace = (
            str(flux.get("kustomization") or flux["helm_release"]),
            flux.get("namespace", "flux-system"),
        )
        marks["labels"].update({f"{kind.group}/name": name, f"{kind.group}/namespace": namespace})
        spec: Json = {"interval": "10m0s"}
        if "suspend" in flux:
            spec["suspend"] = bool(flux["suspend"])
        self._custom(kind, namespace, name, spec)

    def _custom(self, kind: Kind, namespace: str, name: str, spec: Json) -> None:
        define(self.state, kind)
        _namespace(self.state, namespace)
        if self.state.find(kind.resource, namespace, name) is None:
            self.state.create(kind, namespace, {"metadata": {"name": name}, "spec": spec})


def define(state: State, kind: Kind) -> None:
    """Have the API server serve a custom kind."""
    definitions = kind_of("CustomResourceDefinition")
    if state.find(definitions.resource, "", kind.resource) is None:
        names = {"plural": kind.plural, "kind": kind.kind}
        versions = [{"name": kind.version, "served": True, "storage": True}]
        spec = {"group": kind.group, "names": names, "scope": "Namespaced", "versions": versions}
        state.create(definitions, "", {"metadata": {"name": kind.resource}, "spec": spec})
