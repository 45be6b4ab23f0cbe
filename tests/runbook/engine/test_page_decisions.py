"""The approval page's decisions in the ledger and at the gate: whose code counts, once, and for which plan."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pyotp
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from runbook.decisions.approval import Ignored, Verdict
from runbook.engine.executions import Requester
from runbook.engine.page_decisions import (
    LOCK_SECONDS,
    REFUSALS_BEFORE_LOCK,
    Answer,
    Given,
    Outcome,
    PageDecisions,
    locked_until,
    page_decisions,
)
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import ApprovalRow, AuditRow, PageDecisionRow, PageRefusalRow
from runbook.engine.states import PlanState, RequesterKind
from runbook.errors import Transient
from runbook.models import Permission
from runbook.one_time_codes import STEP_SECONDS, Seeds, new_seed
from runbook.policy.approvals import ApprovalRule
from tests.runbook.engine.conftest import START
from tests.runbook.engine.desk import PRODUCT, RULE, Desk

SEEDS = {login: new_seed() for login in ("alice", "bob", "carol", "dave", "mallory", PRODUCT)}
WRONG = "000000"


def code_of(login: str, at: datetime) -> str:
    """What the person's phone shows at a time."""
    return pyotp.TOTP(SEEDS[login].get_secret_value()).at(at)


def give(
    desk: Desk,
    plan: StoredPlan,
    login: str = "alice",
    *,
    code: str | None = None,
    approve: bool = True,
    reason: str = "",
    seeds: dict[str, SecretStr] = SEEDS,
) -> Outcome:
    """Give a decision on the page, with the code of now where none is named."""
    now = desk.clock.now()
    known = code_of(login.casefold(), now) if code is None else code
    return PageDecisions(desk.engine.ledger, clock=desk.clock).decide(
        plan,
        Given(login, known, approve=approve, reason=reason),
        seeds=Seeds(seeds),
        rule=RULE,
        product_logins=frozenset({PRODUCT}),
    )


def two_plans(desk: Desk) -> tuple[StoredPlan, StoredPlan]:
    """Two plans that wait at the same time, for different targets."""
    return desk.show(desk.clear(), execution_id="e2"), desk.show(desk.rerun(), execution_id="e3")


def lines(desk: Desk, event: str) -> list[AuditRow]:
    """The audit's lines of a kind."""
    with desk.engine.ledger.read() as session:
        return list(session.scalars(select(AuditRow).where(AuditRow.event == event)))


def away(desk: Desk) -> None:
    """Take GitHub's comments and permissions away."""
    desk.box.fail("500_before", method="GET", path_regex="/comments|/permission", times=100)


# --- whose code counts -----------------------------------------------------------------------------------


def test_a_right_code_of_an_approver_is_recorded_and_audited(desk: Desk) -> None:
    plan = desk.show()
    assert give(desk, plan, "Alice", reason="looks\nright").answer is Answer.RECORDED
    (decision,) = page_decisions(desk.engine.ledger, plan.id)
    step = int(START.timestamp()) // STEP_SECONDS
    assert (decision.login, decision.approve, decision.reason) == ("alice", True, "looks right")
    assert decision.code_step in (step, step + 1)
    (line,) = lines(desk, "page.approve")
    assert (line.actor, line.subject, line.body["digest"]) == ("alice", f"plan:{plan.id}", plan.digest)
    assert "enrolment" in line.body["entitled_by"]


def _wrong(desk: Desk, plan: StoredPlan) -> Outcome:
    return give(desk, plan, code=WRONG)


def _used(desk: Desk, plan: StoredPlan) -> Outcome:
    assert give(desk, plan, approve=False).answer is Answer.RECORDED
    return give(desk, plan)


def _used_for_another(desk: Desk, plan: StoredPlan) -> Outcome:
    desk.engine.plans.end(plan.id, PlanState.VOIDED, reason="moved on")
    plan, other = two_plans(desk)
    assert give(desk, other).answer is Answer.RECORDED
    return give(desk, plan)


def _expired(desk: Desk, plan: StoredPlan) -> Outcome:
    code = code_of("alice", desk.clock.now())
    desk.clock.sleep(2 * STEP_SECONDS)
    return give(desk, plan, code=code)


def _from_tomorrow(desk: Desk, plan: StoredPlan) -> Outcome:
    return give(desk, plan, code=code_of("alice", desk.clock.now() + timedelta(seconds=2 * STEP_SECONDS)))


