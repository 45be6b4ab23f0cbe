"""Who asked (R2), what was claimed (R10), and how an execution goes on and ends (R4)."""

from typing import Any

import pytest
from sqlalchemy import select

from runbook.clock import VirtualClock
from runbook.engine.executions import BY_PRODUCT, Execution, Executions, Requester
from runbook.engine.incidents import Incident, Incidents
from runbook.engine.ledger import Ledger
from runbook.engine.processes import process_identity
from runbook.engine.schema import AttemptRow, ExecutionRow
from runbook.engine.states import OPEN_STATES, ExecutionState, IncidentState, RequesterKind
from runbook.errors import Denied
from tests.runbook.engine.conftest import REPOSITORY, START

PROCEDURE = "clear-caches"
REQUEST = {"repository": REPOSITORY, "mode": "apply", "everything": True}


def begin(executions: Executions, execution_id: str = "e1", **changes: Any) -> Execution:
    """Begin an execution as its flow does."""
    known: dict[str, Any] = {
        "procedure": PROCEDURE,
        "repository": REPOSITORY,
        "subject": "caches",
        "request": REQUEST,
    }
    return executions.begin(execution_id, **{**known, **changes})


def named(kind: RequesterKind, name: str, seconds: float) -> Requester:
    """A requester that may ask so often only."""
    return Requester(kind, name, at_most_every_seconds=seconds)


# --- the requester ---------------------------------------------------------------------------------------


def test_a_run_with_its_request_row_has_a_named_requester(executions: Executions) -> None:
    key = executions.ask(procedure=PROCEDURE, request=REQUEST, requester="alice")
    execution = begin(executions, idempotency_key=key)
    assert (execution.requester, execution.requester_kind) == ("alice", RequesterKind.PERSON)


def test_a_run_that_the_product_asked_for_has_the_product_as_requester(executions: Executions) -> None:
    key = executions.ask_as_product(procedure=PROCEDURE, request=REQUEST, about="acme/x:deployment:9:1")
    execution = begin(executions, idempotency_key=key)
    assert (execution.requester, execution.requester_kind) == (BY_PRODUCT.name, RequesterKind.PRODUCT)


def test_the_product_may_ask_again_with_what_the_policy_says_by_now(executions: Executions) -> None:
    """Between two tries to start a run the policy may have got another service."""
    key = executions.ask_as_product(procedure=PROCEDURE, request={"everything": False}, about="k")
    assert executions.ask_as_product(procedure=PROCEDURE, request=REQUEST, about="k") == key
    assert begin(executions, idempotency_key=key).requester_kind is RequesterKind.PRODUCT
    assert executions.ask_as_product(procedure=PROCEDURE, request={"everything": False}, about="k") == key
    second = begin(executions, "e2", idempotency_key=key, request={"everything": False})
    assert second.requester_kind is RequesterKind.UNNAMED


def test_what_the_product_asks_because_of_names_no_key_that_others_could_be_first_with(
    executions: Executions,
) -> None:
    first = executions.ask_as_product(procedure=PROCEDURE, request=REQUEST, about="acme/x:deployment:9:1")
    other = executions.ask_as_product(procedure=PROCEDURE, request=REQUEST, about="acme/x:deployment:9:10")
    assert first != other
    assert begin(executions, idempotency_key="acme/x:deployment:9:1").requester_kind is RequesterKind.UNNAMED
    assert begin(executions, "e2", idempotency_key=first).requester_kind is RequesterKind.PRODUCT


def test_nobody_borrows_the_products_name_by_another_request_or_by_being_called_so(
    executions: Executions,
) -> None:
    key = executions.ask_as_product(procedure=PROCEDURE, request=REQUEST, about="k")
    other = begin(executions, "e1", idempotency_key=key, request={"everything": False})
    key = executions.ask(procedure=PROCEDURE, request=REQUEST, requester=BY_PRODUCT.name)
    namesake = begin(executions, "e2", idempotency_key=key)
    assert (other.requester_kind, namesake.requester_kind) == (RequesterKind.UNNAMED, RequesterKind.PERSON)


