"""Looking whether a barred image runs again, or is about to: by digest, whatever tag it comes under."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from runbook.clients.kubernetes_client import KubernetesClient
from runbook.decisions.image_reference import parse_image, same_repository
from runbook.engine.exception_rows import StandingException
from runbook.errors import RunbookError
from runbook.models import Frozen
from runbook.policy.estate import Service
from runbook.workloads import Pod, Workload, WorkloadKind

MOST_PODS_NAMED = 3


class Sighting(Frozen):
    """A barred image where it must not be.

    Args:
        bar_id: The bar's number.
        service: The service that has it.
        namespace: Its namespace.
        image: How the pod template names the image now.
        barred: What is barred.
        pods: Pods that run it, or were told to; none where only the template names it.
    """

    bar_id: int
    service: str
    namespace: str
    image: str
    barred: str
    pods: tuple[str, ...]

    @property
    def where(self) -> str:
        """Say where, in words."""
        more = f" and {len(self.pods) - MOST_PODS_NAMED} more" if len(self.pods) > MOST_PODS_NAMED else ""
        pods = f"{', '.join(self.pods[:MOST_PODS_NAMED])}{more}" or "none yet"
        return f"{self.service} in {self.namespace} (as {self.image}; pods: {pods})"


@dataclass(frozen=True)
class Look:
    """What a look at the cluster found.

    Args:
        sightings: What is back.
        not_seen: Where nobody could look, and why.
    """

    sightings: tuple[Sighting, ...]
    not_seen: tuple[str, ...]


def look_for_barred_images(
    services: Sequence[Service], kubernetes: KubernetesClient, bars: Sequence[StandingException]
) -> Look:
    """Look at the services that bars are about, or that have an image of a barred one's name.

    One list call per namespace and kind of workload, and one per service for its pods: a tag tells no digest.

    Args:
        services: The policy's.
        kubernetes: The cluster.
        bars: The bars in force.
    """
    concerned: dict[tuple[str, WorkloadKind], list[Service]] = defaultdict(list)
    for service in services:
        if any(_concerns(bar, service) for bar in bars):
            concerned[service.namespace, service.workload].append(service)
    sightings: list[Sighting] = []
    not_seen: list[str] = []
    for (namespace, kind), here in concerned.items():
        try:
            workloads = {one.ref.name: one for one in kubernetes.workloads(namespace, kind)}
            for service in here:
                workload = workloads.get(service.name)
                if workload is not None:
                    pods = kubernetes.pods(namespace, workload.selector)
                    sightings += _in_service(service, workload, pods, bars)
        except RunbookError as error:
            names = ", ".join(service.name for service in here)
            not_seen.append(
                f"whether {names} in {namespace} runs a barred image cannot be told: {error.message}"
            )
    return Look(tuple(sightings), tuple(not_seen))


def _concerns(bar: StandingException, service: Service) -> bool:
    own = (bar.repository, bar.service) == (service.repository, service.name)
    return own or same_repository(bar.subject, service.image)


def _in_service(
    service: Service, workload: Workload, pods: Sequence[Pod], bars: Sequence[StandingException]
) -> list[Sighting]:
    found = []
    for bar in bars:
        if not _concerns(bar, service):
            continue
        named = [image.image for image in workload.template.images]
        with_it = [image for image in named if _is_it(image, bar)]
        running = tuple(pod.name for pod in pods if not pod.terminating and _runs(pod, bar))
        if with_it or running:
            found.append(
                Sighting(
                    bar_id=bar.id,
                    service=service.name,
                    namespace=service.namespace,
                    image=(with_it or named or [bar.subject])[0],
                    barred=bar.subject,
                    pods=running,
                )
            )
    return found


def _runs(pod: Pod, bar: StandingException) -> bool:
    told_to = any(_is_it(image.image, bar) for image in pod.images)
    return told_to or (bar.digest != "" and bar.digest in pod.image_digests)


def _is_it(image: str, bar: StandingException) -> bool:
    """Tell whether a template names what is barred: the same digest under any name; where none is known, its tag."""
    reference = parse_image(image)
    if reference is None:
        return image == bar.subject
    if bar.digest:
        return reference.digest == bar.digest
    return f"{reference.name}:{reference.tag}" == bar.subject
