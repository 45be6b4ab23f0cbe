"""The Kubernetes stand-in on the wire: rights, errors, patches, lists, logs, the service proxy, steering."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
import requests

import sandbox

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GOOD, BAD = "registry.example/tts:1.4.1", "registry.example/tts:1.4.2"
SCENARIO: dict[str, Any] = {
    "bot": "bot",
    "users": {"bot": {}},
    "repositories": {"acme/app": {}},
    "kubernetes": {
        "images": {
            GOOD: {"log": "one\ntwo\nthree\n", "metrics": "errors_total 1\n", "digest": "sha256:aa"},
            BAD: {"health": 503, "restarts_every": "30s"},
        },
        "namespaces": {
            "voice": {
                "workloads": {
                    "tts": {
                        "replicas": 2,
                        "autoscaler": {"min": 1, "max": 4},
                        "argocd": {"application": "voice"},
                        "revisions": [
                            {
                                "image": GOOD,
                                "ago": "3d",
                                "change_cause": "1.4.1",
                                "config_maps": ["settings"],
                            },
                            {"image": BAD, "ago": "20m", "change_cause": "1.4.2"},
                        ],
                    },
                    "store": {"kind": "StatefulSet", "revisions": [{"image": GOOD, "ago": "3d"}]},
                    "agent": {
                        "kind": "DaemonSet",
                        "flux": {"kustomization": "all"},
                        "revisions": [{"image": GOOD, "ago": "1d"}],
                    },
                }
            }
        },
        "helm_releases": [{"name": "r", "namespace": "voice", "revisions": [{"ago": "3d"}]}],
    },
}
APPS = "/apis/apps/v1/namespaces/voice"


class Caller:
    """Talks to the stand-in as the product's account does, unless another token is given."""

    def __init__(self, box: sandbox.Box) -> None:
        self.box = box.kubernetes

    def ask(
        self, path: str, method: str = "GET", body: Any = None, *, token: str = "", kind: str = "json"
    ) -> Any:
        headers = {
            "Authorization": f"Bearer {token or self.box.token}",
            "Content-Type": f"application/{kind}",
        }
        data = None if body is None else json.dumps(body)
        return requests.request(method, self.box.url + path, headers=headers, data=data, timeout=5)

    def get(self, path: str) -> Any:
        reply = self.ask(path)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def patch(self, path: str, *operations: dict[str, Any]) -> Any:
        return self.ask(path, "PATCH", list(operations), kind="json-patch+json")

    def allow(self, *rules: dict[str, Any]) -> None:
        reply = self.ask("/_sandbox/permissions", "POST", {"rules": list(rules)})
        assert reply.status_code == 200


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    with sandbox.running(SCENARIO, clock=sandbox.VirtualClock(NOW)) as one:
        yield one


@pytest.fixture
def caller(box: sandbox.Box) -> Caller:
    return Caller(box)


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def status(reply: Any) -> tuple[int, str, str]:
    body = reply.json()
    assert (body["kind"], body["apiVersion"], body["code"]) == ("Status", "v1", reply.status_code)
    return reply.status_code, body["reason"], body["message"]


def test_a_stale_guard_is_a_conflict_and_a_failed_test_is_invalid(caller: Caller) -> None:
    path = f"{APPS}/deployments/tts"
    version = caller.get(path)["metadata"]["resourceVersion"]
    assert caller.patch(path, replace("/metadata/resourceVersion", version), replace("/spec/replicas", 3)).ok
    stale = caller.patch(path, replace("/metadata/resourceVersion", version), replace("/spec/replicas", 4))
    assert status(stale)[:2] == (409, "Conflict")
    assert 'deployments.apps "tts": the object has been modified' in stale.json()["message"]
    tested = caller.patch(path, {"op": "test", "path": "/spec/replicas", "value": 9})
    assert status(tested)[:2] == (422, "Invalid")
    assert caller.get(path)["spec"]["replicas"] == 3
    assert [one["applied"] for one in caller.box.requests if one["method"] == "PATCH"] == [True, False, False]


