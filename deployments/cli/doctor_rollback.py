"""``runbook doctor`` on what a rollback needs of GitHub: deployments, image versions, a revert's pull request."""

from collections.abc import Iterator

from deployments.cli.doctor_findings import Finding, Findings, Health, attempt, good, warning
from deployments.cli.doctor_permissions import NOBODYS_NUMBER, Need, allowed
from runbook.clients.github_client import GitHubClient
from runbook.errors import Conflict
from runbook.policy import Policy, RepositoryPolicy
from runbook.policy.estate import GoodSign

_GITHUBS_REGISTRY = "ghcr.io/"
# Git forbids two dots in a row in a branch's name: none is ever called so.
_NOBODYS_BRANCH = "runbook-doctor..looks-whether-it-may-delete"


def rollback_permissions(github: GitHubClient, policy: Policy, repository: RepositoryPolicy) -> Findings:
    """Check what a rollback of a repository's services needs; nothing where the policy names none.

    Args:
        github: The product's own client.
        policy: The policy.
        repository: The repository.
    """
    name = repository.name
    services = [one for one in policy.services if one.repository.casefold() == name.casefold()]
    if not services:
        return
    signs = policy.image_rollback.good_signs
    if GoodSign.DEPLOYED in signs or any(service.environments for service in services):
        need = Need("read deployments", name, "deployments=read", lambda: github.deployments(name, limit=1))
        yield allowed(github, f"{name}: {need.what}", need)
    for image in dict.fromkeys(service.image for service in services):
        if image.startswith(_GITHUBS_REGISTRY):
            yield _versions(github, f"{name}: versions of {image}", image)
    if policy.image_rollback.revert_pull_request:
        yield from _revert(github, name)


def _versions(github: GitHubClient, check: str, image: str) -> Finding:
    owner, _, package = image.removeprefix(_GITHUBS_REGISTRY).partition("/")

    def look() -> Finding:
        newest = github.container_versions(owner, package, limit=1)
        return good(check, f"can be listed{'' if newest else ', and there are none'} (packages=read)")

    return attempt(check, look)


def _revert(github: GitHubClient, name: str) -> Iterator[Finding]:
    """A rollback goes on without its revert: what is missing is a warning."""
    for need in (
        Need("push a revert's branch", name, "contents=write", lambda: _delete_no_branch(github, name)),
        Need(
            "open a revert's pull request",
            name,
            "pull_requests=write",
            lambda: github.close_pull_request(name, NOBODYS_NUMBER),
        ),
    ):
        found = allowed(github, f"{name}: {need.what}", need)
        if found.health is Health.FAILED:
            otherwise = "or set revert_pull_request = false in the policy's [image_rollback]"
            found = warning(found.check, found.detail, fix=f"{found.fix.rstrip('.')}; {otherwise}.")
        yield found


def _delete_no_branch(github: GitHubClient, name: str) -> None:
    try:
        github.delete_branch(name, _NOBODYS_BRANCH)
    except Conflict:
        return  # allowed: there is no such branch
