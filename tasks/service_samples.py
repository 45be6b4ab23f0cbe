"""How a service is at one moment: its pods, its health endpoint, its pods' logs, its metrics (RB-07, RB-10, RB-11)."""

from collections.abc import Iterator, Sequence

from runbook.decisions.metric_bounds import read_metrics
from runbook.decisions.soak import HealthSeen, PodsSeen, Sample
from runbook.errors import Permanent, Transient
from runbook.installation import installation
from runbook.policy.estate import Service
from runbook.triage.classify import Classification, classify, masked
from runbook.triage.logs import from_bytes
from runbook.workloads import Pod, Workload

MOST_CAUSE_CHARACTERS = 200
"""Of a failure in a log, as a reason shows it."""


def sample_service(service: Service, workload: Workload, *, logs: bool, known: Sequence[str] = ()) -> Sample:
    """Look at a service once.

    Args:
        service: The service.
        workload: Its workload, as read in the same moment.
        logs: Whether its pods' logs are scanned too.
        known: Failures of its logs that were seen before; they are kept where no log is scanned.

    Raises:
        Transient: The cluster does not answer; nothing is known of the service.
        Denied: The product's account may not look; the text names verb and resource.
    """
    here = installation()
    pods = here.kubernetes.pods(service.namespace, workload.selector)
    standing = [pod for pod in pods if not pod.terminating]
    return Sample(
        at=here.clock.now(),
        pods=PodsSeen(
            wanted=workload.wanted,
            ready=sum(pod.ready for pod in standing),
            restarts={pod.name: pod.restarts for pod in standing},
            reasons=tuple(sorted({reason for pod in standing for reason in pod.reasons})),
        ),
        health=_health(service),
        log_failures=tuple(sorted(set(_log_failures(service, standing)))) if logs else tuple(known),
        figures=_figures(service),
    )


def _health(service: Service) -> HealthSeen:
    try:
        answer = installation().kubernetes.ask_service(
            service.namespace, service.name, service.port, service.health_path
        )
    except (Permanent, Transient) as error:
        # No such service or port, no endpoint behind it, or one that never answers: the cluster just told the pods.
        return HealthSeen(status=None, error=error.message)
    return HealthSeen(status=answer.status)


def _figures(service: Service) -> tuple[float | None, ...]:
    if not service.metrics:
        return ()
    try:
        answer = installation().kubernetes.ask_service(
            service.namespace, service.name, service.port, service.metrics_path
        )
    except (Permanent, Transient):
        return ()
    told = answer.status == 200 and not answer.cut
    return read_metrics(answer.body, service.metrics) if told else ()


def _log_failures(service: Service, pods: Sequence[Pod]) -> Iterator[str]:
    """Yield what the triage signatures find in the pods' logs; numbers and times are masked, so that they compare."""
    here = installation()
    # Each container by its name: of a pod that has several (somebody injected one, say) none is read else.
    for pod, container in [(one, image.container) for one in pods for image in one.images]:
        try:
            log = here.kubernetes.pod_log(
                service.namespace, pod.name, container=container, tail_lines=service.log_tail_lines
            )
        except Permanent:  # it is gone by now, or its container has not started: its state is in the sample
            continue
        found = classify([from_bytes(pod.name, log.encode())], catalogue=here.catalogue)
        if found.first_cause is not None:
            yield _failure(found)


def _failure(found: Classification) -> str:
    cause = found.first_cause.text if found.first_cause is not None else ""
    return f"{found.failure_class.replace('_', ' ')}: {masked(cause)[:MOST_CAUSE_CHARACTERS]}"