@pytest.mark.parametrize(
    "changes",
    [{"request": {"everything": True}}, {"procedure": "sweep"}],
    ids=["another request", "another procedure"],
)
def test_a_request_that_was_changed_in_prefect_borrows_nobodys_authority(
    executions: Executions, changes: dict[str, Any]
) -> None:
    """Whoever reaches Prefect's API may set a run's parameters; its requester asked for something else (R2)."""
    key = executions.ask(procedure=PROCEDURE, request=REQUEST, requester="alice")
    begin(executions, idempotency_key=key)
    executions.wait("e1")
    with pytest.raises(Denied, match="was changed in Prefect"):
        begin(executions, idempotency_key=key, **changes)
    (execution,) = executions.open()
    assert execution.state is ExecutionState.WAITING
    assert begin(executions, idempotency_key=key).requester == "alice"


def test_a_run_that_came_to_wait_for_people_has_its_revivals_forgotten(executions: Executions) -> None:
    """Each phase may die as often as any other: weeks of waiting would use up what the applying needs."""
    begin(executions)
    executions.revived("e1")
    executions.wait("e1")
    revivals = [execution.revivals for execution in executions.open()]
    executions.revived("e1")
    begin(executions)
    assert (revivals, [execution.revivals for execution in executions.open()]) == ([0], [1])


def test_a_schedule_that_fires_too_soon_is_taken_for_nobodys(
    executions: Executions, clock: VirtualClock
) -> None:
    """Whoever may add a schedule to a deployment could otherwise act in the declared one's name every minute."""
    weekly = named(RequesterKind.SCHEDULE, "weekly-prune", 3600)
    nightly = named(RequesterKind.SCHEDULE, "nightly", 3600)
    kinds = [begin(executions, "e1", requester=weekly).requester_kind]
    clock.sleep(3599)
    kinds.append(begin(executions, "e2", requester=weekly).requester_kind)
    kinds.append(begin(executions, "e3", requester=nightly).requester_kind)
    clock.sleep(1)
    kinds.append(begin(executions, "e4", requester=weekly).requester_kind)
    schedule, nobody = RequesterKind.SCHEDULE, RequesterKind.UNNAMED
    assert kinds == [schedule, nobody, schedule, schedule]


def test_the_order_of_a_requests_keys_does_not_matter(executions: Executions) -> None:
    key = executions.ask(procedure=PROCEDURE, request=REQUEST, requester="alice")
    turned = dict(reversed(REQUEST.items()))
    assert begin(executions, idempotency_key=key, request=turned).requester == "alice"


@pytest.mark.parametrize(
    "changes",
    [
        {"idempotency_key": None},
        {"idempotency_key": ""},
        {"idempotency_key": "request:made-up"},
        {"procedure": "rollback-image"},
        {"request": {**REQUEST, "everything": False, "key": "pip-a"}},
        {"request": {**REQUEST, "repository": "acme/other"}},
        {"request": {**REQUEST, "extra": None}},
        {"request": {}},
    ],
)
def test_a_run_that_is_not_what_was_asked_for_is_unnamed(
    executions: Executions, changes: dict[str, Any]
) -> None:
    key = executions.ask(procedure=PROCEDURE, request=REQUEST, requester="alice")
    execution = begin(executions, **{"idempotency_key": key, **changes})
    assert (execution.requester, execution.requester_kind) == (None, RequesterKind.UNNAMED)


def test_a_request_that_was_misused_still_names_the_run_it_was_written_for(executions: Executions) -> None:
    key = executions.ask(procedure=PROCEDURE, request=REQUEST, requester="alice")
    begin(executions, "other", idempotency_key=key, request={})
    assert begin(executions, "e1", idempotency_key=key).requester == "alice"


def test_a_request_row_names_one_run_once(executions: Executions) -> None:
    key = executions.ask(procedure=PROCEDURE, request=REQUEST, requester="alice")
    assert begin(executions, "e1", idempotency_key=key).requester == "alice"
    assert begin(executions, "e2", idempotency_key=key).requester_kind is RequesterKind.UNNAMED
    assert begin(executions, "e1", idempotency_key=key).requester == "alice"


