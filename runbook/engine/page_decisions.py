"""Decisions given on the approval page: a code counts once, guessing is limited, and each is audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from runbook.clock import Clock
from runbook.decisions.approval import Ignored, PageDecision, why_page_ignored
from runbook.engine import audit
from runbook.engine.ledger import Ledger
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import PageDecisionRow, PageRefusalRow, PlanRow
from runbook.engine.states import PlanState, RequesterKind
from runbook.one_time_codes import Seeds, normal_login
from runbook.policy.approvals import ApprovalRule
from runbook.scrub import neutralise_terminal, scrub

REFUSALS_BEFORE_LOCK = 5
LOCK_SECONDS = 900.0
"""How long a login is first locked, and the time within which its refusals add up."""

LONGEST_LOCK_SECONDS = 14_400.0
"""Each lock within a day is twice as long as the one before, up to this: some forty guesses a day are left."""

MAX_REASON_CHARACTERS = 500
_KEPT = timedelta(days=1)
_NO_LOGIN = "-"
"""Stands for every name that cannot be a login."""

_APPROVE, _REJECT, _NOT_COUNTED = "approve", "reject", "not_counted"


class Answer(StrEnum):
    """What became of a decision that somebody gave on the page."""

    RECORDED = "recorded"
    REFUSED = "refused"
    """Wrong, used, or of nobody who is enrolled: which of these, nobody is told."""
    LOCKED = "locked"
    NOT_COUNTED = "not_counted"
    """The code was right (and is spent), and this person may not decide this."""
    CLOSED = "closed"
    """The plan waits no longer."""


@dataclass(frozen=True)
class Given:
    """What a person gave.

    Args:
        login: The name, as it was typed.
        code: The one-time code, as it was typed.
        approve: Approve or reject.
        reason: Why.
    """

    login: str
    code: str
    approve: bool
    reason: str

    def __repr__(self) -> str:  # a code that still counts must not get into a log
        return f"Given(login={self.login!r}, approve={self.approve})"


@dataclass(frozen=True)
class Outcome:
    """The answer, and what a person needs to understand it.

    Args:
        answer: What became of the decision.
        why: Why it does not count, where it was not counted.
        locked_until: When the lock ends, where there is one.
    """

    answer: Answer
    why: Ignored | None = None
    locked_until: datetime | None = None


class PageDecisions:
    """Takes the decisions of the approval page."""

    def __init__(self, ledger: Ledger, *, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def decide(
        self,
        plan: StoredPlan,
        given: Given,
        *,
        seeds: Seeds,
        rule: ApprovalRule,
        product_logins: frozenset[str],
    ) -> Outcome:
        """Check a decision and record it, in one transaction: however many arrive at once, a code counts once.

        Args:
            plan: The plan it was given for.
            given: What the person gave.
            seeds: Who is enrolled.
            rule: The approval rule in force now.
            product_logins: The accounts the product acts as, lower case.
        """
        now = self._clock.now()
        login = normal_login(given.login) or _NO_LOGIN
        with self._ledger.write() as session:
            row = session.get_one(PlanRow, plan.id)
            if row.state != PlanState.WAITING or now >= plan.expires_at:
                return Outcome(Answer.CLOSED)
            locked = _locked_until(session, login, now)
            if locked is not None:
                return Outcome(Answer.LOCKED, locked_until=locked)
            step = seeds.step_of(login, given.code, now=now)
            decision = None if step is None else _spend(session, plan, login, given, step, now)
            if decision is None:
                return _refuse(session, login, now)
            why = why_page_ignored(
                _as_fact(decision),
                rule=rule,
                requester=plan.requester if plan.requester_kind is RequesterKind.PERSON else None,
                expires_at=plan.expires_at,
                product_logins=product_logins,
                permission=None,  # the gate asks for it, where GitHub answers
            )
            if why is not None:
                decision.decision = _NOT_COUNTED
                _refuse(session, login, now)
            _audit(session, plan, decision, approve=given.approve, why=why, rule=rule, now=now)
            return Outcome(Answer.RECORDED) if why is None else Outcome(Answer.NOT_COUNTED, why=why)


def page_decisions(ledger: Ledger, plan_id: str) -> tuple[PageDecision, ...]:
    """Return the decisions about a plan that were given on the approval page, oldest first.

    Args:
        ledger: The ledger.
        plan_id: The plan's id.
    """
    query = (
        select(PageDecisionRow)
        .where(PageDecisionRow.plan_id == plan_id, PageDecisionRow.decision.in_((_APPROVE, _REJECT)))
        .order_by(PageDecisionRow.id)
    )
    with ledger.read() as session:
        return tuple(_as_fact(row) for row in session.scalars(query))


def locked_until(refusals: Sequence[datetime]) -> datetime | None:
    """Return when the last lock that a login's refusals earned ends, or ended; None where they earned none.

    What is tried while a lock holds is not counted: nobody can be kept out for longer by trying more.

    Args:
        refusals: When there were refusals within a day, oldest first.
    """
    window = timedelta(seconds=LOCK_SECONDS)
    until, length = None, LOCK_SECONDS
    together: list[datetime] = []
    for at in refusals:
        together = [earlier for earlier in together if at - earlier < window] + [at]
        if len(together) == REFUSALS_BEFORE_LOCK:
            until, together = at + timedelta(seconds=length), []
            length = min(2 * length, LONGEST_LOCK_SECONDS)
    return until


def _locked_until(session: Session, login: str, now: datetime) -> datetime | None:
    query = (
        select(PageRefusalRow.at)
        .where(PageRefusalRow.login == login, PageRefusalRow.at >= now - _KEPT)
        .order_by(PageRefusalRow.at)
    )
    until = locked_until(session.scalars(query).all())
    return until if until is not None and now < until else None


def _spend(
    session: Session, plan: StoredPlan, login: str, given: Given, step: int, now: datetime
) -> PageDecisionRow | None:
    """Spend the code for this plan; None where it is spent. The unique constraint decides that, nothing else."""
    row = PageDecisionRow(
        plan_id=plan.id,
        login=login,
        decision=_APPROVE if given.approve else _REJECT,
        reason=_reason(given),
        code_step=step,
        decided_at=now,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return None
    return row


def _reason(given: Given) -> str:
    # A person who mistakes the field must not publish a code.
    text = given.reason.replace(given.code, "***") if given.code.strip() else given.reason
    return scrub(" ".join(neutralise_terminal(text).split()))[:MAX_REASON_CHARACTERS]


def _refuse(session: Session, login: str, now: datetime) -> Outcome:
    session.execute(delete(PageRefusalRow).where(PageRefusalRow.at < now - _KEPT))
    session.add(PageRefusalRow(login=login, at=now))
    session.flush()
    until = _locked_until(session, login, now)
    if until is not None:
        count = session.scalar(select(func.count()).where(PageRefusalRow.login == login)) or 0
        audit.append(
            session,
            now=now,
            actor=audit.PRODUCT,
            event="page.locked",
            subject=f"login:{login}",
            body={"until": until.isoformat(), "refusals": count},
        )
    return Outcome(Answer.REFUSED)


def _as_fact(row: PageDecisionRow) -> PageDecision:
    return PageDecision(
        login=row.login,
        approve=row.decision == _APPROVE,
        reason=row.reason,
        code_step=row.code_step,
        decided_at=row.decided_at,
    )


def _audit(
    session: Session,
    plan: StoredPlan,
    row: PageDecisionRow,
    *,
    approve: bool,
    why: Ignored | None,
    rule: ApprovalRule,
    now: datetime,
) -> None:
    verb = _APPROVE if approve else _REJECT
    body = {
        "digest": plan.digest,
        "decision": verb,
        "reason": row.reason,
        "code_step": row.code_step,
        "entitled_by": "enrolment and the policy's approvers",
        "permission": f"{rule.minimum_permission} or more is left to the gate, which asks where GitHub answers",
    }
    audit.append(
        session,
        now=now,
        actor=row.login,
        event=f"page.{verb}" if why is None else "page.not_counted",
        subject=f"plan:{plan.id}",
        body=body if why is None else {**body, "why": str(why)},
    )
