"""Helm through its program: a release's history and its rollback."""

from pathlib import Path


class HelmClient:
    """The releases of one cluster.

    Args:
        kubeconfig: ``KUBECONFIG``; None for the account of the pod that this runs in.
        program: The helm program; one in ``PATH`` by its name.
    """

    def __init__(self, kubeconfig: Path | None, *, program: str = "helm") -> None:
        self._kubeconfig = kubeconfig
        self._program = program
