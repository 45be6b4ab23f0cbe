"""The policy as a whole: one typed, frozen value, with the questions that the rest of the product asks it."""

from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches

from pydantic import Field, JsonValue

from runbook.canonical import digest
from runbook.errors import UsageError
from runbook.policy.approvals import ApprovalRule, Approvals, ScheduledRun, resolve_rule
from runbook.policy.base import Handle, Login, Name, Section
from runbook.policy.estate import (
    CacheKey,
    FlakyTests,
    FreezeWindow,
    ImageRollback,
    KnownIssue,
    Secret,
    SecretRotation,
    Service,
    Slo,
)
from runbook.policy.operations import Caps, KillSwitch, Reconcile, RemedyPolicy, Timings, Triage
from runbook.policy.people import Channels, Contact, EscalationStep, ExternalSupport
from runbook.policy.procedures import PROCEDURES
from runbook.policy.repositories import RepositoryPolicy
from runbook.policy.severities import SeverityRules
from runbook.triage.classes import FailureClass


class Policy(Section):
    """Everything that differs between installations, and every number that the runbook states.

    Build one with ``load_policy`` or ``parse_policy``: they also refuse what is well-formed but contradicts
    itself, which the fields alone cannot see.
    """

    product_login: Login | None = Field(
        default=None,
        description="Account the product acts as, which never counts as approver; else GitHub is asked.",
    )
    on_call: Handle | None = Field(
        default=None, description="Mentioned in each incident: @alice or @acme/on-call."
    )
    repositories: tuple[RepositoryPolicy, ...] = Field(min_length=1, description="Repositories served.")
    approvals: Approvals = Field(description="Who may approve.")
    scheduled: tuple[ScheduledRun, ...] = Field(
        default=(), description="Runs that the product's schedules start."
    )
    severities: SeverityRules = Field(default=SeverityRules(), description="Which rule gives which severity.")
    triage: Triage = Field(default=Triage(), description="What an assessment looks at.")
    remedies: dict[FailureClass, RemedyPolicy] = Field(
        default={}, description="Remedies by class of failure."
    )
    kill_switch: KillSwitch | None = Field(default=None, description="Stops whatever acts without a person.")
    reconcile: Reconcile = Field(default=Reconcile(), description="Looking for what no webhook announced.")
    timings: Timings = Field(default=Timings(), description="How long things are waited for.")
    caps: Caps = Field(default=Caps(), description="Limits that hold whoever approved.")
    contacts: dict[Name, Contact] = Field(default={}, description="People and teams, by a short name.")
    escalation: tuple[EscalationStep, ...] = Field(default=(), description="Who is called when.")
    channels: Channels = Field(default=Channels(), description="Where Slack messages go.")
    external_support: tuple[ExternalSupport, ...] = Field(default=(), description="Who outside can help.")
    services: tuple[Service, ...] = Field(default=(), description="Deployed services.")
    image_rollback: ImageRollback = Field(
        default=ImageRollback(), description="What a good revision is, and how a rollback is watched."
    )
    secrets: tuple[Secret, ...] = Field(default=(), description="Secrets, by name only.")
    secret_rotation: SecretRotation = Field(
        default=SecretRotation(), description="Numbers of every rotation."
    )
    cache_keys: tuple[CacheKey, ...] = Field(default=(), description="Keys that caches should have.")
    slo: Slo = Field(default=Slo(), description="What the pipeline is measured against.")
    flaky_tests: FlakyTests = Field(default=FlakyTests(), description="How flaky tests are examined.")
    known_issues: tuple[KnownIssue, ...] = Field(default=(), description="Failures met before.")
    freeze_windows: tuple[FreezeWindow, ...] = Field(
        default=(), description="Times in which nothing is changed."
    )

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the policy's canonical JSON, defaults included."""
        return digest(self.model_dump(mode="json"))

    def repository(self, name: str) -> RepositoryPolicy:
        """Return the policy of one repository; its ``name`` is the spelling to use in keys.

        Args:
            name: ``owner/repository`` in any case (GitHub ignores it).

        Raises:
            UsageError: The policy does not name that repository.
        """
        for repository in self.repositories:
            if repository.name.casefold() == name.casefold():
                return repository
        known = ", ".join(repository.name for repository in self.repositories)
        raise UsageError(
            f"The policy does not name the repository {name!r}; it names {known}.",
            next_step="check the spelling, or add a [[repositories]] table for it.",
        )

    def approval_rule(self, procedure: str, repository: str) -> ApprovalRule:
        """Return who may approve a plan of ``procedure`` on ``repository``, and how.

        Raises:
            UsageError: The procedure or the repository is unknown.
        """
        known_procedure(procedure)
        return resolve_rule(self.approvals, procedure=procedure, repository=self.repository(repository).name)

    def scheduled_run(self, procedure: str, request: Mapping[str, JsonValue]) -> ScheduledRun | None:
        """Return the schedule that sends exactly this request, or None: then it is like any other run."""
        return next(
            (run for run in self.scheduled if run.procedure == procedure and run.request == dict(request)),
            None,
        )

    def remedy(self, failure_class: FailureClass) -> RemedyPolicy:
        """Return what may be done about a class of failure: nothing, where the policy does not say."""
        return self.remedies.get(failure_class, RemedyPolicy())

    def freeze(self, now: datetime, *, procedure: str, repository: str) -> FreezeWindow | None:
        """Return the freeze that holds a procedure back at ``now`` (UTC-aware), or None."""
        for window in self.freeze_windows:
            concerned = {name.casefold() for name in window.repositories}
            if (
                window.start <= now < window.end
                and (not window.procedures or procedure in window.procedures)
                and (not concerned or repository.casefold() in concerned)
            ):
                return window
        return None


def known_procedure(name: str) -> str:
    """Return ``name`` if the runbook has a procedure of that name.

    Raises:
        UsageError: It has none.
    """
    if name in PROCEDURES:
        return name
    close = get_close_matches(name, PROCEDURES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"procedures are: {', '.join(PROCEDURES)}."
    raise UsageError(f"The runbook has no procedure {name!r}.", next_step=hint)
