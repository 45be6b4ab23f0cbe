"""Who may approve which plan, and which runs need nobody."""

from enum import StrEnum

from pydantic import Field, JsonValue

from runbook.models import Permission
from runbook.policy.base import Count, Login, Name, Positive, Seconds, Section
from runbook.repository_name import RepositoryName


class PrefectResume(StrEnum):
    """What pressing Resume in Prefect means, where nobody can say who pressed it."""

    WAKES = "wakes"
    COUNTS = "counts"


class ApprovalOverride(Section):
    """What differs for one procedure, one repository, or one procedure in one repository."""

    procedure: Name | None = Field(default=None, description="The procedure it is about; all when left out.")
    repository: RepositoryName | None = Field(
        default=None, description="The repository it is about; all when left out."
    )
    quorum: Positive | None = Field(default=None, description="Distinct people who must approve.")
    approvers: tuple[Login, ...] | None = Field(default=None, description="GitHub logins who may approve.")
    minimum_permission: Permission | None = Field(
        default=None, description="Least permission an approver must have on the repository."
    )
    expires_after_seconds: Seconds | None = Field(
        default=None, description="Age at which an unapproved plan expires."
    )
    prefect_resume: PrefectResume | None = Field(
        default=None,
        description="What a resume in Prefect, which names nobody, does: `wakes` only has the approvals "
        "read again; `counts` approves (one low-risk procedure, quorum 1).",
    )

    @property
    def rank(self) -> int:
        """How specific it is: a procedure in a repository beats a procedure, which beats a repository."""
        return 2 * (self.procedure is not None) + (self.repository is not None)


class Approvals(Section):
    """The rule that holds unless an override says otherwise."""

    approvers: tuple[Login, ...] = Field(description="GitHub logins who may approve.")
    quorum: Positive = Field(
        default=1, description="Distinct people who must approve; the requester never counts."
    )
    minimum_permission: Permission = Field(
        default=Permission.WRITE, description="Least permission an approver must have on the repository."
    )
    expires_after_seconds: Seconds = Field(
        default=86_400, description="Age at which an unapproved plan expires."
    )
    poll_seconds: Seconds = Field(default=15, description="How often the comments of waiting plans are read.")
    overrides: tuple[ApprovalOverride, ...] = Field(
        default=(), description="What differs, most specific first."
    )


class ApprovalRule(Section):
    """The rule in force for one procedure in one repository, with every override applied."""

    quorum: int
    approvers: tuple[str, ...]
    minimum_permission: Permission
    expires_after_seconds: float
    prefect_resume_counts: bool

    def names(self, login: str) -> bool:
        """Tell whether ``login`` is among the approvers; GitHub logins ignore case."""
        return login.casefold() in {approver.casefold() for approver in self.approvers}


class ScheduledRun(Section):
    """A run that the product's own schedule starts, recognised by its procedure and its exact request."""

    name: Name = Field(description="Name of the schedule, as in prefect.yaml.")
    procedure: Name = Field(description="The procedure it starts.")
    request: dict[str, JsonValue] = Field(description="The request, key for key as the schedule sends it.")
    quorum: Count = Field(
        default=1, description="People who must approve; 0 lets it act alone, within max_effects."
    )
    max_effects: Positive = Field(description="A plan with more effects than this is refused.")
    at_most_every_seconds: Seconds = Field(
        default=3_600,
        description="A run that starts sooner after the one before is not taken for the schedule's.",
    )


def resolve_rule(approvals: Approvals, *, procedure: str, repository: str) -> ApprovalRule:
    """Merge the overrides that apply, least specific first, into one rule.

    Args:
        approvals: The policy's section.
        procedure: A procedure's name.
        repository: The repository's name as the policy spells it.
    """
    merged: dict[str, object] = {
        "quorum": approvals.quorum,
        "approvers": approvals.approvers,
        "minimum_permission": approvals.minimum_permission,
        "expires_after_seconds": approvals.expires_after_seconds,
        "prefect_resume": PrefectResume.WAKES,
    }
    applying = [
        override
        for override in approvals.overrides
        if override.procedure in (None, procedure)
        and (override.repository is None or override.repository.casefold() == repository.casefold())
    ]
    for override in sorted(applying, key=lambda override: override.rank):
        merged |= override.model_dump(exclude={"procedure", "repository"}, exclude_none=True)
    counts = merged.pop("prefect_resume") is PrefectResume.COUNTS
    return ApprovalRule.model_validate({**merged, "prefect_resume_counts": counts})
