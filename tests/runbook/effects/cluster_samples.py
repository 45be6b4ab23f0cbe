"""A cluster for whoever tries an effect on it: a service that is a Helm release, good once and bad now, and others."""

from typing import Any

import sandbox
from runbook.clients.helm_client import HelmClient, HelmTimeouts
from runbook.decisions.releases import as_revision
from runbook.effects.releases import RollBackRelease
from sandbox.helm.releases import Release
from tests.runbook.effects.workload_samples import WORKLOADS

NAMESPACE, RELEASE, WORKLOAD = "voice", "tts", "tts-service"
GOOD, BAD = "ghcr.io/acme/tts:v1", "ghcr.io/acme/tts:v2-bad"
CLUSTER: dict[str, Any] = {
    "namespaces": {
        NAMESPACE: {
            "workloads": {
                WORKLOAD: {
                    "helm": RELEASE,
                    "revisions": [{"image": GOOD, "ago": "3d"}, {"image": BAD, "ago": "1h"}],
                },
                **WORKLOADS,
            }
        }
    },
    "helm_releases": [
        {
            "name": RELEASE,
            "namespace": NAMESPACE,
            "revisions": [
                {"ago": "3d", "workloads": [{"name": WORKLOAD, "images": GOOD}]},
                {"ago": "1h", "workloads": [{"name": WORKLOAD, "images": BAD}]},
            ],
        }
    ],
}


def helm_of(box: sandbox.Box, timeouts: HelmTimeouts | None = None) -> HelmClient:
    """Return the product's Helm client on a sandbox."""
    cluster = box.kubernetes
    return HelmClient(cluster.kubeconfig, program=str(cluster.helm), timeouts=timeouts)


def release_of(box: sandbox.Box) -> Release:
    """Return the release as the sandbox keeps it."""
    release: Release = box.kubernetes.state.releases.known[NAMESPACE, RELEASE]
    return release


def image_of(box: sandbox.Box) -> str:
    """Return the image that the service's workload wants."""
    template = box.kubernetes.state.workload(NAMESPACE, WORKLOAD).body["spec"]["template"]
    return str(template["spec"]["containers"][0]["image"])


def release_rollback(box: sandbox.Box) -> RollBackRelease:
    """Return the effect that rolls the release back to its first revision."""
    helm = helm_of(box)
    target, standing = (
        as_revision(one, helm.manifest(RELEASE, NAMESPACE, one.revision))
        for one in helm.history(RELEASE, NAMESPACE)
    )
    return RollBackRelease.of(RELEASE, NAMESPACE, before=standing, after=target)
