"""A barred image is seen again by its digest, in what a workload names and in what its pods run (RB-11, R6)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

import sandbox
from runbook.barred_images import look_for_barred_images
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import VirtualClock
from runbook.decisions.exceptions import ExceptionKind, ExceptionState
from runbook.engine.exception_rows import StandingException
from runbook.policy.estate import Service
from runbook.workloads import WorkloadKind

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NAME = "ghcr.io/acme/tts"
BAD_DIGEST = f"sha256:{'0bad' * 16}"
GOOD_DIGEST = f"sha256:{'900d' * 16}"
SCENARIO: dict[str, Any] = {
    "bot": "runbook-bot",
    "users": {"runbook-bot": {}},
    "repositories": {"acme/voice": {"roles": {"runbook-bot": "write"}}},
    "kubernetes": {
        "images": {
            f"{NAME}:v2": {"digest": BAD_DIGEST},
            f"{NAME}:v1": {"digest": GOOD_DIGEST},
            f"{NAME}@{BAD_DIGEST}": {"digest": BAD_DIGEST},
            f"mirror.example/tts:x@{BAD_DIGEST}": {"digest": BAD_DIGEST},
        },
        "namespaces": {
            "voice": {
                "workloads": {
                    "tts": {"replicas": 2, "revisions": [{"image": f"{NAME}:v1", "ago": "1h"}]},
                    "agent": {
                        "kind": "StatefulSet",
                        "revisions": [{"image": "ghcr.io/acme/agent:v1", "ago": "1h"}],
                    },
                }
            }
        },
    },
}


def service(name: str = "tts", *, image: str = NAME, kind: WorkloadKind = WorkloadKind.DEPLOYMENT) -> Service:
    """Return a service of the policy."""
    return Service(
        name=name,
        repository="acme/voice",
        namespace="voice",
        image=image,
        dockerfile="Dockerfile",
        workload=kind,
    )


def bar(subject: str = f"{NAME}@{BAD_DIGEST}", *, of: str = "tts", number: int = 7) -> StandingException:
    """Return a bar in force."""
    return StandingException(
        id=number,
        execution_id="e1",
        procedure="rollback-image",
        execution_open=False,
        repository="acme/voice",
        kind=ExceptionKind.BAR,
        subject=subject,
        service=of,
        owner="alice",
        reason="it crashes",
        incident_id=None,
        effect_id=None,
        state=ExceptionState.OPEN,
        note="",
        untold=None,
        escalated=False,
        seen_at=None,
        seen_where="",
        created_at=START,
        deadline=START + timedelta(days=90),
        ended_at=None,
    )


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    """A cluster with two services."""
    with sandbox.running(SCENARIO, clock=VirtualClock(START)) as running:
        yield running


@pytest.fixture
def kubernetes(box: sandbox.Box) -> Iterator[KubernetesClient]:
    """The product's own client of it."""
    client = KubernetesClient(box.kubernetes.kubeconfig, clock=VirtualClock(START))
    yield client
    client.close()


def deploy(box: sandbox.Box, image: str, *, name: str = "tts", kind: str = "Deployment") -> None:
    """Deploy as somebody else, and let it roll out."""
    body = {"namespace": "voice", "name": name, "kind": kind, "images": image}
    requests.post(f"{box.kubernetes.url}/_sandbox/deploy", json=body, timeout=5).raise_for_status()
    box.clock.sleep(600)


def test_a_service_without_what_is_barred_is_no_sighting(kubernetes: KubernetesClient) -> None:
    look = look_for_barred_images([service()], kubernetes, [bar()])
    assert (look.sightings, look.not_seen) == ((), ())


@pytest.mark.parametrize(
    "image", [f"{NAME}:v2", f"{NAME}@{BAD_DIGEST}", f"mirror.example/tts:x@{BAD_DIGEST}"]
)
def test_a_barred_digest_is_seen_under_any_name(
    box: sandbox.Box, kubernetes: KubernetesClient, image: str
) -> None:
    deploy(box, image)
    (sighting,) = look_for_barred_images([service()], kubernetes, [bar()]).sightings
    assert (sighting.bar_id, sighting.service, sighting.namespace) == (7, "tts", "voice")
    assert (sighting.image, len(sighting.pods)) == (image, 2)
    assert sighting.where.startswith(f"tts in voice (as {image}; pods: tts-")


def test_a_bar_of_a_tag_is_seen_by_that_tag_alone(box: sandbox.Box, kubernetes: KubernetesClient) -> None:
    assert look_for_barred_images([service()], kubernetes, [bar(f"{NAME}:v2")]).sightings == ()
    deploy(box, f"{NAME}:v2")
    (sighting,) = look_for_barred_images([service()], kubernetes, [bar(f"{NAME}:v2")]).sightings
    assert sighting.barred == f"{NAME}:v2"


def test_each_bar_is_a_sighting_of_its_own(box: sandbox.Box, kubernetes: KubernetesClient) -> None:
    deploy(box, f"{NAME}:v2")
    bars = [bar(number=1), bar(number=2), bar(f"{NAME}@{GOOD_DIGEST}", number=3)]
    look = look_for_barred_images([service()], kubernetes, bars)
    assert [one.bar_id for one in look.sightings] == [1, 2]


def test_another_service_with_the_same_image_is_looked_at(
    box: sandbox.Box, kubernetes: KubernetesClient
) -> None:
    deploy(box, f"{NAME}:v2", name="agent", kind="StatefulSet")
    twin = service("agent", kind=WorkloadKind.STATEFUL_SET)
    (sighting,) = look_for_barred_images([service(), twin], kubernetes, [bar()]).sightings
    assert sighting.service == "agent"


def test_only_services_that_a_bar_is_about_are_asked_for(
    box: sandbox.Box, kubernetes: KubernetesClient
) -> None:
    other = service("agent", image="ghcr.io/acme/agent", kind=WorkloadKind.STATEFUL_SET)
    box.kubernetes.server.requests.clear()
    look_for_barred_images([service(), other], kubernetes, [bar()])
    paths = [request["path"] for request in box.kubernetes.requests]
    assert not [path for path in paths if "statefulsets" in path]
    assert sum(path.endswith("/pods") for path in paths) == 1
    box.kubernetes.server.requests.clear()
    look_for_barred_images([other], kubernetes, [bar()])
    look_for_barred_images([service()], kubernetes, [])
    assert box.kubernetes.requests == []


def test_a_service_that_is_not_deployed_is_no_sighting(kubernetes: KubernetesClient) -> None:
    look = look_for_barred_images([service("gone")], kubernetes, [replace(bar(), service="gone")])
    assert (look.sightings, look.not_seen) == ((), ())


@pytest.mark.parametrize("fault", ["503", "403"])
def test_a_cluster_that_cannot_be_asked_is_said_and_is_no_error(
    box: sandbox.Box, kubernetes: KubernetesClient, fault: str
) -> None:
    box.kubernetes.fail(fault, path_regex=".*deployments.*", times=99)
    (said,) = look_for_barred_images([service()], kubernetes, [bar()]).not_seen
    assert said.startswith("whether tts in voice runs a barred image cannot be told: ")


def test_one_kind_of_workload_that_cannot_be_asked_for_hides_no_other(
    box: sandbox.Box, kubernetes: KubernetesClient
) -> None:
    deploy(box, f"{NAME}:v2")
    box.kubernetes.fail("503", path_regex=".*statefulsets.*", times=99)
    twin = service("agent", kind=WorkloadKind.STATEFUL_SET)
    look = look_for_barred_images([twin, service()], kubernetes, [bar()])
    assert (len(look.sightings), len(look.not_seen)) == (1, 1)
