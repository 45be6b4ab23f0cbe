"""Was triage right? Judged by what happened later: pure functions of the history.

What happened later is a weak witness. "Passed when run again" is also true of a failure that somebody repaired
outside the repository in between, and of about a third of those that were no flakiness at all (arXiv 2507.04173).
So only what contradicts a statement counts against it, and what proves nothing is *unproven*, not right.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from runbook.decisions.newer_run import branch_of
from runbook.failed_run import GREEN
from runbook.models import Frozen, WorkflowRun
from runbook.policy import Remedy
from runbook.triage.classes import FailureClass


class Aftermath(StrEnum):
    """What became of a failed attempt."""

    SAME_COMMIT_GREEN = "same_commit_green"
    SAME_COMMIT_RED = "same_commit_red"
    NEXT_COMMIT_GREEN = "next_commit_green"
    STAYED_RED = "stayed_red"
    NEVER_RUN_AGAIN = "never_run_again"


class Outcome(Frozen):
    """What happened after a failed attempt.

    Args:
        aftermath: The first thing that tells something.
        rerun_red: Whether the same commit was run again and failed again, whatever came then.
        green_at: When the workflow was green again there, by whatever means; None where it never was.
    """

    aftermath: Aftermath
    rerun_red: bool
    green_at: datetime | None


class Verdict(StrEnum):
    """What the past says about a statement of triage."""

    RIGHT = "right"
    WRONG = "wrong"
    UNPROVEN = "unproven"


class Judgement(Frozen):
    """A verdict with its reason, which continues "because"."""

    verdict: Verdict
    reason: str


IN_THE_COMMIT = frozenset(
    {
        FailureClass.TEST_FAILURE,
        FailureClass.BUILD_FAILURE,
        FailureClass.LINT_OR_FORMAT,
        FailureClass.WORKFLOW_CONFIGURATION,
    }
)
"""Classes that say that the commit itself is at fault: it must fail again."""

OUTSIDE_THE_COMMIT = frozenset({FailureClass.FLAKY_TEST, FailureClass.INFRASTRUCTURE})
"""Classes that say that the commit is not at fault: no commit repairs it."""


class Past:
    """Completed attempts, findable by what they ran.

    Args:
        attempts: All that are known.
    """

    def __init__(self, attempts: Iterable[WorkflowRun]) -> None:
        self._of_line: dict[tuple[object, ...], list[WorkflowRun]] = defaultdict(list)
        for attempt in sorted(attempts, key=ended):
            self._of_line[_line(attempt)].append(attempt)

    def after(self, failed: WorkflowRun) -> list[WorkflowRun]:
        """Return what the same workflow did on the same branch after an attempt, oldest first.

        Of a run that began before the failed one, only re-runs count: a push that was overtaken on its way says
        nothing about a later one.
        """
        line = self._of_line[_line(failed)]
        later = line[bisect_right(line, ended(failed), key=ended) :]
        return [
            other
            for other in later
            if (other.id == failed.id and other.run_attempt > failed.run_attempt)
            or (other.id != failed.id and other.created_at >= failed.created_at)
        ]


def ended(attempt: WorkflowRun) -> tuple[datetime, int, int]:
    """Order attempts by their end; those that end together by number."""
    return attempt.updated_at, attempt.id, attempt.run_attempt


def _line(attempt: WorkflowRun) -> tuple[object, ...]:
    # A run of no branch is followed by those of its commit.
    return attempt.workflow_id, branch_of(attempt), "" if attempt.head_branch else attempt.head_sha


def outcome_of(failed: WorkflowRun, past: Past) -> Outcome:
    """Say what became of a failed attempt.

    Args:
        failed: The attempt.
        past: Everything that is known.
    """
    # Runs that were cancelled or skipped tell nothing about the commit.
    later = [one for one in past.after(failed) if one.conclusion in ("success", "failure", "timed_out")]
    green = next((one for one in later if one.conclusion in GREEN), None)
    same = [one for one in later if one.head_sha == failed.head_sha]
    same_green = next((one for one in same if one.conclusion in GREEN), None)
    rerun_red = bool(same) and same[0].conclusion not in GREEN
    if same_green is not None:
        aftermath = Aftermath.SAME_COMMIT_GREEN
    elif green is not None:
        aftermath = Aftermath.NEXT_COMMIT_GREEN
    elif same:
        aftermath = Aftermath.SAME_COMMIT_RED
    else:
        aftermath = Aftermath.STAYED_RED if later else Aftermath.NEVER_RUN_AGAIN
    return Outcome(
        aftermath=aftermath, rerun_red=rerun_red, green_at=None if green is None else green.updated_at
    )


def judge_class(failure_class: FailureClass, outcome: Outcome) -> Judgement:
    """Judge the class that triage would have announced.

    Args:
        failure_class: The class.
        outcome: What happened later.
    """
    if failure_class in IN_THE_COMMIT:
        if outcome.aftermath is Aftermath.SAME_COMMIT_GREEN:
            return _wrong("the same commit passed later, so it was not at fault")
        if outcome.aftermath is Aftermath.NEXT_COMMIT_GREEN:
            return _right("another commit repaired it")
        if outcome.rerun_red:
            return _right("the same commit failed again")
    if failure_class in OUTSIDE_THE_COMMIT:
        if outcome.aftermath is Aftermath.SAME_COMMIT_GREEN:
            return _right("the same commit passed later")
        if outcome.rerun_red and outcome.aftermath is Aftermath.NEXT_COMMIT_GREEN:
            return _wrong("the same commit failed again, and another one repaired it")
    return _unproven(_WHY_UNPROVEN[outcome.aftermath])


def judge_remedy(remedies: tuple[Remedy, ...], outcome: Outcome) -> Judgement:
    """Judge a proposed remedy by what a re-run of the same commit did.

    Args:
        remedies: What would have been proposed, in order; not empty.
        outcome: What happened later.
    """
    if Remedy.RERUN_FAILED_JOBS not in remedies:
        return _unproven("it runs nothing again that could be compared")
    if outcome.rerun_red and Remedy.CLEAR_IMPLICATED_CACHES not in remedies:
        return _wrong("the same commit was run again, and failed again")
    if outcome.aftermath is Aftermath.SAME_COMMIT_GREEN:
        return _right("the same commit passed when it was run again")
    if outcome.rerun_red:
        return _unproven("the re-run failed again, but with the caches that would have been cleared")
    return _unproven(_WHY_UNPROVEN[outcome.aftermath])


_WHY_UNPROVEN = {
    Aftermath.SAME_COMMIT_GREEN: "the same commit passed later, which this does not contradict",
    Aftermath.SAME_COMMIT_RED: "the same commit failed again, which this does not contradict",
    Aftermath.NEXT_COMMIT_GREEN: "nobody ran the same commit to a green end, and the next green was another commit's",
    Aftermath.STAYED_RED: "it was not green again in the time that was looked at",
    Aftermath.NEVER_RUN_AGAIN: "the workflow did not run again there",
}


def _right(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.RIGHT, reason=reason)


def _wrong(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.WRONG, reason=reason)


def _unproven(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.UNPROVEN, reason=reason)