def test_two_people_may_ask_for_the_same_thing(executions: Executions) -> None:
    keys = {
        who: executions.ask(procedure=PROCEDURE, request=REQUEST, requester=who) for who in ("alice", "bob")
    }
    assert {begin(executions, who, idempotency_key=key).requester for who, key in keys.items()} == set(keys)


@pytest.mark.parametrize("requester", [BY_PRODUCT, Requester(RequesterKind.SCHEDULE, "weekly-prune")])
def test_a_caller_that_knows_who_asked_is_believed(executions: Executions, requester: Requester) -> None:
    execution = begin(executions, requester=requester)
    assert (execution.requester, execution.requester_kind) == (requester.name, requester.kind)


# --- going on and ending ---------------------------------------------------------------------------------


def test_a_resumed_execution_keeps_who_asked_and_when_it_began(
    executions: Executions, clock: VirtualClock
) -> None:
    key = executions.ask(procedure=PROCEDURE, request=REQUEST, requester="alice")
    begin(executions, idempotency_key=key)
    executions.wait("e1")
    clock.sleep(100)
    again = begin(executions, idempotency_key=None, subject="something else")
    assert (again.requester, again.subject, again.state) == ("alice", "caches", ExecutionState.RUNNING)
    assert (again.started_at, again.heartbeat_at) == (START, clock.now())


def test_a_resumed_execution_is_carried_by_the_process_that_resumed_it(
    executions: Executions, ledger: Ledger
) -> None:
    begin(executions)
    with ledger.write() as session:
        session.get_one(ExecutionRow, "e1").process = "elsewhere"
    assert begin(executions).process == process_identity()


def test_an_execution_that_is_being_settled_goes_on_with_that(executions: Executions) -> None:
    begin(executions)
    executions.settle("e1", reason="cancelled")
    assert begin(executions).state is ExecutionState.SETTLING


@pytest.mark.parametrize("state", [state for state in ExecutionState if state not in OPEN_STATES])
def test_an_ended_execution_stays_as_it_ended(
    executions: Executions, clock: VirtualClock, state: ExecutionState
) -> None:
    begin(executions)
    executions.end("e1", state, reason="first")
    clock.sleep(10)
    executions.end("e1", ExecutionState.DONE, reason="second")
    executions.wait("e1")
    executions.settle("e1", reason="third")
    ended = begin(executions)
    assert (ended.state, ended.reason, ended.open) == (state, "first", False)
    assert executions.open() == ()


def test_open_lists_what_has_not_ended_oldest_first(executions: Executions, clock: VirtualClock) -> None:
    for name in ("c", "a", "b"):
        begin(executions, name)
        clock.sleep(1)
    executions.end("a", ExecutionState.DONE, reason="r")
    executions.wait("c")
    assert [execution.id for execution in executions.open()] == ["c", "b"]


def test_a_heartbeat_and_a_revival_are_noted(executions: Executions, clock: VirtualClock) -> None:
    begin(executions)
    clock.sleep(30)
    executions.beat("e1")
    executions.revived("e1")
    executions.revived("e1")
    execution = executions.get("e1")
    assert execution is not None
    assert (execution.heartbeat_at, execution.revivals) == (clock.now(), 2)


def test_an_unknown_execution_is_none(executions: Executions) -> None:
    assert executions.get("never") is None


# --- attempts and incidents ------------------------------------------------------------------------------


def claim(
    executions: Executions, execution_id: str, *, attempt: int = 1, repository: str = REPOSITORY
) -> bool:
    """Claim an attempt of run 7."""
    return executions.claim_attempt(execution_id, repository=repository, run_id=7, run_attempt=attempt)


def open_incident(
    incidents: Incidents,
    execution_id: str,
    *,
    fingerprint: str = "f",
    repository: str = REPOSITORY,
    severity: str = "P0",
    scope: str = "",
) -> Incident:
    """Open or join the incident of a failure."""
    return incidents.open_or_join(
        execution_id,
        repository=repository,
        issues_repository=repository,
        fingerprint=fingerprint,
        failure_class="cache_corruption",
        severity=severity,
        title=f"broken: {severity}",
        detail={},
        scope=scope,
    )


