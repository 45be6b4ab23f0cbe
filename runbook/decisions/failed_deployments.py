"""Which services a failed deployment may have broken: those that the policy says its environment deploys."""

from collections.abc import Iterable

from runbook.models import Frozen
from runbook.policy.estate import Service


class StartRollback(Frozen):
    """A deployment failed; a rollback is to be planned. Whether that failure is still the newest word is asked then.

    Args:
        repository: As the policy spells it.
        services: By name, as the policy orders them.
        deployment_id: GitHub's number of the deployment.
        status_id: GitHub's number of the status that says so: one deployment may fail more than once.
    """

    repository: str
    services: tuple[str, ...]
    deployment_id: int
    status_id: int

    @property
    def key(self) -> str:
        """What makes two deliveries the same to do."""
        return f"{self.repository}:deployment:{self.deployment_id}:{self.status_id}"


def deployed_services(services: Iterable[Service], *, repository: str, environment: str) -> tuple[str, ...]:
    """Return the names of a repository's services that an environment deploys; GitHub ignores case in both."""
    wanted = environment.casefold()
    return tuple(
        service.name
        for service in services
        if service.repository.casefold() == repository.casefold()
        and wanted in {name.casefold() for name in service.environments}
    )
