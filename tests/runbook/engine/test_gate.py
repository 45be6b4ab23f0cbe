"""R2 on GitHub's stand-in: what opens the gate, and that nothing else lets a write through."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from runbook.decisions.approval import Ignored, Verdict
from runbook.effects.incident_issues import PostComment
from runbook.engine.engine import Ended, Verification
from runbook.engine.executions import BY_PRODUCT, Requester
from runbook.engine.gate import GateContext
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import ApprovalRow, AuditRow, PlanRow
from runbook.engine.states import ExecutionState, PlanState, RequesterKind
from runbook.errors import LedgerError, NotFound, Transient
from runbook.models import Permission
from tests.runbook.engine.conftest import REPOSITORY
from tests.runbook.engine.desk import INCIDENTS, PRODUCT, RULE, Desk

UNNAMED = Requester(RequesterKind.UNNAMED, "")
PASSED = Verification(passed=True, reason="green")


def state(desk: Desk, plan: StoredPlan) -> PlanState:
    """Where the plan stands in the ledger."""
    return desk.engine.plans.get(plan.id).state


def approve(plan: StoredPlan) -> str:
    """The approving comment."""
    return f"/approve {plan.short_digest}"


def approvals(desk: Desk) -> list[tuple[str | None, str, str]]:
    """What the ledger keeps of decisions: who, which, and under which policy."""
    with desk.engine.ledger.read() as session:
        return [(row.login, row.source, row.policy_digest) for row in session.scalars(select(ApprovalRow))]


# --- nothing is written before an approval ---------------------------------------------------------------

ATTACKS: dict[str, Callable[[Desk, StoredPlan], object]] = {
    "nobody": lambda desk, plan: None,
    "a stranger": lambda desk, plan: desk.say("mallory", approve(plan)),
    "the requester": lambda desk, plan: desk.say("dave", approve(plan)),
    "the product": lambda desk, plan: desk.say(PRODUCT, approve(plan)),
    "an approver without the permission": lambda desk, plan: desk.say("carol", approve(plan)),
    "an app for an approver": lambda desk, plan: desk.say("alice", approve(plan), app="chat-bridge"),
    "15 digits": lambda desk, plan: desk.say("alice", f"/approve {plan.digest[:15]}"),
    "another plan's digits": lambda desk, plan: desk.say("alice", f"/approve {'0' * 16}"),
    "a quotation": lambda desk, plan: desk.say("alice", f"> {approve(plan)}"),
    "a code block": lambda desk, plan: desk.say("alice", f"```\n{approve(plan)}\n```"),
    "an indented line": lambda desk, plan: desk.say("alice", f"    {approve(plan)}"),
    "a second line": lambda desk, plan: desk.say("alice", f"no!\n{approve(plan)}"),
    "edited into an approval": lambda desk, plan: desk.edit("alice", desk.say("alice", "hm"), approve(plan)),
    "edited by somebody else": lambda desk, plan: desk.edit(
        "mallory", desk.say("alice", "hm"), approve(plan)
    ),
    "deleted": lambda desk, plan: desk.delete("alice", desk.say("alice", approve(plan)).id),
    "on another issue": lambda desk, plan: desk.say("alice", approve(plan), issues="acme/incident-log"),
    "resumed in Prefect": lambda desk, plan: desk.gate(plan, resumed=True),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_no_attack_opens_the_gate(desk: Desk, attack: Callable[[Desk, StoredPlan], object]) -> None:
    plan = desk.show()
    attack(desk, plan)
    assert desk.gate(plan).verdict is Verdict.WAITING
    assert state(desk, plan) is PlanState.WAITING
    assert (desk.writes(), approvals(desk)) == ([], [])


def test_a_comment_from_before_the_plan_does_not_approve_it(desk: Desk) -> None:
    """Equal digests recur: the approval of last week's plan must not open today's."""
    first = desk.show()
    desk.say("alice", approve(first))
    desk.engine.plans.end(first.id, PlanState.VOIDED, reason="moved on")
    second = desk.show()
    assert second.digest == first.digest
    decision = desk.gate(second)
    assert decision.verdict is Verdict.WAITING
    assert [ignored.why for ignored in decision.ignored] == [Ignored.OLDER]


def test_an_entitled_approval_opens_the_gate_and_the_plan_can_be_applied(desk: Desk) -> None:
    plan = desk.show()
    comment = desk.say("alice", f"{approve(plan)} go ahead\r\nThanks!")
    decision = desk.gate(plan)
    assert (decision.verdict, decision.reason) == (Verdict.APPROVED, "approved by alice")
    assert (state(desk, plan), approvals(desk)) == (PlanState.APPLYING, [("alice", "github-comment", "p1")])
    with desk.engine.ledger.read() as session:
        line = session.scalars(select(AuditRow).where(AuditRow.event == "plan.approved")).one()
        assert (line.actor, line.body["digest"], line.body["policy"]) == ("alice", plan.digest, "p1")
        assert line.body["by"][0]["comment_id"] == comment.id
    outcome = desk.engine.apply(desk.engine.plans.get(plan.id), verify=lambda lease: PASSED)
    assert outcome.ended is Ended.DONE
    assert [method for method, _ in desk.writes()] == ["DELETE", "POST"]


def test_the_gate_asks_again_only_until_something_was_sent(desk: Desk) -> None:
    plan = desk.show()
    comment = desk.say("alice", approve(plan))
    desk.gate(plan)
    desk.engine.apply(desk.engine.plans.get(plan.id), verify=lambda lease: PASSED)
    desk.delete("alice", comment.id)
    assert desk.gate(plan).verdict is Verdict.APPROVED
    assert state(desk, plan) is PlanState.DONE


def test_approving_twice_is_noted_once(desk: Desk) -> None:
    plan = desk.show()
    desk.say("alice", approve(plan))
    desk.say("Alice", approve(plan))
    desk.gate(plan)
    assert desk.gate(plan).verdict is Verdict.APPROVED
    assert approvals(desk) == [("alice", "github-comment", "p1")]


# --- between the approval and the first effect -----------------------------------------------------------

Change = Callable[[Desk, int], dict[str, Any]]


def _delete_comment(desk: Desk, comment_id: int) -> dict[str, Any]:
    desk.delete("alice", comment_id)
    return {}


def _leave_repository(desk: Desk, _comment_id: int) -> dict[str, Any]:
    del desk.box.repository.roles["alice"]
    return {}


CHANGES: dict[str, Change] = {
    "the approver is removed from the policy": lambda _desk, _comment: {
        "rule": RULE.model_copy(update={"approvers": ("bob",)})
    },
    "the quorum is raised": lambda _desk, _comment: {"rule": RULE.model_copy(update={"quorum": 2})},
    "a freeze begins": lambda _desk, _comment: {"frozen": "frozen until Monday: release week"},
    "the comment is deleted": _delete_comment,
    "the approver leaves the repository": _leave_repository,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_changes_before_the_first_effect_closes_the_gate_again(desk: Desk, change: Change) -> None:
    plan = desk.show()
    comment = desk.say("alice", approve(plan))
    assert desk.gate(plan).verdict is Verdict.APPROVED
    assert desk.gate(plan, **change(desk, comment.id)).verdict is Verdict.WAITING
    assert state(desk, plan) is PlanState.WAITING
    assert desk.writes() == []


def test_the_gate_opens_again_when_the_freeze_is_over(desk: Desk) -> None:
    plan = desk.show()
    desk.say("alice", approve(plan))
    frozen = desk.gate(plan, frozen="frozen until Monday: release week")
    assert (frozen.verdict, frozen.reason) == (Verdict.WAITING, "frozen until Monday: release week")
    assert desk.gate(plan).verdict is Verdict.APPROVED


def test_a_least_permission_raised_meanwhile_closes_the_gate(desk: Desk) -> None:
    plan = desk.show()
    desk.say("bob", approve(plan))
    assert desk.gate(plan).verdict is Verdict.APPROVED
    stricter = RULE.model_copy(update={"minimum_permission": Permission.ADMIN})
    decision = desk.gate(plan, rule=stricter)
    assert [ignored.why for ignored in decision.ignored] == [Ignored.NO_PERMISSION]
    assert state(desk, plan) is PlanState.WAITING


def test_the_policy_that_is_in_force_at_apply_is_the_one_that_is_noted(desk: Desk) -> None:
    plan = desk.show()
    desk.say("mallory", approve(plan))
    assert desk.gate(plan).verdict is Verdict.WAITING
    later = RULE.model_copy(update={"approvers": ("mallory",)})
    assert desk.gate(plan, rule=later, policy_digest="p2").verdict is Verdict.APPROVED
    assert approvals(desk) == [("mallory", "github-comment", "p2")]


# --- other endings ---------------------------------------------------------------------------------------


def test_a_rejection_ends_the_plan_with_who_and_why(desk: Desk) -> None:
    plan = desk.show()
    desk.say("bob", f"/reject {plan.short_digest} wrong cache")
    decision = desk.gate(plan)
    assert (decision.verdict, decision.reason) == (Verdict.REJECTED, "rejected by bob: wrong cache")
    assert state(desk, plan) is PlanState.REJECTED
    with desk.engine.ledger.read() as session:
        line = session.scalars(select(AuditRow).where(AuditRow.event == "plan.reject")).one()
        assert (line.actor, line.body["by"]["reason"]) == ("bob", "wrong cache")
    assert desk.writes() == []


def test_a_requester_may_reject_their_own_plan(desk: Desk) -> None:
    plan = desk.show(requester=Requester(RequesterKind.PERSON, "bob"))
    desk.say("bob", approve(plan))
    assert desk.gate(plan).verdict is Verdict.WAITING
    desk.say("bob", f"/reject {plan.short_digest}")
    assert desk.gate(plan).verdict is Verdict.REJECTED


def test_an_unapproved_plan_expires_and_an_approval_afterwards_is_late(desk: Desk) -> None:
    plan = desk.show()
    desk.clock.sleep(3600)
    desk.say("alice", approve(plan))
    decision = desk.gate(plan)
    assert decision.verdict is Verdict.EXPIRED
    assert [ignored.why for ignored in decision.ignored] == [Ignored.LATE]
    assert (state(desk, plan), desk.writes()) == (PlanState.EXPIRED, [])


def test_an_edited_plan_is_void(desk: Desk) -> None:
    plan = desk.show()
    comment = next(
        one for one in desk.engine.world.github.list_comments(INCIDENTS, 1) if one.id == plan.comment_id
    )
    desk.edit("mallory", comment, "Plan: delete nothing at all")
    desk.say("alice", approve(plan))
    assert desk.gate(plan).verdict is Verdict.VOID
    assert (state(desk, plan), desk.writes()) == (PlanState.VOIDED, [])


def test_an_approved_plan_whose_comment_was_deleted_is_void(desk: Desk) -> None:
    plan = desk.show()
    assert plan.comment_id is not None
    desk.delete("mallory", plan.comment_id)
    assert desk.gate(plan).verdict is Verdict.WAITING
    desk.say("alice", approve(plan))
    assert desk.gate(plan).verdict is Verdict.VOID


@pytest.mark.parametrize("tampered", ["edited", "deleted"])
def test_a_plan_of_which_a_page_above_was_tampered_with_is_void(desk: Desk, tampered: str) -> None:
    """What one comment cannot hold stands in others before it; people approve those as well."""
    plan = desk.show()
    page = PostComment(repository=INCIDENTS, issue=1, key="page", body="Row 51: delete everything")
    desk.engine.record(plan.execution_id, f"{plan.pages_above}1", page)
    shown = desk.engine.world.github.list_comments(INCIDENTS, 1)[-1]
    assert desk.gate(plan).verdict is Verdict.WAITING
    if tampered == "edited":
        desk.edit("mallory", shown, "Row 51: delete nothing at all")
    else:
        desk.delete("mallory", shown.id)
    desk.say("alice", approve(plan))
    assert desk.gate(plan).verdict is Verdict.VOID
    assert desk.writes() == []


@pytest.mark.parametrize("approved", [False, True])
def test_a_world_that_moved_on_voids_the_plan_approved_or_not(desk: Desk, approved: bool) -> None:
    plan = desk.show()
    if approved:
        desk.say("alice", approve(plan))
    desk.person("mallory").rerun_failed_jobs(REPOSITORY, desk.run_id)
    before = desk.writes()
    decision = desk.gate(plan)
    assert (decision.verdict, state(desk, plan)) == (Verdict.VOID, PlanState.VOIDED)
    assert "at attempt 2 now" in decision.reason
    assert desk.writes() == before


def test_a_plan_that_ended_meanwhile_cannot_be_approved(desk: Desk) -> None:
    plan = desk.show()
    desk.say("alice", approve(plan))
    desk.engine.plans.end(plan.id, PlanState.CANCELLED, reason="cancelled")
    with pytest.raises(LedgerError, match="ended as cancelled"):
        desk.gate(plan)
    assert (state(desk, plan), approvals(desk)) == (PlanState.CANCELLED, [])


def test_a_plan_that_nobody_was_shown_cannot_be_approved(desk: Desk) -> None:
    plan = desk.show()
    with desk.engine.ledger.write() as session:
        session.get_one(PlanRow, plan.id).comment_id = None
    with pytest.raises(LedgerError, match="never shown"):
        desk.gate(plan)


# --- who asked -------------------------------------------------------------------------------------------


def test_a_run_that_nobody_named_needs_one_approver_more(desk: Desk) -> None:
    plan = desk.show(requester=UNNAMED)
    desk.say("alice", approve(plan))
    assert desk.gate(plan).verdict is Verdict.WAITING
    desk.say("bob", approve(plan))
    assert desk.gate(plan).verdict is Verdict.APPROVED


def test_a_schedules_name_is_no_person_who_could_not_approve(desk: Desk) -> None:
    """A schedule called like an approver must not bar that approver."""
    plan = desk.show(requester=Requester(RequesterKind.SCHEDULE, "alice"))
    desk.say("alice", approve(plan))
    assert desk.gate(plan).verdict is Verdict.APPROVED


def test_a_quorum_of_zero_needs_nobody_and_says_so_in_the_audit(desk: Desk) -> None:
    plan = desk.show(requester=BY_PRODUCT)
    assert desk.gate(plan, rule=RULE.model_copy(update={"quorum": 0})).verdict is Verdict.APPROVED
    with desk.engine.ledger.read() as session:
        line = session.scalars(select(AuditRow).where(AuditRow.event == "plan.approved")).one()
        assert (line.actor, line.body["by"], line.body["needed"]) == ("runbook", [], 0)


def test_a_resume_that_counts_is_noted_as_unnamed_and_counts_for_this_ask_only(desk: Desk) -> None:
    rule = RULE.model_copy(update={"prefect_resume_counts": True})
    plan = desk.show()
    desk.engine.plans.ask(plan.id)
    assert desk.gate(plan, rule=rule).verdict is Verdict.WAITING
    assert desk.gate(plan, rule=rule, resumed=True).verdict is Verdict.APPROVED
    assert approvals(desk) == [(None, "prefect-resume", "p1")]
    assert desk.gate(plan, rule=RULE, resumed=True).verdict is Verdict.WAITING
    assert state(desk, plan) is PlanState.WAITING


# --- looking, and failing to look ------------------------------------------------------------------------


def test_looking_decides_nothing(desk: Desk) -> None:
    plan = desk.show()
    desk.say("alice", approve(plan))
    context = GateContext(rule=RULE, policy_digest="p1", product_logins=frozenset({PRODUCT}))
    before = desk.engine.audit_head()
    assert desk.engine.gate.look(plan, context).verdict is Verdict.APPROVED
    assert (state(desk, plan), approvals(desk)) == (PlanState.WAITING, [])
    assert desk.engine.audit_head() == before


@pytest.mark.parametrize("path", ["/comments", "/permission", "/actions/runs"])
def test_a_gate_that_cannot_read_stays_shut_and_decides_later(desk: Desk, path: str) -> None:
    plan = desk.show()
    desk.say("alice", approve(plan))
    desk.box.fail("500_before", method="GET", path_regex=path, times=8)
    with pytest.raises(Transient):
        desk.gate(plan)
    assert (state(desk, plan), desk.writes()) == (PlanState.WAITING, [])
    desk.box.server.faults.clear()
    assert desk.gate(plan).verdict is Verdict.APPROVED


def test_an_issue_that_is_gone_keeps_the_gate_shut(desk: Desk) -> None:
    plan = desk.show()
    found = desk.box.state.repository("acme", "incident_log")
    assert found is not None
    found.issues.clear()
    with pytest.raises(NotFound):
        desk.gate(plan)
    assert desk.writes() == []


def test_strangers_cannot_make_the_gate_spend_requests(desk: Desk) -> None:
    plan = desk.show()
    for _ in range(5):
        desk.say("mallory", approve(plan))
    desk.gate(plan)
    asked = [request["path"] for request in desk.box.requests if "/collaborators/" in request["path"]]
    assert asked == []


def test_used_comments_of_a_repository_with_a_like_name_do_not_disturb(desk: Desk) -> None:
    """``_`` is a wildcard to LIKE: the proofs of acme/incident-log must not be read as acme/incident_log's."""
    other = desk.show(desk.clear("pip-b"), execution_id="e9", issues="acme/incident-log")
    desk.say("alice", approve(other), issues="acme/incident-log")
    assert desk.gate(other).verdict is Verdict.APPROVED
    desk.engine.executions.end("e9", ExecutionState.DONE, reason="r")
    desk.engine.plans.end(other.id, PlanState.DONE, reason="r")
    plan = desk.show()
    desk.say("alice", approve(plan))
    assert desk.gate(plan).verdict is Verdict.APPROVED


