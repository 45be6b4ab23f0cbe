"""``runbook doctor`` on the cluster: reached, permitted, there, and who would undo a rollback."""

from typing import Any

import pytest

import sandbox
from deployments.cli.doctor_cluster import needs
from runbook.installation import Installation
from tests.deployments.cli.conftest import Runbook

NAMESPACE = "voice-agent"


@pytest.fixture
def cluster(box: sandbox.Box, environment: pytest.MonkeyPatch) -> sandbox.Box:
    """Name the stand-in's cluster as the environment's."""
    environment.setenv("KUBECONFIG", str(box.kubernetes.kubeconfig))
    environment.setenv("RUNBOOK_HELM", str(box.kubernetes.helm))
    return box


def finding(runbook: Runbook, check: str) -> dict[str, Any]:
    """Return what doctor says of one check."""
    found = [one for one in runbook("doctor", "--json").json["findings"] if one["check"] == check]
    assert len(found) == 1, found
    return dict(found[0])


def test_without_a_cluster_it_says_that_no_image_can_be_rolled_back(
    here: Installation, runbook: Runbook
) -> None:
    found = finding(runbook, "Kubernetes")
    assert found["health"] == "warning"
    assert "No image can be rolled back" in found["detail"]
    assert "KUBECONFIG" in found["fix"]


def test_every_permission_and_service_is_looked_at_and_nothing_is_changed(
    here: Installation, runbook: Runbook, cluster: sandbox.Box
) -> None:
    assert finding(runbook, "Kubernetes")["health"] == "good"
    assert finding(runbook, f"namespace {NAMESPACE}")["health"] == "good"
    service = finding(runbook, f"service {NAMESPACE}/tts-service")
    assert service["health"] == "good"
    assert "2 of 2 pods ready, ghcr.io/acme/vibevoice-tts:sha-" in service["detail"]
    changed = [one for one in cluster.kubernetes.requests if one["applied"]]
    assert changed == []


@pytest.mark.parametrize("missing", sorted(needs()), ids=str)
def test_a_verb_that_the_account_lacks_is_named_with_the_role_that_gives_it(
    here: Installation, runbook: Runbook, cluster: sandbox.Box, missing: Any
) -> None:
    cluster.kubernetes.state.rules = [
        {
            "apiGroups": [need.group],
            "resources": [f"{need.resource}/{need.subresource}" if need.subresource else need.resource],
            "verbs": [need.verb],
        }
        for need in needs()
        if need != missing
    ]
    found = finding(runbook, f"namespace {NAMESPACE}")
    assert found["health"] == "failed"
    assert found["detail"] == f"the product's account may not {missing}"
    assert "rollback-image-rbac.yaml" in found["fix"]


def test_a_cluster_that_does_not_answer_is_a_failure(
    here: Installation, runbook: Runbook, cluster: sandbox.Box
) -> None:
    cluster.kubernetes.fail("503", path_regex="/version", times=None)
    assert finding(runbook, "Kubernetes")["health"] == "failed"
