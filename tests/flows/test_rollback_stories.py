"""A bad image, from the question to the verified end: together or not at all, undone if it is no better (RB-01 ff.)."""

import os
import signal

import pytest

from runbook.decisions.exceptions import ExceptionKind
from runbook.engine.plans import StoredPlan
from runbook.engine.states import EffectState, IncidentState
from tests.flows import fleet
from tests.flows.fleet_scenario import BAD, GOOD, repository
from tests.flows.newsroom import artifact
from tests.flows.theatre import Theatre

BOTH_BAD = {"tts": BAD, "agent": BAD}
BOTH_GOOD = {"tts": GOOD, "agent": GOOD}


@pytest.fixture(scope="module")
def fleet_theatre(theatre: Theatre) -> Theatre:
    """Add the stories' services."""
    fleet.open_fleet(theatre)
    return theatre


def state_of(theatre: Theatre, run_id: str) -> str:
    """Wait for a run's end and return its state's name."""
    return theatre.until("the end", lambda: theatre.ended(run_id)).state


def states(theatre: Theatre, plan: StoredPlan) -> list[EffectState]:
    """Return where each effect of a plan stands."""
    return [entry.state for entry in theatre.journal(plan)]


@pytest.mark.executes("RB-01", "RB-02", "RB-03", "RB-05", "RB-06", "RB-07", "RB-10", "RB-11")
def test_both_services_go_back_are_watched_and_what_was_left_is_barred(fleet_theatre: Theatre) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "well")
    plan = theatre.asked(run_id)
    assert plan.has_incident
    assert fleet.patches(theatre, "well") == []
    shown = artifact(theatre, run_id, "plan")
    assert "kubectl rollout undo deployment/tts --namespace fleet-well --to-revision=1" in shown
    assert "Newest versions of ghcr.io/acme/well-tts in the registry" in shown
    assert "the good one" in shown
    assert "agent moves because it moves with tts" in shown
    fleet.approve(theatre, run_id)
    assert state_of(theatre, run_id) == "Verified"
    assert fleet.running(theatre, "well") == BOTH_GOOD
    read = [request["path"] for request in theatre.cluster.requests]
    for service in ("tts", "agent"):
        assert any(path.endswith(f"/services/{service}:8000/proxy/health") for path in read), read[-20:]
    assert any("/fleet-well/pods/" in path and path.endswith("/log") for path in read)
    assert states(theatre, plan) == [EffectState.CONFIRMED] * 2
    execution = theatre.execution(run_id)
    assert execution.incident_id is not None
    assert theatre.here.engine.incidents.get(execution.incident_id).state is IncidentState.CLOSED
    bars = theatre.here.engine.exceptions.open(ExceptionKind.BAR, repository("well"))
    assert {bar.service for bar in bars} == {"tts", "agent"}
    assert all("@sha256:bbbb" in bar.subject for bar in bars)


def test_where_one_is_not_well_afterwards_both_are_put_back_to_where_they_were(
    fleet_theatre: Theatre,
) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "unwell")
    plan = fleet.approve(theatre, run_id)
    assert state_of(theatre, run_id) == "Undone"
    assert fleet.running(theatre, "unwell") == BOTH_BAD
    assert states(theatre, plan) == [EffectState.UNDONE] * 2
    assert theatre.here.engine.exceptions.open(ExceptionKind.BAR, repository("unwell")) == ()


def test_where_the_second_is_refused_the_first_is_put_back(fleet_theatre: Theatre) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "refused")
    theatre.asked(run_id)
    theatre.cluster.fail("403", method="PATCH", path_regex="/fleet-refused/deployments/agent", times=None)
    plan = fleet.approve(theatre, run_id)
    assert state_of(theatre, run_id) == "Undone"
    assert fleet.running(theatre, "refused") == BOTH_BAD
    assert states(theatre, plan) == [EffectState.UNDONE, EffectState.REFUSED]
    theatre.cluster.server.faults.clear()
    again = fleet.start(theatre, "refused")  # what was never verified to be bad is as good as before
    fleet.approve(theatre, again)
    assert state_of(theatre, again) == "Verified"
    assert fleet.running(theatre, "refused") == BOTH_GOOD


def test_a_killed_rollback_goes_on_where_it_was_and_never_undoes_itself(fleet_theatre: Theatre) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "killed")
    plan = theatre.asked(run_id)
    theatre.cluster.fail("slow", method="PATCH", path_regex="/fleet-killed/deployments/agent", seconds=20)
    fleet.approve(theatre, run_id)
    theatre.until(
        "the first to move",
        lambda: theatre.journal(plan)[0].state is EffectState.CONFIRMED or None,
    )
    worker = theatre.workers[-1]
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    theatre.start_worker()
    theatre.swept(run_id)
    assert state_of(theatre, run_id) == "Verified"
    assert fleet.running(theatre, "killed") == BOTH_GOOD
    assert len(fleet.patches(theatre, "killed")) == 2


