"""One outage, one incident: whoever triages first opens it, the others join, also all at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from runbook.clock import VirtualClock
from runbook.decisions.outage import OutsideReason, Together, alone, outage_fingerprint
from runbook.engine.executions import Executions
from runbook.engine.incidents import Incident, Incidents
from runbook.engine.ledger import Ledger
from runbook.engine.states import IncidentState
from tests.runbook.engine.conftest import REPOSITORY, START

NETWORK, LIMIT = OutsideReason.INFRASTRUCTURE, OutsideReason.RATE_LIMIT
Triage = Callable[..., Incident]


@pytest.fixture
def incidents(ledger: Ledger, clock: VirtualClock) -> Incidents:
    """The incidents of the ledger."""
    return Incidents(ledger, clock=clock)


@pytest.fixture
def triage(executions: Executions, incidents: Incidents) -> Triage:
    """Give a failed workflow's triage its incident."""

    def give(
        workflow: str,
        *,
        minutes: float = 0,
        reason: OutsideReason | None = NETWORK,
        repository: str = REPOSITORY,
    ) -> Incident:
        execution_id = f"{repository} {workflow} {minutes}"
        executions.begin(
            execution_id,
            procedure="triage-failed-run",
            repository=repository,
            subject=workflow,
            request={},
        )
        own, outside = f"f-{workflow}", None
        if reason is not None:
            outside = alone(reason, workflow_file=workflow, failed_at=START + timedelta(minutes=minutes))
        return incidents.open_or_join(
            execution_id,
            repository=repository,
            issues_repository=repository,
            fingerprint=own if reason is None else outage_fingerprint(reason, own),
            failure_class="infrastructure",
            severity="P1",
            title=workflow,
            detail={"first": workflow},
            outside=outside,
            outage_window_minutes=30,
        )

    return give


def together(incident: Incident) -> Together:
    assert incident.together is not None
    return incident.together


def test_workflows_that_fail_together_for_one_outside_reason_are_one_incident(triage: Triage) -> None:
    first = triage("a.yml")
    second = triage("b.yml", minutes=20)
    third = triage("c.yml", minutes=45)  # near the second, which has joined
    assert first.id == second.id == third.id
    assert together(third).workflows == ("a.yml", "b.yml", "c.yml")
    assert third.detail["first"] == "a.yml"


def test_five_triages_at_once_open_one_incident(triage: Triage) -> None:
    names = [f"{letter}.yml" for letter in "abcde"]
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(triage, names))
    assert len({incident.id for incident in found}) == 1
    assert max(len(together(incident).workflows) for incident in found) == 5


@pytest.mark.parametrize(
    "other",
    [
        {"minutes": 31},
        {"reason": LIMIT},
        {"reason": None},
        {"repository": "acme/other"},
    ],
    ids=["too late", "for another reason", "for a reason of its own", "in another repository"],
)
def test_what_fails_otherwise_has_an_incident_of_its_own(triage: Triage, other: dict[str, object]) -> None:
    assert triage("a.yml").id != triage("b.yml", **other).id


def test_an_outage_that_was_closed_just_now_goes_on_and_an_older_one_does_not(
    triage: Triage, incidents: Incidents, executions: Executions, clock: VirtualClock
) -> None:
    """What one re-run has ended, the workflows that are triaged a moment later still have."""
    first = triage("a.yml")
    incidents.close(first.id, resolution="it is over")
    again = triage("b.yml")
    assert (again.id, again.state, again.closed_at) == (first.id, IncidentState.OPEN, None)
    assert again.closings == 1
    incidents.close(first.id, resolution="it is over")
    clock.sleep(1801)
    assert triage("c.yml").id != first.id


def test_the_same_failure_joins_its_open_incident_however_late(triage: Triage) -> None:
    assert triage("a.yml").id == triage("a.yml", minutes=600).id