@pytest.fixture
def incidents(ledger: Ledger, clock: VirtualClock) -> Incidents:
    """The incidents of the ledger."""
    return Incidents(ledger, clock=clock)


def test_an_attempt_is_claimed_by_one_execution_for_good(executions: Executions) -> None:
    begin(executions, "e1")
    begin(executions, "e2")
    assert claim(executions, "e1")
    assert not claim(executions, "e2")
    assert claim(executions, "e1")
    executions.end("e1", ExecutionState.DONE, reason="r")
    assert not claim(executions, "e2")


@pytest.mark.parametrize("state", [ExecutionState.CANCELLED, ExecutionState.NEEDS_PERSON])
def test_an_attempt_whose_holder_ended_without_resolving_it_can_be_claimed_anew(
    executions: Executions, incidents: Incidents, state: ExecutionState
) -> None:
    for execution_id in ("e1", "e2", "e3", "e4"):
        begin(executions, execution_id)
    claim(executions, "e1")
    executions.end("e1", state, reason="its run was cancelled")
    assert claim(executions, "e2")
    first = open_incident(incidents, "e2")
    executions.end("e2", state, reason="its plan ended so")
    assert claim(executions, "e3")
    assert not claim(executions, "e4")
    # While nobody has given it an incident anew, it belongs to none; then to the one that still stands open.
    assert open_incident(incidents, "e3").id == first.id
    executions.end("e3", ExecutionState.DONE, reason="verified")
    assert not claim(executions, "e4")


def test_a_later_attempt_belongs_to_the_incident_that_its_execution_has(
    executions: Executions, incidents: Incidents
) -> None:
    begin(executions, "e1")
    claim(executions, "e1")
    incident = open_incident(incidents, "e1")
    claim(executions, "e1", attempt=2)
    assert incidents.of_attempt(repository=REPOSITORY, run_id=7, run_attempt=2) == incident


def test_attempts_of_one_run_and_runs_of_other_repositories_are_claimed_apart(executions: Executions) -> None:
    begin(executions, "e1")
    begin(executions, "e2")
    assert claim(executions, "e1")
    assert claim(executions, "e2", attempt=2)
    assert claim(executions, "e2", repository="acme/other")


def test_the_same_failure_joins_its_open_incident(executions: Executions, incidents: Incidents) -> None:
    for number in (1, 2):
        begin(executions, f"e{number}")
        claim(executions, f"e{number}", attempt=number)
    first = open_incident(incidents, "e1")
    second = open_incident(incidents, "e2")
    assert first.id == second.id
    assert len(incidents.recent()) == 1


@pytest.mark.parametrize("changes", [{"fingerprint": "other"}, {"repository": "acme/other"}])
def test_another_failure_or_another_repository_opens_another_incident(
    executions: Executions, incidents: Incidents, changes: dict[str, str]
) -> None:
    begin(executions, "e1")
    begin(executions, "e2")
    assert open_incident(incidents, "e1").id != open_incident(incidents, "e2", **changes).id


def test_a_closed_incident_is_not_joined(executions: Executions, incidents: Incidents) -> None:
    begin(executions, "e1")
    begin(executions, "e2")
    first = open_incident(incidents, "e1")
    incidents.close(first.id, resolution="green")
    second = open_incident(incidents, "e2")
    assert (second.id == first.id, second.state) == (False, IncidentState.OPEN)


def test_a_resumed_execution_keeps_its_incident_even_a_closed_one(
    executions: Executions, incidents: Incidents
) -> None:
    begin(executions, "e1")
    first = open_incident(incidents, "e1")
    incidents.close(first.id, resolution="green")
    assert open_incident(incidents, "e1", fingerprint="seen differently now").id == first.id


