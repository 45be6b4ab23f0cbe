"""Does a newer run say more? An older commit's re-run is pointless, or harmful, once its branch has moved on."""

from collections.abc import Iterable

from runbook.models import WorkflowRun

_FOLLOW = frozenset({"push", "pull_request", "pull_request_target", "schedule"})
"""Events of which the next run takes the last one's place; what a person dispatched has inputs of its own."""

_TELLS_NOTHING = frozenset({"cancelled", "skipped", "neutral", "stale", "action_required"})


def newer_run(run: WorkflowRun, others: Iterable[WorkflowRun]) -> WorkflowRun | None:
    """Return the newest run that took a run's place: same workflow, branch and event; None where none did.

    Args:
        run: The run.
        others: Runs of the repository, in any order.
    """
    if run.head_branch is None or run.event not in _FOLLOW:
        return None
    newer = [
        other
        for other in others
        if (other.created_at, other.id) > (run.created_at, run.id)
        and _line_of(other) == _line_of(run)
        and other.conclusion not in _TELLS_NOTHING
    ]
    return max(newer, key=lambda other: (other.created_at, other.id), default=None)


def branch_of(run: WorkflowRun) -> tuple[str | None, bool, str]:
    """Name the branch that a run is of; those of forks may be called like ours, and like each other.

    Args:
        run: The run.
    """
    return run.head_branch, run.from_fork, run.actor if run.from_fork else ""


def _line_of(run: WorkflowRun) -> tuple[str, str, tuple[str | None, bool, str]]:
    """Name what runs follow each other in."""
    return run.path, run.event, branch_of(run)
