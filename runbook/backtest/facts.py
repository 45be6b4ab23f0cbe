"""What a backtest knows of the past, as frozen data."""

from datetime import datetime

from runbook.models import Frozen, WorkflowRun
from runbook.triage.classes import FailureClass
from runbook.triage.classify import Classification


class FailureFacts(Frozen):
    """A failed attempt, and what triage says about it.

    Args:
        run: The attempt, as GitHub has it.
        classification: What its failed jobs' logs say, by the code that triage uses.
        failed_jobs: How many of its jobs failed.
        logs_read: How many of their logs were read.
        logs_gone: How many had expired or were deleted (410).
        pull_requests: The pull requests that contain its commit, if it ran for one.
        notes: What else could not be read.
        incomplete: Whether reading again may find more: it is not kept then.
    """

    run: WorkflowRun
    classification: Classification
    failed_jobs: int
    logs_read: int
    logs_gone: int = 0
    pull_requests: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    incomplete: bool = False

    @property
    def readable(self) -> bool:
        """Whether anything is left by which it could be triaged: a log, or an end that says enough."""
        return (
            self.logs_read > 0
            or self.failed_jobs == 0
            or self.classification.failure_class is not FailureClass.UNKNOWN
        )


class History(Frozen):
    """What happened in a repository.

    Args:
        repository: owner/name.
        since: The earliest creation of a run that counts.
        until: When it was read.
        attempts: Every completed attempt that is known, green ones too, in the order in which they ended.
        failures: The failed attempts, in the same order.
        failed_in_all: Failed attempts that there are; more than ``failures`` where a limit was given.
    """

    repository: str
    since: datetime
    until: datetime
    attempts: tuple[WorkflowRun, ...]
    failures: tuple[FailureFacts, ...]
    failed_in_all: int
