"""Kubernetes through its official client: workloads, their revisions and pods, read and patched."""

from pathlib import Path

from runbook.clock import Clock, SystemClock


class KubernetesClient:
    """One cluster, as the product's own account.

    Nothing is connected to, and the vendor's package not imported, before the first call.

    Args:
        kubeconfig: ``KUBECONFIG``; None for the account of the pod that this runs in.
        clock: Time.
    """

    def __init__(self, kubeconfig: Path | None, *, clock: Clock | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._clock = clock or SystemClock()

    def close(self) -> None:
        """Close every connection."""