@pytest.mark.parametrize(
    ("operations", "code", "words"),
    [
        (
            [replace("/spec/template/spec/containers", [])],
            422,
            "spec.template.spec.containers: Required value",
        ),
        (
            [replace("/spec/template/metadata/labels", {"app": "x"})],
            422,
            "`selector` does not match template `labels`",
        ),
        ([replace("/metadata/uid", "x")], 422, "field is immutable"),
        ([replace("/spec/none/x", 1)], 422, "the server rejected our request"),
    ],
)
def test_what_the_api_server_refuses_changes_nothing(
    caller: Caller, operations: list[dict[str, Any]], code: int, words: str
) -> None:
    before = caller.get(f"{APPS}/deployments/tts")
    reply = caller.patch(f"{APPS}/deployments/tts", *operations)
    assert (status(reply)[0], words in reply.json()["message"]) == (code, True)
    assert caller.get(f"{APPS}/deployments/tts") == before


def test_what_is_not_there_is_named(caller: Caller) -> None:
    gone = status(caller.ask(f"{APPS}/replicasets/none"))
    assert gone == (404, "NotFound", 'replicasets.apps "none" not found')
    unknown = caller.ask("/apis/example.org/v1/namespaces/voice/things/x")
    assert (unknown.status_code, unknown.text) == (404, "404 page not found\n")
    assert caller.get("/api/v1/namespaces/elsewhere/pods")["items"] == []
    body = {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}}
    assert status(caller.ask("/api/v1/namespaces/elsewhere/services", "POST", body))[0] == 404
    body = {"metadata": {"name": "voice"}}
    assert status(caller.ask("/api/v1/namespaces", "POST", body))[:2] == (409, "AlreadyExists")


def test_a_wrong_token_is_401_and_none_is_the_anonymous_user(caller: Caller) -> None:
    assert status(caller.ask(f"{APPS}/deployments", token="stale")) == (401, "Unauthorized", "Unauthorized")
    nobody = requests.get(f"{caller.box.url}{APPS}/deployments", timeout=5)
    assert (nobody.status_code, 'User "system:anonymous"' in nobody.json()["message"]) == (403, True)


def test_rights_are_a_roles_rules_and_the_access_review_agrees(caller: Caller) -> None:
    caller.allow(
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
        {"verb": "get", "resource": "pods/log", "group": ""},
    )
    caller.get(f"{APPS}/deployments/tts")
    refused = status(caller.patch(f"{APPS}/deployments/tts", replace("/spec/replicas", 3)))
    assert refused[:2] == (403, "Forbidden")
    user = "system:serviceaccount:runbook:runbook"
    assert refused[2] == (
        f'deployments.apps "tts" is forbidden: User "{user}" cannot patch resource "deployments" '
        'in API group "apps" in the namespace "voice"'
    )
    listed = status(caller.ask("/api/v1/namespaces/voice/pods"))[2]
    assert listed.startswith("pods is forbidden: User")
    assert 'cannot list resource "pods" in API group ""' in listed
    assert caller.ask("/api/v1/namespaces/voice/pods", token=caller.box.admin_token).ok
    asked = [
        ("get", "deployments", "apps", ""),
        ("patch", "deployments", "apps", ""),
        ("get", "pods", "", "log"),
    ]
    assert [may(caller, *one) for one in asked] == [True, False, True]


def may(caller: Caller, verb: str, resource: str, group: str, subresource: str) -> bool:
    attributes = {"verb": verb, "resource": resource, "group": group, "subresource": subresource}
    body = {"spec": {"resourceAttributes": {**attributes, "namespace": "voice"}}}
    reply = caller.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "POST", body)
    return bool(reply.json()["status"]["allowed"])


