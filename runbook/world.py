"""The outside world as effects and procedures are given it."""

from dataclasses import dataclass

from runbook.clients.github_client import GitHubClient
from runbook.clock import Clock


@dataclass(frozen=True)
class World:
    """The clients that effects act through, and the clock they wait by.

    Args:
        github: GitHub, as the product's own account.
        product_login: That account's login.
        clock: Time.
    """

    github: GitHubClient
    product_login: str
    clock: Clock
