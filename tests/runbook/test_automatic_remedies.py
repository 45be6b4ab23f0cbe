"""R11 through policy, ledger, gate and GitHub's stand-in: what passes without a person, and what stops it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

import sandbox
from runbook.clock import VirtualClock
from runbook.decisions.approval import GateDecision, Verdict
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.effects.incident_issues import PostComment
from runbook.engine.automatic import passed_without_person
from runbook.engine.effects import Effect
from runbook.engine.engine import Ended, Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.executions import BY_PRODUCT, Requester
from runbook.engine.leases import Lease
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import ApprovalRow, AuditRow
from runbook.engine.states import PlanState, RequesterKind
from runbook.installation import Installation
from runbook.settings import Settings
from tests.runbook.engine.conftest import START
from tests.runbook.engine.databases import new_ledger_url

REPOSITORY = "acme/app"
POLICY = """
product_login = "runbook-bot"
[[repositories]]
name = "acme/app"
[approvals]
approvers = ["alice", "bob", "rita"]
[remedies.infrastructure]
propose = ["rerun_failed_jobs"]
automatic = true
[remedies.rate_limit]
propose = ["wait_for_rate_limit_reset", "rerun_failed_jobs"]
automatic = true
[remedies.flaky_test]
propose = ["rerun_failed_jobs"]
[caps]
automatic_remedies_per_target_per_day = 2
[kill_switch]
repository = "acme/app"
issue = 1
"""
# Dispatched, so that none of them takes another's place.
RUN = {
    "workflow": "ci.yml",
    "event": "workflow_dispatch",
    "ago": "30m",
    "jobs": [{"name": "test", "conclusion": "failure"}],
}
SCENARIO: dict[str, Any] = {
    "bot": "runbook-bot",
    "users": {login: {} for login in ("runbook-bot", "bob", "rita", "mallory")}
    | {"alice": {"tokens": [{}, {"app": "chat-bridge"}]}},
    "repositories": {
        REPOSITORY: {
            "roles": {
                "runbook-bot": "write",
                "alice": "admin",
                "bob": "write",
                "rita": "triage",
                "mallory": "triage",
            },
            "workflows": [{"file": "ci.yml"}],
            "issues": [{"title": "Stop", "author": "alice"}, {"title": "Incident", "author": "runbook-bot"}],
            "labels": ["runbook-stop"],
            "runs": [{**RUN, "count": 5}],
        }
    },
}


@dataclass
class Stage:
    """An installation at work, and people around it."""

    here: Installation
    box: sandbox.Box
    clock: VirtualClock
    plans: int = 0

    def plan(
        self,
        failure_class: str = "infrastructure",
        *,
        requester: Requester = BY_PRODUCT,
        procedure: str = "triage-failed-run",
        not_before_seconds: float | None = None,
        runs: int = 1,
    ) -> StoredPlan:
        """Store and show the plan of one more failed run (or of several), as triage does."""
        run_ids = sorted(self.box.repository.runs)[self.plans : self.plans + runs]
        self.plans += runs
        engine, execution_id = self.here.engine, f"e{self.plans}"
        engine.executions.begin(
            execution_id,
            procedure=procedure,
            repository=REPOSITORY,
            subject="s",
            request={},
            requester=requester,
        )
        effects: list[Effect] = [
            RerunFailedJobs(repository=REPOSITORY, run_id=one, failed_attempt=1, workflow_file="ci.yml")
            for one in run_ids
        ]
        wait = None if not_before_seconds is None else timedelta(seconds=not_before_seconds)
        stored = engine.plans.store(
            execution_id,
            Plan.of(procedure=procedure, repository=REPOSITORY, effects=effects),
            view=PlanView(
                title="t",
                why="w",
                remedy="rerun_failed_jobs",
                failure_class=failure_class,
                blast_radius="b",
                if_nobody_acts="n",
                not_before=None if wait is None else self.clock.now() + wait,
            ),
            expires_after_seconds=86_400,
        )
        engine.plans.placed(stored.id, issues_repository=REPOSITORY, issue_number=2, issue_url="u")
        comment = PostComment(repository=REPOSITORY, issue=2, key=stored.id, body="The plan")
        entry = engine.record(execution_id, f"plan-{stored.id}", comment)
        assert entry.result is not None
        return engine.plans.shown(stored.id, comment_id=int(entry.result["comment"]))

    def gate(self, plan: StoredPlan) -> GateDecision:
        """Ask the gate, as a flow that has just woken does."""
        plan = self.here.engine.plans.get(plan.id)
        entries = self.here.engine.entries.of_plan(plan.id)
        return self.here.engine.gate.pass_or_wait(plan, entries, self.here.gate_context(plan))

    def why(self, plan: StoredPlan) -> str:
        """Say what is said of it."""
        return self.here.gate_context(plan).automatic.reason

    def send(self, login: str, method: str, path: str, *, app: str | None = None, **body: Any) -> None:
        """Do something to the repository as one of the people."""
        self.clock.sleep(1)
        headers = {"Authorization": f"Bearer {self.box.token_of(login, app=app)}"}
        url = f"{self.box.url}/repos/{REPOSITORY}/{path}"
        assert requests.request(method, url, json=body or None, headers=headers, timeout=10).ok

    def stop(self, login: str) -> None:
        """Throw the switch."""
        self.send(login, "POST", "issues/1/labels", labels=["runbook-stop"])

    def release(self, login: str, *, app: str | None = None) -> None:
        """Take the label off."""
        self.send(login, "DELETE", "issues/1/labels/runbook-stop", app=app)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A policy with automatic remedies, on the stand-in, in virtual time."""
    policy = tmp_path / "runbook.toml"
    policy.write_text(POLICY)
    clock = VirtualClock(START)
    with ExitStack() as stack:
        box = stack.enter_context(sandbox.running(SCENARIO, clock=clock))
        environment = {
            "HOME": str(tmp_path),
            "GITHUB_API_URL": box.url,
            "GITHUB_TOKEN": box.token,
            "RUNBOOK_POLICY": str(policy),
            "RUNBOOK_LEDGER_URL": new_ledger_url(tmp_path),
        }
        here = Installation.open(Settings.from_environment(environment), clock=clock)
        stack.callback(here.ledger.close)
        stack.callback(here.github.close)
        yield Stage(here, box, clock)


