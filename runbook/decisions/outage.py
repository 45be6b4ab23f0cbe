"""Are several failures one outage? Workflows that fail together for one outside reason are one incident (IR-12).

What a log says decides, not the coincidence alone: a commit that breaks five workflows is five failures of the
code, and a test that fails while a registry is down is a failure of the test.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from runbook.models import Frozen, RegistryState
from runbook.triage.classes import FailureClass


class OutsideReason(StrEnum):
    """A cause that no change of the repository would mend, and that hits whatever runs."""

    INFRASTRUCTURE = "infrastructure"
    RATE_LIMIT = "rate_limit"

    @property
    def text(self) -> str:
        """The reason as people read it."""
        return _TEXTS[self]


_TEXTS = {
    OutsideReason.INFRASTRUCTURE: "the infrastructure outside the repository does not answer as it should",
    OutsideReason.RATE_LIMIT: "a service outside limits our rate",
}

# What an unreachable registry looks like from inside a build, where the log does not name the network.
_BY_REGISTRY = frozenset(
    {FailureClass.DEPENDENCY_RESOLUTION, FailureClass.BUILD_FAILURE, FailureClass.UNKNOWN}
)


class Together(Frozen):
    """What fails for one outside reason.

    Args:
        reason: The reason.
        workflows: The workflow files that fail, sorted.
        first_failed_at: When the first of them failed, UTC-aware.
        last_failed_at: When the last one did.
    """

    reason: OutsideReason
    workflows: tuple[str, ...]
    first_failed_at: datetime
    last_failed_at: datetime

    def with_also(self, other: "Together") -> "Together":
        """Return both, seen as one."""
        return Together(
            reason=self.reason,
            workflows=tuple(sorted({*self.workflows, *other.workflows})),
            first_failed_at=min(self.first_failed_at, other.first_failed_at),
            last_failed_at=max(self.last_failed_at, other.last_failed_at),
        )

    def is_outage(self, *, workflows: int) -> bool:
        """Whether so many workflows fail together that it is called an outage."""
        return len(self.workflows) >= workflows


class OpenIncident(Frozen):
    """An open incident of the repository that has an outside reason."""

    id: int
    together: Together


class OutageDecision(Frozen):
    """Which open incident a failure belongs to.

    Args:
        joins: The incident; None where it gets one of its own.
        together: What is known to fail together by now, this failure included.
        reason: Why, in words.
    """

    joins: int | None
    together: Together
    reason: str


def outside_reason(
    failure_class: FailureClass, *, registry: RegistryState | None = None
) -> OutsideReason | None:
    """Return the outside reason of a failure, or None where it may as well be the repository's own.

    Args:
        failure_class: What triage found.
        registry: What the registry said when it was asked; None where it was not.
    """
    if failure_class is FailureClass.RATE_LIMIT:
        return OutsideReason.RATE_LIMIT
    if failure_class is FailureClass.INFRASTRUCTURE:
        return OutsideReason.INFRASTRUCTURE
    if registry is RegistryState.UNREACHABLE and failure_class in _BY_REGISTRY:
        return OutsideReason.INFRASTRUCTURE
    return None


def outage_fingerprint(reason: OutsideReason, fingerprint: str) -> str:
    """Return the fingerprint of an incident with an outside reason: its own, findable by the reason.

    Args:
        reason: The outside reason.
        fingerprint: What is the same for the same failure.
    """
    return f"{fingerprint_prefix(reason)}{fingerprint}"


def fingerprint_prefix(reason: OutsideReason) -> str:
    """Return what the fingerprints of all incidents with an outside reason begin with."""
    return f"outside:{reason}:"


def alone(reason: OutsideReason, *, workflow_file: str, failed_at: datetime) -> Together:
    """Return what is known before other failures are looked at: one workflow.

    Args:
        reason: Its outside reason.
        workflow_file: The workflow that failed.
        failed_at: When, UTC-aware.
    """
    return Together(
        reason=reason, workflows=(workflow_file,), first_failed_at=failed_at, last_failed_at=failed_at
    )


def decide_outage(
    failure: Together, incidents: Iterable[OpenIncident], *, window_minutes: float
) -> OutageDecision:
    """Decide whether a failure joins an open incident: the oldest of the same reason, near enough in time.

    An incident grows: who fails within the window of the last that joined belongs to it as well.

    Args:
        failure: The failure.
        incidents: The repository's open incidents that have an outside reason.
        window_minutes: How near in time failures are "together".
    """
    window = timedelta(minutes=window_minutes)
    near = [
        incident
        for incident in incidents
        if incident.together.reason is failure.reason
        and incident.together.first_failed_at - window <= failure.last_failed_at
        and failure.first_failed_at <= incident.together.last_failed_at + window
    ]
    if not near:
        return OutageDecision(
            joins=None,
            together=failure,
            reason=f"nothing else failed within {window_minutes:g} minutes because {failure.reason.text}",
        )
    oldest = min(near, key=lambda incident: incident.id)
    together = oldest.together.with_also(failure)
    return OutageDecision(
        joins=oldest.id,
        together=together,
        reason=f"{', '.join(together.workflows)} fail together: {failure.reason.text}",
    )
