"""The judge itself: it plays what the suites count on, and nothing of it outlives whoever started it."""

import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.kubernetes.cluster import CHART, Cluster, Shared, log_line, program, shared_cluster
from integration.kubernetes.cluster import real_cluster as started
from integration.kubernetes.control_plane import run_kubectl
from tests.deployments.processes import await_true, processes_of

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster(real_cluster: Cluster) -> Cluster:
    if not real_cluster.own:
        pytest.skip("RUNBOOK_TEST_KUBECONFIG names another cluster than the one that is tried here")
    return real_cluster


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace() as name:
        yield name


def deployment(name: str, image: str) -> dict[str, object]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }


def statuses(cluster: Cluster, namespace: str, app: str) -> list[dict[str, object]]:
    pods = json.loads(cluster.kubectl("-n", namespace, "get", "pods", "-l", f"app={app}", "-o", "json"))
    return [status for pod in pods["items"] for status in pod["status"].get("containerStatuses", [])]


@pytest.mark.parametrize(
    ("image", "ready", "reason"),
    [("app:1", True, None), ("app:bad", False, "ImagePullBackOff"), ("app:crash", False, "CrashLoopBackOff")],
)
def test_a_pods_image_decides_how_it_fares(
    cluster: Cluster, namespace: str, image: str, ready: bool, reason: str | None
) -> None:
    cluster.apply(dict(deployment("web", image), metadata={"name": "web", "namespace": namespace}))
    await_true(lambda: bool(statuses(cluster, namespace, "web")), deadline_seconds=30, what="the pod")
    [status] = statuses(cluster, namespace, "web")
    assert status["ready"] is ready
    assert status["state"].get("waiting", {}).get("reason") == reason  # type: ignore[attr-defined]


def test_a_pod_becomes_ready_when_its_annotation_says(cluster: Cluster, namespace: str) -> None:
    body: dict[str, Any] = dict(deployment("web", "app:1"), metadata={"name": "web", "namespace": namespace})
    body["spec"]["template"]["metadata"]["annotations"] = {"test/ready-after": "3s"}
    cluster.apply(body)
    pods = (
        "-n",
        namespace,
        "get",
        "pods",
        "-o",
        "jsonpath={.items[*].status.conditions[?(@.type=='PodScheduled')]}",
    )
    await_true(lambda: cluster.kubectl(*pods), deadline_seconds=30, what="the pod")
    since = time.monotonic()
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=30s")
    assert time.monotonic() - since > 1.5


def test_a_flaky_image_is_started_again_and_again(cluster: Cluster, namespace: str) -> None:
    cluster.apply(dict(deployment("web", "app:flaky"), metadata={"name": "web", "namespace": namespace}))

    def restarts() -> int:
        return sum(int(str(one["restartCount"])) for one in statuses(cluster, namespace, "web"))

    await_true(lambda: restarts() > 1, deadline_seconds=30, what="two restarts")


def test_a_service_is_answered_by_a_server_on_loopback_while_it_has_a_ready_pod(
    cluster: Cluster, namespace: str
) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"healthy")

        def log_message(self, *arguments: object) -> None:
            pass

    def ask() -> str:
        path = f"/api/v1/namespaces/{namespace}/services/web:80/proxy/health"
        try:
            return cluster.kubectl("get", "--raw", path)
        except subprocess.CalledProcessError as error:
            return str(error.stderr)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": server.server_port}]},
        }
        body = dict(deployment("web", "app:bad"), metadata={"name": "web", "namespace": namespace})
        cluster.apply(body, service)
        await_true(lambda: "no endpoints available" in ask(), deadline_seconds=30, what="the refusal")
        cluster.kubectl("-n", namespace, "set", "image", "deployment/web", "app=app:2")
        await_true(lambda: ask() == "healthy", deadline_seconds=30, what="the answer")
        server.shutdown()


def test_containers_logs_are_what_the_test_says(cluster: Cluster, namespace: str) -> None:
    cluster.container_log.write_text(log_line("ready to serve") + log_line("oops", stream="stderr"))
    cluster.apply(dict(deployment("web", "app:1"), metadata={"name": "web", "namespace": namespace}))
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=30s")
    assert cluster.kubectl("-n", namespace, "logs", "deployment/web", "--tail=1") == "oops\n"
    cluster.container_log.write_text("")


