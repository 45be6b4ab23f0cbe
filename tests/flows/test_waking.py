"""What a resume in Prefect is taken to be about, where a policy lets it count."""

import pytest

from flows.waking import resumed_since_asked


@pytest.mark.parametrize(
    ("asks_of_plan", "asks", "pauses", "resumed"),
    [
        (0, 0, 0, False),  # the first plan, just shown
        (1, 1, 1, True),
        (2, 2, 2, True),
        (1, 1, 0, False),  # crashed between asking and suspending
        (0, 1, 1, False),  # the first plan was resumed and found void: its successor was never asked about
        (1, 2, 2, True),
    ],
)
def test_a_resume_counts_only_for_the_plan_that_was_asked_about(
    asks_of_plan: int, asks: int, pauses: int, resumed: bool
) -> None:
    assert resumed_since_asked(asks_of_plan=asks_of_plan, asks=asks, pauses=pauses) is resumed
