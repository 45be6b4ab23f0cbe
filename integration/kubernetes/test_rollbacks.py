"""Rollbacks end to end on a real API server: the flow, a real Prefect and worker, and kubectl's own words."""

import json
import subprocess

import pytest

from integration.kubernetes.cluster import log_line
from integration.kubernetes.rollback_stage import (
    BAD,
    GOOD,
    NEWER,
    RECREATED,
    SECONDS,
    UNPULLABLE,
    Part,
    Stage,
    Story,
)
from runbook.decisions.exceptions import ExceptionKind
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.states import EffectState, IncidentState
from runbook.workloads import WorkloadKind
from tests.deployments.processes import await_true
from tests.flows.fleet import approve
from tests.flows.newsroom import artifact

pytestmark = pytest.mark.integration

SOON_OVERDUE = Part(spec={"replicas": 2, "progressDeadlineSeconds": 8})


def test_where_pods_never_get_ready_the_set_goes_back_and_kubectl_tells_the_same_story(stage: Stage) -> None:
    story = stage.open("pull", tts=RECREATED, agent=SOON_OVERDUE)
    story.has_been_good()
    story.deploy_all(UNPULLABLE)
    for service in story.parts:
        story.await_pods(service, "ImagePullBackOff")
    with pytest.raises(subprocess.CalledProcessError, match="rollout"):
        story.rollout_status(
            "agent"
        )  # its progress deadline is over: the old verdict stands when it goes back
    before = {service: story.history(service) for service in story.parts}
    run_id = story.start()
    plan = approve(stage.theatre, run_id)
    shown = artifact(stage.theatre, run_id, "plan")
    for service in story.parts:
        assert (
            f"kubectl rollout undo deployment/{service} --namespace {story.namespace} --to-revision=1"
            in shown
        )
    assert f"deploy {GOOD}" in shown, "the change-cause"
    for effect in plan.plan.effects:
        planned = effect.load()
        assert isinstance(planned, RollBackWorkload)
        assert before[planned.name] == {
            planned.from_revision: planned.from_images[0],
            planned.to_revision: planned.to_images[0],
        }
    assert story.end(run_id) == "Verified"
    assert story.states(plan) == [EffectState.CONFIRMED] * 2
    report = artifact(stage.theatre, run_id, "report")
    for service in story.parts:
        good, bad = story.image(service, GOOD), story.image(service, UNPULLABLE)
        moved = f"deployment/{service} in {story.namespace} back from revision 2 to 1"
        assert f"{moved}: {bad} becomes {good} | confirmed" in report
        assert story.history(service) == {2: bad, 3: good}
        assert story.change_causes(service) == {2: f"deploy {UNPULLABLE}", 3: f"deploy {GOOD}"}
        assert "successfully rolled out" in story.rollout_status(service)
        assert story.health[service].asked.count("/health") >= 2, "it was asked before and while it soaked"
    assert sorted(story.patches()) == ["agent", "tts"]
    assert story.denied() == [], "the shipped role is enough"
    engine = stage.theatre.here.engine
    bars = engine.exceptions.open(ExceptionKind.BAR, story.repository)
    assert {bar.service for bar in bars} == {"tts", "agent"}
    assert all("@sha256:" in bar.subject for bar in bars), "as the registry names them: no node ever had them"
    incident_id = stage.theatre.execution(run_id).incident_id
    assert incident_id is not None
    assert engine.incidents.get(incident_id).state is IncidentState.CLOSED


def test_where_health_stays_red_both_go_back_to_where_they_were(stage: Stage) -> None:
    story = stage.open("red", tts=RECREATED, agent=Part())
    story.has_been_good()
    story.is_bad()
    story.health["agent"].status = 500
    run_id = story.start()
    plan = approve(stage.theatre, run_id)
    assert story.end(run_id) == "Undone"
    assert "agent: its health endpoint answers 500" in stage.theatre.execution(run_id).reason
    assert story.states(plan) == [EffectState.UNDONE] * 2
    for service in story.parts:
        assert story.history(service) == {3: story.image(service, GOOD), 4: story.image(service, BAD)}
        assert "successfully rolled out" in story.rollout_status(service)
    assert sorted(story.patches()) == ["agent", "agent", "tts", "tts"]
    assert stage.theatre.here.engine.exceptions.open(ExceptionKind.BAR, story.repository) == ()


def test_where_the_second_may_not_be_written_the_first_is_restored(stage: Stage) -> None:
    story = stage.open("part", tts=RECREATED, agent=Part())
    story.has_been_good()
    story.is_bad()
    patch_only_tts(story)
    run_id = story.start()
    plan = approve(stage.theatre, run_id)
    assert story.end(run_id) == "Undone"
    assert "patch deployments.apps" in stage.theatre.execution(run_id).reason
    assert story.states(plan) == [EffectState.UNDONE, EffectState.REFUSED]
    assert story.history("tts") == {3: story.image("tts", GOOD), 4: story.image("tts", BAD)}
    assert story.history("agent") == {1: story.image("agent", GOOD), 2: story.image("agent", BAD)}
    assert story.patches() == ["tts", "tts"]
    assert story.denied() == [("patch", "deployments", "agent")]


def patch_only_tts(story: Story) -> None:
    """Take the right to patch any other workload away from the product's account."""
    role = json.loads(story.kubectl("get", "role", "runbook-rollback-image", "-o", "json"))
    rule = next(one for one in role["rules"] if "patch" in one["verbs"])
    rule["verbs"].remove("patch")
    role["rules"].append({**rule, "verbs": ["patch"], "resourceNames": ["tts"]})
    story.stage.cluster.apply(role)


