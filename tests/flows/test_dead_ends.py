"""Stories that could stand still for ever: each of them ends, and says how."""

from datetime import datetime, timedelta

import pytest
import requests

from runbook.engine.plans import StoredPlan
from runbook.engine.schema import ExecutionRow, PlanRow
from runbook.engine.states import ExecutionState, IncidentState, PlanState
from runbook.requests import ClearCachesRequest, Mode, TriageRequest
from tests.flows.theatre import Theatre


def test_a_plan_whose_issue_was_deleted_expires_all_the_same(theatre: Theatre) -> None:
    """Its run fails for want of comments, and its record has no place to go: the ledger's own has to do."""
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    with theatre.here.ledger.write() as session:
        session.get_one(PlanRow, plan.id).expires_at = theatre.here.clock.now() - timedelta(seconds=1)
    del theatre.state_of(repository).issues[plan.issue_number]

    theatre.swept(run.id)
    execution = theatre.execution(run.id)
    assert execution.state is ExecutionState.EXPIRED
    assert "could not be written on its issue" in execution.reason
    assert theatre.effects_on(repository) == []


def test_a_plan_that_was_rejected_stays_so_when_the_comment_is_gone_before_the_record(
    theatre: Theatre,
) -> None:
    """The process died between the decision and its record; asked again, the gate would wait for ever."""
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    theatre.here.engine.plans.end(plan.id, PlanState.REJECTED, reason="rejected by bob: not now")
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    theatre.resume(run.id)
    assert theatre.until("the end", lambda: theatre.ended(run.id)).state == "Rejected"
    assert theatre.execution(run.id).state is ExecutionState.REJECTED
    assert theatre.effects_on(repository) == []


