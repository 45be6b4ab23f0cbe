"""Workloads for whoever tries an effect on them: each good twice and bad now, and one that Argo CD syncs."""

from typing import Any

import sandbox
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.decisions.gitops import owner_of
from runbook.decisions.last_known_good import current_of
from runbook.effects.gitops import PauseGitOpsSync
from runbook.effects.workloads import RollBackWorkload
from runbook.workloads import WorkloadKind, WorkloadRef

NAMESPACE = "voice"
AGENT = WorkloadRef(kind=WorkloadKind.DEPLOYMENT, namespace=NAMESPACE, name="agent-service")
IMAGES = tuple(f"ghcr.io/acme/agent:{tag}" for tag in ("v1", "v2", "v3-bad"))
APPLICATION, ARGO_NAMESPACE = "agent", "argocd"
WORKLOADS: dict[str, Any] = {
    AGENT.name: {
        "replicas": 2,
        "revisions": [
            {"image": image, "ago": ago} for image, ago in zip(IMAGES, ("9d", "5d", "1h"), strict=True)
        ],
        "argocd": {"application": APPLICATION},
    }
}


def kubernetes_of(box: sandbox.Box) -> KubernetesClient:
    """Return the product's Kubernetes client on a sandbox."""
    return KubernetesClient(box.kubernetes.kubeconfig)


def workload_rollback(
    kubernetes: KubernetesClient, ref: WorkloadRef = AGENT, *, to: str = IMAGES[1]
) -> RollBackWorkload:
    """Return the effect that rolls a workload back to the revision with an image."""
    workload = kubernetes.workload(ref)
    revisions = kubernetes.revisions(workload)
    before = current_of(workload, revisions)
    assert before is not None
    after = next(one for one in revisions if one.template.images[0].image == to)
    return RollBackWorkload.of(workload, before=before, after=after)


def sync_pause(kubernetes: KubernetesClient, ref: WorkloadRef = AGENT) -> PauseGitOpsSync:
    """Return the effect that pauses the sync of a workload's owner."""
    owner = owner_of(kubernetes.workload(ref))
    assert owner is not None
    group, version, plural = owner.resource
    found = kubernetes.custom_object(group, version, owner.namespace, plural, owner.name)
    return PauseGitOpsSync.of(owner, found)
