"""The outside world as effects and procedures are given it."""

from dataclasses import dataclass

from runbook.clients.github_client import GitHubClient
from runbook.clients.helm_client import HelmClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import Clock


@dataclass(frozen=True)
class World:
    """The clients that effects act through, and the clock they wait by.

    Args:
        github: GitHub, as the product's own account.
        kubernetes: The cluster that the services run in.
        helm: Its Helm releases.
        product_login: That account's login.
        clock: Time.
    """

    github: GitHubClient
    kubernetes: KubernetesClient
    helm: HelmClient
    product_login: str
    clock: Clock
