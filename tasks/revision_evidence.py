"""What GitHub and the registry say of revisions that one might go back to (RB-01)."""

from collections.abc import Mapping, Sequence

from prefect.logging import get_run_logger

from runbook.decisions.image_reference import parse_image
from runbook.decisions.last_known_good import Sign
from runbook.decisions.revision_evidence import (
    NO_COMMIT,
    Evidence,
    commit_behind,
    green_sign,
    image_in,
    registry_sign,
)
from runbook.errors import Denied, Permanent
from runbook.installation import installation
from runbook.policy.estate import Service
from runbook.scrub import scrub
from runbook.source_facts import CommitDetails, Comparison, ContainerVersion
from runbook.workloads import Revision
from tasks.registry import GITHUB_REGISTRY, probe_image
from tasks.retrying import system_task

MOST_VERSIONS = 200
"""Newest versions of an image that are read."""
MOST_RUNS = 50
"""Runs of one commit that are read."""
MOST_DEPLOYMENTS = 20
"""Deployments of one commit that are read."""


@system_task("read image versions", run_name="list the versions of {what}")
def read_versions(service: Service, *, what: str) -> tuple[ContainerVersion, ...]:
    """List the newest versions of a service's image in GitHub's registry, newest first.

    Args:
        service: The service.
        what: Its name, for the task run's.

    Returns:
        The versions; none where the image is in another registry, or they may not be read: ``runbook doctor`` names
        the permission.

    Raises:
        Transient: GitHub does not answer.
    """
    reference = parse_image(service.image)
    if reference is None or reference.registry != GITHUB_REGISTRY:
        return ()
    owner, _, name = reference.repository.partition("/")
    try:
        return installation().github.container_versions(owner, name, limit=MOST_VERSIONS)
    except (Permanent, Denied) as error:
        get_run_logger().warning("The versions of %s cannot be listed: %s", what, scrub(error.message))
        return ()


@system_task("read evidence", run_name="look up revisions of {what}")
def read_evidence(
    service: Service, revisions: Sequence[Revision], versions: Sequence[ContainerVersion], *, what: str
) -> Mapping[str, Evidence]:
    """Look up what speaks for revisions of a service; what may not be read is noted as unknown, with the reason.

    Args:
        service: The service.
        revisions: Some of its revisions.
        versions: What the registry has of its image.
        what: Its name, for the task run's.

    Returns:
        By the revisions' names.

    Raises:
        Transient: GitHub does not answer.
    """
    looking = _Looking(service, versions)
    return {revision.name: looking.at(revision) for revision in revisions}


@system_task("compare commits", run_name="compare {good} with {bad}")
def read_between(repository: str, *, good: str, bad: str) -> Comparison | None:
    """Return what lies between two commits; None where that cannot be told.

    Args:
        repository: owner/name.
        good: The commit that is gone back to, in full or shortened.
        bad: The commit that is left, likewise.

    Raises:
        Transient: GitHub does not answer.
    """
    try:
        return installation().github.compare(repository, good, bad, limit=1)
    except (Permanent, Denied):
        return None


class _Looking:
    """One look at a service's past: each commit is read once."""

    def __init__(self, service: Service, versions: Sequence[ContainerVersion]) -> None:
        self._here = installation()
        self._service = service
        self._repository = self._here.policy.repository(service.repository)
        self._versions = versions
        self._commits: dict[str, CommitDetails | None] = {}

    def at(self, revision: Revision) -> Evidence:
        """Look up one revision."""
        image = image_in(revision.template, self._service.image)
        commit = commit_behind(revision.template, image, self._versions)
        probe = probe_image(image)
        return Evidence(
            commit=commit,
            digest=(probe.digest if probe is not None else "") or "",
            green_run=self._green(commit) if commit else NO_COMMIT,
            deployed=self._deployed(commit) if commit else NO_COMMIT,
            in_registry=registry_sign(probe)
            if probe is not None
            else Sign(detail=f"the product has no login for any registry but {GITHUB_REGISTRY}"),
        )

    def _green(self, commit: str) -> Sign:
        details = self._commit(commit)
        if details is None:
            return Sign(detail=f"GitHub does not know commit {commit}")
        try:
            runs = self._here.github.list_runs(
                self._repository.name,
                branch=self._repository.default_branch,
                head_sha=details.commit.sha,
                limit=MOST_RUNS,
            )
        except (Permanent, Denied) as error:
            return Sign(detail=f"its runs cannot be read: {error.message}")
        return green_sign(runs, self._repository)

    def _deployed(self, commit: str) -> Sign:
        details = self._commit(commit)
        if details is None:
            return Sign(detail=f"GitHub does not know commit {commit}")
        github, name = self._here.github, self._repository.name
        try:
            for one in github.deployments(name, sha=details.commit.sha, limit=MOST_DEPLOYMENTS):
                if self._service.environments and one.environment not in self._service.environments:
                    continue
                # A later deployment makes an earlier success inactive: that it succeeded stays said.
                statuses = github.deployment_statuses(name, one.id)
                if any(status.state == "success" for status in statuses):
                    return Sign(holds=True, detail=f"deployed to {one.environment} (deployment {one.id})")
        except (Permanent, Denied) as error:
            return Sign(detail=f"its deployments cannot be read: {error.message}")
        return Sign(holds=False, detail="GitHub has no successful deployment of it")

    def _commit(self, commit: str) -> CommitDetails | None:
        if commit not in self._commits:
            try:
                self._commits[commit] = self._here.github.get_commit(self._repository.name, commit)
            except (Permanent, Denied):
                self._commits[commit] = None
        return self._commits[commit]
