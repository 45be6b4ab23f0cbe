"""Starts and stops a real Kubernetes control plane on loopback: etcd, API server, controllers, scheduler, kwok.

By hand::

    bash integration/kubernetes/setup.sh                 # once: builds the programs
    python -m integration.kubernetes.cluster up DIR      # prints the administrator's KUBECONFIG
    python -m integration.kubernetes.cluster status DIR
    python -m integration.kubernetes.cluster down DIR

In tests, one cluster for all suites of a pytest process::

    from integration.kubernetes.fixtures import real_cluster  # noqa: F401 - the session fixture, a Cluster
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SETUP = "bash integration/kubernetes/setup.sh"


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers.

    Args:
        kubeconfig: Its administrator's.
        own: It is one of ours, with kwok's pods (see ``stages.yaml``) and certificates that we sign; False for the
            cluster that ``RUNBOOK_TEST_KUBECONFIG`` names.
        directory: Where its state and logs are; None where it is not ours.
    """

    kubeconfig: Path
    own: bool
    directory: Path | None = None

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator and return what it printed; CalledProcessError carries its stderr."""
        raise NotImplementedError

    @contextlib.contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """Make a namespace of a new name, and delete it at the end without waiting for that."""
        raise NotImplementedError

    def service_account(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig that speaks as this service account, by a token of an hour."""
        raise NotImplementedError

    def certificate(self, user: str, *, groups: tuple[str, ...] = (), expires_in_seconds: int = 3600) -> Path:
        """Return a kubeconfig of ``user`` with a client certificate; an expired one by a negative number.

        Skips the test where the cluster is not our own.
        """
        raise NotImplementedError


def program(name: str) -> Path:
    """Return a program that ``setup.sh`` built (``kubectl``, ``helm``, ``etcd-v3.6.16``, …)."""
    raise NotImplementedError


@contextlib.contextmanager
def real_cluster(directory: Path) -> Iterator[Cluster]:
    """Run a cluster of our own with all its state in ``directory``; it ends with the block, or with this process."""
    raise NotImplementedError


@contextlib.contextmanager
def shared_cluster() -> Iterator[Cluster]:
    """Run, or go on using, this process's one cluster, or use the one that ``RUNBOOK_TEST_KUBECONFIG`` names."""
    raise NotImplementedError
