"""Which run took another's place on its branch."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.newer_run import newer_run
from tests.runbook.decisions.test_reconcile import run


@pytest.mark.parametrize(
    ("changes", "takes_its_place"),
    [
        ({}, True),
        ({"conclusion": "success"}, True),
        ({"status": "queued", "conclusion": None}, True),
        ({"minutes": 11}, False),
        ({"conclusion": "cancelled"}, False),
        ({"conclusion": "skipped"}, False),
        ({"head_branch": "topic"}, False),
        ({"path": ".github/workflows/other.yml"}, False),
        ({"event": "pull_request"}, False),
        ({"from_fork": True}, False),
    ],
)
def test_the_next_run_of_workflow_branch_and_event_takes_a_runs_place(
    changes: dict[str, Any], takes_its_place: bool
) -> None:
    other = run(9, **{"minutes": 5, **changes})
    assert (newer_run(run(7), [run(7), other]) == other) is takes_its_place


@pytest.mark.parametrize("event", ["workflow_dispatch", "workflow_run", "repository_dispatch"])
def test_what_was_started_with_inputs_of_its_own_is_followed_by_nothing(event: str) -> None:
    assert newer_run(run(7, event=event), [run(9, event=event, minutes=5)]) is None


def test_a_tag_or_branch_that_nobody_knows_is_followed_by_nothing() -> None:
    assert newer_run(run(7, head_branch=None), [run(9, head_branch=None, minutes=5)]) is None


@pytest.mark.parametrize(("actor", "takes_its_place"), [("dave", True), ("mallory", False)])
def test_branches_of_different_forks_may_be_called_alike(actor: str, takes_its_place: bool) -> None:
    of_dave = run(7, event="pull_request", from_fork=True)
    other = run(9, event="pull_request", from_fork=True, actor=actor, minutes=5)
    assert (newer_run(of_dave, [other]) is not None) is takes_its_place


@given(st.lists(st.floats(min_value=0, max_value=600), max_size=6), st.randoms())
def test_of_several_the_newest_counts_in_whatever_order_they_are_listed(
    ages: list[float], random: Any
) -> None:
    runs = [run(number, minutes=age) for number, age in enumerate(ages, start=8)]
    random.shuffle(runs)
    newest = max(runs, key=lambda one: (one.created_at, one.id), default=None)
    found = newer_run(run(7, minutes=300), runs)
    assert found == (
        newest if newest is not None and newest.created_at >= run(7, minutes=300).created_at else None
    )
