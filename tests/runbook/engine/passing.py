"""A plan past its gate, for tests that are about what comes after it."""

from runbook.engine.engine import Engine
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import PlanRow
from runbook.engine.states import PlanState


def let_pass(engine: Engine, plan: StoredPlan) -> StoredPlan:
    """Mark a plan as its gate marks one that is approved."""
    with engine.ledger.write() as session:
        session.get_one(PlanRow, plan.id).state = PlanState.APPLYING
    return engine.plans.get(plan.id)