def _other_persons(desk: Desk, plan: StoredPlan) -> Outcome:
    return give(desk, plan, "alice", code=code_of("bob", desk.clock.now()))


def _unknown(desk: Desk, plan: StoredPlan) -> Outcome:
    return give(desk, plan, "nobody-here", code=WRONG)


def _removed(desk: Desk, plan: StoredPlan) -> Outcome:
    return give(desk, plan, seeds={"bob": SEEDS["bob"]})


def _no_name(desk: Desk, plan: StoredPlan) -> Outcome:
    return give(desk, plan, "a\x00b c", code=WRONG)


REFUSALS: dict[str, Callable[[Desk, StoredPlan], Outcome]] = {
    "wrong": _wrong,
    "used": _used,
    "used for another plan": _used_for_another,
    "expired": _expired,
    "too early": _from_tomorrow,
    "another person's": _other_persons,
    "of nobody": _unknown,
    "of somebody removed": _removed,
    "no name": _no_name,
}


@pytest.mark.parametrize("attempt", REFUSALS.values(), ids=REFUSALS.keys())
def test_every_refusal_looks_the_same_and_is_counted(
    desk: Desk, attempt: Callable[[Desk, StoredPlan], Outcome]
) -> None:
    plan = desk.show()
    assert attempt(desk, plan) == Outcome(Answer.REFUSED)
    assert not any(one.approve for one in page_decisions(desk.engine.ledger, plan.id))
    with desk.engine.ledger.read() as session:
        assert len(session.scalars(select(PageRefusalRow)).all()) == 1


@pytest.mark.parametrize(
    ("login", "requester", "why"),
    [
        ("mallory", "dave", Ignored.NOT_AN_APPROVER),
        ("alice", "Alice", Ignored.BY_REQUESTER),
        (PRODUCT, "dave", Ignored.BY_PRODUCT),
    ],
)
def test_a_right_code_of_somebody_who_may_not_approve_is_spent_and_counts_for_nothing(
    desk: Desk, login: str, requester: str, why: Ignored
) -> None:
    plan = desk.show(requester=Requester(RequesterKind.PERSON, requester))
    assert give(desk, plan, login) == Outcome(Answer.NOT_COUNTED, why=why)
    assert page_decisions(desk.engine.ledger, plan.id) == ()
    (line,) = lines(desk, "page.not_counted")
    assert (line.actor, line.body["why"], line.body["decision"]) == (login, why, "approve")
    assert give(desk, plan, login).answer is Answer.REFUSED
    assert desk.gate(plan).verdict is Verdict.WAITING


def test_a_requester_may_reject_on_the_page(desk: Desk) -> None:
    plan = desk.show(requester=Requester(RequesterKind.PERSON, "alice"))
    assert give(desk, plan, approve=False, reason="mistake").answer is Answer.RECORDED
    assert desk.gate(plan).verdict is Verdict.REJECTED


@pytest.mark.parametrize("end", [PlanState.CANCELLED, None])
def test_a_plan_that_waits_no_longer_takes_no_decision_and_no_code(desk: Desk, end: PlanState | None) -> None:
    plan = desk.show()
    if end is None:
        desk.clock.sleep(3600)
    else:
        desk.engine.plans.end(plan.id, end, reason="over")
    assert give(desk, plan).answer is Answer.CLOSED
    with desk.engine.ledger.read() as session:
        assert session.scalars(select(PageDecisionRow)).all() == []


def test_one_code_given_many_times_at_once_counts_once(desk: Desk) -> None:
    plans = two_plans(desk)
    code = code_of("alice", desk.clock.now())
    answers: list[Answer] = []
    start = threading.Barrier(8)

    def attempt(number: int) -> None:
        start.wait()
        answers.append(give(desk, plans[number % 2], code=code).answer)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(Answer.RECORDED) == 1
    assert answers.count(Answer.REFUSED) == REFUSALS_BEFORE_LOCK
    assert answers.count(Answer.LOCKED) == 8 - 1 - REFUSALS_BEFORE_LOCK


