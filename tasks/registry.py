"""Reads of GitHub's budgets and of the container registry, for build failures (IR-18, IR-19)."""

from runbook.clients.registry_client import RegistryClient
from runbook.installation import installation
from runbook.models import RateLimit, RegistryProbe
from tasks.retrying import system_task

PROBED_TAG = "latest"
GITHUB_REGISTRY = "ghcr.io"
"""How images name GitHub's registry, whichever server it is on."""


@system_task("read rate limits", run_name="read GitHub's rate limits")
def read_rate_limits() -> tuple[RateLimit, ...]:
    """Read what is left of GitHub's budgets (IR-19)."""
    return installation().github.rate_limits()


@system_task("probe registry", run_name="probe the registry of {repository}'s images")
def probe_registry(repository: str) -> RegistryProbe | None:
    """Ask GitHub's registry whether it is reachable and knows us (IR-18).

    Args:
        repository: owner/name.

    Returns:
        What it says; None where the policy names no service of that repository whose image is there: our
        credential is GitHub's, and goes to no other registry.
    """
    here = installation()
    services = [service for service in here.policy.services if service.repository == repository]
    for service in services:
        host, _, image = service.image.partition("/")
        if host == GITHUB_REGISTRY:
            client = RegistryClient(
                url=here.settings.registry_url,
                login=here.product_login,
                token=here.github.token(),
            )
            return client.probe(image, tag=PROBED_TAG)
    return None
