"""What no webhook announced: which attempts want a triage, which deliveries are asked for again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.reconcile import deliveries_to_resend, unclaimed_attempts, wants_triage, why_resolved
from runbook.models import HookDelivery, WorkflowRun
from runbook.policy import Reconcile, RepositoryPolicy

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=120)
REPOSITORY = RepositoryPolicy(name="acme/app", release_refs=("release/*",))
RULES = Reconcile(delivery_attempts=3, redeliver_after_seconds=60)


def run(run_id: int = 7, *, minutes: float = 10, **changes: Any) -> WorkflowRun:
    """Return a run that ended so many minutes ago."""
    ended = NOW - timedelta(minutes=minutes)
    fields: dict[str, Any] = {
        "repository": "acme/app",
        "id": run_id,
        "run_attempt": 1,
        "name": "CI",
        "display_title": "t",
        "path": ".github/workflows/ci.yml",
        "workflow_id": 1,
        "event": "push",
        "status": "completed",
        "conclusion": "failure",
        "head_branch": "main",
        "head_sha": "a" * 40,
        "actor": "dave",
        "triggering_actor": "dave",
        "html_url": "u",
        "created_at": ended,
        "run_started_at": ended,
        "updated_at": ended,
        "pull_requests": (),
    }
    return WorkflowRun(**{**fields, **changes})


def found(*runs: WorkflowRun, claimed: tuple[tuple[int, int], ...] = ()) -> list[tuple[int, int, bool]]:
    """Return run, attempt and whether it is known to have failed."""
    attempts = unclaimed_attempts(runs, frozenset(claimed), repository=REPOSITORY, since=SINCE)
    return [(one.triage.run_id, one.triage.run_attempt, one.failed) for one in attempts]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"conclusion": "timed_out"}, True),
        ({"conclusion": "startup_failure"}, True),
        ({"conclusion": "success"}, False),
        ({"conclusion": "skipped"}, False),
        ({"conclusion": "cancelled"}, True),
        ({"conclusion": "cancelled", "head_branch": "topic"}, False),
        ({"conclusion": "cancelled", "head_branch": "release/1"}, True),
        (
            {"conclusion": "cancelled", "event": "pull_request", "from_fork": True},
            False,
        ),  # its main, not ours
        ({"conclusion": "cancelled", "event": "workflow_run", "from_fork": True}, False),
        ({"conclusion": "failure", "event": "pull_request", "from_fork": True}, True),
        ({"status": "in_progress", "conclusion": None}, False),
        ({"minutes": 119}, True),
        ({"minutes": 121}, False),
    ],
)
def test_a_failed_attempt_within_the_window_that_nobody_claimed_is_missed(
    changes: dict[str, Any], wanted: bool
) -> None:
    one = run(**changes)
    assert found(one) == ([(7, 1, True)] if wanted else [])
    assert found(one, claimed=((7, 1),)) == []
    assert wants_triage(one, repository=REPOSITORY, since=SINCE) is wanted


def test_an_earlier_attempt_is_looked_at_whatever_became_of_the_run() -> None:
    for changes in ({}, {"conclusion": "success"}, {"status": "queued", "conclusion": None}):
        one = run(run_attempt=3, **changes)
        newest = [] if changes else [(7, 3, True)]
        assert found(one) == [(7, 1, False), (7, 2, False), *newest]
        assert found(one, claimed=((7, 1), (7, 2))) == newest


def test_the_oldest_run_comes_first_and_each_attempt_once() -> None:
    assert found(run(3, minutes=5), run(2, minutes=50), run(3, minutes=5)) == [(2, 1, True), (3, 1, True)]


def test_the_key_is_the_one_that_a_webhook_would_start_it_with() -> None:
    (one,) = unclaimed_attempts([run()], frozenset(), repository=REPOSITORY, since=SINCE)
    assert one.triage.key == "acme/app:7:1"


def delivery(
    number: int, guid: str = "g", *, status: int = 502, event: str = "workflow_run", seconds: float = 600
) -> HookDelivery:
    return HookDelivery(
        id=number,
        guid=guid,
        event=event,
        action="completed",
        delivered_at=NOW - timedelta(seconds=seconds),
        status_code=status,
    )


@pytest.mark.parametrize(
    ("deliveries", "again"),
    [
        ([], []),
        ([delivery(1)], [1]),
        ([delivery(1, status=500)], [1]),
        ([delivery(1, status=401)], [1]),
        ([delivery(1, status=202)], []),
        ([delivery(1), delivery(2, status=202)], []),
        ([delivery(1, status=202), delivery(2)], []),  # it arrived once: enough
        ([delivery(2), delivery(1)], [2]),
        ([delivery(1), delivery(2), delivery(3)], []),  # tried as often as the policy says
        ([delivery(1, seconds=59)], []),
        ([delivery(1), delivery(2, seconds=59)], []),
        ([delivery(1, event="ping")], []),
        ([delivery(1, event="star")], []),
        ([delivery(2, "b"), delivery(1, "a")], [1, 2]),
    ],
)
def test_a_delivery_that_never_arrived_is_asked_for_again(
    deliveries: list[HookDelivery], again: list[int]
) -> None:
    assert [one.id for one in deliveries_to_resend(deliveries, rules=RULES, now=NOW)] == again


@given(
    st.lists(
        st.builds(
            delivery, st.integers(1, 50), st.sampled_from("abc"), status=st.sampled_from((202, 502, 404))
        )
    )
)
def test_what_arrived_is_never_asked_for(deliveries: list[HookDelivery]) -> None:
    arrived = {one.guid for one in deliveries if one.arrived}
    again = deliveries_to_resend(deliveries, rules=RULES, now=NOW)
    assert not arrived & {one.guid for one in again}
    assert len({one.guid for one in again}) == len(again)


@pytest.mark.parametrize(
    ("newest", "newer", "why"),
    [
        (None, None, "was deleted"),
        ({"run_attempt": 2, "conclusion": "success"}, None, "is green at attempt 2"),
        ({"run_attempt": 2, "conclusion": "skipped"}, None, "is green at attempt 2"),
        ({}, {"id": 9, "conclusion": "success"}, "run 9, which took the place of run 7, is green"),
        ({}, None, ""),
        ({"run_attempt": 2, "status": "in_progress", "conclusion": None}, None, ""),
        ({}, {"id": 9, "conclusion": "failure"}, ""),
        ({}, {"id": 9, "status": "in_progress", "conclusion": None}, ""),
    ],
)
def test_a_run_needs_no_more_care_once_it_or_what_took_its_place_is_green(
    newest: dict[str, Any] | None, newer: dict[str, Any] | None, why: str
) -> None:
    said = why_resolved(
        7, None if newest is None else run(**newest), None if newer is None else run(newer.pop("id"), **newer)
    )
    assert why in said
    assert bool(said) is bool(why)