def test_a_code_typed_into_the_reason_is_not_kept(desk: Desk) -> None:
    plan = desk.show()
    code = code_of("alice", desk.clock.now())
    give(desk, plan, reason=f"code {code}, and ghp_{'a' * 30}")
    assert page_decisions(desk.engine.ledger, plan.id)[0].reason == "code ***, and ***"
    assert code not in repr(Given("alice", code, approve=True, reason=""))


# --- guessing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["alice", "nobody-here"])
def test_five_refusals_lock_a_name_for_a_quarter_of_an_hour_enrolled_or_not(desk: Desk, login: str) -> None:
    plan = desk.show()
    for _ in range(REFUSALS_BEFORE_LOCK):
        assert give(desk, plan, login, code=WRONG).answer is Answer.REFUSED
    until = desk.clock.now() + timedelta(seconds=LOCK_SECONDS)
    locked = Outcome(Answer.LOCKED, locked_until=until)
    assert give(desk, plan, login, code=WRONG) == locked
    assert [line.subject for line in lines(desk, "page.locked")] == [f"login:{login}"]
    if login == "alice":
        assert give(desk, plan, "ALICE") == locked, "a right code does not open a lock"
    assert give(desk, plan, "bob").answer is Answer.RECORDED
    desk.clock.sleep(LOCK_SECONDS)
    assert give(desk, plan, login, code=WRONG).answer is Answer.REFUSED
    if login == "alice":
        assert give(desk, plan).answer is Answer.RECORDED


def test_refusals_under_invented_names_keep_nobody_out(desk: Desk) -> None:
    plan = desk.show()
    with desk.engine.ledger.write() as session:
        session.add_all(PageRefusalRow(login=f"n{number}", at=desk.clock.now()) for number in range(1_000))
    assert give(desk, plan).answer is Answer.RECORDED


def test_whoever_goes_on_guessing_has_less_than_fifty_guesses_a_day() -> None:
    refusals: list[datetime] = []
    for now in (START + timedelta(minutes=minute) for minute in range(24 * 60)):
        until = locked_until(refusals)
        if until is None or now >= until:
            refusals.append(now)
    assert 5 * 8 <= len(refusals) < 50


def _ago(*minutes: float) -> list[datetime]:
    return [START - timedelta(minutes=each) for each in minutes]


@pytest.mark.parametrize(
    ("refusals", "until"),
    [
        ([], None),
        (_ago(3, 2, 1, 0), None),
        (_ago(4, 3, 2, 1, 0), 15),
        (_ago(14.99, 3, 2, 1, 0), 15),
        (_ago(15, 3, 2, 1, 0), None),
        (_ago(18, 17, 16, 15, 14.9), 0.1),
        (_ago(60, 60, 60, 60, 60, 0, 0, 0, 0), -45),
        (_ago(60, 60, 60, 60, 60, 0, 0, 0, 0, 0), 30),
        (_ago(*[180] * 5, *[120] * 5, *[60] * 5, *[0] * 5), 120),
        (_ago(*[600] * 25, *[0] * 5), 240),
    ],
)
def test_a_lock_holds_after_refusals_that_came_together_and_longer_each_time(
    refusals: list[datetime], until: float | None
) -> None:
    expected = None if until is None else START + timedelta(minutes=until)
    assert locked_until(refusals) == expected


# --- at the gate -----------------------------------------------------------------------------------------


def test_a_page_approval_opens_the_gate_like_a_comment(desk: Desk) -> None:
    plan = desk.show()
    give(desk, plan)
    decision = desk.gate(plan)
    assert (decision.verdict, decision.reason) == (Verdict.APPROVED, "approved by alice")
    with desk.engine.ledger.read() as session:
        (row,) = session.scalars(select(ApprovalRow)).all()
        step = page_decisions(desk.engine.ledger, plan.id)[0].code_step
        assert (row.source, row.proof) == ("approval-page", f"approval-page:alice:{step}")
    assert lines(desk, "plan.approved")[0].body["github"] == "asked"


def test_a_page_approval_of_another_plan_opens_nothing(desk: Desk) -> None:
    plan, other = two_plans(desk)
    give(desk, other)
    assert desk.gate(plan).verdict is Verdict.WAITING
    assert desk.gate(other).verdict is Verdict.APPROVED