def test_every_claimed_attempt_belongs_to_exactly_one_incident(
    executions: Executions, incidents: Incidents, ledger: Ledger
) -> None:
    expected = {}
    for number, fingerprint in enumerate(["f", "g", "f", "f", "h"], start=1):
        begin(executions, f"e{number}")
        claim(executions, f"e{number}", attempt=number)
        expected[number] = open_incident(incidents, f"e{number}", fingerprint=fingerprint).id
    with ledger.read() as session:
        found = {row.run_attempt: row.incident_id for row in session.scalars(select(AttemptRow))}
    assert found == expected
    assert len(set(expected.values())) == 3
    for number, incident_id in expected.items():
        incident = incidents.of_attempt(repository=REPOSITORY, run_id=7, run_attempt=number)
        assert incident is not None
        assert incident.id == incident_id


def test_an_attempt_nobody_claimed_or_triaged_yet_has_no_incident(
    executions: Executions, incidents: Incidents
) -> None:
    assert incidents.of_attempt(repository=REPOSITORY, run_id=7, run_attempt=1) is None
    begin(executions, "e1")
    claim(executions, "e1")
    assert incidents.of_attempt(repository=REPOSITORY, run_id=7, run_attempt=1) is None


def test_the_first_issue_noted_for_an_incident_stays(executions: Executions, incidents: Incidents) -> None:
    begin(executions, "e1")
    incident = open_incident(incidents, "e1")
    incidents.issue_opened(incident.id, number=5, url="five")
    assert incidents.issue_opened(incident.id, number=6, url="six").issue_number == 5
    assert incidents.get(incident.id).issue_url == "five"


def claimed_incident(
    executions: Executions, incidents: Incidents, execution_id: str, *, run_id: int, run_attempt: int = 1
) -> Incident:
    """Begin an execution that claims an attempt, and give it the incident of the failure."""
    begin(executions, execution_id)
    assert executions.claim_attempt(
        execution_id, repository=REPOSITORY, run_id=run_id, run_attempt=run_attempt
    )
    return open_incident(incidents, execution_id)


def test_an_incident_is_closed_when_the_last_of_its_runs_is_resolved(
    executions: Executions, incidents: Incidents
) -> None:
    incident = claimed_incident(executions, incidents, "e1", run_id=7)
    assert claimed_incident(executions, incidents, "e2", run_id=8).id == incident.id
    assert incidents.resolve(incident.id, runs=incidents.cared_for("e1")) == {8}
    closed = incidents.close(incident.id, resolution="one is green")
    assert (closed.state, closed.resolution) == (IncidentState.OPEN, "")
    assert incidents.resolve(incident.id, runs=incidents.cared_for("e2")) == frozenset()
    closed = incidents.close(incident.id, resolution="the other is green")
    assert (closed.state, closed.resolution) == (IncidentState.CLOSED, "the other is green")


@pytest.mark.parametrize("end", [ExecutionState.REJECTED, ExecutionState.UNDONE, ExecutionState.DONE])
def test_a_run_whose_execution_ended_without_a_green_run_keeps_the_incident_open(
    executions: Executions, incidents: Incidents, end: ExecutionState
) -> None:
    incident = claimed_incident(executions, incidents, "e1", run_id=7)
    claimed_incident(executions, incidents, "e2", run_id=8)
    executions.end("e1", end, reason="and run 7 is as red as before")
    assert incidents.resolve(incident.id, runs=incidents.cared_for("e2")) == {7}
    assert incidents.close(incident.id, resolution="run 8 is green").state is IncidentState.OPEN


def test_a_green_run_resolves_each_of_its_attempts(executions: Executions, incidents: Incidents) -> None:
    incident = claimed_incident(executions, incidents, "e1", run_id=7)
    claimed_incident(executions, incidents, "e2", run_id=7, run_attempt=2)
    assert incidents.resolve(incident.id, runs=incidents.cared_for("e2")) == frozenset()


def test_an_attempt_that_is_claimed_anew_needs_care_again(
    executions: Executions, incidents: Incidents
) -> None:
    incident = claimed_incident(executions, incidents, "e1", run_id=7)
    incidents.resolve(incident.id, runs={7})
    executions.end("e1", ExecutionState.CANCELLED, reason="r")
    claimed_incident(executions, incidents, "e2", run_id=7)
    assert incidents.resolve(incident.id, runs=()) == {7}


