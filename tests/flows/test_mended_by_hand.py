"""Incidents that people mended, or closed, without the product: the reconciling pass takes note (R10)."""

from typing import Any

from deployments.prefect_runs import FlowRunState
from runbook.engine.incidents import Incident
from runbook.engine.plans import StoredPlan
from runbook.engine.states import IncidentState
from runbook.requests import Mode, ReconcileRequest, TriageRequest
from tests.flows.theatre import LOG, Theatre


def test_a_newer_green_run_ends_the_plan_that_waits_and_closes_the_incident(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    newer = add_run(theatre, repository, conclusion="success")

    reconcile(theatre, repository)

    assert theatre.until("the end", lambda: theatre.ended(run.id)).state == "Resolved"
    incident = incident_of(theatre, repository)
    assert incident.state is IncidentState.CLOSED
    assert f"run {newer} is green without our doing" in incident.resolution
    assert issue_state(theatre, plan) == "closed"
    assert theatre.effects_on(repository) == []


def test_an_incident_whose_plan_was_rejected_stays_open_until_its_run_is_green(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    plan = theatre.rejected(repository)
    assert "green" not in reconcile(theatre, repository).message
    assert incident_of(theatre, repository).state is IncidentState.OPEN

    (red,) = theatre.state_of(repository).runs.values()
    theatre.send(
        "alice",
        "DELETE",
        f"/repos/{repository}/actions/caches?key=pip-Linux-0badcafe&ref=refs/heads/main",
    )
    theatre.send("alice", "POST", f"/repos/{repository}/actions/runs/{red.id}/rerun-failed-jobs")
    theatre.until("alice's re-run", lambda: red.latest.status(theatre.box.clock.now()) == "completed" or None)
    planned = reconcile(theatre, repository, mode=Mode.PLAN)
    assert f"run {red.id} is green at attempt 2" in planned.message
    assert incident_of(theatre, repository).state is IncidentState.OPEN
    reconcile(theatre, repository)

    incident = incident_of(theatre, repository)
    assert (incident.state, incident.resolution) == (
        IncidentState.CLOSED,
        f"run {red.id} is green at attempt 2",
    )
    assert issue_state(theatre, plan) == "closed"
    last = comments(theatre, plan)[-1]
    assert f"run {red.id} is green at attempt 2" in last
    assert "plan rejected" in last
    assert "runbook audit verify --head" in last
    assert "green" not in reconcile(theatre, repository).message


def test_an_issue_that_a_person_closed_closes_its_incident_and_the_next_failure_opens_another(
    theatre: Theatre,
) -> None:
    repository = theatre.own_repository()
    plan = theatre.rejected(repository)
    issue = f"/repos/{repository}/issues/{plan.issue_number}"
    theatre.send("alice", "PATCH", issue, json={"state": "closed"})

    assert "was closed by hand" in reconcile(theatre, repository).message

    first = incident_of(theatre, repository)
    assert first.state is IncidentState.CLOSED
    again = triage(theatre, repository, add_run(theatre, repository, conclusion="failure"))
    second = theatre.asked(again.id)
    assert second.issue_number != plan.issue_number
    assert incident_of(theatre, repository).id != first.id


def test_what_fails_again_opens_an_issue_that_somebody_closed_while_it_was_worked_on(
    theatre: Theatre,
) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    theatre.send(
        "alice", "PATCH", f"/repos/{repository}/issues/{plan.issue_number}", json={"state": "closed"}
    )
    again = triage(theatre, repository, add_run(theatre, repository, conclusion="failure"))
    second = theatre.asked(again.id)
    assert second.issue_number == plan.issue_number
    assert issue_state(theatre, plan) == "open"


def add_run(theatre: Theatre, repository: str, *, conclusion: str) -> int:
    """Add a run of the workflow on main that ended a moment ago; return its id."""
    job: dict[str, Any] = {"name": "test", "seconds": 1, "conclusion": conclusion}
    if conclusion == "failure":
        job |= {"steps": ["Set up job", {"Run pytest": "failure"}], "log": LOG}
    added = {
        "repository": repository,
        "runs": [{"workflow": "ci-test.yml", "ago": "20s", "jobs": [job]}],
    }
    answer = theatre.box.server.stand_in.steer("runs", added)
    (number,) = answer["ids"]
    return int(number)


def triage(theatre: Theatre, repository: str, run_id: int) -> FlowRunState:
    """Start the triage of one of several runs."""
    return theatre.start(
        "triage-failed-run", TriageRequest(repository=repository, run_id=run_id, mode=Mode.APPLY)
    )


def reconcile(theatre: Theatre, repository: str, *, mode: Mode = Mode.APPLY) -> FlowRunState:
    """Run one reconciling pass over a repository, to its end."""
    run = theatre.start("reconcile-failed-runs", ReconcileRequest(repository=repository, mode=mode))
    ended = theatre.until("the pass to end", lambda: theatre.ended(run.id))
    assert ended.type == "COMPLETED", f"{ended.state}: {ended.message}"
    return ended


def incident_of(theatre: Theatre, repository: str) -> Incident:
    """Return a repository's newest incident."""
    return theatre.here.engine.incidents.recent(repository=repository)[0]


def issue_state(theatre: Theatre, plan: StoredPlan) -> str:
    """Return whether a plan's issue is open."""
    issue = theatre.send("alice", "GET", f"/repos/{plan.issues_repository}/issues/{plan.issue_number}")
    return str(issue["state"])


def comments(theatre: Theatre, plan: StoredPlan) -> list[str]:
    """Return what is said on a plan's issue."""
    path = f"/repos/{plan.issues_repository}/issues/{plan.issue_number}/comments?per_page=100"
    return [comment["body"] for comment in theatre.send("alice", "GET", path)]