def test_the_same_person_on_page_and_issue_counts_once_and_two_people_twice(desk: Desk) -> None:
    plan = desk.show()
    two = RULE.model_copy(update={"quorum": 2})
    give(desk, plan, "alice")
    desk.say("Alice", f"/approve {plan.short_digest}")
    assert desk.gate(plan, rule=two).verdict is Verdict.WAITING
    give(desk, plan, "bob")
    assert desk.gate(plan, rule=two).verdict is Verdict.APPROVED


def test_where_github_answers_it_is_asked_for_the_permission(desk: Desk) -> None:
    plan = desk.show()
    assert give(desk, plan, "carol").answer is Answer.RECORDED
    decision = desk.gate(plan)
    assert decision.verdict is Verdict.WAITING
    assert [(one.login, one.why) for one in decision.ignored] == [("carol", Ignored.NO_PERMISSION)]


@pytest.mark.parametrize(
    ("approve", "verdict", "event"),
    [(True, Verdict.APPROVED, "plan.approved"), (False, Verdict.REJECTED, "plan.reject")],
)
def test_with_github_away_the_page_alone_decides_and_the_audit_says_so(
    desk: Desk, approve: bool, verdict: Verdict, event: str
) -> None:
    plan = desk.show()
    give(desk, plan, approve=approve, reason="GitHub is down")
    away(desk)
    decision = desk.gate(plan)
    assert (decision.verdict, decision.github_asked) == (verdict, False)
    assert "GitHub was away" in decision.reason
    (line,) = lines(desk, event)
    assert (line.actor, line.body["github"].startswith("away")) == ("alice", True)


def test_with_github_away_and_too_few_on_the_page_the_gate_waits(desk: Desk) -> None:
    plan = desk.show()
    two = RULE.model_copy(update={"quorum": 2})
    desk.say("bob", f"/approve {plan.short_digest}")
    give(desk, plan)
    away(desk)
    with pytest.raises(Transient):
        desk.gate(plan, rule=two)
    desk.box.server.faults.clear()
    assert desk.gate(plan, rule=two).verdict is Verdict.APPROVED


def test_a_quorum_of_nobody_does_not_open_the_gate_while_github_is_away(desk: Desk) -> None:
    plan = desk.show()
    away(desk)
    with pytest.raises(Transient):
        desk.gate(plan, rule=RULE.model_copy(update={"quorum": 0}))


def test_preconditions_that_cannot_be_read_keep_the_gate_waiting(desk: Desk) -> None:
    plan = desk.show()
    give(desk, plan)
    desk.box.fail("500_before", method="GET", path_regex=".", times=100)
    with pytest.raises(Transient):
        desk.gate(plan)
    assert (desk.engine.plans.get(plan.id).state, desk.writes()) == (PlanState.WAITING, [])


def test_whose_token_it_is_unknown_no_comment_counts_and_the_page_does(desk: Desk) -> None:
    """The comment could be the product's own: nobody can tell."""
    plan = desk.show()
    unknown = Transient("GitHub is away")
    desk.say("alice", f"/approve {plan.short_digest}")
    with pytest.raises(Transient):
        desk.gate(plan, away=unknown)
    give(desk, plan, "bob")
    decision = desk.gate(plan, away=unknown)
    assert [one.login for one in decision.counted] == ["bob"]


@pytest.mark.parametrize(
    "rule",
    [
        RULE.model_copy(update={"approvers": ("bob",)}),
        RULE.model_copy(update={"quorum": 2}),
        RULE.model_copy(update={"minimum_permission": Permission.ADMIN, "approvers": ("bob",)}),
    ],
)
def test_a_policy_that_changed_after_the_page_decision_holds_at_the_gate(
    desk: Desk, rule: ApprovalRule
) -> None:
    plan = desk.show()
    give(desk, plan)
    assert desk.gate(plan, rule=rule).verdict is Verdict.WAITING
    assert desk.writes() == []


def test_a_page_rejection_beats_a_comments_approval(desk: Desk) -> None:
    plan = desk.show()
    desk.say("alice", f"/approve {plan.short_digest}")
    give(desk, plan, "bob", approve=False, reason="wrong cache")
    decision = desk.gate(plan)
    assert (decision.verdict, decision.reason) == (Verdict.REJECTED, "rejected by bob: wrong cache")


def test_an_approval_given_before_the_expiry_does_not_outlive_it(desk: Desk) -> None:
    plan = desk.show()
    give(desk, plan)
    desk.clock.sleep(3600)
    assert desk.gate(plan).verdict is Verdict.EXPIRED
