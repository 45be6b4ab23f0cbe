"""R2 for the approval page, as properties: what counts there, with GitHub and without."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.approval import (
    GateDecision,
    PageDecision,
    PlanFacts,
    Source,
    Verdict,
    decide_approval,
    decide_without_github,
)
from runbook.models import IssueComment, Permission
from runbook.policy.approvals import ApprovalRule

SHOWN_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EXPIRES_AT = SHOWN_AT + timedelta(hours=1)
PRODUCT = "runbook-bot"
APPROVERS = ("Alice", "bob", "carol", PRODUCT)
SHOWN = IssueComment(
    id=100,
    login=PRODUCT,
    user_type="User",
    via_app=False,
    body="the plan",
    html_url="",
    created_at=SHOWN_AT,
    updated_at=SHOWN_AT,
)
people = st.sampled_from(("alice", "BOB", "carol", "mallory", PRODUCT))
minutes = st.integers(min_value=0, max_value=80)


@st.composite
def page_decisions(draw: st.DrawFn) -> PageDecision:
    """Any decision that the ledger could hold."""
    at = SHOWN_AT + timedelta(minutes=draw(minutes))
    return PageDecision(
        login=draw(people),
        approve=draw(st.sampled_from((True, True, True, False))),
        reason="",
        code_step=int(at.timestamp()) // 30,
        decided_at=at,
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[PlanFacts, ApprovalRule, list[PageDecision], datetime]:
    """A plan, the rule in force, the page's decisions, and the time."""
    plan = PlanFacts(
        digest="a" * 64,
        other_digests=(),
        comment_id=SHOWN.id,
        expires_at=EXPIRES_AT,
        requester=draw(st.sampled_from((None, "Bob"))),
        unnamed=draw(st.booleans()),
        resumed=draw(st.booleans()),
    )
    rule = ApprovalRule(
        quorum=draw(st.integers(min_value=0, max_value=3)),
        approvers=APPROVERS,
        minimum_permission=Permission.WRITE,
        expires_after_seconds=3600,
        prefect_resume_counts=draw(st.booleans()),
    )
    now = SHOWN_AT + timedelta(minutes=draw(minutes))
    return plan, rule, draw(st.lists(page_decisions(), max_size=6)), now


def with_github(
    plan: PlanFacts, rule: ApprovalRule, page: list[PageDecision], now: datetime, permission: Permission
) -> GateDecision:
    """Decide with GitHub there, where everybody has one permission."""
    return decide_approval(
        plan,
        rule=rule,
        comments=(SHOWN,),
        permissions=dict.fromkeys(("alice", "bob", "carol", "mallory", PRODUCT), permission),
        used=frozenset(),
        product_logins=frozenset({PRODUCT}),
        now=now,
        page=page,
    )


@given(situations())
def test_without_github_only_entitled_people_in_time_and_number_decide(
    situation: tuple[PlanFacts, ApprovalRule, list[PageDecision], datetime],
) -> None:
    plan, rule, page, now = situation
    decision = decide_without_github(plan, rule=rule, page=page, product_logins=frozenset({PRODUCT}), now=now)
    if decision is None:
        return
    assert decision.github_asked is False
    assert decision.verdict in {Verdict.APPROVED, Verdict.REJECTED}
    people = [(one.login or "").casefold() for one in decision.counted]
    assert len(set(people)) == len(people)
    assert set(people) <= {"alice", "bob", "carol"}
    assert all(one.source is Source.PAGE for one in decision.counted)
    if plan.requester is not None:
        assert plan.requester.casefold() not in people
    if decision.verdict is Verdict.APPROVED:
        assert now < plan.expires_at
        assert len(people) >= max(1, decision.needed)


@given(situations())
def test_what_the_page_alone_decides_github_would_decide_alike_where_permissions_suffice(
    situation: tuple[PlanFacts, ApprovalRule, list[PageDecision], datetime],
) -> None:
    plan, rule, page, now = situation
    alone = decide_without_github(plan, rule=rule, page=page, product_logins=frozenset({PRODUCT}), now=now)
    if alone is not None:
        asked = with_github(plan, rule, page, now, Permission.WRITE)
        people = tuple(one for one in asked.counted if one.login is not None)
        assert (asked.verdict, people, asked.github_asked) == (alone.verdict, alone.counted, True)


@given(situations())
def test_nothing_on_the_page_counts_below_the_least_permission(
    situation: tuple[PlanFacts, ApprovalRule, list[PageDecision], datetime],
) -> None:
    plan, rule, page, now = situation
    decision = with_github(plan, rule, page, now, Permission.TRIAGE)
    assert not [one for one in decision.counted if one.source is Source.PAGE]
    assert decision.rejected_by is None
    assert len(decision.ignored) == len(page)
    assert {one.place for one in decision.ignored} <= {"decision on the approval page"}
