"""R6 through a real Prefect server: the sweeper ends exceptions and says so on the incident's issue."""

from datetime import timedelta

from runbook.decisions.exceptions import ExceptionState
from runbook.engine import audit
from runbook.engine.states import EffectState
from tests.flows.theatre import Theatre


def test_what_an_execution_left_is_attended_to_at_its_deadline_and_said_once(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    run, plan = theatre.watching(repository)
    theatre.until("the end", lambda: theatre.ended(run.id))
    engine = theatre.here.engine
    overdue = theatre.here.clock.now() - timedelta(seconds=1)
    incident_id = theatre.execution(run.id).incident_id
    left = engine.exceptions.add_restore(
        run.id,
        effect_id=theatre.journal(plan)[1].id,
        repository=repository,
        owner="alice",
        reason="a second try",
        deadline=overdue,
        incident_id=incident_id,
    )
    owed = engine.exceptions.add_obligation(
        run.id,
        repository=repository,
        subject="merge the hotfix to main",
        owner="alice",
        reason="it was deployed from a branch",
        deadline=overdue,
        incident_id=incident_id,
    )
    assert left is not None

    for _ in range(2):
        assert theatre.sweep().state == "Swept"

    assert engine.exceptions.get(left.id).state is ExceptionState.RESTORED
    assert theatre.journal(plan)[1].state is EffectState.UNDONE
    assert [one.id for one in engine.exceptions.open(repository=repository)] == [owed.id]
    comments = theatre.send("alice", "GET", f"/repos/{repository}/issues/{plan.issue_number}/comments")
    said = [comment["body"] for comment in comments]
    assert sum("Put back as it was" in body for body in said) == 1
    assert sum("@alice: please look. **Still owed since" in body for body in said) == 1
    with theatre.here.ledger.read() as session:
        assert audit.verify(session).intact