def test_a_failure_whose_plan_was_rejected_can_be_triaged_again_within_its_incident(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    rejected = theatre.rejected(repository)
    plan = theatre.asked(theatre.triage(repository).id)
    assert plan.issue_number == rejected.issue_number
    late = theatre.triage(repository)
    assert theatre.until("the end", lambda: theatre.ended(late.id)).state == "AlreadyClaimed"
    assert theatre.effects_on(repository) == []


def test_a_plan_whose_target_is_being_changed_is_refused_at_once_and_can_be_asked_for_again(
    theatre: Theatre,
) -> None:
    """It would fail the same way at each of its revivals, and then be given up without a word."""
    repository = theatre.own_repository()
    request = ClearCachesRequest(repository=repository, mode=Mode.APPLY, key_prefix="npm-")
    busy = theatre.asked(theatre.start("clear-caches", request).id)
    _put(theatre, busy, PlanState.APPLYING)
    refused = theatre.triage(repository)
    ended = theatre.until("the end", lambda: theatre.ended(refused.id))
    assert (ended.type, ended.state) == ("FAILED", "NeedsPerson")
    assert "is being changed by clear-caches" in ended.message
    assert theatre.execution(refused.id).state is ExecutionState.NEEDS_PERSON
    _put(theatre, busy, PlanState.WAITING)
    plan = theatre.asked(theatre.triage(repository).id)
    said = theatre.send("alice", "GET", f"/repos/{repository}/issues/{plan.issue_number}/comments")
    assert "No plan is made" in said[0]["body"]


def test_what_does_not_exist_is_refused_at_once(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run = theatre.start("triage-failed-run", TriageRequest(repository=repository, run_id=1, mode=Mode.APPLY))
    ended = theatre.until("the end", lambda: theatre.ended(run.id))
    assert (ended.type, ended.state) == ("FAILED", "NeedsPerson")
    assert "404" in ended.message
    assert theatre.execution(run.id).state is ExecutionState.NEEDS_PERSON


def test_an_approval_issue_is_closed_when_nothing_is_left_to_approve(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    request = ClearCachesRequest(repository=repository, mode=Mode.APPLY, key_prefix="npm-")
    run = theatre.start("clear-caches", request)
    plan = theatre.asked(run.id)
    shown = f"/repos/{repository}/issues/comments/{plan.comment_id}"
    posted = datetime.fromisoformat(theatre.send("alice", "GET", shown)["created_at"])
    # GitHub tells whole seconds: what is edited within the second in which it was posted looks unedited.
    theatre.until("the next second", lambda: theatre.box.clock.now() >= posted + timedelta(seconds=1) or None)
    theatre.send("alice", "PATCH", shown, json={"body": "not what it was"})
    theatre.send("alice", "DELETE", f"/repos/{repository}/actions/caches?key=npm-Linux-1&ref=refs/heads/main")
    theatre.resume(run.id)
    assert theatre.until("the end", lambda: theatre.ended(run.id)).state == "NothingToDo"
    issue = f"/repos/{repository}/issues/{plan.issue_number}"
    assert theatre.send("alice", "GET", issue)["state"] == "closed"
    assert "Nothing is left to approve" in theatre.send("alice", "GET", f"{issue}/comments")[-1]["body"]


def test_a_request_that_was_changed_in_prefect_while_its_run_slept_is_refused(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    request = ClearCachesRequest(repository=repository, mode=Mode.APPLY, key_prefix="npm-")
    run = theatre.start("clear-caches", request)
    plan = theatre.asked(run.id)
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    theatre.comment(plan, "bob", f"/approve {plan.short_digest}")
    forged = ClearCachesRequest(repository=repository, mode=Mode.APPLY, everything=True)
    requests.patch(
        f"{theatre.prefect.url}/flow_runs/{run.id}",
        json={"parameters": {"request": forged.canonical()}},
        timeout=10,
    ).raise_for_status()
    theatre.resume(run.id)
    ended = theatre.until("its refusal", lambda: theatre.ended(run.id))
    assert "was changed in Prefect" in ended.message
    assert theatre.effects_on(repository) == []


def test_an_attempt_whose_triage_is_given_up_has_an_incident_all_the_same(theatre: Theatre) -> None:
    """R10: nobody else would ever hear of it."""
    repository = theatre.own_repository()
    theatre.box.fail(
        "403",
        method="GET",
        path_regex=f"/repos/{repository}/actions/runs/.*/jobs",
        times=None,
        message="Forbidden for you",
    )
    run = theatre.triage(repository)
    theatre.until("its claim", lambda: theatre.here.engine.incidents.cared_for(run.id) or None)
    _revive_no_more(theatre, run.id)
    theatre.swept(run.id)

    assert theatre.execution(run.id).state is ExecutionState.NEEDS_PERSON
    (incident,) = theatre.here.engine.incidents.recent(repository=repository)
    issue = theatre.send("alice", "GET", f"/repos/{repository}/issues/{incident.issue_number}")
    assert {label["name"] for label in issue["labels"]} == {"incident", "severity:P1"}
    assert issue["state"] == "open"
    assert "could not be triaged" in issue["body"]
    assert "Forbidden" in issue["body"]


def test_a_verified_plan_whose_run_was_cancelled_before_its_record_closes_its_incident(
    theatre: Theatre,
) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    _put(theatre, plan, PlanState.DONE)
    theatre.rest(f"/flow_runs/{run.id}/set_state", {"state": {"type": "CANCELLED"}, "force": True})

    theatre.swept(run.id)
    assert theatre.execution(run.id).state is ExecutionState.DONE
    assert (
        theatre.send("alice", "GET", f"/repos/{repository}/issues/{plan.issue_number}")["state"] == "closed"
    )
    (incident,) = theatre.here.engine.incidents.recent(repository=repository)
    assert incident.state is IncidentState.CLOSED


def test_people_are_told_where_a_plan_was_superseded(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    request = ClearCachesRequest(repository=repository, mode=Mode.APPLY, key_prefix="pip-")
    first = theatre.start("clear-caches", request)
    old = theatre.asked(first.id)
    theatre.asked(theatre.start("clear-caches", request).id)
    assert theatre.swept(first.id).state == "Superseded"
    issue = f"/repos/{repository}/issues/{old.issue_number}"
    assert theatre.send("alice", "GET", issue)["state"] == "closed"
    assert "superseded" in theatre.send("alice", "GET", f"{issue}/comments")[-1]["body"]


@pytest.mark.parametrize(
    ("mended", "name", "issue_state"), [(True, "Resolved", "closed"), (False, "Overtaken", "open")]
)
def test_an_attempt_that_somebody_re_ran_meanwhile_is_planned_for_once_and_not_again(
    theatre: Theatre, mended: bool, name: str, issue_state: str
) -> None:
    """Asked for by its number, as webhooks do: the old attempt stays red, and its remedy void, for ever."""
    repository = theatre.own_repository()
    github_run = next(iter(theatre.state_of(repository).runs.values()))
    request = TriageRequest(repository=repository, run_id=github_run.id, run_attempt=1, mode=Mode.APPLY)
    run = theatre.start("triage-failed-run", request)
    plan = theatre.asked(run.id)
    if mended:
        caches = f"/repos/{repository}/actions/caches?key=pip-Linux-0badcafe&ref=refs/heads/main"
        theatre.send("alice", "DELETE", caches)
    theatre.send("alice", "POST", f"/repos/{repository}/actions/runs/{github_run.id}/rerun-failed-jobs")
    theatre.until(
        "somebody else's re-run",
        lambda: github_run.latest.status(theatre.box.clock.now()) == "completed" or None,
    )
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    theatre.resume(run.id)

    assert theatre.until("the end", lambda: theatre.ended(run.id)).state == name
    assert theatre.here.engine.plans.latest(run.id).id == plan.id
    issue = f"/repos/{repository}/issues/{plan.issue_number}"
    assert theatre.send("alice", "GET", issue)["state"] == issue_state
    assert theatre.effects_on(repository) == []


def _revive_no_more(theatre: Theatre, run_id: str) -> None:
    """Leave an execution as if it had been revived as often as the policy allows."""
    with theatre.here.ledger.write() as session:
        session.get_one(ExecutionRow, run_id).revivals = theatre.here.policy.timings.max_revivals


def _put(theatre: Theatre, plan: StoredPlan, state: PlanState) -> None:
    """Put a plan where a process that was cut short in between would have left it."""
    with theatre.here.ledger.write() as session:
        session.get_one(PlanRow, plan.id).state = state
