"""``runbook doctor`` on the cluster that the policy's services run in: reachable, permitted, there, who syncs it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from deployments.cli import terminal
from deployments.cli.doctor_findings import Finding, Findings, Health, attempt, failed, good, warning
from runbook.clients.helm_client import HelmClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.decisions.gitops import Owner, Tool, auto_sync, owner_of, why_not_pausable
from runbook.errors import NotFound, UsageError
from runbook.policy import Policy
from runbook.policy.estate import GitOps, Service
from runbook.settings import Settings
from runbook.workloads import WorkloadRef

SHIPPED_ROLES = Path(__file__).parent.parent / "kubernetes" / "rollback-image-rbac.yaml"
"""The manifest that gives the product's account what it needs, and nothing else."""
ROLE = "runbook-rollback-image"
"""The role in it that every service's namespace needs."""
HELM_ROLE = "runbook-rollback-helm"
"""The one that a namespace with Helm releases needs too; what beside its records depends on the charts."""


class Need(NamedTuple):
    """One thing that the product's account must be allowed."""

    verb: str
    group: str
    resource: str
    subresource: str

    def __str__(self) -> str:
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {resource}{f'.{self.group}' if self.group else ''}"


def check_cluster(settings: Settings, policy: Policy) -> Findings:
    """Look at the cluster; a policy without services needs none.

    Args:
        settings: Where it is.
        policy: The services.
    """
    if not policy.services:
        return
    kubernetes = KubernetesClient(settings.kubeconfig)
    try:
        reachable = attempt("Kubernetes", lambda: _reached(kubernetes))
        yield reachable
        if reachable.health is not Health.GOOD:
            return
        for namespace in sorted({service.namespace for service in policy.services}):
            yield attempt(
                f"namespace {namespace}",
                lambda namespace=namespace: _permissions(kubernetes, namespace),  # type: ignore[misc]
            )
        for service in policy.services:
            yield attempt(_check_of(service), lambda service=service: _service(kubernetes, service, policy))  # type: ignore[misc]
        yield from _releases(settings, policy, kubernetes)
    finally:
        kubernetes.close()


def needs(role: str = ROLE) -> Iterator[Need]:
    """Yield what a shipped role allows: what the product's calls need.

    Args:
        role: Its name.
    """
    for document in yaml.safe_load_all(SHIPPED_ROLES.read_text(encoding="utf-8")):
        if (document["kind"], document["metadata"]["name"]) != ("Role", role):
            continue
        for rule in document["rules"]:
            for group in rule["apiGroups"]:
                for whole in rule["resources"]:
                    resource, _, subresource = whole.partition("/")
                    yield from (Need(verb, group, resource, subresource) for verb in rule["verbs"])


def _reached(kubernetes: KubernetesClient) -> Finding:
    try:
        return good("Kubernetes", f"version {kubernetes.version()}")
    except UsageError as error:  # whoever only triages needs none
        return warning("Kubernetes", f"{error.message} No image can be rolled back.", fix=error.next_step)


def _permissions(kubernetes: KubernetesClient, namespace: str) -> Finding:
    check = f"namespace {namespace}"
    missing = _missing(kubernetes, namespace, needs())
    if not missing:
        return good(check, "the product's account may do what a rollback needs")
    return _not_allowed(check, missing, role=ROLE)


def _missing(kubernetes: KubernetesClient, namespace: str, wanted: Iterable[Need]) -> list[Need]:
    return [
        need
        for need in wanted
        if not kubernetes.may(
            need.verb, need.resource, group=need.group, namespace=namespace, subresource=need.subresource
        )
    ]


def _not_allowed(check: str, missing: Iterable[Need], *, role: str) -> Finding:
    return failed(
        check,
        f"the product's account may not {', '.join(map(str, missing))}",
        fix=f"apply the role {role} of deployments/kubernetes/{SHIPPED_ROLES.name} to it.",
    )


def _check_of(service: Service) -> str:
    return f"service {service.namespace}/{service.name}"


def _service(kubernetes: KubernetesClient, service: Service, policy: Policy) -> Finding:
    check = _check_of(service)
    workload = kubernetes.workload(
        WorkloadRef(kind=service.workload, namespace=service.namespace, name=service.name)
    )
    images = ", ".join(terminal.one_line(one.image) for one in workload.template.images)
    stands = f"{workload.ready} of {workload.wanted} pods ready, {images}"
    owner = owner_of(workload, argo_namespace=policy.image_rollback.argocd_namespace)
    if owner is None:
        return good(check, stands)
    if not owner.named:
        fix = "let it track what it applies by annotation or label, so that its sync can be looked at."
        return warning(check, f"{stands}; {owner} owns it, by a name that nothing tells", fix=fix)
    group, version, plural = owner.resource
    try:
        found = kubernetes.custom_object(group, version, owner.namespace, plural, owner.name)
    except NotFound:
        return warning(
            check, f"{stands}; {owner} owns it, and is not there", fix="look who removed it, and why."
        )
    sync = auto_sync(owner, found)
    if policy.image_rollback.gitops is GitOps.PAUSE:
        if refused := _pause_refused(check, kubernetes, owner, found):
            return refused
    elif sync.automatic:
        fix = 'roll back in git, or let the policy pause the sync: image_rollback.gitops = "pause".'
        return warning(check, f"{stands}; no rollback is made here: {sync.reason}", fix=fix)
    return good(check, f"{stands}; {sync.reason}")


def _pause_refused(
    check: str, kubernetes: KubernetesClient, owner: Owner, found: dict[str, Any]
) -> Finding | None:
    """Return why the pause that the policy wants would be refused; one that is paused by hand needs none."""
    group, _, plural = owner.resource
    if not kubernetes.may("patch", plural, group=group, namespace=owner.namespace, name=owner.name):
        role = "runbook-pause-argo-cd" if owner.tool is Tool.ARGO_CD else "runbook-pause-flux"
        missing = Need("patch", group, plural, "")
        return failed(
            check,
            f"the product's account may not {missing} in {owner.namespace}, so it cannot pause {owner}",
            fix=f"apply the role {role} of deployments/kubernetes/{SHIPPED_ROLES.name} to it.",
        )
    why = why_not_pausable(owner, found)
    if not why or not auto_sync(owner, found).automatic:
        return None
    said = f"no rollback is made here: {owner} syncs by itself and cannot be paused: {terminal.one_line(why)}"
    return warning(check, said, fix="pause it where it is defined, or roll back in git.")


def _releases(settings: Settings, policy: Policy, kubernetes: KubernetesClient) -> Findings:
    helm = HelmClient(settings.kubeconfig, program=settings.helm)
    named = {(one.namespace, one.helm_release) for one in policy.services if one.helm_release}
    for namespace, release in sorted((place, name) for place, name in named if name):
        check = f"Helm release {namespace}/{release}"

        def look(namespace: str = namespace, release: str = release, check: str = check) -> Finding:
            records = (need for need in needs(HELM_ROLE) if need.resource == "secrets")
            if missing := _missing(kubernetes, namespace, records):
                return _not_allowed(check, missing, role=HELM_ROLE)
            history = helm.history(release, namespace)
            if not history:
                return warning(check, "it has no revision", fix="check the release's name in the policy.")
            last = history[-1]
            said = f"revision {last.revision} is {last.status}, {terminal.one_line(last.chart)}"
            if last.pending:
                fix = (
                    "find out whether a deployment is running; if none is, roll back by hand: it gets out so."
                )
                return warning(check, said, fix=fix)
            return good(check, said)

        yield attempt(check, look)
