"""What is deliberately left abnormal, and when what is done about it: pure functions of it and of ``now`` (R6)."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from runbook.models import Frozen, Permission, TokenFacts
from runbook.policy.approvals import ApprovalRule

SEEN_FOR = timedelta(days=1)
"""How long after its last sighting a bar counts as violated."""


class ExceptionKind(StrEnum):
    """Why something is left abnormal."""

    RESTORE = "restore"
    """A confirmed effect whose undo runs at the deadline."""
    BAR = "bar"
    """Something that must not come back before the deadline."""
    OBLIGATION = "obligation"
    """Something still owed; at the deadline it is escalated, and stays owed."""


class ExceptionState(StrEnum):
    """Where an exception stands."""

    OPEN = "open"
    RESTORING = "restoring"
    """Its undo was begun, at its deadline or by a person before: whoever comes by goes on with it."""
    NEEDS_PERSON = "needs_person"
    """Its undo was refused, or nobody can tell whether it took effect: it stays until a person ends it."""
    RESTORED = "restored"
    ENDED = "ended"
    """Over without a restore: its time passed, a person said so, or its effects were undone."""


STANDING_STATES = (ExceptionState.OPEN, ExceptionState.RESTORING, ExceptionState.NEEDS_PERSON)
"""In these something is still abnormal."""


class ExceptionFacts(Frozen):
    """What is known of an exception.

    Args:
        kind: Its kind.
        state: Where it stands.
        deadline: When it is due.
        execution_open: The execution that left it has not ended: what it left is still its own to care for.
        escalated: That it is overdue was said already.
        seen_at: When what is barred was seen last; None if it never was.
    """

    kind: ExceptionKind
    state: ExceptionState
    deadline: datetime
    execution_open: bool = False
    escalated: bool = False
    seen_at: datetime | None = None


class ExceptionAction(StrEnum):
    """What the sweeper does about an exception."""

    LEAVE = "leave"
    RESTORE = "restore"
    EXPIRE = "expire"
    """Its time is over, and with it the bar."""
    ESCALATE = "escalate"


class ExceptionDecision(Frozen):
    """What to do and why."""

    action: ExceptionAction
    reason: str


class ExceptionStanding(StrEnum):
    """How an exception stands, for people: the worst of what can be said of it."""

    NEEDS_PERSON = "needs a person"
    SEEN_AGAIN = "seen again"
    OVERDUE = "overdue"
    AS_AGREED = "as agreed"
    OVER = "over"


def decide_exception(facts: ExceptionFacts, *, now: datetime) -> ExceptionDecision:
    """Decide what the sweeper does about an exception.

    Args:
        facts: What is known of it.
        now: The time, UTC-aware.
    """
    if facts.state not in STANDING_STATES:
        return _leave("it is over")
    if facts.state is ExceptionState.NEEDS_PERSON:
        return _leave("a person has to end it")
    if facts.execution_open:
        return _leave("the execution that left it is not over")
    if facts.state is ExceptionState.RESTORING:
        return ExceptionDecision(action=ExceptionAction.RESTORE, reason="its restore was begun")
    if now < facts.deadline:
        return _leave("its deadline is to come")
    match facts.kind:
        case ExceptionKind.RESTORE:
            return ExceptionDecision(action=ExceptionAction.RESTORE, reason="its deadline has come")
        case ExceptionKind.BAR:
            return ExceptionDecision(action=ExceptionAction.EXPIRE, reason="its time is over")
        case ExceptionKind.OBLIGATION if facts.escalated:
            return _leave("it was escalated already")
        case ExceptionKind.OBLIGATION:
            return ExceptionDecision(action=ExceptionAction.ESCALATE, reason="its deadline has come")


def standing_of(facts: ExceptionFacts, *, now: datetime) -> ExceptionStanding:
    """Return how an exception stands.

    Args:
        facts: What is known of it.
        now: The time, UTC-aware.
    """
    if facts.state not in STANDING_STATES:
        return ExceptionStanding.OVER
    if facts.state is ExceptionState.NEEDS_PERSON:
        return ExceptionStanding.NEEDS_PERSON
    if facts.seen_at is not None and now - facts.seen_at < SEEN_FOR:
        return ExceptionStanding.SEEN_AGAIN
    return ExceptionStanding.OVERDUE if now >= facts.deadline else ExceptionStanding.AS_AGREED


def is_new_sighting(seen_at: datetime | None, *, now: datetime) -> bool:
    """Tell whether a sighting is the first of its day (UTC): once a day it is said, however often it is looked for.

    Args:
        seen_at: The sighting before; None if there was none.
        now: This one.
    """
    return seen_at is None or now.astimezone(UTC).date() > seen_at.astimezone(UTC).date()


def owner_of(requester: str | None, *, approver: str | None, on_call: str | None) -> str:
    """Return who answers for an exception, as GitHub mentions them without ``@``; empty where nobody is named.

    Args:
        requester: The person who asked, where one did.
        approver: The person who approved, where one did.
        on_call: Whom the policy has mentioned in incidents (``@acme/on-call``).
    """
    return requester or approver or (on_call or "").removeprefix("@")


class EndingRefused(StrEnum):
    """Why a person may not end an exception before its time."""

    BY_PRODUCT = "that is the product's own account, which never decides"
    BY_APP = "the token is an app's, not a person's"
    NOT_AN_APPROVER = "the policy does not name them as an approver of the procedure that left it"
    NO_PERMISSION = "their permission on the repository is too low"


def refuse_ending(
    person: TokenFacts, *, rule: ApprovalRule, permission: Permission, product_logins: frozenset[str]
) -> EndingRefused | None:
    """Return why a person may not end or restore an exception; None where they may: who could approve it can end it.

    Args:
        person: Who they are, as GitHub says of their token.
        rule: The approval rule of the procedure that left it, in its repository.
        permission: What they may do in the repository.
        product_logins: The accounts the product acts as, lower case.
    """
    if person.login.casefold() in product_logins:
        return EndingRefused.BY_PRODUCT
    if person.user_type != "User":
        return EndingRefused.BY_APP
    if not rule.names(person.login):
        return EndingRefused.NOT_AN_APPROVER
    return EndingRefused.NO_PERMISSION if permission.rank < rule.minimum_permission.rank else None


def _leave(reason: str) -> ExceptionDecision:
    return ExceptionDecision(action=ExceptionAction.LEAVE, reason=reason)