def test_a_failure_that_is_new_in_the_pods_logs_takes_the_rollback_back(stage: Stage) -> None:
    story = stage.open("logs", tts=Part(sidecar=True))
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    stage.theatre.asked(run_id)
    log = stage.cluster.container_log
    log.write_text(log_line("torch.cuda.OutOfMemoryError: CUDA out of memory.", stream="stderr"))
    try:
        approve(stage.theatre, run_id)
        assert story.end(run_id) == "Undone"
    finally:
        log.write_text("")
    assert "its log has a failure that was not there before" in stage.theatre.execution(run_id).reason
    assert story.running("tts") == story.image("tts", BAD)


@pytest.mark.parametrize(("errors", "end", "tag"), [(0, "Verified", GOOD), (7, "Undone", BAD)])
def test_a_figure_out_of_the_policys_bounds_takes_the_rollback_back(
    stage: Stage, errors: int, end: str, tag: str
) -> None:
    bound = 'metrics = [{ name = "errors", labels = { kind = "synthesis" }, at_most = 5 }]\n'
    story = stage.open(f"figure-{errors}", tts=Part(policy=bound))
    story.health["tts"].pages["/metrics"] = (
        f'# TYPE errors gauge\nerrors{{kind="synthesis"}} {errors}\nerrors{{kind="other"}} 99\n'
    )
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    approve(stage.theatre, run_id)
    assert story.end(run_id) == end
    assert story.running("tts") == story.image("tts", tag)
    if end == "Undone":
        assert "errors" in stage.theatre.execution(run_id).reason


def test_a_stateful_set_and_a_daemon_set_go_back_together(stage: Stage) -> None:
    story = stage.open(
        "sets",
        store=Part(kind=WorkloadKind.STATEFUL_SET, spec={"replicas": 2}),
        probe=Part(kind=WorkloadKind.DAEMON_SET),
    )
    story.has_been_good()
    story.is_bad()
    for health in story.health.values():
        health.status = 500
    run_id = story.start()
    stage.theatre.asked(run_id)
    for health in story.health.values():
        health.status = 200
    approve(stage.theatre, run_id)
    assert story.end(run_id) == "Verified"
    for service in story.parts:
        assert story.history(service) == {2: story.image(service, BAD), 3: story.image(service, GOOD)}
        story.rollout_status(service)
    assert story.denied() == []


def test_a_stateful_set_that_a_broken_pod_holds_up_calls_for_the_hand_that_deletes_it(stage: Stage) -> None:
    story = stage.open("held", store=Part(kind=WorkloadKind.STATEFUL_SET))
    story.has_been_good()
    story.deploy_all(UNPULLABLE)
    story.await_pods("store", "ImagePullBackOff")
    run_id = story.start()
    approve(stage.theatre, run_id)
    assert story.end(run_id) == "NeedsPerson"
    advice = f"kubectl delete pod store-0 --namespace {story.namespace}"
    assert advice in stage.theatre.execution(run_id).reason
    assert story.running("store") == story.image("store", GOOD)
    story.kubectl(*advice.split()[1:])
    story.rollout_status("store")  # what was advised helps


def test_a_revision_that_is_no_longer_kept_is_refused_with_those_that_are(stage: Stage) -> None:
    story = stage.open("gone", tts=Part(spec={"revisionHistoryLimit": 1}))
    story.has_been_good()
    for tag in (BAD, NEWER):
        story.deploy("tts", tag)
        story.rollout_status("tts")
    await_true(lambda: 1 not in story.history("tts"), deadline_seconds=SECONDS, what="revision 1 to be gone")
    run_id = story.start(to={"tts": "1"})
    assert story.end(run_id) == "NeedsPerson"
    reason = stage.theatre.execution(run_id).reason
    assert "revision 1 is no longer kept" in reason
    assert "kept beside the current one: 2" in reason
    assert story.patches() == []


def test_an_image_that_the_registry_no_longer_has_is_not_gone_back_to(stage: Stage) -> None:
    story = stage.open("lost", tts=Part())
    stage.theatre.state_of(story.repository).images.clear()
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    assert story.end(run_id) == "NeedsPerson"
    assert "no longer in the registry" in stage.theatre.execution(run_id).reason
    assert story.patches() == []


def test_a_rollout_that_is_going_on_is_turned_round(stage: Stage) -> None:
    story = stage.open("late", tts=Part(spec={"replicas": 2}))
    story.has_been_good()
    story.parts = {"tts": Part(spec={"replicas": 2}, ready_after="300s")}
    story.deploy("tts", BAD)
    await_true(
        lambda: story.image("tts", BAD) in story.history("tts").values(),
        deadline_seconds=SECONDS,
        what="the revision",
    )
    run_id = story.start()
    approve(stage.theatre, run_id)
    assert story.end(run_id) == "Verified"
    assert story.history("tts") == {2: story.image("tts", BAD), 3: story.image("tts", GOOD)}
    assert "successfully rolled out" in story.rollout_status("tts")


def test_a_service_that_is_not_in_the_cluster_is_named(stage: Stage) -> None:
    story = stage.open("none", tts=Part())
    run_id = story.start()
    assert story.end(run_id) == "NeedsPerson"
    reason = stage.theatre.execution(run_id).reason
    assert f"tts in {story.namespace}" in reason, reason