def test_a_plan_of_a_class_that_the_policy_lists_passes_without_a_person_and_is_audited(stage: Stage) -> None:
    plan = stage.plan()
    assert stage.gate(plan).verdict is Verdict.APPROVED
    with stage.here.ledger.read() as session:
        (row,) = session.scalars(select(ApprovalRow))
        assert (row.source, row.login, row.plan_id) == ("automatic", None, plan.id)
        body = session.scalars(select(AuditRow.body).where(AuditRow.event == "plan.approved")).one()
        assert "without a person" in body["automatic"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"failure_class": "flaky_test"}, ""),
        ({"failure_class": ""}, ""),
        ({"procedure": "clear-caches"}, ""),
        ({"requester": Requester(RequesterKind.PERSON, "mallory")}, "not triage that asked"),
        ({"failure_class": "rate_limit"}, "nobody knows when the rate limit ends"),
    ],
)
def test_any_other_plan_waits_for_a_person(stage: Stage, kind: dict[str, Any], said: str) -> None:
    plan = stage.plan(**kind)
    assert stage.gate(plan).verdict is Verdict.WAITING
    assert said in stage.why(plan)


@pytest.mark.parametrize("without_a_person", [True, False])
def test_a_switch_that_is_thrown_between_two_effects_stops_the_second_unless_people_approved(
    stage: Stage, without_a_person: bool
) -> None:
    plan = stage.plan(runs=2)
    if not without_a_person:
        stage.stop("bob")
        stage.send("alice", "POST", "issues/2/comments", body=f"/approve {plan.short_digest}")
    assert stage.gate(plan).verdict is Verdict.APPROVED
    engine = stage.here.engine

    def step(entry: JournalEntry, lease: Lease) -> JournalEntry:
        applied = engine.journal.apply(entry.id, lease=lease)
        stage.stop("mallory")
        return applied

    outcome = engine.apply(
        plan,
        verify=lambda lease: Verification(passed=True, reason="green"),
        may_go_on=stage.here.may_go_on(plan),
        step=step,
    )
    sent = [one["path"] for one in stage.box.requests if one["path"].endswith("/rerun-failed-jobs")]
    assert len(sent) == (1 if without_a_person else 2)
    assert outcome.ended is (Ended.UNDONE if without_a_person else Ended.DONE)
    assert ("the kill switch is thrown" in outcome.reason) is without_a_person


def test_the_days_cap_per_workflow_holds_and_ends_with_the_day(stage: Stage) -> None:
    assert [stage.gate(stage.plan()).verdict for _ in range(3)] == [
        Verdict.APPROVED,
        Verdict.APPROVED,
        Verdict.WAITING,
    ]
    third = stage.here.engine.plans.get(stage.here.engine.plans.waiting()[0].id)
    assert "workflow:acme/app:ci.yml: 2" in stage.why(third)
    stage.clock.sleep(86_000)
    assert stage.gate(third).verdict is Verdict.WAITING
    stage.clock.sleep(401)
    assert stage.here.gate_context(third).automatic.automatic


