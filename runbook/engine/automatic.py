"""What was applied without a person (R11): approvals that nobody gave, kept so that they can be counted."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from runbook.decisions.automatic import remedied_targets
from runbook.engine.ledger import Ledger
from runbook.engine.plan import Plan
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import ApprovalRow, PlanRow
from runbook.engine.states import PlanState

AUTOMATIC = "automatic"
"""The source of such an approval."""

DAY = timedelta(days=1)
"""What the policy's cap is counted over."""


def note_without_person(
    session: Session, plan_id: str, *, reason: str, policy_digest: str, now: datetime
) -> None:
    """Note that a plan passed its gate without a person; once per plan.

    Args:
        session: The gate's own writing transaction.
        plan_id: The plan.
        reason: Why it needed none.
        policy_digest: The policy that says so.
        now: The time.
    """
    known = select(ApprovalRow.id).where(ApprovalRow.plan_id == plan_id, ApprovalRow.source == AUTOMATIC)
    if session.scalars(known).first() is None:
        session.add(
            ApprovalRow(
                plan_id=plan_id,
                source=AUTOMATIC,
                proof=f"{_proof_since(now)}:{plan_id}",
                login=None,
                decision="approve",
                reason=reason,
                policy_digest=policy_digest,
                recorded_at=now,
            )
        )


def passed_without_person(ledger: Ledger, plan_id: str) -> bool:
    """Whether a plan passed its gate with less approvals than its rule asks for, as an automatic remedy."""
    query = select(ApprovalRow.id).where(ApprovalRow.plan_id == plan_id, ApprovalRow.source == AUTOMATIC)
    with ledger.read() as session:
        return session.scalars(query.limit(1)).first() is not None


def remedied_without_person(session: Session, *, since: datetime, other_than: str) -> Counter[str]:
    """Count by target what plans remedied that passed without a person since a time.

    Args:
        session: A transaction; the gate counts in the one in which it lets a plan pass.
        since: The earliest approval.
        other_than: A plan that does not count, by its id: the one that is asked about.
    """
    query = (
        select(PlanRow.body)
        .join(ApprovalRow, ApprovalRow.plan_id == PlanRow.id)
        .where(
            # By the proofs, which have an index: they begin with the time.
            ApprovalRow.proof >= _proof_since(since),
            ApprovalRow.proof < f"{AUTOMATIC}:a",
            ApprovalRow.source == AUTOMATIC,
            ApprovalRow.plan_id != other_than,
        )
    )
    used = Counter[str]()
    for body in session.scalars(query):
        used.update(remedied_targets(planned.load() for planned in Plan.model_validate(body).effects))
    return used


def was_turned_down(ledger: Ledger, plan: StoredPlan) -> bool:
    """Whether the same plan was rejected or undone before: a person's word, and a remedy that did not help, bind."""
    query = select(PlanRow.id).where(
        PlanRow.digest == plan.digest,
        PlanRow.id != plan.id,
        PlanRow.state.in_((PlanState.REJECTED, PlanState.UNDONE, PlanState.NEEDS_PERSON)),
    )
    with ledger.read() as session:
        return session.scalars(query.limit(1)).first() is not None


def _proof_since(at: datetime) -> str:
    return f"{AUTOMATIC}:{at.astimezone(UTC).isoformat(timespec='microseconds')}"
