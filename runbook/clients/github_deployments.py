"""Deployments and what was said about them."""

from itertools import islice

from runbook.clients.github_calls import PAGE_SIZE, Calls, repository_path
from runbook.clients.github_facts import parse
from runbook.clients.github_source_facts import deployment, deployment_status
from runbook.source_facts import Deployment, DeploymentStatus


class DeploymentCalls(Calls):
    """Reads under ``/deployments``."""

    def deployments(
        self,
        repository: str,
        *,
        environment: str | None = None,
        sha: str | None = None,
        ref: str | None = None,
        limit: int,
    ) -> tuple[Deployment, ...]:
        """Return deployments, newest first.

        Args:
            repository: ``owner/name``.
            environment: Only those to this one.
            sha: Only those of this commit, in full.
            ref: Only those of this branch, tag or commit, as whoever deployed named it.
            limit: The most to return.
        """
        entries = self._pages(
            f"{repository_path(repository)}/deployments",
            purpose=f"list the deployments of {repository}",
            field=None,
            query={"environment": environment, "sha": sha, "ref": ref},
            page_size=max(1, min(limit, PAGE_SIZE)),
        )
        return tuple(parse("deployment", deployment, entry) for entry in islice(entries, limit))

    def deployment(self, repository: str, deployment_id: int) -> Deployment:
        """Return one deployment.

        Raises:
            NotFound: It was deleted, or never was.
        """
        data = self._get(
            f"{repository_path(repository)}/deployments/{deployment_id}",
            purpose=f"read deployment {deployment_id} of {repository}",
        )
        return parse("deployment", deployment, data)

    def deployment_statuses(
        self, repository: str, deployment_id: int, *, limit: int = 30
    ) -> tuple[DeploymentStatus, ...]:
        """Return what was said about a deployment, newest first: the first holds.

        Args:
            repository: ``owner/name``.
            deployment_id: The deployment.
            limit: The most to return.

        Raises:
            NotFound: It was deleted, or never was.
        """
        entries = self._pages(
            f"{repository_path(repository)}/deployments/{deployment_id}/statuses",
            purpose=f"list the statuses of deployment {deployment_id} of {repository}",
            field=None,
            page_size=max(1, min(limit, PAGE_SIZE)),
        )
        return tuple(parse("deployment status", deployment_status, entry) for entry in islice(entries, limit))
