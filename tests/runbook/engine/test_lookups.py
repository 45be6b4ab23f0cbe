"""What is looked up for each run, plan or delivery is found by an index: flat from 10 to 100,000 incidents."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine as Database

from runbook.decisions.outage import OutsideReason, alone, outage_fingerprint
from runbook.engine import audit
from runbook.engine.automatic import DAY, passed_without_person, remedied_without_person, was_turned_down
from runbook.engine.deliveries import Deliveries
from runbook.engine.exception_rows import is_restoring
from runbook.engine.executions import Requester
from runbook.engine.page_decisions import page_decisions
from runbook.engine.plans import StoredPlan
from runbook.engine.states import IncidentState, RequesterKind
from tests.runbook.engine.conftest import REPOSITORY, START, Room
from tests.runbook.engine.lamps import LightLamp, RingBell
from tests.runbook.engine.passing import let_pass

SCHEDULE = Requester(RequesterKind.SCHEDULE, "weekly", at_most_every_seconds=3600)


def _incident(room: Room, execution_id: str, *, together: bool = False) -> int:
    outside = (
        alone(OutsideReason.INFRASTRUCTURE, workflow_file="ci.yml", failed_at=START) if together else None
    )
    return room.engine.incidents.open_or_join(
        execution_id,
        repository=REPOSITORY,
        issues_repository=REPOSITORY,
        fingerprint=outage_fingerprint(OutsideReason.INFRASTRUCTURE, "f") if together else "f",
        failure_class="unknown",
        severity="P2",
        title="it is dark",
        detail={},
        outside=outside,
        outage_window_minutes=30,
    ).id


def _timeline(room: Room, _plan: StoredPlan, incident: int) -> None:
    with room.engine.ledger.read() as session:
        assert audit.timeline(session, incident)


def _remedied(room: Room, plan: StoredPlan, _incident: int) -> None:
    with room.engine.ledger.read() as session:
        remedied_without_person(session, since=START - DAY, other_than=plan.id)


def _begin(room: Room, _plan: StoredPlan, _incident: int) -> None:
    room.begin("e3", SCHEDULE)


def _deliver(room: Room, _plan: StoredPlan, _incident: int) -> None:
    deliveries = Deliveries(room.engine.ledger, clock=room.clock)
    deliveries.due(limit=10)
    deliveries.handled("k")
    deliveries.prune(older_than=DAY)


def _claim_undo(room: Room, plan: StoredPlan, _incident: int) -> None:
    with room.engine.ledger.read() as session:
        is_restoring(session, room.entries(plan)[0].id)


LOOKUPS: dict[str, Callable[[Room, StoredPlan, int], object]] = {
    "an incident's timeline": _timeline,
    "what happened today": lambda room, _plan, _incident: room.engine.entries.count_since(
        "light-lamp", params={}, since=START - timedelta(hours=1)
    ),
    "whether a plan was turned down": lambda room, plan, _incident: was_turned_down(room.engine.ledger, plan),
    "whether a plan had a person": lambda room, plan, _: passed_without_person(room.engine.ledger, plan.id),
    "what was remedied without one": _remedied,
    "a plan by its digits": lambda room, plan, _: room.engine.plans.by_digits(plan.short_digest),
    "waiting plans": lambda room, _plan, _incident: room.engine.plans.waiting(),
    "an execution's plan": lambda room, plan, _: room.engine.plans.active(plan.execution_id),
    "an execution's newest plan": lambda room, plan, _: room.engine.plans.latest(plan.execution_id),
    "how often it was asked": lambda room, plan, _: room.engine.plans.asks_of(plan.execution_id),
    "how a remedy fared": lambda room, _plan, _: room.engine.plans.scorecard(remedy="r", failure_class="c"),
    "decisions of the page": lambda room, plan, _: page_decisions(room.engine.ledger, plan.id),
    "open executions": lambda room, _plan, _incident: room.engine.executions.open(),
    "a schedule's last run": _begin,
    "an attempt's claim": lambda room, plan, _: room.engine.executions.claim_attempt(
        plan.execution_id, repository=REPOSITORY, run_id=1, run_attempt=1
    ),
    "claimed attempts": lambda room, _plan, _: room.engine.executions.claimed(
        repository=REPOSITORY, run_ids=[1]
    ),
    "the runs of an execution": lambda room, plan, _: room.engine.incidents.cared_for(plan.execution_id),
    "an incident to join": lambda room, _plan, _: _incident(room, "e2"),
    "an outage to join": lambda room, _plan, _: _incident(room, "e2", together=True),
    "open incidents": lambda room, _plan, _: room.engine.incidents.open_ones(REPOSITORY, limit=10),
    "all open incidents": lambda room, _plan, _: room.engine.incidents.recent(state=IncidentState.OPEN),
    "an incident closed by hand": lambda room, _plan, incident: room.engine.incidents.closed_by_hand(
        incident, resolution="by hand"
    ),
    "a record": lambda room, plan, _: room.engine.record(plan.execution_id, "opened", RingBell(name="hall")),
    "an application": lambda room, plan, _: room.apply(let_pass(room.engine, plan)),
    "deliveries": _deliver,
    "exceptions that stand": lambda room, _plan, _: room.engine.exceptions.open(),
    "exceptions that are due": lambda room, _plan, _: room.engine.exceptions.due(START),
    "what there is to say of exceptions": lambda room, _plan, _: room.engine.exceptions.untold(),
    "what is barred": lambda room, _plan, _: room.engine.exceptions.barred(REPOSITORY),
    "what an execution left": lambda room, plan, _: room.engine.exceptions.of_execution(plan.execution_id),
    "who answers for that": lambda room, plan, _: room.engine.exceptions.owner(
        plan.execution_id, on_call=None
    ),
    "what ends with its effects": lambda room, plan, _: room.engine.exceptions.end_undone(
        plan.execution_id, whole=True, reason="r"
    ),
    "whether an effect is being restored": _claim_undo,
}


@contextmanager
def _steps() -> Iterator[list[str]]:
    """Note every step of every statement's plan, but for that to the audit's newest line."""
    found: list[str] = []

    def explain(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if not re.match("SELECT|UPDATE|DELETE", statement) or "ORDER BY audit.seq DESC" in statement:
            return
        steps = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        found.extend(f"{step[-1]}: {statement}" for step in steps)

    event.listen(Database, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(Database, "before_cursor_execute", explain)


@pytest.fixture
def plan(room: Room) -> StoredPlan:
    """A plan that waits, of an execution beside another one."""
    room.begin("e2")
    return room.store(LightLamp(name="hall"), waiting=True)


@pytest.mark.parametrize("look_up", LOOKUPS.values(), ids=LOOKUPS)
def test_what_is_looked_up_is_found_by_an_index(
    room: Room, plan: StoredPlan, look_up: Callable[[Room, StoredPlan, int], object]
) -> None:
    if room.engine.ledger.url.startswith("postgresql"):
        pytest.skip("PostgreSQL reads small tables from end to end whatever indexes they have")
    incident = _incident(room, plan.execution_id)
    with _steps() as steps:
        look_up(room, plan, incident)
    assert [step for step in steps if step.startswith("SCAN")] == []


def test_the_newest_incidents_of_a_failure_that_comes_often_are_found_without_sorting_all_of_them(
    room: Room,
) -> None:
    if room.engine.ledger.url.startswith("postgresql"):
        pytest.skip("PostgreSQL sorts few rows whatever indexes they have")
    with _steps() as steps:
        room.engine.incidents.recent(repository=REPOSITORY, fingerprint="f")
    assert [step for step in steps if "TEMP B-TREE" in step] == []


def test_an_outage_is_looked_for_among_what_is_open_or_just_closed_not_among_all_that_had_its_reason(
    room: Room, plan: StoredPlan
) -> None:
    if room.engine.ledger.url.startswith("postgresql"):
        pytest.skip("PostgreSQL reads small tables from end to end whatever indexes they have")
    with _steps() as steps:
        _incident(room, plan.execution_id, together=True)
    by_reason = [step for step in steps if "fingerprint>" in step.split(": ")[0]]
    assert by_reason == []
