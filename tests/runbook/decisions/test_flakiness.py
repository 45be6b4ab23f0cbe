"""Whether a failed test depends on luck, as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.flakiness import Flakiness, FlakinessFacts, decide_flakiness
from runbook.triage.classes import FailureClass as Class

RETRY = {"passed_on_retry": True}
COMMIT = {"passed_on_commit": True}
AGAIN = {"failed_again": True}
OTHERS = {"others_failed": True}


@pytest.mark.parametrize(
    ("facts", "known", "confidence"),
    [
        ({}, Flakiness.NO_SIGN, 0.0),
        (RETRY, Flakiness.SUSPECTED, 0.0),
        (COMMIT, Flakiness.SUSPECTED, 0.0),
        (RETRY | {"came_and_went": 1}, Flakiness.FLAKY, 0.8),
        (COMMIT | {"came_and_went": 1}, Flakiness.FLAKY, 0.8),
        (RETRY | {"came_and_went": 2}, Flakiness.FLAKY, 0.9),
        (RETRY | {"came_and_went": 5} | OTHERS, Flakiness.SUSPECTED, 0.0),
        (RETRY | AGAIN | {"came_and_went": 1}, Flakiness.FLAKY, 0.8),
        (AGAIN, Flakiness.CONSISTENT, 0.0),
        (AGAIN | {"came_and_went": 3}, Flakiness.CONSISTENT, 0.0),
        ({"came_and_went": 1}, Flakiness.NO_SIGN, 0.0),
        ({"came_and_went": 2}, Flakiness.SUSPECTED, 0.0),
    ],
)
def test_a_test_is_flaky_only_where_it_came_and_went_on_unchanged_commits(
    facts: dict[str, bool | int], known: Flakiness, confidence: float
) -> None:
    decided = decide_flakiness(FlakinessFacts.model_validate({"failure_class": Class.TEST_FAILURE, **facts}))
    assert (decided.flakiness, decided.confidence) == (known, confidence)
    assert bool(decided.explanation) == (known is not Flakiness.NO_SIGN)


FACTS = st.builds(
    FlakinessFacts,
    failure_class=st.sampled_from(Class),
    passed_on_retry=st.booleans(),
    passed_on_commit=st.booleans(),
    failed_again=st.booleans(),
    came_and_went=st.integers(0, 5),
    others_failed=st.booleans(),
)


@given(facts=FACTS)
def test_without_history_and_a_pass_on_the_same_commit_nothing_is_called_flaky(facts: FlakinessFacts) -> None:
    if decide_flakiness(facts).flakiness is Flakiness.FLAKY:
        assert facts.came_and_went
        assert facts.passed_on_retry or facts.passed_on_commit
        assert facts.failure_class in (Class.TEST_FAILURE, Class.FLAKY_TEST)
        assert not facts.others_failed
