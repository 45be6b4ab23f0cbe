"""Reads of GitHub's deployments."""

from runbook.installation import installation
from runbook.source_facts import Deployment, DeploymentStatus
from tasks.retrying import system_task


@system_task("read deployment", run_name="read deployment {deployment_id}")
def read_deployment_status(repository: str, deployment_id: int) -> tuple[Deployment, DeploymentStatus | None]:
    """Read a deployment and what was last said about it.

    Args:
        repository: owner/name.
        deployment_id: The deployment.

    Raises:
        NotFound: It was deleted, or never was.
    """
    github = installation().github
    deployment = github.deployment(repository, deployment_id)
    statuses = github.deployment_statuses(repository, deployment_id, limit=1)
    return deployment, statuses[0] if statuses else None
