"""Stories in which something outside is gone, away or unreadable, and what is done goes on when it is back."""

from datetime import timedelta

from sqlalchemy import select

from deployments.starting import start
from flows.sweep import TARGET
from runbook.engine.schema import ApprovalRow, LeaseRow
from runbook.engine.states import ExecutionState, RequesterKind
from runbook.requests import ClearCachesRequest, Mode
from tests.flows.theatre import RESUME_COUNTS, Theatre


def test_a_log_that_is_gone_is_said_and_nothing_is_proposed(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    next(iter(theatre.state_of(repository).runs.values())).logs_gone = True
    run = theatre.triage(repository)
    assert theatre.until("the end", lambda: theatre.ended(run.id)).state == "Triaged"
    (issue,) = theatre.send("alice", "GET", f"/repos/{repository}/issues")
    assert "has expired or was deleted (410)" in issue["body"].replace("\\", "")
    assert "unknown" in issue["title"]
    assert theatre.effects_on(repository) == []


def test_a_policy_that_cannot_be_read_stops_a_run_until_it_can(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    before = theatre.policy_file.read_text()
    theatre.policy_file.write_text("approvals = nonsense\n")
    try:
        theatre.resume(run.id)
        failed = theatre.until("the failure", lambda: theatre.ended(run.id))
    finally:
        theatre.policy_file.write_text(before)
    assert failed.type == "FAILED"
    assert "runbook.toml" in failed.message
    assert theatre.effects_on(repository) == []

    assert theatre.swept(run.id).state == "Verified"
    assert len(theatre.effects_on(repository)) == 2


def test_a_run_goes_on_when_github_was_away_for_longer_than_every_retry(theatre: Theatre) -> None:
    """The client tries a read four times, the task three times; then the run fails, and the sweeper revives it."""
    repository = theatre.own_repository()
    run, _plan = theatre.watching(repository)
    path = f"/repos/{repository}/actions/runs/"
    theatre.box.fail("500_before", method="GET", path_regex=path, times=None)
    failed = theatre.until("the failure", lambda: theatre.ended(run.id))
    theatre.box.server.faults.clear()
    assert failed.type == "FAILED"
    assert theatre.execution(run.id).open

    assert theatre.swept(run.id).state == "Verified"
    assert len(theatre.effects_on(repository)) == 2
    assert theatre.execution(run.id).state is ExecutionState.DONE


def test_in_a_one_person_installation_a_resume_counts_and_is_recorded_as_unnamed(theatre: Theatre) -> None:
    request = ClearCachesRequest(repository=RESUME_COUNTS, mode=Mode.APPLY, key_prefix="pip-")
    run = start(theatre.here, theatre.prefect, "clear-caches", request, requester="alice")
    plan = theatre.asked(run.id)
    assert (plan.requester, plan.requester_kind) == ("alice", RequesterKind.PERSON)
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")  # her own plan: never counts
    theatre.resume(run.id)
    assert theatre.until("the end", lambda: theatre.ended(run.id)).state == "Verified"
    with theatre.here.ledger.read() as session:
        rows = list(session.scalars(select(ApprovalRow).where(ApprovalRow.plan_id == plan.id)))
    assert [(row.login, row.source) for row in rows] == [(None, "prefect-resume")]


def test_a_sweep_leaves_when_another_is_at_work_and_takes_over_from_a_dead_one(theatre: Theatre) -> None:
    leases = theatre.here.engine.leases
    lease = theatre.until(
        "the sweeper's lease", lambda: leases.acquire_now((TARGET,), execution_id="this test")
    )
    try:
        assert theatre.sweep().state == "AlreadySweeping"
        with theatre.here.ledger.write() as session:
            row = session.get_one(LeaseRow, TARGET)
            machine, _, _ = row.process.rpartition("/")[0].rpartition("/")
            row.process = f"{machine}/1/0"  # there is a process 1, but none that started at boot's first tick
            row.expires_at += timedelta(hours=1)  # so that nothing but its holder's death frees it
        # A scheduled sweep may be the one that takes over, and be at work for a moment.
        theatre.until("a sweep to take over", lambda: theatre.sweep().state == "Swept" or None)
    finally:
        leases.release(lease)