@pytest.mark.parametrize("spelling", [INCIDENTS, INCIDENTS.upper()])
def test_a_comment_that_counted_for_one_plan_counts_for_no_other(desk: Desk, spelling: str) -> None:
    """Also where the policy spells the repository otherwise now: GitHub ignores case."""
    first = desk.show()
    comment = desk.say("alice", approve(first))
    desk.gate(first)
    desk.engine.plans.end(first.id, PlanState.VOIDED, reason="moved on")
    second = desk.show()
    desk.engine.plans.placed(second.id, issues_repository=spelling, issue_number=1, issue_url="u")
    desk.engine.plans.shown(second.id, comment_id=comment.id - 1)  # as if it had been shown before
    decision = desk.gate(second)
    assert Ignored.USED in {ignored.why for ignored in decision.ignored}
    assert decision.verdict is not Verdict.APPROVED


def test_a_plan_that_this_program_cannot_read_keeps_no_other_waiting(desk: Desk) -> None:
    """Of the other plans only the digests are wanted, and read."""
    plan, other = desk.show(desk.clear()), desk.show(desk.rerun(), execution_id="e2")
    with desk.engine.ledger.write() as session:
        session.get_one(PlanRow, other.id).body = {"written": "by another version"}
    desk.say("alice", approve(plan))
    assert desk.gate(plan).verdict is Verdict.APPROVED
