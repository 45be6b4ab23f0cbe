"""Reads of the cluster before a rollback is proposed (RB-02, RB-07, RB-09)."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from runbook.installation import installation
from runbook.policy.estate import Service
from runbook.standing import ReleaseReading, Standing
from runbook.workloads import Workload, WorkloadKind, WorkloadRef
from tasks.retrying import system_task

MOST_MANIFESTS = 10
"""Newest revisions of a Helm release whose manifests are read; each takes helm a moment."""


def ref_of(service: Service) -> WorkloadRef:
    """Name a service's workload."""
    return WorkloadRef(kind=service.workload, namespace=service.namespace, name=service.name)


@system_task("read services", run_name="read {what}")
def read_services(services: Sequence[Service], *, what: str) -> tuple[Standing, ...]:
    """Read services with their revisions, pods and autoscalers, in the order given.

    Args:
        services: The services.
        what: Their names, for the task run's.

    Raises:
        NotFound: One of them, or its namespace, is not in the cluster.
        Denied: The product's account may not read it; the text names verb and resource.
        Transient: The cluster does not answer.
    """
    kubernetes = installation().kubernetes
    workloads = read_workloads([ref_of(service) for service in services])
    revisions = kubernetes.revisions_of(list(workloads.values()))
    autoscalers = {
        ref: scaler
        for namespace in sorted({service.namespace for service in services})
        for ref, scaler in kubernetes.autoscalers(namespace).items()
    }
    return tuple(
        Standing(
            service=service.name,
            workload=workloads[ref],
            revisions=revisions[ref],
            pods=kubernetes.pods(service.namespace, workloads[ref].selector),
            autoscaler=autoscalers.get(ref),
        )
        for service in services
        for ref in (ref_of(service),)
    )


@system_task("read release", run_name="read release {release}")
def read_release(release: str, namespace: str) -> ReleaseReading:
    """Read a Helm release's history, and the manifests of its newest revisions (RB-09).

    Args:
        release: Its name.
        namespace: Its namespace.

    Raises:
        NotFound: It is not in the cluster.
        Denied, Transient: It may not, or cannot, be read.
    """
    helm = installation().helm
    history = helm.history(release, namespace)
    # The last is read whatever its status: a rollback starts from it.
    read = [*[one for one in history[:-1] if not one.pending][-MOST_MANIFESTS:], *history[-1:]]
    return ReleaseReading(
        release=release,
        namespace=namespace,
        history=history,
        manifests={one.revision: helm.manifest(release, namespace, one.revision) for one in read},
    )


@system_task("read sync owner", run_name="read {plural} {name}")
def read_sync_owner(group: str, version: str, plural: str, *, namespace: str, name: str) -> dict[str, Any]:
    """Read the object of Argo CD or Flux that applies a workload.

    Raises:
        NotFound: It is not there.
        Denied, Transient: It may not, or cannot, be read.
    """
    return installation().kubernetes.custom_object(group, version, namespace, plural, name)


def read_workloads(refs: Iterable[WorkloadRef]) -> dict[WorkloadRef, Workload]:
    """Read workloads: several of one kind in one namespace with a single call.

    Raises:
        NotFound: One of them is not there.
    """
    kubernetes = installation().kubernetes
    found: dict[WorkloadRef, Workload] = {}
    for (namespace, kind), group in groupby(sorted(refs, key=_place), key=_place):
        wanted = list(group)
        if len(wanted) > 1:
            listed = kubernetes.workloads(namespace, WorkloadKind(kind))
            found |= {one.ref: one for one in listed if one.ref in wanted}
        # One that no list names is asked for by itself: the error then says what is missing.
        found |= {ref: kubernetes.workload(ref) for ref in wanted if ref not in found}
    return found


def _place(ref: WorkloadRef) -> tuple[str, str]:
    return ref.namespace, ref.kind.value
