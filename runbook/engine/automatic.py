"""What was applied without a person (R11): approvals that nobody gave, kept so that they can be counted."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from runbook.engine.ledger import Ledger
from runbook.engine.plan import Plan
from runbook.engine.schema import ApprovalRow, PlanRow

AUTOMATIC = "automatic"
"""The source of such an approval."""


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


def plans_without_person(ledger: Ledger, *, since: datetime, other_than: str) -> tuple[Plan, ...]:
    """Return the plans that passed without a person since a time.

    Args:
        ledger: The ledger.
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
    with ledger.read() as session:
        return tuple(Plan.model_validate(body) for body in session.scalars(query))


def _proof_since(at: datetime) -> str:
    return f"{AUTOMATIC}:{at.astimezone(UTC).isoformat(timespec='microseconds')}"