def test_lists_select_by_label_and_come_in_pages_that_expire(box: sandbox.Box, caller: Caller) -> None:
    pods = "/api/v1/namespaces/voice/pods"
    assert len(caller.get(pods)["items"]) == 6
    counts = {
        "app=tts": 2,
        "app in (tts, store)": 3,
        "app!=tts": 4,
        "app notin (tts),!pod-template-hash": 4,
        "pod-template-hash,app==tts": 2,
    }
    for selector, count in counts.items():
        reply = caller.ask(f"{pods}?labelSelector={quote(selector)}")
        assert (selector, len(reply.json()["items"])) == (selector, count)
    assert status(caller.ask(f"{pods}?labelSelector=%3D%3Dx"))[:2] == (400, "BadRequest")
    first = caller.get(f"{pods}?limit=4")
    assert (len(first["items"]), first["metadata"]["remainingItemCount"]) == (4, 2)
    more = f"{pods}?limit=4&continue={first['metadata']['continue']}"
    assert len(caller.get(more)["items"]) == 2
    box.clock.sleep(400)
    assert status(caller.ask(more))[:2] == (410, "Expired")


def test_a_service_is_asked_through_the_proxy_and_its_own_answer_comes_back(caller: Caller) -> None:
    path = "/api/v1/namespaces/voice/services/http:{}:8000/proxy{}"
    assert caller.ask(path.format("store", "/health")).json() == {"status": "ok"}
    assert caller.ask(path.format("store", "/metrics")).text == "errors_total 1\n"
    sick = caller.ask(path.format("tts", "/health"))
    assert (sick.status_code, sick.json()) == (503, {"status": "failing"})
    assert status(caller.ask(path.format("none", "/health")))[0] == 404
    assert status(caller.ask(path.format("tts", "/health").replace("8000", "1")))[:2] == (
        503,
        "ServiceUnavailable",
    )
    caller.ask("/_sandbox/images", "POST", {BAD: {"start": "crash_loop"}})
    none = status(caller.ask(path.format("tts", "/health")))
    assert (none[0], "no endpoints available" in none[2]) == (503, True)


def test_a_pods_log_ends_with_its_last_lines_and_waits_for_its_container(caller: Caller) -> None:
    path = "/api/v1/namespaces/voice/pods/store-0/log"
    assert caller.ask(f"{path}?tailLines=2").text == "two\nthree\n"
    assert caller.ask(f"{path}?tailLines=0").text == ""
    assert "not valid for pod store-0" in status(caller.ask(f"{path}?container=x"))[2]
    caller.ask("/_sandbox/images", "POST", {GOOD: {"start": "image_pull_backoff"}})
    assert "trying and failing to pull image" in status(caller.ask(path))[2]


