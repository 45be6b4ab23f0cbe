"""What a rollback is decided on: services as they stand, read once before anything is proposed."""

from runbook.models import Frozen
from runbook.workloads import Autoscaler, HelmRevision, Pod, ReleaseManifest, Revision, Workload


class Standing(Frozen):
    """One service as it stands.

    Args:
        service: Its name in the policy.
        workload: Its workload.
        revisions: What Kubernetes keeps of it, newest first.
        pods: Its pods.
        autoscaler: What scales it, if anything does.
    """

    service: str
    workload: Workload
    revisions: tuple[Revision, ...]
    pods: tuple[Pod, ...]
    autoscaler: Autoscaler | None


class ReleaseReading(Frozen):
    """What Helm says of one release.

    Args:
        release: Its name.
        namespace: Its namespace.
        history: Its revisions, oldest first.
        manifests: By revision: what is known of its manifest; of the newest revisions alone.
    """

    release: str
    namespace: str
    history: tuple[HelmRevision, ...]
    manifests: dict[int, ReleaseManifest]
