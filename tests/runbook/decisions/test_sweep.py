"""R4 as a table: what becomes of an open execution, by its run's state."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.sweep import RunState, SweepAction, SweepDecision, SweepFacts, SweepRules, decide_sweep

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RULES = SweepRules(grace_seconds=30, silent_seconds=600, max_revivals=5)
DEAD = {"process_dead": True}
EXPIRED = {"plan_expires_at": NOW}
NOT_YET = {"plan_expires_at": NOW + timedelta(seconds=1)}


def ago(seconds: float) -> datetime:
    """Return the time so many seconds before now."""
    return NOW - timedelta(seconds=seconds)


def decide(run: RunState, **changes: Any) -> SweepDecision:
    """Decide about a run that entered its state an hour ago and was alive just now."""
    fields: dict[str, Any] = {
        "run_state_since": ago(3600),
        "process_dead": False,
        "heartbeat_at": ago(1),
        "revivals": 0,
        "plan_expires_at": None,
    }
    return decide_sweep(SweepFacts(run=run, **{**fields, **changes}), rules=RULES, now=NOW)


@pytest.mark.parametrize(
    ("run", "changes", "action"),
    [
        (RunState.SCHEDULED, {}, SweepAction.LEAVE),
        (RunState.PENDING, {**DEAD, "run_state_since": ago(599)}, SweepAction.LEAVE),
        (RunState.PENDING, {**DEAD, "run_state_since": ago(600)}, SweepAction.REVIVE),
        (RunState.PAUSED, {}, SweepAction.LEAVE),
        (RunState.PAUSED, DEAD, SweepAction.RESUME),
        (RunState.PAUSED, {"heartbeat_at": ago(600)}, SweepAction.RESUME),
        (RunState.PAUSED, {**DEAD, **NOT_YET}, SweepAction.LEAVE),
        (RunState.PAUSED, NOT_YET, SweepAction.LEAVE),
        (RunState.PAUSED, EXPIRED, SweepAction.RESUME),
        (RunState.CANCELLED, {}, SweepAction.CANCEL),
        (RunState.MISSING, {}, SweepAction.CANCEL),
        (RunState.COMPLETED, {}, SweepAction.CANCEL),
        (RunState.CRASHED, {}, SweepAction.REVIVE),
        (RunState.FAILED, {}, SweepAction.REVIVE),
        (RunState.FAILED, NOT_YET, SweepAction.REVIVE),
        (RunState.CRASHED, EXPIRED, SweepAction.EXPIRE),
        (RunState.FAILED, EXPIRED, SweepAction.EXPIRE),
        (RunState.RUNNING, {}, SweepAction.LEAVE),
        (RunState.RUNNING, EXPIRED, SweepAction.LEAVE),
        (RunState.RUNNING, {"heartbeat_at": ago(599)}, SweepAction.LEAVE),
        (RunState.RUNNING, {"heartbeat_at": ago(630)}, SweepAction.REVIVE),
        (RunState.RUNNING, {**DEAD, "heartbeat_at": ago(30)}, SweepAction.REVIVE),
        (RunState.CANCELLING, {}, SweepAction.LEAVE),
        (RunState.CANCELLING, DEAD, SweepAction.CANCEL),
        (RunState.CANCELLING, {"heartbeat_at": ago(600)}, SweepAction.CANCEL),
    ],
)
def test_an_execution_is_swept_by_its_runs_state(
    run: RunState, changes: dict[str, Any], action: SweepAction
) -> None:
    assert decide(run, **changes).action is action


@pytest.mark.parametrize("run", list(RunState))
def test_every_state_of_a_run_is_decided_with_a_reason(run: RunState) -> None:
    assert decide(run).reason


@pytest.mark.parametrize(("revivals", "after_seconds"), [(0, 30), (1, 60), (2, 120), (3, 240), (4, 480)])
@pytest.mark.parametrize("run", [RunState.CRASHED, RunState.FAILED])
def test_each_revival_waits_twice_as_long_as_the_one_before(
    run: RunState, revivals: int, after_seconds: float
) -> None:
    early = decide(run, revivals=revivals, run_state_since=ago(after_seconds - 0.001))
    due = decide(run, revivals=revivals, run_state_since=ago(after_seconds))
    assert (early.action, due.action) == (SweepAction.LEAVE, SweepAction.REVIVE)


@pytest.mark.parametrize("run", [RunState.CRASHED, RunState.RUNNING])
@pytest.mark.parametrize("since_seconds", [0, 3600])
def test_what_was_revived_often_enough_is_given_up_without_another_wait(
    run: RunState, since_seconds: float
) -> None:
    decision = decide(
        run,
        process_dead=True,
        revivals=RULES.max_revivals,
        run_state_since=ago(since_seconds),
        heartbeat_at=ago(since_seconds),
    )
    assert decision.action is SweepAction.GIVE_UP
    assert str(RULES.max_revivals) in decision.reason


def test_a_dead_process_whose_run_says_running_gets_grace_from_its_last_sign_of_life() -> None:
    """The worker's late Crashed report would overwrite a revival."""
    for signs in (
        {"heartbeat_at": ago(5), "run_state_since": ago(900)},
        {"heartbeat_at": ago(900), "run_state_since": ago(5)},
    ):
        assert decide(RunState.RUNNING, process_dead=True, **signs).action is SweepAction.LEAVE


@given(
    st.sampled_from(list(RunState)),
    st.booleans(),
    st.integers(0, 7),
    st.floats(0, 100_000),
    st.floats(0, 100_000),
    st.one_of(st.none(), st.floats(-100_000, 100_000)),
)
def test_a_run_that_is_alive_is_never_touched_and_a_dead_one_never_left_for_ever(
    run: RunState, dead: bool, revivals: int, since: float, silent: float, expires: float | None
) -> None:
    decision = decide(
        run,
        process_dead=dead,
        revivals=revivals,
        run_state_since=ago(since),
        heartbeat_at=ago(silent),
        plan_expires_at=None if expires is None else ago(expires),
    )
    alive = not dead and silent < RULES.silent_seconds
    if alive and run in {RunState.RUNNING, RunState.CANCELLING}:
        assert decision.action is SweepAction.LEAVE
    longest_wait = RULES.grace_seconds * 2**RULES.max_revivals
    gone = run in {RunState.CRASHED, RunState.FAILED} or (
        not alive and run in {RunState.RUNNING, RunState.CANCELLING}
    )
    if gone and min(since, silent) > longest_wait:
        assert decision.action is not SweepAction.LEAVE
