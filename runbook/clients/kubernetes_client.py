"""Kubernetes through its official client: workloads, their revisions and pods, read and patched."""

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runbook.canonical import digest
from runbook.clients import kubernetes_objects as objects
from runbook.clients.kubernetes_answers import Modified, error_for, service_trouble
from runbook.clients.kubernetes_calls import Call, call_of, patch_of, segment, service_path
from runbook.clients.kubernetes_reading import fetch, fetch_list, fetch_object, understood
from runbook.clients.kubernetes_transport import KubernetesTimeouts, KubernetesTransport
from runbook.clock import Clock, SystemClock
from runbook.errors import Conflict, Gone, NotFound
from runbook.models import Frozen
from runbook.workloads import Autoscaler, Pod, Revision, Workload, WorkloadKind, WorkloadRef

Json = dict[str, Any]

MOST_WRITES = 5
"""How often a rollback is tried while others keep writing the workload."""
LARGEST_LOG_BYTES = 1024 * 1024
LARGEST_SERVICE_BYTES = 4 * 1024 * 1024
_APPS = "apps/v1"
_PLURALS = {
    WorkloadKind.DEPLOYMENT: "deployments",
    WorkloadKind.STATEFUL_SET: "statefulsets",
    WorkloadKind.DAEMON_SET: "daemonsets",
}


class ServiceAnswer(Frozen):
    """What a service answered through the API server.

    Args:
        status: Its HTTP status code.
        body: Its body; what is no UTF-8 is replaced.
        seconds: How long it took, the way through the API server included.
        cut: The body went on after ``LARGEST_SERVICE_BYTES``.
    """

    status: int
    body: str
    seconds: float
    cut: bool = False


