"""Whole stories through a real Prefect server and a stock process worker."""

import os
import signal
import uuid
from datetime import timedelta

import pytest
import requests

from runbook.engine import audit
from runbook.engine.states import EffectState, ExecutionState, PlanState, RequesterKind
from runbook.requests import ClearCachesRequest, Mode, TriageRequest
from tests.flows.theatre import Theatre


@pytest.mark.executes("IR-16", "IR-28", "CM-01", "KI-06")
def test_a_corrupt_cache_is_found_planned_approved_remedied_and_closed(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    assert [planned.kind for planned in plan.plan.effects] == ["delete-cache-entries", "rerun-failed-jobs"]
    assert theatre.effects_on(repository) == []

    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    theatre.resume(run.id)
    ended = theatre.until("the end", lambda: theatre.ended(run.id))

    assert ended.state == "Verified"
    assert [entry.state for entry in theatre.journal(plan)] == [EffectState.CONFIRMED] * 2
    assert [cache.key for cache in theatre.state_of(repository).caches.values()] == ["npm-Linux-1"]
    execution = theatre.execution(run.id)
    assert execution.state is ExecutionState.DONE
    assert execution.incident_id is not None
    issue = theatre.send("alice", "GET", f"/repos/{repository}/issues/{plan.issue_number}")
    assert issue["state"] == "closed"
    assert "@alice" in issue["body"]
    assert {label["name"] for label in issue["labels"]} >= {"incident", "severity:P0"}
    with theatre.here.ledger.read() as session:
        assert audit.verify(session).intact
        head = audit.head_of(session).hash
    comments = theatre.send("alice", "GET", f"/repos/{repository}/issues/{plan.issue_number}/comments")
    closing = comments[-1]["body"]
    assert "### Timeline" in closing
    assert "Audit head" in closing
    (watched,) = theatre.state_of(repository).runs.values()
    assert (len(watched.attempts), watched.latest.conclusion(theatre.box.clock.now())) == (2, "success")
    assert len(head) == 64


def test_plan_mode_writes_nothing_at_all(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run_id = next(iter(theatre.state_of(repository).runs))
    run = theatre.start("triage-failed-run", TriageRequest(repository=repository, run_id=run_id))
    ended = theatre.until("the end", lambda: theatre.ended(run.id))
    assert ended.state == "Planned"
    written = [
        r
        for r in theatre.box.requests
        if r["method"] != "GET" and r["path"].startswith(f"/repos/{repository}/")
    ]
    assert written == []
    assert theatre.here.engine.executions.get(run.id) is None
    assert "delete cache" in (theatre.prefect.artifact(run.id, "plan") or "").replace("\\", "")


def test_an_attempt_is_triaged_once(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    first = theatre.triage(repository)
    theatre.asked(first.id)
    second = theatre.triage(repository)
    assert theatre.until("the end", lambda: theatre.ended(second.id)).state == "AlreadyClaimed"
    issues = theatre.send("alice", "GET", f"/repos/{repository}/issues")
    assert len(issues) == 1


@pytest.mark.executes("CM-09")
def test_caches_are_cleared_on_an_approval_issue_that_then_closes(theatre: Theatre) -> None:
    """Nobody can name who started a run over REST, so two people must approve it."""
    repository = theatre.own_repository()
    request = ClearCachesRequest(repository=repository, mode=Mode.APPLY, key_prefix="pip-")
    run = theatre.start("clear-caches", request)
    plan = theatre.asked(run.id)
    assert plan.requester_kind is RequesterKind.UNNAMED

    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    theatre.resume(run.id)
    theatre.asked(run.id, times=2)
    assert theatre.effects_on(repository) == []
    theatre.comment(plan, "bob", f"/approve {plan.short_digest}")
    theatre.resume(run.id)

    assert theatre.until("the end", lambda: theatre.ended(run.id)).state == "Verified"
    assert [cache.key for cache in theatre.state_of(repository).caches.values()] == ["npm-Linux-1"]
    issue = theatre.send("alice", "GET", f"/repos/{repository}/issues/{plan.issue_number}")
    assert issue["state"] == "closed"


def test_a_rejected_plan_ends_cancelled_with_its_reason(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    theatre.comment(plan, "bob", f"/reject {plan.short_digest} the cache is being looked at")
    theatre.resume(run.id)
    ended = theatre.until("the end", lambda: theatre.ended(run.id))
    assert (ended.type, ended.state) == ("CANCELLED", "Rejected")
    assert "being looked at" in ended.message
    assert theatre.effects_on(repository) == []


def test_no_waking_and_no_foreign_comment_applies_anything(theatre: Theatre) -> None:
    """R2, attack by attack: every one of them wakes the run, and none gets past the gate."""
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)

    theatre.rest(f"/flow_runs/{run.id}/resume", {})
    theatre.asked(run.id, times=2)
    with_input = {"run_input": {"approved": True, "approver": "alice"}}
    theatre.rest(f"/flow_runs/{run.id}/resume", with_input)
    theatre.asked(run.id, times=3)
    forced = {"state": {"type": "SCHEDULED", "name": "Approved"}, "force": True}
    theatre.rest(f"/flow_runs/{run.id}/set_state", forced)
    theatre.asked(run.id, times=4)
    _resume_by_automation(theatre, run.id)
    theatre.asked(run.id, times=5)

    digits = plan.short_digest
    theatre.comment(plan, "mallory", f"/approve {digits}")
    theatre.comment(plan, "alice", f"/approve {digits}", app="chat-bridge")
    theatre.comment(plan, "alice", f"> /approve {digits}")
    theatre.comment(plan, "alice", f"/approve {'0' * 16}")
    edited = theatre.comment(plan, "mallory", "hello")
    path = f"/repos/{repository}/issues/comments/{edited['id']}"
    theatre.send("alice", "PATCH", path, json={"body": f"/approve {digits}"})
    deleted = theatre.comment(plan, "alice", f"/approve {digits}")
    theatre.send("alice", "DELETE", f"/repos/{repository}/issues/comments/{deleted['id']}")
    _as_product(theatre, plan.issue_number, repository, f"/approve {digits}")
    theatre.resume(run.id)
    theatre.asked(run.id, times=6)

    assert theatre.effects_on(repository) == []
    assert theatre.here.engine.plans.get(plan.id).state is PlanState.WAITING


def test_an_approver_removed_from_the_policy_while_paused_does_not_count(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    before = theatre.policy_file.read_text()
    theatre.policy_file.write_text(before.replace('approvers = ["alice", "bob"]', 'approvers = ["bob"]'))
    try:
        theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
        theatre.resume(run.id)
        theatre.asked(run.id, times=2)
    finally:
        theatre.policy_file.write_text(before)
    assert theatre.effects_on(repository) == []


def test_a_plan_that_the_world_has_overtaken_is_void_and_asks_anew(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    github_run = next(iter(theatre.state_of(repository).runs.values()))
    theatre.send(
        "alice", "DELETE", f"/repos/{repository}/actions/caches?key=pip-Linux-0badcafe&ref=refs/heads/main"
    )
    theatre.send("alice", "POST", f"/repos/{repository}/actions/runs/{github_run.id}/rerun-failed-jobs")
    theatre.until(
        "somebody else's re-run",
        lambda: github_run.latest.status(theatre.box.clock.now()) == "completed" or None,
    )
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    theatre.resume(run.id)
    ended = theatre.until("the end", lambda: theatre.ended(run.id))
    assert ended.state == "Resolved"
    assert theatre.here.engine.plans.get(plan.id).state is PlanState.VOIDED
    assert theatre.effects_on(repository) == []


@pytest.mark.parametrize("victims", ["child", "worker", "both"])
def test_a_killed_run_is_resumed_and_nothing_is_applied_twice(theatre: Theatre, victims: str) -> None:
    repository = theatre.own_repository()
    run, _plan = theatre.watching(repository)
    _kill(theatre, run.id, victims)

    assert theatre.swept(run.id).state == "Verified"
    reruns = [r for r in theatre.effects_on(repository) if r["path"].endswith("/rerun-failed-jobs")]
    assert len(reruns) == 1
    assert theatre.execution(run.id).state is ExecutionState.DONE


def test_a_cancelled_run_is_settled_by_the_sweeper(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run, plan = theatre.watching(repository)
    cancel = {"state": {"type": "CANCELLING"}, "force": False}
    theatre.rest(f"/flow_runs/{run.id}/set_state", cancel)
    theatre.until("the cancellation", lambda: theatre.ended(run.id))
    theatre.swept(run.id)
    assert theatre.execution(run.id).state is ExecutionState.CANCELLED
    states = [entry.state for entry in theatre.journal(plan)]
    assert states[0] is EffectState.KEPT
    assert states[1] is EffectState.UNDONE


def test_an_expired_plan_is_woken_by_the_sweeper_and_ends_expired(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    with theatre.here.ledger.write() as session:
        from runbook.engine.schema import PlanRow

        session.get_one(PlanRow, plan.id).expires_at = theatre.here.clock.now() - timedelta(seconds=1)
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    assert theatre.swept(run.id).state == "Expired"
    assert theatre.effects_on(repository) == []


def _kill(theatre: Theatre, run_id: str, victims: str) -> None:
    worker = theatre.workers[-1]
    child = int(theatre.execution(run_id).process.split("/")[-2])
    if victims in {"worker", "both"}:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    if victims in {"child", "both"}:
        os.kill(child, signal.SIGKILL)
    if victims in {"worker", "both"}:
        theatre.start_worker()


def _resume_by_automation(theatre: Theatre, run_id: str) -> None:
    """Let a Prefect automation, which anybody with the API can make, resume the run."""
    automation = {
        "name": f"resume {run_id}",
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": ["attack.now"],
            "threshold": 1,
            "within": 0,
        },
        "actions": [
            {"type": "resume-flow-run"},
            {"type": "change-flow-run-state", "state": "SCHEDULED", "force": True},
        ],
    }
    theatre.rest("/automations/", automation)

    def woken() -> bool | None:
        if theatre.prefect.read(run_id).type != "PAUSED":
            return True
        # Sent until it wakes: the server takes a moment to learn of a new automation.
        event = {
            "occurred": theatre.here.clock.now().isoformat(),
            "event": "attack.now",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
            "id": str(uuid.uuid4()),
        }
        theatre.rest("/events", [event])
        return None

    theatre.until("the automation to wake the run", woken)


def _as_product(theatre: Theatre, issue: int | None, repository: str, body: str) -> None:
    requests.post(
        f"{theatre.box.url}/repos/{repository}/issues/{issue}/comments",
        json={"body": body},
        headers={"Authorization": f"Bearer {theatre.box.token}"},
        timeout=10,
    ).raise_for_status()


def test_a_schedules_request_sent_by_hand_is_not_the_schedule(theatre: Theatre) -> None:
    """Its quorum of zero is for what Prefect's scheduler starts; whoever sends the same is somebody unnamed."""
    repository = theatre.own_repository()
    before = theatre.policy_file.read_text()
    request = f'{{ repository = "{repository}", mode = "apply", key_prefix = "pip-" }}'
    theatre.policy_file.write_text(
        f'{before}\n[[scheduled]]\nname = "prune"\nprocedure = "clear-caches"\n'
        f"request = {request}\nquorum = 0\nmax_effects = 5\n"
    )
    try:
        by_hand = ClearCachesRequest(repository=repository, mode=Mode.APPLY, key_prefix="pip-")
        plan = theatre.asked(theatre.start("clear-caches", by_hand).id)
    finally:
        theatre.policy_file.write_text(before)
    assert plan.requester_kind is RequesterKind.UNNAMED
    assert theatre.effects_on(repository) == []
