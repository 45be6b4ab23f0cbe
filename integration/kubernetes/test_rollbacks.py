"""Rollbacks end to end on a real API server: the flow, a real Prefect and worker, kubectl's and Helm's own words."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from integration.kubernetes.cluster import CHART, Cluster, log_line, program
from integration.kubernetes.loopback_answers import Held, holding_writes
from integration.kubernetes.rollback_stage import (
    BAD,
    GOOD,
    NEWER,
    SECONDS,
    UNPULLABLE,
    Part,
    Stage,
    Story,
    open_stage,
)
from runbook.decisions.exceptions import ExceptionKind
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.states import EffectState, IncidentState
from runbook.workloads import WorkloadKind
from tests.deployments.processes import await_true
from tests.flows.fleet import approve
from tests.flows.newsroom import artifact

pytestmark = pytest.mark.integration

RECREATED = Part(spec={"replicas": 2, "strategy": {"type": "Recreate"}})
SOON_OVERDUE = Part(spec={"replicas": 2, "progressDeadlineSeconds": 8})


@pytest.fixture(scope="module")
def stage(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if not real_cluster.own:
        pytest.skip("RUNBOOK_TEST_KUBECONFIG names another cluster; the stories need kwok's pods")
    with open_stage(tmp_path_factory.mktemp("stage"), real_cluster) as opened:
        yield opened


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


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_rollback_killed_in_its_second_write_goes_on_and_undoes_nothing(stage: Stage, at: str) -> None:
    story = stage.open(f"kill-{at}", tts=RECREATED, agent=Part())
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    with holding_writes(stage.cluster, story.namespace, "agent", user=stage.user) as held:
        plan = approve(stage.theatre, run_id)
        kill_worker(stage, held, lambda: at == "before" or story.running("agent").endswith(GOOD))
        assert story.states(plan) == [EffectState.CONFIRMED, EffectState.CLAIMED]
    stage.theatre.start_worker()
    stage.theatre.swept(run_id)
    assert story.end(run_id) == "Verified"
    for service in story.parts:
        assert story.history(service) == {2: story.image(service, BAD), 3: story.image(service, GOOD)}
    assert sorted(story.patches()) == ["agent", "tts"]


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_rollback_killed_in_its_undo_ends_that_and_never_undoes_it(stage: Stage, at: str) -> None:
    story = stage.open(f"undo-{at}", tts=RECREATED, agent=Part())
    story.has_been_good()
    story.is_bad()
    story.health["agent"].status = 500
    run_id = story.start()
    with holding_writes(stage.cluster, story.namespace, "tts", user=stage.user, after=1) as held:
        plan = approve(stage.theatre, run_id)
        kill_worker(stage, held, lambda: at == "before" or story.running("tts").endswith(BAD))
        assert story.states(plan)[1] is EffectState.UNDONE, "the last went first"
    stage.theatre.start_worker()
    stage.theatre.swept(run_id)
    assert story.end(run_id) == "Undone"
    assert story.states(plan) == [EffectState.UNDONE] * 2
    for service in story.parts:
        assert story.history(service) == {3: story.image(service, GOOD), 4: story.image(service, BAD)}
    assert sorted(story.patches()) == ["agent", "agent", "tts", "tts"]


def kill_worker(stage: Stage, held: Held, applied: Callable[[], bool]) -> None:
    """Kill the worker with all it runs once a write of it is where it should be; it never reads the answer.

    Args:
        stage: Whose worker.
        held: Keeps the write.
        applied: Whether the write has got far enough. One that is to take effect is let go while the worker is stopped.
    """
    theatre = stage.theatre
    theatre.until("the write to be on its way", lambda: held.asked.is_set() or None, seconds=SECONDS)
    worker = theatre.workers[-1]
    os.killpg(worker.pid, signal.SIGSTOP)
    try:
        if not applied():
            held.let_go()
            await_true(applied, deadline_seconds=SECONDS, what="the write to take effect")
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def test_whoever_writes_something_else_in_the_same_moment_keeps_no_rollback_from_happening(
    stage: Stage,
) -> None:
    story = stage.open("note", tts=Part())
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    with holding_writes(stage.cluster, story.namespace, "tts", user=stage.user) as held:
        approve(stage.theatre, run_id)
        stage.theatre.until("the write to be on its way", lambda: held.asked.is_set() or None)
        story.kubectl("annotate", "deployment/tts", "example/looked-at=yes")
        held.let_go()
        assert story.end(run_id) == "Verified"
    first, *more = story.answers("tts")
    assert first == 409, "the write was stale"
    assert more.count(200) == 1
    assert more[-1] == 200, "it was tried again, if need be more than once: the controller writes, too"
    assert story.history("tts") == {2: story.image("tts", BAD), 3: story.image("tts", GOOD)}


def test_whoever_deploys_in_the_same_moment_is_not_overwritten(stage: Stage) -> None:
    story = stage.open("race", tts=Part())
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    with holding_writes(stage.cluster, story.namespace, "tts", user=stage.user) as held:
        plan = approve(stage.theatre, run_id)
        stage.theatre.until("the write to be on its way", lambda: held.asked.is_set() or None)
        story.deploy("tts", NEWER)
        held.let_go()
        assert story.end(run_id) == "Undone"
    assert story.answers("tts") == [409]
    assert story.states(plan) == [EffectState.REFUSED]
    assert story.running("tts") == story.image("tts", NEWER)


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


def helm(story: Story, *arguments: str) -> list[str]:
    """Return the line that runs helm in a story's namespace as the administrator."""
    config = f"--kubeconfig={story.stage.cluster.kubeconfig}"
    return [str(program("helm")), *arguments, config, f"--namespace={story.namespace}"]


