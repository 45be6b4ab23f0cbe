"""What triage knows of a failed run, in one value: the incident shows it, the remedy rests on it."""

from datetime import datetime

from runbook.artifacts.findings import Findings
from runbook.decisions.checklist import ChecklistAnswer
from runbook.decisions.severity import SeverityDecision
from runbook.failed_run import failed_jobs
from runbook.models import Frozen, Job, RateLimit, RegistryProbe, WorkflowRun
from runbook.policy import Severity
from runbook.triage.classify import Classification


class Assessment(Frozen):
    """A triaged attempt.

    Args:
        run: The failed attempt (IR-02).
        jobs: Its jobs with their steps.
        recent_runs: Earlier runs of the same workflow, newest first (IR-01).
        classification: What the failed jobs' logs and the run's reports say.
        findings: What its reports name: failed tests, vulnerabilities, coverage (IR-03).
        severity: How urgent it is, by which rule (IR-05 to IR-08).
        checklist: The five questions (IR-09 to IR-13).
        rate_limits: What is left of GitHub's budgets (IR-19); empty where it was not asked.
        registry: The registry's state (IR-18); None where it was not asked.
        notes: What could not be read, and why.
        assessed_at: When this was written (IR-04).
        wanted_within_minutes: How soon after the failure the policy wants it; None where it was not asked.
    """

    run: WorkflowRun
    jobs: tuple[Job, ...]
    recent_runs: tuple[WorkflowRun, ...]
    classification: Classification
    severity: SeverityDecision
    checklist: tuple[ChecklistAnswer, ...]
    findings: Findings = Findings()
    rate_limits: tuple[RateLimit, ...] = ()
    registry: RegistryProbe | None = None
    notes: tuple[str, ...] = ()
    assessed_at: datetime
    wanted_within_minutes: float | None = None

    @property
    def failed_jobs(self) -> tuple[Job, ...]:
        """The jobs that kept the run from being green."""
        return failed_jobs(self.jobs)

    @property
    def level(self) -> Severity:
        """The severity to announce; the least urgent where no rule holds."""
        return self.severity.severity or Severity.P3

    @property
    def seconds_to_assessment(self) -> float:
        """Time from the failure to this assessment (IR-04), in seconds."""
        return (self.assessed_at - self.run.updated_at).total_seconds()
