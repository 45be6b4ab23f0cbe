"""What the client makes of Kubernetes' objects, and what of them never leaves it."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.clients.kubernetes_objects import (
    autoscaler_of,
    bare_template,
    pod_of,
    revision_of,
    template_of,
    workload_of,
)
from runbook.workloads import WorkloadKind
from tests.runbook.clients.kubernetes_bodies import NAMESPACE, body_of, replica_set, template

DEPLOYMENT = WorkloadKind.DEPLOYMENT


def kept_as(kept: dict[str, Any], how: str) -> dict[str, Any]:
    """Write a template as its controllers and API servers of all ages keep it."""
    kept = copy.deepcopy(kept)
    if how == "ReplicaSet":
        kept["metadata"]["labels"]["pod-template-hash"] = "7b5858dbd6"
    elif how == "ControllerRevision":
        kept["$patch"] = "replace"
    elif how == "API server before 1.34":
        kept["metadata"]["creationTimestamp"] = None
    return kept


@pytest.mark.parametrize("how", ["ReplicaSet", "ControllerRevision", "API server before 1.34"])
def test_a_template_has_one_digest_wherever_it_is_kept(how: str) -> None:
    own = template(terminationGracePeriodSeconds=30)
    kept = kept_as(own, how)
    before = copy.deepcopy(kept)
    assert template_of(kept) == template_of(own)
    assert bare_template(kept) == own
    assert kept == before, "what was read is left as it was"


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=4))
def test_any_difference_of_labels_is_another_digest(labels: dict[str, str]) -> None:
    own, other = template(), template()
    other["metadata"]["labels"] = {"app": "tts", **labels}
    assert (template_of(own).digest == template_of(other).digest) == (other == own)


def test_a_template_tells_what_it_refers_to_and_no_value() -> None:
    found = template_of(
        {
            "metadata": {
                "labels": {"app": "tts"},
                "annotations": {"org.opencontainers.image.revision": "0" * 40},
            },
            "spec": {
                "initContainers": [
                    {"name": "migrate", "image": "app:1", "envFrom": [{"secretRef": {"name": "e"}}]}
                ],
                "containers": [
                    {
                        "name": "app",
                        "image": "app:2",
                        "env": [
                            {"name": "PLAIN", "value": "hunter2"},
                            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "d", "key": "k"}}},
                            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "y", "key": "k"}}},
                            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        ],
                        "envFrom": [{"configMapRef": {"name": "x"}}],
                    }
                ],
                "imagePullSecrets": [{"name": "pull"}],
                "volumes": [
                    {"name": "1", "secret": {"secretName": "a"}},
                    {
                        "name": "2",
                        "projected": {"sources": [{"secret": {"name": "b"}}, {"configMap": {"name": "z"}}]},
                    },
                    {"name": "3", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "c"}}},
                    {"name": "4", "emptyDir": {}},
                ],
            },
        }
    )
    assert found.secrets == ("a", "b", "c", "d", "e", "pull")
    assert found.config_maps == ("x", "y", "z")
    assert [(one.container, one.image) for one in found.images] == [("app", "app:2"), ("migrate", "app:1")]
    assert found.source == "0" * 40
    assert "hunter2" not in found.model_dump_json()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kubectl.kubernetes.io/last-applied-configuration", '{"spec":{"env":"hunter2"}}'),
        ("kapp.k14s.io/original", '{"spec":"hunter2"}'),
        ("objectset.rio.cattle.io/applied", "H4sIAAhunter2" + "A" * 1_024),
    ],
)
def test_annotations_that_hold_the_whole_object_stay_in_the_client(name: str, value: str) -> None:
    body = body_of("tts")
    body["metadata"]["annotations"][name] = value
    found = workload_of(body, DEPLOYMENT)
    assert found.annotations == {"deployment.kubernetes.io/revision": "2"}


def test_a_workload_that_no_controller_has_seen_has_no_revision_and_counts_nothing() -> None:
    body = body_of("tts", replicas=3)
    del body["metadata"]["annotations"]
    found = workload_of(body, DEPLOYMENT)
    assert (found.revision, found.observed_generation) == (None, 0)
    assert (found.wanted, found.replicas, found.updated, found.available, found.ready) == (3, 0, 0, 0, 0)


def test_a_daemon_set_s_wanted_pods_are_its_nodes() -> None:
    body = body_of("tts")
    del body["spec"]["replicas"]
    body["status"] = {
        "desiredNumberScheduled": 5,
        "currentNumberScheduled": 4,
        "updatedNumberScheduled": 3,
        "numberAvailable": 2,
        "numberReady": 1,
    }
    body["spec"]["updateStrategy"] = {"type": "OnDelete"}
    found = workload_of(body, WorkloadKind.DAEMON_SET)
    assert (found.wanted, found.replicas, found.updated, found.available, found.ready) == (5, 4, 3, 2, 1)
    assert found.on_delete


def test_a_stateful_set_tells_its_partition_and_revisions() -> None:
    body = body_of("tts", replicas=3)
    body["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    body["status"] = {"currentRevision": "tts-a", "updateRevision": "tts-b", "replicas": 3}
    found = workload_of(body, WorkloadKind.STATEFUL_SET)
    assert (found.partition, found.update_revision) == (2, "tts-b")
    assert (found.revision, found.on_delete, found.parallel) == (None, False, False)
    body["spec"]["podManagementPolicy"] = "Parallel"
    assert workload_of(body, WorkloadKind.STATEFUL_SET).parallel


def test_a_pod_of_a_stateful_set_tells_which_revision_it_was_made_of() -> None:
    body = pod()
    assert pod_of(body).revision == ""
    body["metadata"]["labels"] = {"controller-revision-hash": "tts-b"}
    assert pod_of(body).revision == "tts-b"


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"app": "tts", "tier": "api"}}, "app=tts,tier=api"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}, "a in (x,y)"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}, "a notin (x)"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a"),
        (
            {"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            "b=c,!a",
        ),
    ],
)
def test_selectors_are_written_as_list_calls_take_them(selector: dict[str, Any], text: str) -> None:
    body = body_of("tts")
    body["spec"]["selector"] = selector
    assert workload_of(body, DEPLOYMENT).selector == text


def test_a_revision_notes_its_earlier_numbers() -> None:
    body = replica_set("tts-1", number=7)
    body["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] = "1,4"
    found = revision_of(body)
    assert found is not None
    assert (found.number, found.earlier_numbers, found.first_number) == (7, (1, 4), 1)
    assert found.created_at == datetime(2026, 5, 4, 9, tzinfo=UTC)


def test_a_replica_set_without_a_number_is_no_revision_yet() -> None:
    body = replica_set("tts-1")
    del body["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    assert revision_of(body) is None


def test_a_change_cause_is_one_line_without_secrets_and_control_codes() -> None:
    body = replica_set("tts-1")
    cause = "\x1b[31mdeploy\nof ghp_0123456789abcdefghij0123456789abcdef"
    body["metadata"]["annotations"]["kubernetes.io/change-cause"] = cause
    found = revision_of(body)
    assert found is not None
    assert found.change_cause == "deploy of ***"


def pod(**of_status: Any) -> dict[str, Any]:
    metadata = {"name": "tts-1", "creationTimestamp": "2026-05-04T09:00:00Z"}
    return {"metadata": metadata, "spec": template()["spec"], "status": of_status}


def container(reason: str | None = None, *, state: str = "waiting", **more: Any) -> dict[str, Any]:
    return {"name": "app", "state": {state: {"reason": reason}} if reason else {}, **more}


@pytest.mark.parametrize(
    ("status", "reasons"),
    [
        ({}, ()),
        ({"containerStatuses": [container("ImagePullBackOff")]}, ("app: ImagePullBackOff",)),
        ({"containerStatuses": [container("OOMKilled", state="terminated")]}, ("app: OOMKilled",)),
        ({"initContainerStatuses": [container("Completed", state="terminated")]}, ()),
        ({"reason": "Evicted"}, ("pod: Evicted",)),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            ("pod: Unschedulable",),
        ),
    ],
)
def test_a_pod_says_why_it_does_not_run(status: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert pod_of(pod(**status)).reasons == reasons


def test_a_pod_s_restarts_are_those_of_all_its_containers_and_digests_the_registry_s() -> None:
    digest = "sha256:" + "a" * 64
    found = pod_of(
        pod(
            phase="Running",
            conditions=[{"type": "Ready", "status": "True"}],
            initContainerStatuses=[container(restartCount=1, imageID="sha256:" + "b" * 64)],
            containerStatuses=[
                container(restartCount=2, imageID=f"registry.example/app@{digest}"),
                container(restartCount=3, imageID=""),
            ],
        )
    )
    assert (found.ready, found.restarts) == (True, 6)
    # A bare digest is the image's id on that node: no registry knows it.
    assert found.image_digests == (digest,)


def test_a_pod_that_is_being_deleted_is_terminating() -> None:
    body = pod()
    assert not pod_of(body).terminating
    body["metadata"]["deletionTimestamp"] = "2026-05-04T09:00:00Z"
    assert pod_of(body).terminating


@pytest.mark.parametrize(
    ("version", "kind"), [("apps/v1", "ReplicaSet"), ("example.com/v1", "Deployment"), ("", "Deployment")]
)
def test_an_autoscaler_of_something_else_is_left_out(version: str, kind: str) -> None:
    target = {"apiVersion": version, "kind": kind, "name": "tts"}
    body = {"metadata": {"name": "tts"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    assert autoscaler_of(body, NAMESPACE) is None
