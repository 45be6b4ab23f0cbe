"""Which remedy is proposed, and the caps that hold it back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.cache_selection import CacheSelection, ChosenCache
from runbook.decisions.remedy import NoRemedy, RemedyFacts, decide_remedy, remedy_effects
from runbook.effects.actions_caches import DeleteCacheEntries
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.models import ActionsCache, WorkflowRun
from runbook.policy import Caps, Remedy
from runbook.triage.classes import FailureClass

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CLEAR, RERUN, WAIT = (
    Remedy.CLEAR_IMPLICATED_CACHES,
    Remedy.RERUN_FAILED_JOBS,
    Remedy.WAIT_FOR_RATE_LIMIT_RESET,
)
CAPS = Caps(reruns_per_run=3, reruns_per_target_per_day=10, cache_deletions_per_plan=2)
RUN = WorkflowRun(
    repository="acme/voice-agent",
    id=42,
    run_attempt=2,
    name="CI Test",
    display_title="t",
    path=".github/workflows/ci-test.yml",
    workflow_id=7,
    event="push",
    status="completed",
    conclusion="failure",
    head_branch="main",
    head_sha="a" * 40,
    actor="dave",
    triggering_actor="dave",
    html_url="https://github.test/42",
    created_at=AT,
    run_started_at=AT,
    updated_at=AT,
    pull_requests=(),
)


def caches(count: int) -> CacheSelection:
    """Return so many chosen caches, each of its own key."""
    chosen = tuple(
        ChosenCache(
            cache=ActionsCache(
                id=number,
                key=f"pip-{number}",
                ref="refs/heads/main",
                version="v",
                size_in_bytes=1,
                created_at=AT,
                last_accessed_at=AT,
            ),
            why="w",
        )
        for number in range(1, count + 1)
    )
    return CacheSelection(chosen=chosen, staying=())


def facts(**changes: Any) -> RemedyFacts:
    """Return the facts of a run whose cache was corrupt."""
    fields: dict[str, Any] = {
        "run": RUN,
        "failure_class": FailureClass.CACHE_CORRUPTION,
        "cache_keys": ("pip-1",),
        "caches": caches(1),
        "reruns_of_run": 0,
        "reruns_today": 0,
    }
    return RemedyFacts(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "proposed", "remedies", "reason"),
    [
        ({}, (CLEAR, RERUN), (CLEAR, RERUN), None),
        ({}, (RERUN,), (RERUN,), None),
        ({}, (CLEAR,), (CLEAR,), None),
        ({}, (), (), NoRemedy.NOT_IN_POLICY),
        # Somebody deleted the corrupt cache meanwhile: running again is all that is left to do.
        ({"caches": caches(0)}, (CLEAR, RERUN), (RERUN,), None),
        ({"caches": caches(0)}, (CLEAR,), (), NoRemedy.NO_CACHE_FOUND),
        ({"caches": caches(0), "cache_keys": ()}, (CLEAR, RERUN), (), NoRemedy.NO_CACHE_NAMED),
        ({"caches": caches(2)}, (CLEAR, RERUN), (CLEAR, RERUN), None),
        ({"caches": caches(3)}, (CLEAR, RERUN), (), NoRemedy.TOO_MANY_DELETIONS),
        ({"caches": caches(3)}, (RERUN,), (RERUN,), None),
        ({"reruns_of_run": 2}, (CLEAR, RERUN), (CLEAR, RERUN), None),
        ({"reruns_of_run": 3}, (CLEAR, RERUN), (), NoRemedy.TOO_MANY_RERUNS),
        ({"reruns_of_run": 3}, (CLEAR,), (CLEAR,), None),
        ({"reruns_today": 9}, (RERUN,), (RERUN,), None),
        ({"reruns_today": 10}, (RERUN,), (), NoRemedy.TOO_MANY_RERUNS_TODAY),
        (
            {"failure_class": FailureClass.FLAKY_TEST, "caches": caches(0)},
            (CLEAR, RERUN),
            (RERUN,),
            None,
        ),
        (
            {"failure_class": FailureClass.FLAKY_TEST, "caches": caches(0)},
            (CLEAR,),
            (),
            NoRemedy.NO_CACHE_FOUND,
        ),
        ({"failure_class": FailureClass.RATE_LIMIT}, (WAIT, RERUN), (RERUN,), None),
        ({"failure_class": FailureClass.RATE_LIMIT, "limit_ends_at": AT}, (WAIT, RERUN), (WAIT, RERUN), None),
        ({"failure_class": FailureClass.RATE_LIMIT, "limit_ends_at": AT}, (WAIT,), (), NoRemedy.ONLY_WAITING),
        ({"failure_class": FailureClass.RATE_LIMIT}, (WAIT,), (), NoRemedy.ONLY_WAITING),
    ],
)
def test_a_remedy_is_proposed_within_policy_and_caps(
    changes: dict[str, Any],
    proposed: tuple[Remedy, ...],
    remedies: tuple[Remedy, ...],
    reason: NoRemedy | None,
) -> None:
    decision = decide_remedy(facts(**changes), proposed=proposed, caps=CAPS)
    assert decision.remedies == remedies
    if reason is not None:
        assert decision.reason == reason.value


def test_the_scorecard_names_the_combination() -> None:
    decision = decide_remedy(facts(), proposed=(CLEAR, RERUN), caps=CAPS)
    assert decision.name == "clear_implicated_caches+rerun_failed_jobs"


def test_effects_come_in_the_policys_order_and_name_the_failed_attempt() -> None:
    known = facts(caches=caches(2))
    decision = decide_remedy(known, proposed=(CLEAR, RERUN), caps=CAPS)
    first, second, last = remedy_effects(known, decision)
    assert isinstance(first, DeleteCacheEntries)
    assert isinstance(second, DeleteCacheEntries)
    assert (first.cache_ids, second.cache_ids) == ((1,), (2,))
    assert last == RerunFailedJobs(
        repository="acme/voice-agent", run_id=42, failed_attempt=2, workflow_file="ci-test.yml"
    )


@given(
    st.sampled_from(list(FailureClass)),
    st.integers(0, 4),
    st.integers(0, 5),
    st.integers(0, 12),
    st.lists(st.sampled_from([CLEAR, RERUN, WAIT]), unique=True),
)
def test_no_proposal_breaks_a_cap_and_no_refusal_is_without_its_reason(
    failure_class: FailureClass, found: int, of_run: int, today: int, proposed: list[Remedy]
) -> None:
    known = facts(failure_class=failure_class, caches=caches(found), reruns_of_run=of_run, reruns_today=today)
    decision = decide_remedy(known, proposed=tuple(proposed), caps=CAPS)
    effects = remedy_effects(known, decision)
    assert set(decision.remedies) <= set(proposed)
    assert bool(effects) == bool(decision.remedies)
    assert sum(isinstance(effect, DeleteCacheEntries) for effect in effects) <= CAPS.cache_deletions_per_plan
    if any(isinstance(effect, RerunFailedJobs) for effect in effects):
        assert of_run < CAPS.reruns_per_run
        assert today < CAPS.reruns_per_target_per_day
    if not decision.remedies:
        assert decision.reason in set(NoRemedy)
