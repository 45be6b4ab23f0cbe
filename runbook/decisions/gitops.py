"""Whether Argo CD or Flux owns a workload, and whether it would bring a bad version back by itself.

Argo CD marks what it manages by the annotation ``argocd.argoproj.io/tracking-id`` (``app:group/kind:namespace/name``)
or the label ``argocd.argoproj.io/instance`` (its documentation, "Resource Tracking"); its older default, the label
``app.kubernetes.io/instance``, is also what Helm charts set and proves nothing. Flux labels what a Kustomization or
HelmRelease applies with that object's name and namespace.
"""

import re
from enum import StrEnum
from typing import Any

from runbook.models import Frozen
from runbook.workloads import Workload

_TRACKING_ID = "argocd.argoproj.io/tracking-id"
_INSTANCE = "argocd.argoproj.io/instance"
_FLUX = {
    "Kustomization": "kustomize.toolkit.fluxcd.io",
    "HelmRelease": "helm.toolkit.fluxcd.io",
}
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


class Tool(StrEnum):
    """What syncs a cluster with a git repository."""

    ARGO_CD = "Argo CD"
    FLUX = "Flux"


_MANAGERS = {
    "argocd-controller": (Tool.ARGO_CD, "Application"),
    "argocd-application-controller": (Tool.ARGO_CD, "Application"),
    "kustomize-controller": (Tool.FLUX, "Kustomization"),
    "helm-controller": (Tool.FLUX, "HelmRelease"),
}


class Owner(Frozen):
    """The object that a tool applies a workload from.

    Args:
        tool: Which tool.
        kind: ``Application``, ``Kustomization`` or ``HelmRelease``.
        namespace: Its namespace; empty where the workload does not tell (Argo CD's usual one is ``argocd``).
        name: Its name; empty where only a field manager tells that there is one.
    """

    tool: Tool
    kind: str
    namespace: str
    name: str

    @property
    def named(self) -> bool:
        """Whether the object can be looked up."""
        return bool(self.name)

    @property
    def resource(self) -> tuple[str, str, str]:
        """Group, version and plural of its kind, as the API serves it."""
        return _RESOURCES[self.kind]

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.tool.value} {self.kind} {self.name or '(its name is not told)'}{where}"


_RESOURCES = {
    "Application": ("argoproj.io", "v1alpha1", "applications"),
    "Kustomization": ("kustomize.toolkit.fluxcd.io", "v1", "kustomizations"),
    "HelmRelease": ("helm.toolkit.fluxcd.io", "v2", "helmreleases"),
}


def owner_of(workload: Workload, *, argo_namespace: str = "argocd") -> Owner | None:
    """Return what owns a workload, or None where nothing proves that anything does.

    Args:
        workload: With its labels, annotations and field managers.
        argo_namespace: Where Argo CD's applications are, unless the tracking id names another namespace.
    """
    return (
        _argo_owner(workload, argo_namespace)
        or _flux_owner(workload.labels)
        or _owner_by_manager(workload, argo_namespace)
    )


def _argo_owner(workload: Workload, argo_namespace: str) -> Owner | None:
    application, told, resource = workload.annotations.get(_TRACKING_ID, "").partition(":")
    # An annotation that was copied along with a manifest names another resource: Argo CD does not look at it either.
    here = f"apps/{workload.ref.kind}:{workload.ref.namespace}/{workload.ref.name}"
    if not told or resource != here:
        application = workload.labels.get(_INSTANCE, "")
    # An application outside Argo CD's own namespace is written as namespace_name.
    namespace, elsewhere, name = application.partition("_")
    if not elsewhere:
        namespace, name = argo_namespace, application
    if not _is_name(name) or not _is_name(namespace):
        return None
    return Owner(tool=Tool.ARGO_CD, kind="Application", namespace=namespace, name=name)


def _flux_owner(labels: dict[str, str]) -> Owner | None:
    for kind, prefix in _FLUX.items():
        name, namespace = labels.get(f"{prefix}/name", ""), labels.get(f"{prefix}/namespace", "")
        if _is_name(name) and _is_name(namespace):
            return Owner(tool=Tool.FLUX, kind=kind, namespace=namespace, name=name)
    return None


def _owner_by_manager(workload: Workload, argo_namespace: str) -> Owner | None:
    for manager in workload.managers:
        if manager in _MANAGERS:
            tool, kind = _MANAGERS[manager]
            namespace = argo_namespace if tool is Tool.ARGO_CD else ""
            return Owner(tool=tool, kind=kind, namespace=namespace, name="")
    return None


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


class Sync(Frozen):
    """Whether the tool would undo a rollback by itself, and why so."""

    automatic: bool
    reason: str


def auto_sync(owner: Owner, obj: dict[str, Any]) -> Sync:
    """Say whether the owner syncs by itself now.

    What cannot be understood counts as automatic: a rollback that is silently undone is the worse surprise.

    Args:
        owner: Which tool and kind.
        obj: The object as the API gives it.
    """
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return Sync(automatic=True, reason=f"{owner} has no spec that says otherwise")
    if owner.tool is Tool.FLUX:
        suspended = spec.get("suspend") is True
        return Sync(
            automatic=not suspended,
            reason=f"{owner} is {'suspended' if suspended else 'not suspended: it applies its source again and again'}",
        )
    policy = spec.get("syncPolicy")
    automated = policy.get("automated") if isinstance(policy, dict) else None
    if automated is None:
        return Sync(automatic=False, reason=f"{owner} syncs only when somebody asks for it")
    if isinstance(automated, dict) and automated.get("enabled") is False:
        return Sync(automatic=False, reason=f"{owner} has its automated sync disabled")
    heals = isinstance(automated, dict) and automated.get("selfHeal") is True
    when = "as soon as it differs from git (selfHeal)" if heals else "with the next commit"
    return Sync(automatic=True, reason=f"{owner} syncs by itself, {when}")


def why_not_pausable(owner: Owner, obj: dict[str, Any]) -> str:
    """Say what would switch an owner's sync on again at once; empty where nothing would.

    An Application that an ApplicationSet makes, or that another Application applies, is set back to its definition.
    (Flux' own objects may be applied by Flux too; a field that their source does not set is left alone, so only one
    whose ``suspend`` is set there is set back.)

    Args:
        owner: Which tool and kind.
        obj: The object as the API gives it.
    """
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if owner.tool is Tool.ARGO_CD:
        if not isinstance(obj.get("spec"), dict):
            return "it has no spec"
        for maker in metadata.get("ownerReferences") or ():
            if maker.get("kind") == "ApplicationSet":
                return f"the ApplicationSet {maker.get('name')} sets it back"
        application = (metadata.get("annotations") or {}).get(_TRACKING_ID, "").partition(":")[0]
        application = application or (metadata.get("labels") or {}).get(_INSTANCE, "")
        return f"the Application {application} applies it and sets it back" if application else ""
    labels = metadata.get("labels") or {}
    applied = any(f"{prefix}/name" in labels for prefix in _FLUX.values())
    if applied and "suspend" in (obj.get("spec") or {}):
        return "Flux applies it from a source that sets suspend, and sets it back"
    return ""
