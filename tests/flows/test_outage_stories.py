"""An outage that no webhook announced: found by reconcile, one incident, remedied without a person until stopped."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deployments.prefect_runs import FlowRunState
from runbook.engine.incidents import Incident
from runbook.engine.plans import StoredPlan
from runbook.engine.states import IncidentState
from runbook.requests import Mode, ReconcileRequest
from sandbox.github.scenario import add_repository
from tests.contracts.github.receiver import Receiver, receiving
from tests.flows.theatre import Theatre

REPOSITORY = "acme/unheard"
WORKFLOWS = tuple(f"ci-{name}.yml" for name in ("build", "docs", "lint", "scan", "test"))
POLICY = """
[[repositories]]
name = "{repository}"
[remedies.infrastructure]
propose = ["rerun_failed_jobs"]
automatic = true
[kill_switch]
repository = "{repository}"
issue = 1
[reconcile]
webhook_url = "{url}"
redeliver_after_seconds = 0.1
"""
LOG = (
    "##[group]Run curl -fsSL https://packages.example.org/index.json\n##[endgroup]\n"
    "curl: (6) Could not resolve host: packages.example.org\n"
    "##[error]Process completed with exit code 6.\n"
)


def red_run(workflow: str, *, ago: str = "3m") -> dict[str, Any]:
    """Return a run that an outage broke; it passes when it is run again."""
    return {
        "workflow": workflow,
        "ago": ago,
        "jobs": [
            {
                "name": "check",
                "seconds": 20,
                "conclusion": "failure",
                "steps": ["Set up job", {"Fetch": "failure"}],
                "log": LOG,
                "rerun": {"seconds": 5, "conclusion": "success"},
            }
        ],
    }


@dataclass(frozen=True)
class Unheard:
    """The theatre, with the repository that GitHub told nobody of, and the receiver of its webhook."""

    theatre: Theatre
    receiver: Receiver

    def reconcile(self, mode: Mode = Mode.APPLY) -> FlowRunState:
        """Run one pass over the repository, to its end."""
        request = ReconcileRequest(repository=REPOSITORY, mode=mode)
        run = self.theatre.start("reconcile-failed-runs", request)
        ended = self.theatre.until("the pass to end", lambda: self.theatre.ended(run.id))
        assert ended.type == "COMPLETED", f"{ended.state}: {ended.message}"
        return ended

    def incidents(self) -> tuple[Incident, ...]:
        """The repository's incidents in the ledger."""
        return self.theatre.here.engine.incidents.recent(repository=REPOSITORY)

    def comments(self, incident: Incident) -> list[str]:
        """What is said on an incident's issue."""
        path = f"/repos/{REPOSITORY}/issues/{incident.issue_number}/comments?per_page=100"
        return [comment["body"] for comment in self.theatre.send("alice", "GET", path)]


@pytest.fixture(scope="module")
def unheard(theatre: Theatre) -> Iterator[Unheard]:
    """Five workflows have failed for one outside reason, and one comment's delivery did not arrive."""
    with receiving() as receiver:
        add_repository(
            theatre.box.state,
            REPOSITORY,
            {
                "roles": {"runbook-bot": "admin", "alice": "admin", "mallory": "triage"},
                "workflows": [{"file": file} for file in WORKFLOWS],
                "issues": [{"title": "Put the label here to stop", "author": "alice"}],
                "labels": ["incident", "runbook-stop"],
                "hooks": [{"url": receiver.url}],
                "runs": [red_run(workflow) for workflow in WORKFLOWS],
            },
        )
        policy = POLICY.format(repository=REPOSITORY, url=receiver.url)
        with theatre.policy_file.open("a") as file:
            file.write(policy)
        yield Unheard(theatre, receiver)