class KubernetesClient:
    """One cluster, as the product's own account.

    Nothing is connected to, and the vendor's package not imported, before the first call. Every call is sent once.
    Every method raises ``Denied`` where the account may not (verb and resource are named) or is no longer known,
    ``Transient`` where the API server is away, busy or failing, ``Permanent`` where it answers what nobody
    understands, and ``UsageError`` where KUBECONFIG, or a name, cannot be used.

    Args:
        kubeconfig: ``KUBECONFIG``; None for the account of the pod that this runs in.
        clock: Time.
        timeouts: How long to wait for the API server.
    """

    def __init__(
        self,
        kubeconfig: Path | None,
        *,
        clock: Clock | None = None,
        timeouts: KubernetesTimeouts | None = None,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._clock = clock or SystemClock()
        self._transport = KubernetesTransport(kubeconfig, timeouts=timeouts or KubernetesTimeouts())

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def workload(self, ref: WorkloadRef) -> Workload:
        """Read one workload.

        Raises:
            NotFound: It is not there.
        """
        call = call_of("get", _APPS, _PLURALS[ref.kind], ref.namespace, ref.name)
        return fetch(self._transport, call, lambda body: objects.workload_of(body, ref.kind))

    def workloads(self, namespace: str, kind: WorkloadKind) -> tuple[Workload, ...]:
        """Read all workloads of a kind in a namespace; none where there is no such namespace."""
        call = call_of("list", _APPS, _PLURALS[kind], namespace)
        return tuple(fetch_list(self._transport, call, lambda body: objects.workload_of(body, kind)))

    def revisions(self, workload: Workload) -> tuple[Revision, ...]:
        """Read the revisions that Kubernetes keeps of a workload, newest first (RB-02)."""
        return self._revisions([workload], selector=workload.selector)[workload.ref]

    def revisions_of(self, workloads: Sequence[Workload]) -> dict[WorkloadRef, tuple[Revision, ...]]:
        """Read the revisions of several workloads, newest first, by one list per namespace and kind of revision."""
        places: dict[tuple[str, str], list[Workload]] = defaultdict(list)
        for workload in workloads:
            places[workload.ref.namespace, _revisions_plural(workload.ref.kind)].append(workload)
        found: dict[WorkloadRef, tuple[Revision, ...]] = {}
        for together in places.values():
            found |= self._revisions(together, selector=together[0].selector if len(together) == 1 else "")
        return found

    def put_template(self, workload: Workload, revision_name: str, *, template_digest: str) -> Workload:
        """Put a kept revision's pod template in the place of a workload's own, and change nothing else of it.

        Its change-cause goes along, as with ``kubectl rollout undo``: a controller notes the workload's on the
        revision, which would else be called after the one that it replaces.

        The write is guarded by resourceVersion. While a rollout goes on, its controller, an autoscaler and others
        write the workload every moment, so a refused write is tried again as long as the template is still the one
        that was read.

        Args:
            workload: As it was read: one that was paused or given another template since is left alone.
            revision_name: The ReplicaSet or ControllerRevision.
            template_digest: What its template must be.

        Returns:
            The workload as it is after the write.

        Raises:
            Gone: The revision is no longer kept.
            Conflict: It holds another template, or is another workload's; or the workload has changed meanwhile.
            Ambiguous: The answer to the write was lost.
        """
        ref = workload.ref
        source = call_of("get", _APPS, _revisions_plural(ref.kind), ref.namespace, revision_name)
        try:
            kept = fetch_object(self._transport, source)
        except NotFound as error:
            raise Gone(
                f"Revision {revision_name} of {ref} is no longer kept.",
                unchanged=f"{ref} was left as it is.",
                next_step="choose another revision: kubectl rollout history",
            ) from error
        template = understood(source, objects.revision_template, kept)
        if (
            understood(source, objects.controller_uid, kept) != workload.uid
            or digest(template) != template_digest
        ):
            raise Conflict(
                f"{revision_name} is not the revision of {ref} that was planned with: it holds another template.",
                unchanged=f"{ref} was left as it is.",
                next_step="plan anew from the revisions that are kept now",
            )
        change = [
            {"op": "replace", "path": "/spec/template", "value": template},
            *_change_cause(workload, objects.change_cause_of(kept)),
        ]
        return self._write(workload, change)

    def _write(self, workload: Workload, change: list[Json]) -> Workload:
        """Apply a JSON patch to a workload, unless somebody gave it another template since it was read."""
        ref, attempts, now = workload.ref, MOST_WRITES, workload
        call = patch_of(_APPS, _PLURALS[ref.kind], ref.namespace, ref.name)
        while True:
            guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": now.resource_version}
            try:
                return fetch(
                    self._transport,
                    call,
                    lambda body: objects.workload_of(body, ref.kind),
                    body=[guard, *change],
                )
            except Modified:
                attempts -= 1
                now = self.workload(ref)
                same = (now.uid, now.template.digest, now.paused)
                if attempts == 0 or same != (workload.uid, workload.template.digest, workload.paused):
                    raise

    def pods(self, namespace: str, selector: str) -> tuple[Pod, ...]:
        """Read the pods that a label selector selects; all of the namespace with an empty one (RB-07)."""
        return tuple(
            fetch_list(
                self._transport, call_of("list", "v1", "pods", namespace, selector=selector), objects.pod_of
            )
        )

    def pod_log(self, namespace: str, pod: str, *, container: str | None = None, tail_lines: int) -> str:
        """Read the last lines of a pod's log, ``LARGEST_LOG_BYTES`` at most (RB-10).

        Args:
            namespace: The pod's.
            pod: Its name.
            container: Which of its containers; needed where it has several.
            tail_lines: How many lines.

        Raises:
            NotFound: There is no such pod.
            Permanent: The container has not started, or is not named where there are several.
        """
        query: dict[str, str | int] = {"tailLines": tail_lines, "limitBytes": LARGEST_LOG_BYTES}
        if container is not None:
            query["container"] = container
        call = call_of("get", "v1", "pods", namespace, pod, subresource="log", query=query)
        answer = self._transport.send(call, largest_bytes=LARGEST_LOG_BYTES)
        if answer.status != 200:
            raise error_for(call, answer)
        return answer.data.decode("utf-8", "replace")

    def ask_service(self, namespace: str, service: str, port: int | str, path: str) -> ServiceAnswer:
        """Ask a service for a page through the API server's proxy (RB-11).

        A redirect to another page of the service is followed by the API server.

        Args:
            namespace: The service's.
            service: Its name.
            port: A port of it, by number or name.
            path: The page, query too.

        Returns:
            What the service says, whatever its status.

        Raises:
            NotFound: There is no such service.
            Conflict: It has no such port, or nothing behind it that takes a connection.
        """
        target = f"{segment(service, 'service')}:{segment(str(port), 'port')}"
        call = Call(
            verb="get",
            resource="services/proxy",
            path=f"/api/v1/namespaces/{segment(namespace, 'namespace')}/services/{target}/proxy{service_path(path)}",
            namespace=namespace,
            name=service,
        )
        begun = time.monotonic()
        answer = self._transport.send(
            call, largest_bytes=LARGEST_SERVICE_BYTES, seconds=self._transport.timeouts.service_seconds
        )
        if answer.own_status() is not None or answer.status == 401:
            raise service_trouble(call, answer) or error_for(call, answer)
        return ServiceAnswer(
            status=answer.status,
            body=answer.data.decode("utf-8", "replace"),
            seconds=time.monotonic() - begun,
            cut=answer.cut,
        )

    def autoscalers(self, namespace: str) -> dict[WorkloadRef, Autoscaler]:
        """Read what scales the workloads of a namespace."""
        call = call_of("list", "autoscaling/v2", "horizontalpodautoscalers", namespace)
        found = fetch_list(self._transport, call, lambda body: objects.autoscaler_of(body, namespace))
        return dict(one for one in found if one is not None)

    def custom_object(self, group: str, version: str, namespace: str, plural: str, name: str) -> Json:
        """Read an object of Argo CD, Flux or another that the cluster was taught.

        Raises:
            NotFound: It is not there, or the cluster knows no such kind.
        """
        return fetch_object(self._transport, call_of("get", f"{group}/{version}", plural, namespace, name))

    def patch_custom_object(
        self, group: str, version: str, namespace: str, plural: str, name: str, patch: list[Json]
    ) -> Json:
        """Change such an object by a JSON patch and return it.

        Args:
            group: Its API group.
            version: The group's version.
            namespace: Its namespace.
            plural: Its kind, as the API's path has it.
            name: Its name.
            patch: Operations; one that replaces ``/metadata/resourceVersion`` guards the rest.

        Raises:
            NotFound: It is not there.
            Conflict: It was written meanwhile, or the patch does not fit it.
            Ambiguous: The answer was lost.
        """
        return fetch_object(
            self._transport, patch_of(f"{group}/{version}", plural, namespace, name), body=patch
        )

    def may(
        self,
        verb: str,
        resource: str,
        *,
        group: str = "",
        namespace: str,
        name: str = "",
        subresource: str = "",
    ) -> bool:
        """Ask whether the account may do something; every account may ask that.

        Args:
            verb: ``get``, ``list``, ``patch``, …
            resource: Plural.
            group: Its API group; empty for the core's.
            namespace: Where; empty for all.
            name: Of one object; empty for any.
            subresource: ``log`` of pods, ``proxy`` of services.
        """
        asked = {"verb": verb, "resource": resource, "group": group, "namespace": namespace}
        asked |= {"name": name} if name else {}
        asked |= {"subresource": subresource} if subresource else {}
        review = "selfsubjectaccessreviews"
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        call = Call("create", f"{review}.authorization.k8s.io", f"/apis/authorization.k8s.io/v1/{review}")
        review_of = {**kind, "spec": {"resourceAttributes": asked}}
        return fetch(self._transport, call, lambda body: body["status"]["allowed"] is True, body=review_of)

    def version(self) -> str:
        """Read the API server's version: ``v1.36.3``."""
        call = Call("get", "/version", "/version")
        return fetch(self._transport, call, lambda body: str(body["gitVersion"]))

    def _revisions(
        self, workloads: Sequence[Workload], *, selector: str
    ) -> dict[WorkloadRef, tuple[Revision, ...]]:
        plural = _revisions_plural(workloads[0].ref.kind)
        call = call_of("list", _APPS, plural, workloads[0].ref.namespace, selector=selector)
        owners = {one.uid: one.ref for one in workloads}
        kept: dict[WorkloadRef, list[Revision]] = {one.ref: [] for one in workloads}
        for body in fetch_list(self._transport, call, dict):
            ref = owners.get(understood(call, objects.controller_uid, body))
            revision = understood(call, objects.revision_of, body) if ref is not None else None
            if ref is not None and revision is not None:
                kept[ref].append(revision)
        return {
            ref: tuple(sorted(found, key=lambda one: one.number, reverse=True)) for ref, found in kept.items()
        }


def _revisions_plural(kind: WorkloadKind) -> str:
    return "replicasets" if kind is WorkloadKind.DEPLOYMENT else "controllerrevisions"


def _change_cause(workload: Workload, wanted: str) -> list[Json]:
    """Return the operation that gives a workload the change-cause of the revision that it goes back to."""
    path = f"/metadata/annotations/{objects.CHANGE_CAUSE.replace('/', '~1')}"
    if wanted and workload.annotations:  # else there may be no place to add it to, and no other to replace
        return [{"op": "add", "path": path, "value": wanted}]
    return [{"op": "remove", "path": path}] if objects.CHANGE_CAUSE in workload.annotations else []
