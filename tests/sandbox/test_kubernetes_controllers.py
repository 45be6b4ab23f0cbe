"""What the stand-in's controllers do over time, on a virtual clock: as the real ones were seen to do."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.clock import VirtualClock
from sandbox.kubernetes.family import REVISION, pods_of
from sandbox.kubernetes.objects import Thing, unlabelled
from sandbox.kubernetes.scenario import build_cluster
from sandbox.kubernetes.state import CHANGE_CAUSE, State

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def cluster(*images: str, kind: str = "Deployment", **more: Any) -> State:
    """A workload ``app`` that has run ``images`` one after another, a day each, and now runs the last."""
    past = [
        {"image": image, "ago": f"{len(images) - place}d", "change_cause": f"deploy {image}"}
        for place, image in enumerate(images)
    ]
    workload = {"kind": kind, "revisions": past, **({"replicas": 3} if kind != "DaemonSet" else {}), **more}
    scenario = {"namespaces": {"n": {"workloads": {"app": workload}}}}
    return build_cluster(scenario, VirtualClock(NOW))


def pass_time(state: State, seconds: float) -> None:
    state.clock.sleep(seconds)
    state.settle()


def replica_sets(state: State, thing: Thing) -> dict[int, Thing]:
    return {int(one.annotations[REVISION]): one for one in state.owned(thing, "ReplicaSet")}


def put_back(state: State, thing: Thing, revision: int) -> None:
    """Do what a rollback does: the template of that revision, and nothing else."""
    template = unlabelled(replica_sets(state, thing)[revision].body["spec"]["template"])
    state.put_template("n", "app", template)


def progressing(thing: Thing) -> dict[str, Any]:
    rows = thing.body["status"]["conditions"]
    found: dict[str, Any] = next(one for one in rows if one["type"] == "Progressing")
    return found


def images_of(state: State, thing: Thing) -> set[str]:
    return {pod.body["spec"]["containers"][0]["image"] for pod in pods_of(state, thing)}


def test_a_revision_that_is_rolled_back_to_gets_a_new_number_and_keeps_its_name() -> None:
    state = cluster("a:1", "a:2", "a:3")
    app = state.workload("n", "app")
    before = replica_sets(state, app)
    assert sorted(before) == [1, 2, 3]
    put_back(state, app, 1)
    pass_time(state, 60)
    after = replica_sets(state, app)
    assert (sorted(after), after[4].name) == ([2, 3, 4], before[1].name)
    assert (app.annotations[REVISION], images_of(state, app)) == ("4", {"a:1"})
    assert after[4].annotations["deployment.kubernetes.io/revision-history"] == "1"


def test_the_deployments_change_cause_is_copied_to_the_revision_that_is_put_back() -> None:
    state = cluster("a:1", "a:2")
    app = state.workload("n", "app")
    put_back(state, app, 1)
    pass_time(state, 60)
    assert replica_sets(state, app)[3].annotations[CHANGE_CAUSE] == "deploy a:2"


def test_an_annotation_that_comes_after_the_deploy_is_copied_too() -> None:
    state = cluster("a:1")
    app = state.workload("n", "app")
    body = copy.deepcopy(app.body)
    body["metadata"]["annotations"][CHANGE_CAUSE] = "said later"
    assert state.replace(app, body)
    pass_time(state, 1)
    assert replica_sets(state, app)[1].annotations[CHANGE_CAUSE] == "said later"


def test_revision_and_observed_generation_trail_a_write() -> None:
    state = cluster("a:1")
    app = state.workload("n", "app")
    state.deploy("n", "app", "a:2")
    state.settle()
    assert (app.body["metadata"]["generation"], app.body["status"]["observedGeneration"]) == (2, 1)
    assert app.annotations[REVISION] == "1"
    pass_time(state, 0.3)
    assert (app.body["status"]["observedGeneration"], app.annotations[REVISION]) == (2, "2")


def test_pods_roll_within_surge_and_unavailability() -> None:
    state = cluster(
        "a:1", replicas=4, spec={"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}
    )
    app = state.workload("n", "app")
    state.deploy("n", "app", "a:2")
    seen = set()
    for _ in range(60):
        pass_time(state, 0.1)
        pods = pods_of(state, app)
        ready = sum(state.ready(pod) for pod in pods)
        assert (len(pods) <= 5, ready >= 3) == (True, True)
        seen.add((len(pods), ready, app.body["status"].get("updatedReplicas", 0)))
    assert (images_of(state, app), app.body["status"]["updatedReplicas"]) == ({"a:2"}, 4)
    assert len(seen) > 2, "it took several steps"


def test_a_bad_image_leaves_the_old_pods_and_runs_into_the_deadline() -> None:
    state = cluster("a:1", spec={"progressDeadlineSeconds": 60})
    app = state.workload("n", "app")
    state.deploy("n", "app", "a:bad")
    pass_time(state, 30)
    assert progressing(app)["status"] == "True"
    pass_time(state, 40)
    assert (progressing(app)["reason"], progressing(app)["status"]) == ("ProgressDeadlineExceeded", "False")
    status = app.body["status"]
    assert (status["availableReplicas"], status["updatedReplicas"], status["unavailableReplicas"]) == (
        3,
        1,
        1,
    )


def test_just_after_a_rollback_the_old_deadline_condition_still_stands() -> None:
    state = cluster("a:1", "a:bad", spec={"progressDeadlineSeconds": 60})
    app = state.workload("n", "app")
    stale = copy.deepcopy(progressing(app))
    put_back(state, app, 1)
    pass_time(state, 0.3)
    caught_up = app.body["status"]["observedGeneration"] == app.body["metadata"]["generation"]
    assert (caught_up, progressing(app)) == (True, stale)
    pass_time(state, 5)
    assert progressing(app)["reason"] == "NewReplicaSetAvailable"
    assert progressing(app)["lastUpdateTime"] > stale["lastUpdateTime"]


def test_history_beyond_its_limit_is_collected_once_a_rollout_is_complete() -> None:
    state = cluster("a:1", "a:2", "a:3", "a:4", spec={"revisionHistoryLimit": 2})
    assert sorted(replica_sets(state, state.workload("n", "app"))) == [2, 3, 4]


def test_a_paused_deployment_notes_what_is_wanted_and_does_nothing() -> None:
    state = cluster("a:1", spec={"paused": True})
    app = state.workload("n", "app")
    assert (app.body["status"]["observedGeneration"], pods_of(state, app)) == (1, [])
    assert progressing(app)["reason"] == "DeploymentPaused"


def test_containers_that_crash_or_restart_are_counted() -> None:
    state = cluster("a:crash", replicas=1)
    pod = state.shown(pods_of(state, state.workload("n", "app"))[0])["status"]["containerStatuses"][0]
    assert (pod["state"]["waiting"]["reason"], pod["ready"], pod["restartCount"] > 3) == (
        "CrashLoopBackOff",
        False,
        True,
    )


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_set_keeps_revisions_that_replace_the_template(kind: str) -> None:
    state = cluster("a:1", "a:2", kind=kind)
    app = state.workload("n", "app", kind)
    first, second = sorted(state.owned(app, "ControllerRevision"), key=lambda one: int(one.body["revision"]))
    assert first.body["data"]["spec"]["template"]["$patch"] == "replace"
    assert second.annotations[CHANGE_CAUSE] == "deploy a:2"
    template = {
        key: value for key, value in first.body["data"]["spec"]["template"].items() if key != "$patch"
    }
    state.put_template("n", "app", template, kind=kind)
    pass_time(state, 60)
    assert (first.body["revision"], images_of(state, app)) == (3, {"a:1"})
    assert first.annotations[CHANGE_CAUSE] == "deploy a:1"


def test_a_stateful_set_that_a_broken_pod_holds_up_stays_so_after_a_rollback() -> None:
    # Seen on a 1.36 API server: the broken pod is not replaced until somebody deletes it (kubernetes#67250).
    state = cluster("a:1", kind="StatefulSet")
    app = state.workload("n", "app", "StatefulSet")
    state.deploy("n", "app", "a:bad", kind="StatefulSet")
    pass_time(state, 60)
    assert images_of(state, app) == {"a:1", "a:bad"}
    state.deploy("n", "app", "a:1", kind="StatefulSet")
    pass_time(state, 600)
    assert images_of(state, app) == {"a:1", "a:bad"}
    assert app.body["status"]["updateRevision"] == app.body["status"]["currentRevision"]
    assert app.body["status"]["readyReplicas"] == 2


def test_time_may_leap_and_nothing_is_left_out() -> None:
    state = cluster("a:1", spec={"progressDeadlineSeconds": 60})
    app = state.workload("n", "app")
    state.deploy("n", "app", "a:bad")
    pass_time(state, 86400)
    assert progressing(app)["lastUpdateTime"] < "2026-11-24T12:02:00Z"
