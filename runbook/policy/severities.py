"""How urgent a failure is: the runbook's four severities, and which rule leads to which of them."""

from enum import StrEnum

from pydantic import Field

from runbook.policy.base import Section


class Severity(StrEnum):
    """The runbook's severities, most urgent first."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"

    @property
    def rank(self) -> int:
        """Position from most urgent (0) to least."""
        return list(Severity).index(self)


class SeverityRules(Section):
    """The severity that each rule gives; where several hold, the most urgent one counts."""

    security_blocks_release: Severity = Field(
        default=Severity.P0, description="A vulnerability holds up a release (IR-05)."
    )
    default_branch_broken: Severity = Field(
        default=Severity.P0, description="A required workflow is red on the default branch (IR-05)."
    )
    release_broken: Severity = Field(
        default=Severity.P0, description="A required workflow is red on a release ref (IR-05, IR-09)."
    )
    pull_requests_blocked: Severity = Field(
        default=Severity.P1, description="Open pull requests cannot be merged because of it (IR-06)."
    )
    performance_regression: Severity = Field(
        default=Severity.P1,
        description="The run took longer than slo.duration.alert_factor times its baseline (IR-06).",
    )
    intermittent_failure: Severity = Field(
        default=Severity.P2,
        description="It passed when run again on the same commit, or is a known flaky test (IR-07).",
    )
    non_blocking_failure: Severity = Field(
        default=Severity.P2, description="It failed and stops neither a merge nor a release (IR-07)."
    )
    documentation_only: Severity = Field(
        default=Severity.P3, description="Only documentation is concerned, and nothing is blocked (IR-08)."
    )
    minor_finding: Severity = Field(
        default=Severity.P3,
        description="Lint or format asks for an improvement, and nothing is blocked (IR-08).",
    )
