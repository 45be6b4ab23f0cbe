"""Which steps of the runbook the product executes: ``coverage.tsv``, read and told.

A step is *done* once a story test ran it: the test carries ``@pytest.mark.executes("IR-01", ...)``, the row
names that test and the function that does the step, and tests/runbook/test_coverage.py holds them together.
"""

from collections.abc import Collection
from enum import StrEnum
from functools import cache
from importlib import resources

from runbook.models import Frozen

COLUMNS = ("id", "section", "status", "step", "test", "what")


class StepStatus(StrEnum):
    """Whether the product executes a step of the runbook."""

    DONE = "done"
    NOT_YET = "not_yet"
    REFUSED = "refused"


class RunbookStep(Frozen):
    """One step of the runbook.

    Args:
        id: The step's id: IR-01.
        section: The runbook's section.
        status: Whether it is executed.
        step: Where it is done, as ``module:function``; before that, the procedure that will do it and how;
            for a refused one, the reason.
        test: Node id of the story test that ran it; empty unless done.
        what: What the product does about it.
    """

    id: str
    section: str
    status: StepStatus
    step: str
    test: str
    what: str


@cache
def load_steps() -> tuple[RunbookStep, ...]:
    """Return every step of the runbook, in its order."""
    text = resources.files("runbook").joinpath("coverage.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines()[1:])
    return tuple(RunbookStep.model_validate(dict(zip(COLUMNS, row, strict=True))) for row in rows)


def coverage(statuses: Collection[StepStatus] = tuple(StepStatus)) -> list[dict[str, str]]:
    """Return what ``runbook coverage --json`` prints: id, status, step and test of each step.

    Args:
        statuses: Only steps of these statuses; all by default.
    """
    return [
        {"id": step.id, "status": step.status.value, "step": step.step, "test": step.test}
        for step in load_steps()
        if step.status in statuses
    ]