def statuses(story: Story) -> list[str]:
    """Return the statuses that ``helm history`` shows, oldest first."""
    line = helm(story, "history", "tts", "--output=json")
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=SECONDS)
    return [one["status"] for one in json.loads(done.stdout)]


def install(story: Story) -> None:
    """Install the story's release with the good image."""
    image = f"--set=image={story.image('tts', GOOD)}"
    line = helm(story, "install", "tts", str(CHART), image, "--wait", f"--timeout={SECONDS:.0f}s")
    subprocess.run(line, check=True, capture_output=True, timeout=SECONDS)


def upgrade_line(story: Story, *more: str) -> list[str]:
    """Return the line that upgrades the story's release to an image that is never pulled."""
    return helm(story, "upgrade", "tts", str(CHART), f"--set=image={story.image('tts', UNPULLABLE)}", *more)


def test_a_helm_release_goes_back_to_an_explicit_revision(stage: Stage) -> None:
    story = stage.open("chart", tts=Part(release="tts"))
    stage.allow("runbook-rollback-helm", story.namespace)
    install(story)
    subprocess.run(upgrade_line(story), check=True, capture_output=True, timeout=SECONDS)
    story.await_pods("tts", "ImagePullBackOff")
    run_id = story.start()
    plan = approve(stage.theatre, run_id)
    assert [planned.kind for planned in plan.plan.effects] == ["roll-back-release"]
    assert "helm rollback tts 1" in artifact(stage.theatre, run_id, "plan")
    assert story.end(run_id) == "Verified"
    assert statuses(story) == ["superseded", "superseded", "deployed"]
    assert story.running("tts") == story.image("tts", GOOD)
    assert "successfully rolled out" in story.rollout_status("tts")
    assert story.denied() == []


def test_a_release_left_pending_is_reported_and_left_alone(stage: Stage) -> None:
    story = stage.open("stuck", tts=Part(release="tts"))
    stage.allow("runbook-rollback-helm", story.namespace)
    install(story)
    line = upgrade_line(story, "--wait", f"--timeout={SECONDS:.0f}s")
    upgrade = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        story.await_pods("tts", "ImagePullBackOff")
    finally:
        upgrade.send_signal(signal.SIGKILL)
        upgrade.wait()
    assert statuses(story) == ["deployed", "pending-upgrade"]
    run_id = story.start()
    assert story.end(run_id) == "NeedsPerson"
    reason = stage.theatre.execution(run_id).reason
    assert "revision 2 is pending-upgrade" in reason
    assert "helm rollback" in reason, "what a person can do"
    assert statuses(story) == ["deployed", "pending-upgrade"]
    assert story.patches() == []


def test_argo_cds_sync_is_paused_while_a_rollback_must_last_and_goes_on_at_the_deadline(stage: Stage) -> None:
    stage.cluster.define_custom_resources()
    argo = stage.namespace("argo")
    stage.allow("runbook-pause-argo-cd", argo)
    policy = {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["CreateNamespace=true"]}
    stage.cluster.apply(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "voice", "namespace": argo},
            "spec": {"project": "default", "syncPolicy": policy},
        }
    )

    def sync_policy() -> object:
        line = ("-n", argo, "get", "applications.argoproj.io", "voice", "-o", "jsonpath={.spec.syncPolicy}")
        return json.loads(stage.cluster.kubectl(*line))

    story = stage.open("sync", tts=Part())
    tracked = f"{argo}_voice:apps/Deployment:{story.namespace}/tts"
    story.parts = {"tts": Part(annotations={"argocd.argoproj.io/tracking-id": tracked})}
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    plan = approve(stage.theatre, run_id)
    assert [planned.kind for planned in plan.plan.effects] == ["pause-gitops-sync", "roll-back-workload"]
    assert story.end(run_id) == "Verified"
    assert sync_policy() == {"syncOptions": ["CreateNamespace=true"]}
    exceptions = stage.theatre.here.engine.exceptions
    (paused,) = exceptions.open(ExceptionKind.RESTORE, story.repository)
    assert f"pause the sync of Argo CD Application voice in {argo}" in paused.subject

    def restored() -> bool | None:
        stage.theatre.sweep()
        return exceptions.open(ExceptionKind.RESTORE, story.repository) == () or None

    stage.theatre.until("the sweeper to restore it", restored)
    assert sync_policy() == policy
    assert story.running("tts") == story.image("tts", GOOD)
    assert story.denied() == []


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