def test_accounts_may_only_do_what_a_role_lets_them_and_the_audit_log_tells_what_they_asked(
    cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl("-n", namespace, "create", "serviceaccount", "reader")
    account = cluster.service_account(namespace, "reader")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_kubectl(account, "-n", namespace, "get", "deployments.apps")
    assert 'cannot list resource "deployments"' in caught.value.stderr
    user = f"system:serviceaccount:{namespace}:reader"
    [call] = cluster.calls(user=user, namespace=namespace)
    assert (call["verb"], call["responseStatus"]["code"]) == ("list", 403)


def test_an_expired_certificate_is_refused_and_a_valid_one_is_known(cluster: Cluster) -> None:
    valid = cluster.certificate("eve", groups=("operators",))
    assert "eve" in run_kubectl(valid, "auth", "whoami")
    expired = cluster.certificate("eve", expires_in_seconds=-60)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_kubectl(expired, "get", "namespaces")
    assert "must be logged in" in caught.value.stderr or "Unauthorized" in caught.value.stderr


def test_the_api_server_keeps_what_argo_cd_and_flux_bring(cluster: Cluster, namespace: str) -> None:
    cluster.define_custom_resources()
    for kind, version in (
        ("Application", "argoproj.io/v1alpha1"),
        ("Kustomization", "kustomize.toolkit.fluxcd.io/v1"),
        ("HelmRelease", "helm.toolkit.fluxcd.io/v2"),
    ):
        metadata = {"name": "web", "namespace": namespace}
        spec = {"suspend": False, "syncPolicy": {"automated": {"selfHeal": True}}}
        cluster.apply({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
        found = json.loads(cluster.kubectl("-n", namespace, "get", kind, "web", "-o", "json"))
        assert found["spec"] == spec


def test_the_chart_is_installed_and_rolled_back_by_helm(cluster: Cluster, namespace: str) -> None:
    def helm(*arguments: str) -> str:
        environment = {
            "KUBECONFIG": str(cluster.kubeconfig),
            "HOME": str(cluster.kubeconfig.parent),
        }
        line = [str(program("helm")), "-n", namespace, *arguments]
        done = subprocess.run(line, check=True, capture_output=True, text=True, env=environment)
        return done.stdout

    helm("install", "web", str(CHART), "--set", "image=app:1", "--wait")
    helm("upgrade", "web", str(CHART), "--set", "image=app:bad")
    helm("rollback", "web", "1", "--wait")
    history = json.loads(helm("history", "web", "-o", "json"))
    assert [row["status"] for row in history] == ["superseded", "superseded", "deployed"]


def test_a_cluster_that_the_environment_names_is_used_as_it_is(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_TEST_KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setattr("integration.kubernetes.cluster._shared", Shared())
    with shared_cluster() as named:
        assert not named.own
        with named.namespace() as namespace:
            named.kubectl("-n", namespace, "create", "serviceaccount", "reader")
            account = named.service_account(namespace, "reader")
            assert f"{namespace}:reader" in run_kubectl(account, "auth", "whoami")
        with pytest.raises(pytest.skip.Exception):
            named.calls()


def test_everybody_in_a_process_shares_one_cluster(cluster: Cluster) -> None:
    with shared_cluster() as same:
        assert same is cluster
    assert "kwok-0" in cluster.kubectl("get", "nodes"), "it lasts as long as the fixture"


def run_command(action: str, directory: Path) -> str:
    line = [sys.executable, "-m", "integration.kubernetes.cluster", action, str(directory)]
    return subprocess.run(
        line, cwd=ROOT, check=True, capture_output=True, text=True, timeout=240
    ).stdout.strip()


def test_the_command_starts_and_ends_a_cluster_and_does_so_again(tmp_path: Path) -> None:
    for _ in range(2):
        kubeconfig = run_command("up", tmp_path)
        try:
            assert "kwok-0" in run_kubectl(Path(kubeconfig), "get", "nodes")
            assert run_command("up", tmp_path) == kubeconfig, "a second up uses what runs"
            assert len(run_command("status", tmp_path).splitlines()) == 6
        finally:
            run_command("down", tmp_path)
        assert processes_of(tmp_path) == {}
        assert run_command("status", tmp_path) == "nothing runs there"


def test_no_server_outlives_a_killed_test_process(tmp_path: Path) -> None:
    script = (
        "import sys, threading; from pathlib import Path\n"
        "from integration.kubernetes.cluster import real_cluster\n"
        "with real_cluster(Path(sys.argv[1])): print('up', flush=True); threading.Event().wait()\n"
    )
    line = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "up\n"
            assert len(processes_of(tmp_path)) == 2 * 6, "each under a guardian"
        finally:
            process.kill()
    await_true(lambda: processes_of(tmp_path) == {}, deadline_seconds=30, what="the servers to end")


def test_a_cluster_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integration.kubernetes.control_plane.API_SERVER", "kubectl")
        with (
            pytest.raises(
                Exception, match=r"kubectl ended with status 1. It said last:\nerror: unknown flag"
            ),
            started(tmp_path),
        ):
            pytest.fail("it started")
    assert processes_of(tmp_path) == {}
