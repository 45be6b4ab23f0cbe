"""Reads of GitHub's budgets and of the container registry, for build failures (IR-18, IR-19)."""

from runbook.clients.registry_client import RegistryClient
from runbook.decisions.image_reference import parse_image
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
    services = [one for one in installation().policy.services if one.repository == repository]
    probes = (probe_image(f"{service.image}:{PROBED_TAG}") for service in services)
    return next((probe for probe in probes if probe is not None), None)


def probe_image(image: str) -> RegistryProbe | None:
    """Ask GitHub's registry for an image.

    Args:
        image: Its reference, with tag or digest.

    Returns:
        What it says; None where the image is in another registry: our credential is GitHub's, and goes nowhere else.
    """
    here = installation()
    reference = parse_image(image)
    if reference is None or reference.registry != GITHUB_REGISTRY:
        return None
    client = RegistryClient(
        url=here.settings.registry_url, login=here.product_login, token=here.github.token()
    )
    return client.probe(reference.repository, tag=reference.digest or reference.tag)
