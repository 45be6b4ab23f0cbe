"""Whether a failed test depends on luck. Pure.

That it passed on a re-run is a weak sign: a runner, a network or a service that was down for a minute passes as well.
So a test counts as flaky only where the same failure came and went on an unchanged commit before.
"""

from enum import StrEnum

from pydantic import Field

from runbook.models import Frozen
from runbook.triage.classes import FailureClass

_TESTS = frozenset({FailureClass.TEST_FAILURE, FailureClass.FLAKY_TEST})
_ONCE_BEFORE = 0.8
_OFTEN_BEFORE = 0.9


class Flakiness(StrEnum):
    """What is known of a failed test's luck."""

    FLAKY = "flaky"
    SUSPECTED = "suspected"
    CONSISTENT = "consistent"
    NO_SIGN = "no_sign"
    NOT_A_TEST = "not_a_test"


class FlakinessFacts(Frozen):
    """What the decision rests on.

    Args:
        failure_class: What failed.
        passed_on_retry: Whether a later attempt of the run passed.
        passed_on_commit: Whether another run of the workflow passed on the same commit.
        failed_again: Whether an earlier attempt of the run failed in the same way.
        came_and_went: Earlier incidents of the same failure, of other runs, that ended with the same commit green.
        others_failed: Whether other workflows failed at the same time: then the reason may lie outside.
    """

    failure_class: FailureClass
    passed_on_retry: bool = False
    passed_on_commit: bool = False
    failed_again: bool = False
    came_and_went: int = Field(default=0, ge=0)
    others_failed: bool = False


class FlakinessDecision(Frozen):
    """Whether a test is flaky, how surely, and why, in a sentence; "" where there is nothing to say."""

    flakiness: Flakiness
    confidence: float = Field(default=0.0, ge=0, le=1)
    explanation: str = ""


def decide_flakiness(facts: FlakinessFacts) -> FlakinessDecision:
    """Decide whether a failed test depends on luck.

    Args:
        facts: What is known of it.
    """
    if facts.failure_class not in _TESTS:
        return FlakinessDecision(flakiness=Flakiness.NOT_A_TEST)
    before = f"the same failure went away without a change {_times(facts.came_and_went)} before"
    if facts.passed_on_retry or facts.passed_on_commit:
        return _passed(facts, before)
    if facts.failed_again:
        return FlakinessDecision(
            flakiness=Flakiness.CONSISTENT,
            explanation="The same failure came back when the run was repeated: a re-run is unlikely to help.",
        )
    if facts.came_and_went > 1:
        return FlakinessDecision(
            flakiness=Flakiness.SUSPECTED,
            explanation=f"It may be flaky: {before}; this time nobody has re-run it yet.",
        )
    return FlakinessDecision(flakiness=Flakiness.NO_SIGN)


def _passed(facts: FlakinessFacts, before: str) -> FlakinessDecision:
    passed = (
        "it passed when it was re-run" if facts.passed_on_retry else "another run passed on the same commit"
    )
    if facts.others_failed:
        why = "other workflows failed at the same time, so the reason may have lain outside"
    elif not facts.came_and_went:
        why = "nothing like it is known from before, so it may have been something else"
    else:
        return FlakinessDecision(
            flakiness=Flakiness.FLAKY,
            confidence=_OFTEN_BEFORE if facts.came_and_went > 1 else _ONCE_BEFORE,
            explanation=f"It is flaky: {passed}, and {before}.",
        )
    return FlakinessDecision(
        flakiness=Flakiness.SUSPECTED, explanation=f"It may be flaky: {passed}; but {why}."
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