def test_a_plan_that_is_asked_about_again_before_anything_was_sent_counts_once(stage: Stage) -> None:
    first = stage.plan()
    assert [stage.gate(first).verdict for _ in range(3)] == [Verdict.APPROVED] * 3
    assert stage.gate(stage.plan()).verdict is Verdict.APPROVED


@pytest.mark.parametrize(("people_wanted", "without_a_person"), [(1, False), (2, True)])
def test_a_plan_that_fewer_people_approved_than_its_rule_asks_for_counts_as_automatic(
    stage: Stage, people_wanted: int, without_a_person: bool
) -> None:
    plan = stage.plan()
    stage.send("bob", "POST", "issues/2/comments", body=f"/approve {plan.short_digest}")
    context = replace(stage.here.gate_context(plan), people_wanted=people_wanted)
    entries = stage.here.engine.entries.of_plan(plan.id)
    assert stage.here.engine.gate.pass_or_wait(plan, entries, context).verdict is Verdict.APPROVED
    assert passed_without_person(stage.here.ledger, plan.id) is without_a_person


Deed = Callable[[Stage], object]
STOPPED: dict[str, list[Deed]] = {
    "thrown by anybody": [lambda stage: stage.stop("mallory")],
    "taken off by whoever threw it": [
        lambda stage: stage.stop("mallory"),
        lambda stage: stage.release("mallory"),
    ],
    "taken off by an approver without the permission": [
        lambda stage: stage.stop("mallory"),
        lambda stage: stage.release("rita"),
    ],
    "taken off by the product": [
        lambda stage: stage.stop("mallory"),
        lambda stage: stage.release("runbook-bot"),
    ],
    "taken off by an app for an approver": [
        lambda stage: stage.stop("mallory"),
        lambda stage: stage.release("alice", app="chat-bridge"),
    ],
    "thrown again": [
        lambda stage: stage.stop("bob"),
        lambda stage: stage.release("bob"),
        lambda stage: stage.stop("mallory"),
    ],
    "its issue gone": [lambda stage: stage.box.repository.issues.pop(1)],
    "its events unreadable": [
        lambda stage: stage.box.fail("403", path_regex="issues/1/events", times=None, message="Forbidden")
    ],
    "its labels unreadable": [
        lambda stage: stage.box.fail("403", path_regex="issues/1$", times=None, message="Forbidden")
    ],
}


@pytest.mark.parametrize("deeds", STOPPED.values(), ids=STOPPED.keys())
def test_a_switch_that_is_thrown_or_unreadable_lets_the_plan_wait_and_says_why(
    stage: Stage, deeds: list[Deed]
) -> None:
    plan = stage.plan()
    for deed in deeds:
        deed(stage)
    assert stage.gate(plan).verdict is Verdict.WAITING
    assert "kill switch" in stage.why(plan)


def test_an_entitled_person_releases_the_switch(stage: Stage) -> None:
    plan = stage.plan()
    stage.stop("mallory")
    assert stage.gate(plan).verdict is Verdict.WAITING
    stage.release("bob")
    assert stage.gate(plan).verdict is Verdict.APPROVED


def test_a_switch_that_is_thrown_before_the_first_effect_stops_a_plan_that_had_passed(stage: Stage) -> None:
    plan = stage.plan()
    assert stage.gate(plan).verdict is Verdict.APPROVED
    stage.stop("mallory")
    assert stage.gate(plan).verdict is Verdict.WAITING
    assert stage.here.engine.plans.get(plan.id).state is PlanState.WAITING


def test_a_person_approves_a_stopped_plan_and_it_is_theirs(stage: Stage) -> None:
    plan = stage.plan()
    stage.stop("mallory")
    stage.send("alice", "POST", "issues/2/comments", body=f"/approve {plan.short_digest}")
    assert stage.gate(plan).reason == "approved by alice"
    with stage.here.ledger.read() as session:
        assert [row.source for row in session.scalars(select(ApprovalRow))] == ["github-comment"]


def test_a_rate_limit_is_waited_for_and_then_nobody_need_approve(stage: Stage) -> None:
    plan = stage.plan("rate_limit", not_before_seconds=600)
    decision = stage.gate(plan)
    assert decision.verdict is Verdict.WAITING
    assert "the rate limit ends at" in decision.reason
    stage.clock.sleep(600)
    assert stage.gate(plan).verdict is Verdict.APPROVED


def test_an_approval_does_not_shorten_a_rate_limit(stage: Stage) -> None:
    plan = stage.plan("rate_limit", not_before_seconds=600)
    stage.send("alice", "POST", "issues/2/comments", body=f"/approve {plan.short_digest}")
    assert stage.gate(plan).verdict is Verdict.WAITING
