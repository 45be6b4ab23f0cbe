"""Reads of GitHub's budgets and of the container registry, for build failures (IR-18, IR-19)."""

from runbook.clients.registry_client import RegistryClient
from runbook.installation import installation
from runbook.models import RateLimit, RegistryProbe
from runbook.settings import is_loopback
from tasks.retrying import system_task

PROBED_TAG = "latest"


@system_task("read rate limits", run_name="read GitHub's rate limits")
def read_rate_limits() -> tuple[RateLimit, ...]:
    """Read what is left of GitHub's budgets (IR-19)."""
    return installation().github.rate_limits()


@system_task("probe registry", run_name="probe the registry of {repository}'s images")
def probe_registry(repository: str) -> RegistryProbe | None:
    """Ask the registry of the first service's image whether it is reachable and knows us (IR-18).

    Args:
        repository: owner/name.

    Returns:
        What it says; None where the policy names no service of that repository.
    """
    here = installation()
    images = [service.image for service in here.policy.services if service.repository == repository]
    if not images:
        return None
    host, _, image = images[0].partition("/")
    scheme = "http" if is_loopback(host.partition(":")[0]) else "https"
    client = RegistryClient(
        url=f"{scheme}://{host}",
        login=here.product_login,
        token=here.settings.require_github_token("log in to the registry"),
    )
    return client.probe(image, tag=PROBED_TAG)
