"""What the sweeper does about an exception, how it stands, who answers for it and who may end it (R6)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.exceptions import (
    STANDING_STATES,
    EndingRefused,
    ExceptionAction,
    ExceptionFacts,
    ExceptionKind,
    ExceptionStanding,
    ExceptionState,
    decide_exception,
    is_new_sighting,
    owner_of,
    refuse_ending,
    standing_of,
)
from runbook.models import Permission, TokenFacts
from runbook.policy.approvals import ApprovalRule

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATE, EARLY = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)
RESTORE, BAR, OBLIGATION = ExceptionKind.RESTORE, ExceptionKind.BAR, ExceptionKind.OBLIGATION
OPEN, RESTORING, STUCK = ExceptionState.OPEN, ExceptionState.RESTORING, ExceptionState.NEEDS_PERSON

FACTS = st.builds(
    ExceptionFacts,
    kind=st.sampled_from(ExceptionKind),
    state=st.sampled_from(ExceptionState),
    deadline=st.timedeltas(timedelta(days=-200), timedelta(days=200)).map(lambda span: NOW + span),
    execution_open=st.booleans(),
    escalated=st.booleans(),
    seen_at=st.none() | st.timedeltas(timedelta(days=-9), timedelta()).map(lambda span: NOW + span),
)


@pytest.mark.parametrize(
    ("kind", "state", "deadline", "changes", "action"),
    [
        (RESTORE, OPEN, EARLY, {}, ExceptionAction.LEAVE),
        (RESTORE, OPEN, NOW, {}, ExceptionAction.RESTORE),
        (RESTORE, OPEN, LATE, {}, ExceptionAction.RESTORE),
        (RESTORE, OPEN, LATE, {"execution_open": True}, ExceptionAction.LEAVE),
        (RESTORE, RESTORING, EARLY, {}, ExceptionAction.RESTORE),
        (RESTORE, STUCK, LATE, {}, ExceptionAction.LEAVE),
        (RESTORE, ExceptionState.RESTORED, LATE, {}, ExceptionAction.LEAVE),
        (BAR, OPEN, EARLY, {}, ExceptionAction.LEAVE),
        (BAR, OPEN, LATE, {}, ExceptionAction.EXPIRE),
        (BAR, OPEN, LATE, {"seen_at": LATE}, ExceptionAction.EXPIRE),
        (OBLIGATION, OPEN, EARLY, {}, ExceptionAction.LEAVE),
        (OBLIGATION, OPEN, LATE, {}, ExceptionAction.ESCALATE),
        (OBLIGATION, OPEN, LATE, {"escalated": True}, ExceptionAction.LEAVE),
        (OBLIGATION, ExceptionState.ENDED, LATE, {}, ExceptionAction.LEAVE),
    ],
)
def test_what_the_sweeper_does(
    kind: ExceptionKind,
    state: ExceptionState,
    deadline: datetime,
    changes: dict[str, object],
    action: ExceptionAction,
) -> None:
    facts = ExceptionFacts(kind=kind, state=state, deadline=deadline).model_copy(update=changes)
    assert decide_exception(facts, now=NOW).action is action


@pytest.mark.parametrize(
    ("state", "deadline", "seen_at", "standing"),
    [
        (OPEN, EARLY, None, ExceptionStanding.AS_AGREED),
        (OPEN, LATE, None, ExceptionStanding.OVERDUE),
        (OPEN, EARLY, NOW - timedelta(hours=23), ExceptionStanding.SEEN_AGAIN),
        (OPEN, LATE, NOW - timedelta(hours=23), ExceptionStanding.SEEN_AGAIN),
        (OPEN, EARLY, NOW - timedelta(hours=25), ExceptionStanding.AS_AGREED),
        (RESTORING, LATE, None, ExceptionStanding.OVERDUE),
        (STUCK, EARLY, NOW, ExceptionStanding.NEEDS_PERSON),
        (ExceptionState.ENDED, LATE, NOW, ExceptionStanding.OVER),
        (ExceptionState.RESTORED, LATE, None, ExceptionStanding.OVER),
    ],
)
def test_how_it_stands(
    state: ExceptionState, deadline: datetime, seen_at: datetime | None, standing: ExceptionStanding
) -> None:
    facts = ExceptionFacts(kind=BAR, state=state, deadline=deadline, seen_at=seen_at)
    assert standing_of(facts, now=NOW) is standing


@given(facts=FACTS)
def test_what_is_over_or_with_a_person_is_never_touched(facts: ExceptionFacts) -> None:
    if facts.state is STUCK or facts.state not in STANDING_STATES:
        assert decide_exception(facts, now=NOW).action is ExceptionAction.LEAVE


@given(facts=FACTS)
def test_nothing_is_done_before_its_deadline_but_what_was_begun(facts: ExceptionFacts) -> None:
    action = decide_exception(facts, now=NOW).action
    if facts.deadline > NOW and facts.state is not RESTORING:
        assert action is ExceptionAction.LEAVE


@given(facts=FACTS)
def test_only_a_restore_is_restored_and_only_a_bar_expires(facts: ExceptionFacts) -> None:
    if facts.state is RESTORING and facts.kind is not RESTORE:
        return  # no ledger has it
    action = decide_exception(facts, now=NOW).action
    assert action is not ExceptionAction.RESTORE or facts.kind is RESTORE
    assert action is not ExceptionAction.EXPIRE or facts.kind is BAR
    assert action is not ExceptionAction.ESCALATE or (facts.kind is OBLIGATION and not facts.escalated)


@given(facts=FACTS)
def test_every_exception_is_over_or_stands(facts: ExceptionFacts) -> None:
    over = standing_of(facts, now=NOW) is ExceptionStanding.OVER
    assert over is (facts.state not in STANDING_STATES)


@pytest.mark.parametrize(
    ("seen_at", "now", "news"),
    [
        (None, NOW, True),
        (NOW - timedelta(hours=1), NOW, False),
        (NOW.replace(hour=0), NOW.replace(hour=23, minute=59), False),
        (NOW.replace(hour=23, minute=59), NOW.replace(hour=0) + timedelta(days=1), True),
        (NOW + timedelta(days=1), NOW, False),
    ],
)
def test_sighting_is_news_once_a_day(seen_at: datetime | None, now: datetime, news: bool) -> None:
    assert is_new_sighting(seen_at, now=now) is news


@given(hours=st.lists(st.floats(min_value=0, max_value=24 * 9), min_size=1))
def test_sightings_are_news_as_often_as_there_are_days(hours: list[float]) -> None:
    seen_at: datetime | None = None
    news, days = 0, set()
    for at in sorted(NOW + timedelta(hours=each) for each in hours):
        news += is_new_sighting(seen_at, now=at)
        days.add(at.date())
        seen_at = at
    assert news == len(days)


@pytest.mark.parametrize(
    ("requester", "approver", "on_call", "owner"),
    [
        ("alice", "carol", "@dave", "alice"),
        (None, "carol", "@dave", "carol"),
        (None, None, "@acme/on-call", "acme/on-call"),
        (None, None, None, ""),
    ],
)
def test_owner(requester: str | None, approver: str | None, on_call: str | None, owner: str) -> None:
    assert owner_of(requester, approver=approver, on_call=on_call) == owner


@pytest.mark.parametrize(
    ("login", "user_type", "permission", "refused"),
    [
        ("alice", "User", Permission.WRITE, None),
        ("ALICE", "User", Permission.ADMIN, None),
        ("alice", "User", Permission.READ, EndingRefused.NO_PERMISSION),
        ("mallory", "User", Permission.ADMIN, EndingRefused.NOT_AN_APPROVER),
        ("alice", "Bot", Permission.WRITE, EndingRefused.BY_APP),
        ("Runbook-Bot", "User", Permission.ADMIN, EndingRefused.BY_PRODUCT),
    ],
)
def test_who_could_approve_may_end_it(
    login: str, user_type: str, permission: Permission, refused: EndingRefused | None
) -> None:
    rule = ApprovalRule(
        quorum=1,
        approvers=("alice", "runbook-bot"),
        minimum_permission=Permission.WRITE,
        expires_after_seconds=60,
        prefect_resume_counts=False,
    )
    person = TokenFacts(login=login, user_type=user_type, scopes=None, expires_at=None)
    said = refuse_ending(person, rule=rule, permission=permission, product_logins=frozenset({"runbook-bot"}))
    assert said is refused
