"""What triage says of red runs of every urgency (IR-01 to IR-19).

One is triaged in apply mode, and its incident stays open; the others, in plan mode, find it.
"""

from dataclasses import dataclass

import pytest

from deployments.prefect_runs import FlowRunState
from runbook.requests import Mode, TriageRequest
from tests.flows.newsroom import REPOSITORY, artifact, open_newsroom, plain, plan_in_turn
from tests.flows.theatre import Theatre


@dataclass(frozen=True)
class Newsroom:
    """What was said: the open incident's issue, and of each other run its end, its assessment and its plan."""

    incident: str
    ends: dict[str, FlowRunState]
    said: dict[str, str]
    plans: dict[str, str]


@pytest.fixture(scope="module")
def newsroom(theatre: Theatre) -> Newsroom:
    """Triage every red run once, when one of them, younger than the one on main, is green again."""
    runs = open_newsroom(theatre)
    path = f"/repos/{REPOSITORY}/actions/runs/{runs['now and then']}"
    theatre.send("alice", "POST", f"{path}/rerun-failed-jobs")
    theatre.until(
        "somebody's own re-run",
        lambda: theatre.send("alice", "GET", path)["conclusion"] == "success" or None,
    )
    applied = theatre.start(
        "triage-failed-run", TriageRequest(repository=REPOSITORY, run_id=runs["main"], mode=Mode.APPLY)
    )
    plan = theatre.asked(applied.id)
    issue = theatre.send("alice", "GET", f"/repos/{REPOSITORY}/issues/{plan.issue_number}")
    ids = plan_in_turn(
        theatre,
        "triage-failed-run",
        {
            # Of the run that passed when somebody ran it again, the attempt that had failed.
            title: TriageRequest(
                repository=REPOSITORY, run_id=run_id, run_attempt=1 if title == "now and then" else None
            )
            for title, run_id in runs.items()
            if title not in {"green", "main"}
        },
    )
    return Newsroom(
        incident=plain(issue["body"]),
        ends={title: theatre.prefect.read(run_id) for title, run_id in ids.items()},
        said={title: artifact(theatre, run_id, "assessment") for title, run_id in ids.items()},
        plans={title: artifact(theatre, run_id, "plan") for title, run_id in ids.items()},
    )


@pytest.mark.executes("IR-01", "IR-02", "IR-04", "IR-09", "IR-13")
def test_the_incident_holds_the_run_its_history_its_suspects_and_the_time_it_took(newsroom: Newsroom) -> None:
    said = newsroom.incident
    assert "attempt 1, failure, by push" in said
    assert "on main, started by bob" in said
    assert "Failed jobs (steps), 1 of 2: check (Run it)" in said
    recent = said.partition("**Recent runs of this workflow**")[2]
    assert "success" in recent
    assert "| topic |" in recent
    assert "ci-test.yml ran for main (default branch)" in said
    assert "Is it a failure never seen before? | yes |" in said
    assert "2 commits since the last green run" in said
    assert "Speak numbers with their unit (bob)" in said
    assert "Retry the speech service once (alice)" in said
    minutes = float(said.partition("Assessed ")[2].partition(" minutes after the failure")[0])
    assert 43 < minutes < 60
    assert "The policy wants it within 5." in said


@pytest.mark.executes("IR-05")
def test_a_broken_main_and_a_vulnerability_on_a_release_are_p0(newsroom: Newsroom) -> None:
    assert "**P0**: a required test workflow is red on the default branch." in newsroom.incident
    assert "**P0**: a vulnerability holds up a release. Also: release broken." in newsroom.said["release"]
    assert "security scan" in newsroom.said["release"]


@pytest.mark.executes("IR-06", "IR-10")
def test_a_blocked_pull_request_and_a_slow_run_are_p1(newsroom: Newsroom) -> None:
    blocked = newsroom.said["pull request"]
    assert "**P1**: it keeps open pull requests from being merged: #1." in blocked
    assert "Also: performance regression." in blocked
    assert "[#1 Try a smaller voice (bob)](" in blocked
    assert "**P1**: it took 25.1 minutes, usually 10." in newsroom.said["slow"]


@pytest.mark.executes("IR-07")
def test_what_comes_and_goes_and_what_blocks_nobody_is_p2(newsroom: Newsroom) -> None:
    assert "**P2**: it stops neither a merge nor a release." in newsroom.said["spike"]
    assert "**P2**: it passed when run again on the same commit." in newsroom.said["now and then"]


@pytest.mark.executes("IR-08")
def test_documentation_is_p3(newsroom: Newsroom) -> None:
    assert "**P3**: only documentation is concerned, and nothing is blocked." in newsroom.said["docs"]


@pytest.mark.executes("IR-11")
def test_the_same_failure_links_the_incident_that_knows_it(newsroom: Newsroom) -> None:
    said = newsroom.said["again and again"]
    assert "Has this happened lately? | yes | 1 like incident" in said
    assert "[P0: ci-test.yml on main: cache corruption (" in said
    assert f"{REPOSITORY}/issues/" in said
    assert "Has this happened lately? | no |" in newsroom.incident


def test_a_run_that_was_run_again_as_often_as_the_policy_allows_is_left_alone(newsroom: Newsroom) -> None:
    assert "re-run as often as the policy allows" in newsroom.ends["again and again"].message
    assert newsroom.plans["again and again"] == ""


@pytest.mark.executes("IR-17")
def test_a_docker_build_names_its_first_cause_not_the_last_echo(newsroom: Newsroom) -> None:
    first, _, rest = newsroom.said["build"].partition("First cause, ")[2].partition("<details>")
    assert "check.txt line 5" in first
    assert "voice.c:42:17: error: expected ';' before 'return'" in first
    assert "failed to solve" not in first
    assert "failed to solve" in rest


@pytest.mark.executes("IR-18", "IR-19")
def test_a_build_failure_shows_registry_and_budget_and_leaves_no_credential(
    newsroom: Newsroom, theatre: Theatre
) -> None:
    said = newsroom.said["build"]
    assert "acme/tts:latest is there and may be read" in said
    assert "GitHub core budget: " in said
    assert "resets at 20" in said
    assert "budget" not in newsroom.said["spike"]
    assert not list(theatre.folder.rglob(".docker"))
    assert theatre.files_holding(theatre.box.token) == []
