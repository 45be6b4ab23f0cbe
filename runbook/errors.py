"""The product's own errors, by what a caller may do about them.

Every text says what failed and on what; ``next_step`` says what a person can do; ``unchanged`` says what was
not touched. A vendor's error is wrapped once, at the client, and chained as the cause.
"""

from runbook.scrub import scrub


class RunbookError(Exception):
    """Base of all expected failures.

    Args:
        message: What failed, on what.
        next_step: What a person can do about it, as one sentence.
        unchanged: What was left as it was, as one sentence; empty where that goes without saying.
    """

    exit_code = 1

    def __init__(self, message: str, *, next_step: str = "", unchanged: str = "") -> None:
        # Prefect keeps and shows the text of whatever ends a run, without asking us (R8).
        self.message = scrub(message)
        super().__init__(self.message)
        self.next_step = scrub(next_step)
        self.unchanged = unchanged

    def __str__(self) -> str:
        parts = [self.message, self.unchanged, f"Next: {self.next_step}" if self.next_step else ""]
        return " ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments survive pickling between processes
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(kind: type[RunbookError], state: dict[str, object]) -> RunbookError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state.get("message", ""),)
    return error


class Transient(RunbookError):
    """Nothing was changed and the same call may succeed later.

    Args:
        retry_after_seconds: How long the other side asked us to wait; None where it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        next_step: str = "",
        unchanged: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, next_step=next_step, unchanged=unchanged)
        self.retry_after_seconds = retry_after_seconds


class Permanent(RunbookError):
    """Nothing was changed and repeating the same call cannot help."""


class NotFound(Permanent):
    """The thing named does not exist (or this credential may not know that it does)."""


class Gone(NotFound):
    """The thing existed and was removed: an expired log or artifact (HTTP 410)."""


class Conflict(Permanent):
    """The outside world is not in the state that the call needs (HTTP 409, 412, 422)."""


class Denied(RunbookError):
    """The credential lacks a permission, or a person lacks an entitlement."""

    exit_code = 5


class Ambiguous(RunbookError):
    """A write was sent and nobody knows whether it took effect: only a probe can settle it."""


class NeedsPerson(RunbookError):
    """The product cannot go on by itself; what it did so far stands in the journal."""

    exit_code = 4


class UsageError(RunbookError):
    """What was asked for makes no sense: an unknown name, a contradiction in a request."""

    exit_code = 2


class PolicyError(UsageError):
    """The policy cannot be used: unreadable, unknown key, wrong type, contradiction."""


class LedgerError(RunbookError):
    """The ledger cannot be used: locked, read-only, of another schema version."""