def test_the_plan_mode_of_a_pass_names_what_was_missed_and_starts_nothing(unheard: Unheard) -> None:
    ended = unheard.reconcile(Mode.PLAN)
    assert ended.state == "Planned"
    assert ended.message.count(f"triage {REPOSITORY}:") == len(WORKFLOWS)
    assert unheard.incidents() == ()


@pytest.mark.executes("IR-12", "IR-16")
def test_five_workflows_that_failed_unheard_for_one_reason_are_one_incident_and_are_run_again(
    unheard: Unheard,
) -> None:
    theatre = unheard.theatre
    theatre.box.fail("failed_delivery", path_regex="issue_comment/created")
    theatre.send("alice", "POST", f"/repos/{REPOSITORY}/issues/1/comments", json={"body": "What is it?"})

    ended = unheard.reconcile()

    assert ended.message.count(f"triage {REPOSITORY}:") == len(WORKFLOWS)
    closed = theatre.until("the incident's end", lambda: _closed(unheard))
    assert closed.together is not None
    assert closed.together.workflows == WORKFLOWS
    assert (closed.failure_class, len(unheard.incidents())) == ("infrastructure", 1)
    said = unheard.comments(closed)
    assert any(f"{len(WORKFLOWS)} workflows fail together" in text for text in said)
    assert sum("**Applied without a person:**" in text for text in said) == len(WORKFLOWS)
    effects = [(one["method"], one["path"].rsplit("/", 1)[-1]) for one in theatre.effects_on(REPOSITORY)]
    assert effects.count(("POST", "rerun-failed-jobs")) == len(WORKFLOWS)


def test_the_delivery_that_had_failed_was_asked_for_again(unheard: Unheard) -> None:
    told = unheard.receiver.wait_for(1, event="issue_comment")
    bodies = [json.loads(one.body)["comment"]["body"] for one in told]
    assert bodies.count("What is it?") == 1
    assert told[0].headers["x-hub-signature-256"].startswith("sha256=")


def test_the_next_pass_finds_nothing(unheard: Unheard) -> None:
    assert unheard.reconcile().message == "nothing was missed"


def test_with_the_kill_switch_thrown_the_plan_waits_for_a_person_and_says_why(unheard: Unheard) -> None:
    theatre = unheard.theatre
    labels = f"/repos/{REPOSITORY}/issues/1/labels"
    theatre.send("mallory", "POST", labels, json={"labels": ["runbook-stop"]})
    theatre.send("mallory", "DELETE", f"{labels}/runbook-stop")  # mallory may throw it, not release it
    added = {"repository": REPOSITORY, "runs": [red_run(WORKFLOWS[0], ago="1m")]}
    before = len(theatre.effects_on(REPOSITORY))
    assert theatre.box.server.stand_in.steer("runs", added)

    unheard.reconcile()

    plan = theatre.asked(theatre.until("a plan that waits", lambda: _waiting(unheard)).execution_id)
    incident = unheard.incidents()[0]
    assert incident.state is IncidentState.OPEN
    assert any(
        "**It waits for a person:** the kill switch is thrown" in text for text in unheard.comments(incident)
    )
    assert len(theatre.effects_on(REPOSITORY)) == before
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    theatre.resume(plan.execution_id)
    theatre.until("the approved end", lambda: theatre.ended(plan.execution_id))
    assert len(theatre.effects_on(REPOSITORY)) == before + 1


def _closed(unheard: Unheard) -> Incident | None:
    """Return the closed incident once each of the re-runs was verified."""
    runs = unheard.theatre.state_of(REPOSITORY).runs.values()
    now = unheard.theatre.box.clock.now()
    if any(run.latest.number < 2 or run.latest.conclusion(now) != "success" for run in runs):
        return None
    found = unheard.incidents()
    return next((one for one in found if one.state is IncidentState.CLOSED), None)


def _waiting(unheard: Unheard) -> StoredPlan | None:
    plans = unheard.theatre.here.engine.plans.waiting()
    return next((one for one in plans if one.plan.repository == REPOSITORY and one.asks), None)
