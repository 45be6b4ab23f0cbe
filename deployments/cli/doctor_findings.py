"""What ``runbook doctor`` found, one finding a check."""

from collections.abc import Callable, Iterator
from enum import StrEnum

from runbook.errors import RunbookError
from runbook.models import Frozen


class Health(StrEnum):
    """How a check ended."""

    GOOD = "good"
    WARNING = "warning"
    """It works, but not as well as it could."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be looked at, because something before it failed."""


class Finding(Frozen):
    """One check's result.

    Args:
        check: What was looked at.
        health: How it ended.
        detail: What was seen.
        fix: What to do about it.
    """

    check: str
    health: Health
    detail: str
    fix: str = ""


Findings = Iterator[Finding]


def good(check: str, detail: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, health=Health.GOOD, detail=detail)


def warning(check: str, detail: str, *, fix: str) -> Finding:
    """Return that something could be better."""
    return Finding(check=check, health=Health.WARNING, detail=detail, fix=fix)


def failed(check: str, detail: str, *, fix: str) -> Finding:
    """Return that something does not work."""
    return Finding(check=check, health=Health.FAILED, detail=detail, fix=fix)


def skipped(check: str, detail: str) -> Finding:
    """Return that a check was not made."""
    return Finding(check=check, health=Health.SKIPPED, detail=detail)


def attempt(check: str, look: Callable[[], Finding], *, fix: str = "") -> Finding:
    """Return what ``look`` finds; an expected error of the product is a failed check.

    Args:
        check: What is looked at.
        look: Looks.
        fix: What to do; the error's own advice where it is empty.
    """
    try:
        return look()
    except RunbookError as error:
        return failed(check, error.message, fix=fix or error.next_step)