def test_owners_mark_what_is_theirs_and_can_be_patched(caller: Caller) -> None:
    tts, agent = caller.get(f"{APPS}/deployments/tts"), caller.get(f"{APPS}/daemonsets/agent")
    tracked = tts["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"]
    assert tracked == "voice:apps/Deployment:voice/tts"
    assert agent["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == "all"
    path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/voice"
    version = caller.get(path)["metadata"]["resourceVersion"]
    guard = replace("/metadata/resourceVersion", version)
    assert caller.patch(path, guard, {"op": "remove", "path": "/spec/syncPolicy/automated"}).ok
    assert caller.get(path)["spec"]["syncPolicy"] == {}
    assert status(caller.patch(path, guard, replace("/spec/project", "x")))[0] == 409


def test_a_fault_is_worded_as_the_api_server_would(box: sandbox.Box, caller: Caller) -> None:
    for kind, code, reason in [
        ("401", 401, "Unauthorized"),
        ("403", 403, "Forbidden"),
        ("409", 409, "Conflict"),
        ("410", 410, "Expired"),
        ("503", 503, "ServiceUnavailable"),
        ("500_before", 500, "InternalError"),
    ]:
        box.kubernetes.fail(kind)
        assert status(caller.ask(f"{APPS}/deployments/tts"))[:2] == (code, reason)
    box.kubernetes.fail("429", retry_after=7)
    busy = caller.ask(f"{APPS}/deployments/tts")
    assert (status(busy)[1], busy.headers["Retry-After"]) == ("TooManyRequests", "7")
    assert busy.json()["details"] == {"retryAfterSeconds": 7}
    box.kubernetes.fail("500_after", method="PATCH")
    assert caller.patch(f"{APPS}/deployments/tts", replace("/spec/replicas", 3)).status_code == 500
    assert caller.get(f"{APPS}/deployments/tts")["spec"]["replicas"] == 3
    assert box.requests == []


def test_somebody_else_can_deploy_in_between(box: sandbox.Box, caller: Caller) -> None:
    body = {"namespace": "voice", "name": "tts", "images": GOOD, "change_cause": "hotfix"}
    assert caller.ask("/_sandbox/deploy", "POST", body).ok
    found = caller.get(f"{APPS}/deployments/tts")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == GOOD
    assert found["metadata"]["annotations"]["kubernetes.io/change-cause"] == "hotfix"
    assert caller.ask("/_sandbox/deploy", "POST", {**body, "name": "none"}).status_code == 422
    shown = requests.get(f"{box.kubernetes.url}/_sandbox/state", timeout=5).json()
    assert {row["name"] for row in shown["namespaces"]["voice"]} == {"tts", "store", "agent"}


def test_objects_pass_the_official_clients_validation(box: sandbox.Box) -> None:
    kubernetes = pytest.importorskip("kubernetes")
    client, config = kubernetes.client, kubernetes.config
    api = config.new_client_from_config(str(box.kubernetes.kubeconfig))
    try:
        apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
        for kind in ("deployment", "replica_set", "stateful_set", "daemon_set", "controller_revision"):
            assert getattr(apps, f"list_namespaced_{kind}")("voice").items
        assert {pod.status.phase for pod in core.list_namespaced_pod("voice").items} == {"Running"}
        assert core.list_namespaced_service("voice").items
        assert core.list_namespace().items
        scaler = client.AutoscalingV2Api(api).list_namespaced_horizontal_pod_autoscaler("voice").items[0]
        assert (scaler.spec.min_replicas, scaler.status.current_replicas) == (1, 2)
        assert client.VersionApi(api).get_code().git_version.startswith("v1.")
        assert core.read_namespaced_pod_log("store-0", "voice", tail_lines=1) == "three\n"
    finally:
        api.close()


def test_a_box_without_the_key_has_none_and_one_with_it_leaves_no_file() -> None:
    plain = {name: value for name, value in SCENARIO.items() if name != "kubernetes"}
    with sandbox.running(plain) as one:
        assert "kubernetes" not in one.ready()
        with pytest.raises(LookupError):
            one.kubernetes  # noqa: B018 - asking is the test
    with sandbox.running(SCENARIO) as one:
        ready = one.ready()
        file = one.kubernetes.kubeconfig
        assert (ready["kubernetes"]["kubeconfig"], file.stat().st_mode & 0o777) == (str(file), 0o600)
        assert ready["helm"]["program"] == str(one.kubernetes.helm)
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"nodez": 3}, "kubernetes: unknown key 'nodez'"),
        ({"images": {"x": {"start": "slowly"}}}, "kubernetes.images.x: start is one of"),
        (
            {"namespaces": {"a": {"workloads": {"b": {}}}}},
            "kubernetes.namespaces.a.workloads.b: at least one",
        ),
        ({"namespaces": {"a": {"workloads": {"b": {"kind": "Job"}}}}}, "kind is one of Deployment"),
        ({"namespaces": {"a": {"workloads": {"b": {"revisions": [{}]}}}}}, "revisions[0]: image, or images"),
    ],
)
def test_a_scenario_that_cannot_be_read_says_where(change: dict[str, Any], place: str) -> None:
    with pytest.raises(sandbox.ScenarioError) as error:
        sandbox.Box({**SCENARIO, "kubernetes": change})
    assert place in str(error.value)
