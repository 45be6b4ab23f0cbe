"""R2 as tables and properties: whose comment counts, for which plan, and when."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.approval import (
    GateDecision,
    Ignored,
    PlanFacts,
    Verdict,
    approvals_needed,
    decide_approval,
    parse_command,
)
from runbook.models import IssueComment, Permission
from runbook.policy.approvals import ApprovalRule

DIGEST = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
SHORT = DIGEST[:16]
SHOWN_ID = 100
SHOWN_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EXPIRES_AT = SHOWN_AT + timedelta(hours=24)
NOW = SHOWN_AT + timedelta(hours=1)
RULE = ApprovalRule(
    quorum=1,
    approvers=("alice", "Bob", "carol"),
    minimum_permission=Permission.WRITE,
    expires_after_seconds=86_400,
    prefect_resume_counts=False,
)
PERMISSIONS = {
    "alice": Permission.ADMIN,
    "bob": Permission.WRITE,
    "carol": Permission.MAINTAIN,
    "mallory": Permission.ADMIN,
    "runbook-bot": Permission.ADMIN,
}


def comment(
    login: str = "alice", body: str = f"/approve {SHORT}", *, number: int = 101, **changes: Any
) -> IssueComment:
    """Return a comment as GitHub tells of it, a minute after the plan for each number."""
    at = SHOWN_AT + timedelta(minutes=number - SHOWN_ID)
    fields: dict[str, Any] = {
        "id": number,
        "login": login,
        "user_type": "User",
        "via_app": False,
        "body": body,
        "html_url": f"https://github.test/c/{number}",
        "created_at": at,
        "updated_at": at,
    }
    return IssueComment(**{**fields, **changes})


SHOWN = comment("runbook-bot", f"### Plan `{SHORT}`", number=SHOWN_ID)


def facts(**changes: Any) -> PlanFacts:
    """Return the facts of a plan that dave asked for."""
    fields: dict[str, Any] = {
        "digest": DIGEST,
        "other_digests": (),
        "comment_id": SHOWN_ID,
        "expires_at": EXPIRES_AT,
        "requester": "dave",
        "unnamed": False,
        "resumed": False,
    }
    return PlanFacts(**{**fields, **changes})


def decide(
    *comments: IssueComment,
    plan: PlanFacts | None = None,
    rule: ApprovalRule = RULE,
    shown: IssueComment | None = SHOWN,
    **changes: Any,
) -> GateDecision:
    """Decide over the shown plan and the comments after it."""
    known: dict[str, Any] = {
        "permissions": PERMISSIONS,
        "used": frozenset(),
        "product_logins": frozenset({"runbook-bot"}),
        "now": NOW,
    }
    all_comments = (shown, *comments) if shown is not None else comments
    return decide_approval(plan or facts(), rule=rule, comments=all_comments, **{**known, **changes})


# --- the command -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "approve", "digits", "reason"),
    [
        (f"/approve {SHORT}", True, SHORT, ""),
        (f"/approve {DIGEST}", True, DIGEST, ""),
        (f"/approve {SHORT.upper()}", True, SHORT, ""),
        (f"/approve\t{SHORT}", True, SHORT, ""),
        (f"/approve {SHORT}\n", True, SHORT, ""),
        (f"/approve {SHORT}\r\n", True, SHORT, ""),
        (f"\r\n  \r\n/approve {SHORT}  \r\nThanks!", True, SHORT, ""),
        (f"\n\n/approve {SHORT}\n\nand a long story", True, SHORT, ""),
        (f"   /approve {SHORT}", True, SHORT, ""),
        (f"/approve {SHORT} looks right to me  ", True, SHORT, "looks right to me"),
        (f"/reject {SHORT} not today, deploy is on", False, SHORT, "not today, deploy is on"),
        (f"/reject {SHORT}\r\nsecond line", False, SHORT, ""),
    ],
)
def test_first_written_line_is_the_command(body: str, approve: bool, digits: str, reason: str) -> None:
    command = parse_command(body)
    assert command is not None
    assert (command.approve, command.digits, command.reason) == (approve, digits, reason)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "/approve",
        f"/approve {SHORT[:15]}",
        f"/approve {SHORT[:15]} {SHORT}",
        f"/approve {DIGEST}0",
        f"/approve {SHORT}…",
        f"/approve `{SHORT}`",
        f"/approve {SHORT}g",
        f"/approve{SHORT}",
        f"/approved {SHORT}",
        f"/Approve {SHORT}",
        f"please /approve {SHORT}",
        f"Looks fine.\n/approve {SHORT}",
        f"> /approve {SHORT}",
        f"- /approve {SHORT}",
        f"`/approve {SHORT}`",
        f"```\n/approve {SHORT}\n```",
        f"~~~\n/approve {SHORT}\n~~~",
        f"<!-- -->\n/approve {SHORT}",
        f"//approve {SHORT}",
        f"/approve\n{SHORT}",
        f"\N{NO-BREAK SPACE}/approve {SHORT}",
    ],
)
def test_anything_but_the_command_on_the_first_line_decides_nothing(body: str) -> None:
    assert parse_command(body) is None


@pytest.mark.parametrize("indent", ["    ", "     ", "\t", "  \t", "\n\n    ", "\r\n\t"])
def test_indented_code_decides_nothing(indent: str) -> None:
    """Four spaces or a tab make a code block: somebody shows the command and does not give it."""
    assert parse_command(f"{indent}/approve {SHORT}") is None


@pytest.mark.parametrize(
    "filler", [" ", "\t", "\r", " \r", "a "], ids=["space", "tab", "return", "both", "word"]
)
@pytest.mark.parametrize("head", [f"/approve {SHORT} a", f"/approve {SHORT} ", "", "\n"])
def test_a_hostile_comment_is_read_in_no_time(head: str, filler: str) -> None:
    """Anybody may comment on a public issue; GitHub takes 65,536 characters."""
    body = (head + filler * 65_000)[:65_000] + "b"
    before = time.process_time()
    parse_command(body)
    assert time.process_time() - before < 0.5


@given(st.text(max_size=80))
def test_a_command_is_only_ever_read_from_the_first_written_line(text: str) -> None:
    command = parse_command(text)
    first = next((line for line in text.split("\n") if line.strip(" \t\r")), "")
    assert (command is not None) == (parse_command(first) is not None)


# --- what does not count ---------------------------------------------------------------------------------

IGNORED: list[tuple[str, IssueComment, dict[str, Any], Ignored]] = [
    ("other plan", comment(body=f"/approve {OTHER[:16]}"), {}, Ignored.OTHER_PLAN),
    (
        "digits of two plans",
        comment(),
        {"plan": facts(other_digests=(SHORT + OTHER[:48],))},
        Ignored.AMBIGUOUS,
    ),
    ("older", comment(number=99), {}, Ignored.OLDER),
    ("the plan's own comment", comment(number=SHOWN_ID), {"shown": None}, Ignored.OLDER),
    ("edited", comment(updated_at=NOW), {}, Ignored.EDITED),
    ("app for a person", comment(via_app=True), {}, Ignored.BY_APP),
    ("bot", comment(user_type="Bot"), {}, Ignored.BY_APP),
    ("organisation", comment(user_type="Organization"), {}, Ignored.BY_APP),
    ("deleted account", comment("ghost", user_type=""), {}, Ignored.BY_APP),
    ("product", comment("Runbook-Bot"), {}, Ignored.BY_PRODUCT),
    ("stranger", comment("mallory"), {}, Ignored.NOT_AN_APPROVER),
    ("weak", comment(), {"permissions": {"alice": Permission.TRIAGE}}, Ignored.NO_PERMISSION),
    ("unknown permission", comment(), {"permissions": {}}, Ignored.NO_PERMISSION),
    ("used", comment(), {"used": frozenset({101})}, Ignored.USED),
    ("late", comment(created_at=EXPIRES_AT, updated_at=EXPIRES_AT), {}, Ignored.LATE),
    ("requester", comment(), {"plan": facts(requester="Alice")}, Ignored.BY_REQUESTER),
]


@pytest.mark.parametrize(
    ("one", "known", "why"), [case[1:] for case in IGNORED], ids=[case[0] for case in IGNORED]
)
def test_a_comment_that_does_not_count_is_named_with_its_reason(
    one: IssueComment, known: dict[str, Any], why: Ignored
) -> None:
    decision = decide(one, **known)
    assert decision.verdict is Verdict.WAITING
    assert decision.counted == ()
    assert [(ignored.login, ignored.comment_id, ignored.why) for ignored in decision.ignored] == [
        (one.login, one.id, why)
    ]


def test_every_reason_to_ignore_has_a_case() -> None:
    assert {case[3] for case in IGNORED} == set(Ignored)


def test_the_plans_own_comment_never_decides_even_if_it_reads_so() -> None:
    shown = comment("alice", number=SHOWN_ID)
    assert decide(shown=shown).verdict is Verdict.WAITING


def test_all_kinds_of_ignored_comments_together_still_approve_nothing() -> None:
    """Each alone is covered above; here they stand in one thread, and one good comment still counts."""
    strangers = [
        comment(body=f"/approve {OTHER}", number=110),
        comment(updated_at=NOW, number=111),
        comment(via_app=True, number=112),
        comment("runbook-bot", number=113),
        comment("mallory", number=114),
        comment("dave", number=115),
        comment(created_at=EXPIRES_AT, updated_at=EXPIRES_AT, number=116),
        comment(number=99),
    ]
    waiting = decide(*strangers)
    assert waiting.verdict is Verdict.WAITING
    assert len(waiting.ignored) == len(strangers)
    approved = decide(*strangers, comment("bob", number=120))
    assert approved.verdict is Verdict.APPROVED
    assert [counted.login for counted in approved.counted] == ["bob"]


def test_fewer_than_sixteen_digits_are_not_even_a_decision() -> None:
    decision = decide(comment(body=f"/approve {SHORT[:15]}"))
    assert (decision.verdict, decision.ignored) == (Verdict.WAITING, ())


def test_more_digits_settle_what_sixteen_leave_open() -> None:
    plan = facts(other_digests=(SHORT + OTHER[:48],))
    assert decide(comment(body=f"/approve {DIGEST[:17]}"), plan=plan).verdict is Verdict.APPROVED


@pytest.mark.parametrize("login", ["ALICE", "alice", "bOB"])
def test_logins_ignore_case(login: str) -> None:
    assert decide(comment(login)).verdict is Verdict.APPROVED


# --- quorum ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quorum", "unnamed", "needed"), [(1, False, 1), (1, True, 2), (2, True, 3), (0, False, 0)]
)
def test_an_unnamed_requester_needs_one_approver_more(quorum: int, unnamed: bool, needed: int) -> None:
    rule = RULE.model_copy(update={"quorum": quorum})
    assert approvals_needed(rule, unnamed=unnamed) == needed


@pytest.mark.parametrize(
    ("logins", "verdict"),
    [
        ((), Verdict.WAITING),
        (("alice",), Verdict.WAITING),
        (("alice", "Alice"), Verdict.WAITING),
        (("alice", "mallory"), Verdict.WAITING),
        (("alice", "bob"), Verdict.APPROVED),
        (("alice", "bob", "carol"), Verdict.APPROVED),
    ],
)
def test_a_quorum_is_of_distinct_entitled_people(logins: tuple[str, ...], verdict: Verdict) -> None:
    comments = [comment(login, number=101 + place) for place, login in enumerate(logins)]
    assert decide(*comments, rule=RULE.model_copy(update={"quorum": 2})).verdict is verdict


def test_two_people_are_needed_where_nobody_can_name_the_requester() -> None:
    plan = facts(requester=None, unnamed=True)
    assert decide(comment(), plan=plan).verdict is Verdict.WAITING
    assert decide(comment(), comment("bob", number=102), plan=plan).verdict is Verdict.APPROVED


def test_a_quorum_of_zero_asks_nobody_but_a_rejection_still_stops_it() -> None:
    rule = RULE.model_copy(update={"quorum": 0})
    assert decide(rule=rule).verdict is Verdict.APPROVED
    assert decide(comment(body=f"/reject {SHORT}"), rule=rule).verdict is Verdict.REJECTED


# --- rejecting -------------------------------------------------------------------------------------------


def test_a_requester_may_reject_and_never_approve() -> None:
    plan = facts(requester="alice")
    assert decide(comment(), plan=plan).verdict is Verdict.WAITING
    rejected = decide(comment(body=f"/reject {SHORT} changed my mind"), plan=plan)
    assert rejected.verdict is Verdict.REJECTED
    assert "alice" in rejected.reason
    assert "changed my mind" in rejected.reason


@pytest.mark.parametrize("first", ["/approve", "/reject"])
def test_a_rejection_wins_over_approvals_before_and_after_it(first: str) -> None:
    second = "/reject" if first == "/approve" else "/approve"
    comments = (
        comment("alice", f"{first} {SHORT}", number=101),
        comment("bob", f"{second} {SHORT}", number=102),
    )
    assert decide(*comments).verdict is Verdict.REJECTED


def test_a_stranger_cannot_reject() -> None:
    assert decide(comment("mallory", f"/reject {SHORT}")).verdict is Verdict.WAITING


# --- time and what was shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (EXPIRES_AT - timedelta(microseconds=1), Verdict.APPROVED),
        (EXPIRES_AT, Verdict.EXPIRED),
        (EXPIRES_AT + timedelta(days=1), Verdict.EXPIRED),
    ],
)
def test_a_plan_expires_exactly_at_its_time(now: datetime, verdict: Verdict) -> None:
    assert decide(comment(), now=now).verdict is verdict


def test_an_edited_plan_is_void_whoever_approved_it() -> None:
    edited = SHOWN.model_copy(update={"updated_at": NOW})
    assert decide(comment(), comment("bob", number=102), shown=edited).verdict is Verdict.VOID
    assert decide(comment(body=f"/reject {SHORT}"), shown=edited).verdict is Verdict.VOID


def test_an_approval_of_a_plan_whose_comment_was_deleted_voids_it() -> None:
    """What the approver saw is no longer there for anybody to check."""
    decision = decide(comment(), shown=None)
    assert decision.verdict is Verdict.VOID
    assert "deleted" in decision.reason


def test_a_plan_comment_that_is_not_listed_yet_is_waited_for() -> None:
    """GitHub may list a new comment a moment late: that must not void the plan."""
    assert decide(shown=None).verdict is Verdict.WAITING


# --- a resume in Prefect ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "resumed", "verdict"),
    [
        (False, False, Verdict.WAITING),
        (False, True, Verdict.WAITING),
        (True, False, Verdict.WAITING),
        (True, True, Verdict.APPROVED),
    ],
)
def test_a_resume_counts_only_where_the_policy_says_so(counts: bool, resumed: bool, verdict: Verdict) -> None:
    rule = RULE.model_copy(update={"prefect_resume_counts": counts})
    decision = decide(plan=facts(resumed=resumed), rule=rule)
    assert decision.verdict is verdict
    assert [counted.login for counted in decision.counted] == ([None] if verdict is Verdict.APPROVED else [])


def test_a_resume_does_not_override_a_rejection_or_an_expiry() -> None:
    rule = RULE.model_copy(update={"prefect_resume_counts": True})
    plan = facts(resumed=True)
    assert decide(comment(body=f"/reject {SHORT}"), plan=plan, rule=rule).verdict is Verdict.REJECTED
    assert decide(plan=plan, rule=rule, now=EXPIRES_AT).verdict is Verdict.EXPIRED


def test_a_resume_is_no_second_approval_beside_a_persons() -> None:
    """One person makes both: `runbook approve` comments and resumes."""
    rule = RULE.model_copy(update={"prefect_resume_counts": True})
    plan = facts(requester=None, unnamed=True, resumed=True)
    assert decide(plan=plan, rule=rule).verdict is Verdict.WAITING
    decision = decide(comment(), plan=plan, rule=rule)
    assert (decision.verdict, [one.login for one in decision.counted]) == (Verdict.WAITING, ["alice"])


# --- properties ------------------------------------------------------------------------------------------

BODIES = st.sampled_from(
    [
        f"/approve {SHORT}",
        f"/reject {SHORT} no",
        f"/approve {DIGEST}",
        f"/approve {OTHER}",
        "hello",
        "/approve",
    ]
)
ENTITLED = ("alice", "bob", "carol")


def _comments(logins: st.SearchStrategy[str]) -> st.SearchStrategy[list[IssueComment]]:
    one: Callable[..., IssueComment] = comment
    return st.lists(
        st.builds(
            one,
            logins,
            BODIES,
            number=st.integers(90, 130),
            via_app=st.booleans(),
            user_type=st.sampled_from(["User", "Bot"]),
        ),
        max_size=5,
    )


@given(
    _comments(st.sampled_from(ENTITLED)),
    _comments(st.sampled_from(["mallory", "dave", "runbook-bot", "ghost", "alice2", ""])),
    st.integers(1, 3),
    st.booleans(),
)
def test_comments_of_people_without_a_say_never_change_the_verdict(
    entitled: list[IssueComment], others: list[IssueComment], quorum: int, unnamed: bool
) -> None:
    rule = RULE.model_copy(update={"quorum": quorum})
    plan = facts(unnamed=unnamed, requester=None if unnamed else "dave")
    alone = decide(*entitled, plan=plan, rule=rule)
    mixed = decide(*sorted((*entitled, *others), key=lambda one: one.id), plan=plan, rule=rule)
    assert (mixed.verdict, {c.login for c in mixed.counted}) == (
        alone.verdict,
        {c.login for c in alone.counted},
    )


@given(_comments(st.sampled_from([*ENTITLED, "mallory", "dave"])), st.integers(1, 3), st.booleans())
def test_approved_means_enough_distinct_entitled_people_and_never_the_requester(
    comments: list[IssueComment], quorum: int, unnamed: bool
) -> None:
    rule = RULE.model_copy(update={"quorum": quorum})
    plan = facts(unnamed=unnamed, requester=None if unnamed else "carol")
    decision = decide(*comments, plan=plan, rule=rule)
    people = {counted.login.casefold() for counted in decision.counted if counted.login}
    assert people <= set(ENTITLED) - ({"carol"} if not unnamed else set())
    assert len(people) == len(decision.counted)
    if decision.verdict is Verdict.APPROVED:
        assert len(people) >= quorum + unnamed