def test_what_a_person_closed_is_closed_whatever_its_runs_say(
    executions: Executions, incidents: Incidents
) -> None:
    incident = claimed_incident(executions, incidents, "e1", run_id=7)
    (listed,) = incidents.open_ones(REPOSITORY, limit=5) or (None,)
    assert listed is None  # it has no issue yet that anybody could close
    incidents.issue_opened(incident.id, number=5, url="five")
    (one,) = incidents.open_ones(REPOSITORY, limit=5)
    assert (one.incident.id, one.runs, [e.id for e in one.executions]) == (incident.id, {7}, ["e1"])
    incidents.closed_by_hand(incident.id, resolution="by alice")
    assert incidents.get(incident.id).state is IncidentState.OPEN, "e1 is at work on it"
    executions.end("e1", ExecutionState.REJECTED, reason="r")
    incidents.closed_by_hand(incident.id, resolution="by alice")
    closed = incidents.get(incident.id)
    assert (closed.state, closed.resolution, closed.closings) == (IncidentState.CLOSED, "by alice", 1)
    assert incidents.open_ones(REPOSITORY, limit=5) == ()


def test_open_incidents_are_listed_newest_first_and_those_of_pull_requests_last(
    executions: Executions, incidents: Incidents
) -> None:
    scopes = ("default_branch:main", "pull_request:topic", "release:v1", "pull_request:spike")
    ids = []
    for number, scope in enumerate(scopes):
        begin(executions, f"e{number}")
        incident = open_incident(incidents, f"e{number}", scope=scope)
        ids.append(incidents.issue_opened(incident.id, number=number + 1, url="u").id)
    listed = [one.incident.id for one in incidents.open_ones(REPOSITORY, limit=3)]
    assert listed == [ids[2], ids[0], ids[3]]


def test_something_more_urgent_makes_its_incident_as_urgent(
    executions: Executions, incidents: Incidents
) -> None:
    for execution_id, severity in (("e1", "P2"), ("e2", "P0"), ("e3", "P1")):
        begin(executions, execution_id)
        incident = open_incident(incidents, execution_id, severity=severity)
    assert (incident.severity, incident.title, incident.raised_by) == ("P0", "broken: P0", "e2")


def test_the_same_failure_in_another_scope_is_another_incident(
    executions: Executions, incidents: Incidents
) -> None:
    begin(executions, "e1")
    begin(executions, "e2")
    main = open_incident(incidents, "e1", scope="default_branch:main")
    assert open_incident(incidents, "e2", scope="pull_request:topic").id != main.id


def test_closing_again_changes_nothing(
    executions: Executions, incidents: Incidents, clock: VirtualClock
) -> None:
    begin(executions, "e1")
    closed = incidents.close(open_incident(incidents, "e1").id, resolution="green")
    clock.sleep(10)
    assert incidents.close(closed.id, resolution="again") == closed


def test_recent_is_newest_first_and_can_be_narrowed(
    executions: Executions, incidents: Incidents, clock: VirtualClock
) -> None:
    for number, (fingerprint, repository) in enumerate(
        [("f", REPOSITORY), ("g", REPOSITORY), ("f", "acme/other")], start=1
    ):
        begin(executions, f"e{number}")
        open_incident(incidents, f"e{number}", fingerprint=fingerprint, repository=repository)
        clock.sleep(1)
    assert [incident.id for incident in incidents.recent()] == [3, 2, 1]
    assert [incident.id for incident in incidents.recent(limit=1)] == [3]
    assert [incident.id for incident in incidents.recent(fingerprint="f")] == [3, 1]
    assert [incident.id for incident in incidents.recent(repository=REPOSITORY, fingerprint="f")] == [1]
    incidents.close(2, resolution="green")
    assert [incident.id for incident in incidents.recent(state=IncidentState.CLOSED)] == [2]
    assert [incident.id for incident in incidents.recent(state=IncidentState.OPEN, limit=2)] == [3, 1]
