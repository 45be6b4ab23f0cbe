"""Stories that could stand still for ever: each of them ends, and says how."""

from datetime import timedelta

import pytest

from runbook.engine.executions import ExecutionState
from runbook.engine.schema import PlanRow
from tests.flows.theatre import Theatre

pytestmark = pytest.mark.xdist_group("theatre")


def test_a_plan_whose_issue_was_deleted_expires_all_the_same(theatre: Theatre) -> None:
    """Its run fails for want of comments, and its record has no place to go: the ledger's own has to do."""
    repository = theatre.own_repository()
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    with theatre.here.ledger.write() as session:
        session.get_one(PlanRow, plan.id).expires_at = theatre.here.clock.now() - timedelta(seconds=1)
    del theatre.state_of(repository).issues[plan.issue_number]

    def ended() -> bool | None:
        theatre.sweep()
        return None if theatre.execution(run.id).open else True

    theatre.until("the end", ended)
    execution = theatre.execution(run.id)
    assert execution.state is ExecutionState.EXPIRED
    assert "could not be written on its issue" in execution.reason
    assert theatre.effects_on(repository) == []
