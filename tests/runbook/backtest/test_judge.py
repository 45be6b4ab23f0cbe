"""What happened later proves something, or proves nothing."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.backtest.judge import Aftermath, Outcome, Past, Verdict, judge_class, judge_remedy, outcome_of
from runbook.models import WorkflowRun
from runbook.policy import Remedy
from runbook.triage.classes import FailureClass

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
RERUN = (Remedy.RERUN_FAILED_JOBS,)
CLEAR_AND_RERUN = (Remedy.CLEAR_IMPLICATED_CACHES, Remedy.RERUN_FAILED_JOBS)


def attempt(
    minute: int,
    conclusion: str,
    *,
    run: int = 1,
    number: int = 1,
    sha: str = "a" * 40,
    created: int | None = None,
    branch: str = "main",
    workflow: int = 7,
    fork: bool = False,
    actor: str = "alice",
) -> WorkflowRun:
    """Return an attempt that ended at a minute after noon."""
    end = NOON + timedelta(minutes=minute)
    began = NOON + timedelta(minutes=minute - 5 if created is None else created)
    return WorkflowRun(
        repository="acme/app",
        id=run,
        run_attempt=number,
        name="CI",
        display_title="",
        path=".github/workflows/ci.yml",
        workflow_id=workflow,
        event="push",
        status="completed",
        conclusion=conclusion,
        head_branch=branch,
        head_sha=sha,
        actor=actor,
        triggering_actor="alice",
        html_url="https://github.com/acme/app/actions/runs/1",
        created_at=began,
        run_started_at=began,
        updated_at=end,
        pull_requests=(),
        from_fork=fork,
    )


FAILED = attempt(0, "failure")
OTHER = "b" * 40


@pytest.mark.parametrize(
    ("later", "aftermath", "rerun_red"),
    [
        ([], Aftermath.NEVER_RUN_AGAIN, False),
        ([attempt(9, "success", number=2)], Aftermath.SAME_COMMIT_GREEN, False),
        ([attempt(9, "success", run=2)], Aftermath.SAME_COMMIT_GREEN, False),
        (
            [attempt(9, "failure", number=2), attempt(18, "success", number=3)],
            Aftermath.SAME_COMMIT_GREEN,
            True,
        ),
        ([attempt(9, "failure", number=2)], Aftermath.SAME_COMMIT_RED, True),
        ([attempt(9, "success", run=2, sha=OTHER)], Aftermath.NEXT_COMMIT_GREEN, False),
        (
            [attempt(9, "failure", number=2), attempt(20, "success", run=2, sha=OTHER)],
            Aftermath.NEXT_COMMIT_GREEN,
            True,
        ),
        ([attempt(9, "failure", run=2, sha=OTHER)], Aftermath.STAYED_RED, False),
        # Another branch, another workflow and a fork's branch of the same name say nothing.
        ([attempt(9, "success", run=2, branch="topic")], Aftermath.NEVER_RUN_AGAIN, False),
        ([attempt(9, "success", run=2, workflow=8)], Aftermath.NEVER_RUN_AGAIN, False),
        ([attempt(9, "success", run=2, fork=True)], Aftermath.NEVER_RUN_AGAIN, False),
        # Nor does what was cancelled, or what began before and ended later.
        ([attempt(9, "cancelled", number=2)], Aftermath.NEVER_RUN_AGAIN, False),
        ([attempt(9, "success", run=2, sha=OTHER, created=-30)], Aftermath.NEVER_RUN_AGAIN, False),
    ],
)
def test_the_aftermath_is_what_ran_next_on_the_same_branch(
    later: list[WorkflowRun], aftermath: Aftermath, rerun_red: bool
) -> None:
    found = outcome_of(FAILED, Past([FAILED, *later]))
    assert (found.aftermath, found.rerun_red) == (aftermath, rerun_red)


@pytest.mark.parametrize(
    ("other", "aftermath"),
    [
        ({"fork": True, "actor": "bob"}, Aftermath.NEVER_RUN_AGAIN),
        ({"fork": True, "actor": "alice"}, Aftermath.NEXT_COMMIT_GREEN),
        ({"fork": False, "actor": "alice"}, Aftermath.NEVER_RUN_AGAIN),
    ],
)
def test_what_became_of_one_forks_branch_is_not_told_by_anothers(
    other: dict[str, Any], aftermath: Aftermath
) -> None:
    """Most people work on the main of their fork."""
    failed = attempt(0, "failure", fork=True, actor="alice")
    later = attempt(9, "success", run=2, sha=OTHER, **other)
    assert outcome_of(failed, Past([failed, later])).aftermath is aftermath


def test_on_our_own_branches_it_is_all_the_same_who_mended_it() -> None:
    later = attempt(9, "success", run=2, sha=OTHER, actor="bob")
    assert outcome_of(FAILED, Past([FAILED, later])).aftermath is Aftermath.NEXT_COMMIT_GREEN


def _outcome(aftermath: Aftermath, *, rerun_red: bool = False) -> Outcome:
    return Outcome(aftermath=aftermath, rerun_red=rerun_red, green_at=None)


@pytest.mark.parametrize(
    ("failure_class", "outcome", "verdict"),
    [
        (FailureClass.TEST_FAILURE, _outcome(Aftermath.SAME_COMMIT_GREEN), Verdict.WRONG),
        (FailureClass.TEST_FAILURE, _outcome(Aftermath.NEXT_COMMIT_GREEN), Verdict.RIGHT),
        (FailureClass.BUILD_FAILURE, _outcome(Aftermath.SAME_COMMIT_RED, rerun_red=True), Verdict.RIGHT),
        (FailureClass.LINT_OR_FORMAT, _outcome(Aftermath.NEVER_RUN_AGAIN), Verdict.UNPROVEN),
        (FailureClass.FLAKY_TEST, _outcome(Aftermath.SAME_COMMIT_GREEN), Verdict.RIGHT),
        (FailureClass.FLAKY_TEST, _outcome(Aftermath.NEXT_COMMIT_GREEN, rerun_red=True), Verdict.WRONG),
        (FailureClass.INFRASTRUCTURE, _outcome(Aftermath.NEXT_COMMIT_GREEN), Verdict.UNPROVEN),
        # A limit may still hold at the re-run, a permission may be given meanwhile.
        (FailureClass.RATE_LIMIT, _outcome(Aftermath.NEXT_COMMIT_GREEN, rerun_red=True), Verdict.UNPROVEN),
        (FailureClass.PERMISSION, _outcome(Aftermath.SAME_COMMIT_GREEN), Verdict.UNPROVEN),
        (FailureClass.UNKNOWN, _outcome(Aftermath.SAME_COMMIT_GREEN), Verdict.UNPROVEN),
    ],
)
def test_only_what_contradicts_a_class_counts_against_it(
    failure_class: FailureClass, outcome: Outcome, verdict: Verdict
) -> None:
    assert judge_class(failure_class, outcome).verdict is verdict


@pytest.mark.parametrize(
    ("remedies", "outcome", "verdict"),
    [
        (RERUN, _outcome(Aftermath.SAME_COMMIT_GREEN), Verdict.RIGHT),
        (RERUN, _outcome(Aftermath.SAME_COMMIT_GREEN, rerun_red=True), Verdict.WRONG),
        (RERUN, _outcome(Aftermath.NEXT_COMMIT_GREEN), Verdict.UNPROVEN),
        (CLEAR_AND_RERUN, _outcome(Aftermath.SAME_COMMIT_RED, rerun_red=True), Verdict.UNPROVEN),
        (CLEAR_AND_RERUN, _outcome(Aftermath.SAME_COMMIT_GREEN), Verdict.RIGHT),
        ((Remedy.CLEAR_IMPLICATED_CACHES,), _outcome(Aftermath.SAME_COMMIT_GREEN), Verdict.UNPROVEN),
    ],
)
def test_a_remedy_is_judged_by_the_first_re_run_of_the_same_commit(
    remedies: tuple[Remedy, ...], outcome: Outcome, verdict: Verdict
) -> None:
    assert judge_remedy(remedies, outcome).verdict is verdict


@given(
    ends=st.lists(
        st.tuples(
            st.integers(-60, 60),
            st.sampled_from(["success", "failure", "cancelled", "timed_out", "skipped"]),
            st.sampled_from(["a" * 40, OTHER]),
        ),
        max_size=8,
    ),
    seed=st.randoms(use_true_random=False),
)
def test_the_order_in_which_attempts_are_known_changes_nothing(
    ends: list[tuple[int, str, str]], seed: random.Random
) -> None:
    others = [
        attempt(minute, conclusion, run=number, sha=sha)
        for number, (minute, conclusion, sha) in enumerate(ends, start=2)
    ]
    shuffled = [FAILED, *others]
    seed.shuffle(shuffled)
    found = outcome_of(FAILED, Past(shuffled))
    assert found == outcome_of(FAILED, Past([FAILED, *others]))
    assert (found.green_at is not None) == (
        found.aftermath in (Aftermath.SAME_COMMIT_GREEN, Aftermath.NEXT_COMMIT_GREEN)
    )
    assert found.green_at is None or found.green_at >= FAILED.updated_at
