"""Which repositories one installation serves, and what is known about their workflows."""

from enum import StrEnum

from pydantic import Field

from runbook.policy.base import Minutes, Name, Section
from runbook.policy.severities import Severity
from runbook.repository_name import RepositoryName


class WorkflowKind(StrEnum):
    """What a workflow is for; severity and the choice of reports to read depend on it."""

    TEST = "test"
    BUILD = "build"
    SECURITY = "security"
    DEPLOY = "deploy"
    DOCS = "docs"
    OTHER = "other"


class WorkflowPolicy(Section):
    """One workflow file of a repository."""

    file: Name = Field(
        description="File name under .github/workflows, as the runbook writes it: ci-test.yml."
    )
    kind: WorkflowKind = Field(default=WorkflowKind.OTHER, description="What the workflow is for.")
    required: bool = Field(
        default=True,
        description="Whether a red run of it stops a merge or a release.",
    )
    baseline_minutes: Minutes | None = Field(
        default=None,
        description="Usual duration; slower than slo.duration.alert_factor times this is a regression.",
    )
    timeout_minutes: Minutes | None = Field(
        default=None, description="The job time-out set in the workflow; a run near it is read as timed out."
    )
    artifacts: tuple[Name, ...] = Field(
        default=(), description="Artifacts that triage reads after a failure."
    )


class Labels(Section):
    """Labels of the product's own issues."""

    incident: Name = Field(default="incident", description="Marks an incident issue.")
    approval: Name = Field(
        default="runbook-approval", description="Marks an approval issue of a plan without incident."
    )
    severity_prefix: Name = Field(default="severity:", description="Put before P0 to P3.")

    def for_severity(self, severity: Severity) -> str:
        """Return the label that shows ``severity``, such as ``severity:P0``."""
        return f"{self.severity_prefix}{severity}"


class RepositoryPolicy(Section):
    """One repository that the product watches and acts on."""

    name: RepositoryName = Field(description='"owner/repository", as GitHub spells it.')
    default_branch: Name = Field(default="main", description="The branch whose failures are everybody's.")
    release_refs: tuple[Name, ...] = Field(
        default=(),
        description='Globs of the branches and tags that releases are cut from: "release/*", "v*".',
    )
    incidents_repository: RepositoryName = Field(
        default_factory=lambda known: str(known.get("name", "")),
        description="Where its incidents are opened; another (private) repository, or itself when left out.",
    )
    workflows: tuple[WorkflowPolicy, ...] = Field(
        default=(), description="What is known about its workflows."
    )
    labels: Labels = Field(default=Labels(), description="Labels of the issues that the product opens.")

    def workflow(self, file: str) -> WorkflowPolicy:
        """Return what the policy says about a workflow file.

        A file that the policy does not list counts as required and of no special kind: of two possible
        mistakes, too loud an incident is the one that is noticed.

        Args:
            file: The file's name (``ci-test.yml``) or its path in the repository.
        """
        name = file.rsplit("/", 1)[-1]
        return next((entry for entry in self.workflows if entry.file == name), WorkflowPolicy(file=name))