def test_a_service_that_was_deployed_meanwhile_voids_the_plan_and_a_new_one_asks_anew(
    fleet_theatre: Theatre,
) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "moved")
    first = theatre.asked(run_id)
    fleet.deploy(theatre, "moved", "tts", "sha-5555555")
    fleet.approve(theatre, run_id)
    second = theatre.until(
        "a new plan",
        lambda: (
            plan
            if (plan := theatre.here.engine.plans.active(run_id)) and plan.id != first.id and plan.asks
            else None
        ),
    )
    assert fleet.patches(theatre, "moved") == []
    assert "sha-5555555" in str(second.plan.effects)


def test_where_no_revision_is_good_nothing_moves_and_the_incident_says_why(fleet_theatre: Theatre) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "none")
    assert state_of(theatre, run_id) == "NeedsPerson"
    execution = theatre.execution(run_id)
    assert "no revision but the current one is kept" in execution.reason
    assert execution.incident_id is not None
    incident = theatre.here.engine.incidents.get(execution.incident_id)
    assert incident.state is IncidentState.OPEN


def test_a_failed_deployment_whose_services_cannot_be_read_is_heard_of_in_an_incident(
    fleet_theatre: Theatre,
) -> None:
    theatre = fleet_theatre
    request = fleet.ask("absent")
    key = theatre.here.engine.executions.ask_as_product(
        procedure="rollback-image",
        request=request.canonical(),
        about=f"{repository('absent')}:deployment:1:1",
    )
    run = theatre.until(
        "the run", lambda: theatre.prefect.create("rollback-image", request, idempotency_key=key)
    )
    assert state_of(theatre, run.id) == "NeedsPerson"
    execution = theatre.execution(run.id)
    assert execution.incident_id is not None
    incident = theatre.here.engine.incidents.get(execution.incident_id)
    assert incident.state is IncidentState.OPEN
    assert "tts could not be looked at" in incident.title


@pytest.mark.executes("RB-08", "RB-09")
def test_a_helm_release_goes_back_as_a_whole_to_an_explicit_revision(fleet_theatre: Theatre) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "release")
    plan = fleet.approve(theatre, run_id)
    assert state_of(theatre, run_id) == "Verified"
    assert fleet.running(theatre, "release") == BOTH_GOOD
    assert [planned.kind for planned in plan.plan.effects] == ["roll-back-release"]
    shown = artifact(theatre, run_id, "plan")
    assert "helm rollback voice 1" in shown
    assert "History of the Helm release voice" in shown


def test_a_pending_release_is_reported_and_left_alone(fleet_theatre: Theatre) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "pending")
    assert state_of(theatre, run_id) == "NeedsPerson"
    assert "pending-upgrade" in theatre.execution(run_id).reason
    assert fleet.running(theatre, "pending") == BOTH_BAD


def test_a_second_rollback_of_the_same_service_is_refused_or_takes_over(fleet_theatre: Theatre) -> None:
    theatre = fleet_theatre
    first = fleet.start(theatre, "busy")
    theatre.asked(first)
    second = fleet.start(theatre, "busy", to={"tts": "1", "agent": "1"})
    theatre.asked(second)
    assert not theatre.execution(first).open
    assert theatre.here.engine.plans.active(first) is None


@pytest.mark.executes("RB-04")
def test_an_explicit_revision_that_is_not_kept_is_refused_with_those_that_are(fleet_theatre: Theatre) -> None:
    theatre = fleet_theatre
    run_id = fleet.start(theatre, "again", to={"tts": "7"})
    assert state_of(theatre, run_id) == "NeedsPerson"
    assert "kept beside the current one: 1" in theatre.execution(run_id).reason
    asked = fleet.start(theatre, "again", to={"tts": "1", "agent": GOOD})
    fleet.approve(theatre, asked)
    assert state_of(theatre, asked) == "Verified"
    assert fleet.running(theatre, "again") == BOTH_GOOD


def test_under_a_sync_that_would_undo_it_a_rollback_is_refused_or_pauses_it_until_the_deadline(
    fleet_theatre: Theatre,
) -> None:
    theatre = fleet_theatre
    refused = fleet.start(theatre, "synced")
    assert state_of(theatre, refused) == "NeedsPerson"
    assert "would bring the bad version back" in theatre.execution(refused).reason
    written = theatre.policy_file.read_text()
    pausing = '[image_rollback]\ngitops = "pause"\ngitops_pause_minutes = 0.2\nrevert_within_minutes = 0.2\n'
    theatre.policy_file.write_text(written.replace("[image_rollback]\n", pausing))
    try:
        run_id = fleet.start(theatre, "synced")
        fleet.approve(theatre, run_id)
        assert state_of(theatre, run_id) == "Verified"
    finally:
        theatre.policy_file.write_text(written)
    (paused,) = theatre.here.engine.exceptions.open(ExceptionKind.RESTORE, repository("synced"))
    assert "pause the sync of Argo CD Application voice" in paused.subject

    def restored() -> bool | None:
        theatre.sweep()
        return theatre.here.engine.exceptions.open(ExceptionKind.RESTORE, repository("synced")) == () or None

    theatre.until("the sweeper to restore it", restored)
