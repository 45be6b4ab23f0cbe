"""The cluster twice: the sandbox's API server, and a real one with kwok's pods.

Objects are seeded by plain HTTP, the same requests on both. What only differs is who lets accounts in, what a
service answers and what containers log: there each has its own way.
"""

import http.server
import json
import ssl
import tempfile
import threading
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from integration.kubernetes.cluster import Cluster, log_line
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.workloads import Revision, Workload, WorkloadKind, WorkloadRef
from sandbox.box import KubernetesBox
from sandbox.kubernetes.pods import Behaviour
from sandbox.kubernetes.scenario import ARGO, define
from tests.deadline import until

Json = dict[str, Any]

SECONDS = 30
PORT = 80
CHANGE_CAUSE = "kubernetes.io/change-cause"
PLURALS = {
    WorkloadKind.DEPLOYMENT: "deployments",
    WorkloadKind.STATEFUL_SET: "statefulsets",
    WorkloadKind.DAEMON_SET: "daemonsets",
}
ROLE = Path(__file__).parents[3] / "deployments" / "kubernetes" / "rollback-image-rbac.yaml"


class Api:
    """Plain HTTP as the administrator that a kubeconfig names."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        user = config["users"][0]["user"]
        cluster = config["clusters"][0]["cluster"]
        self._server = cluster["server"]
        self._session = requests.Session()
        self._session.trust_env = False
        if "token" in user:
            self._session.headers["Authorization"] = f"Bearer {user['token']}"
        else:
            self._session.mount("https://", _Certified(user, cluster))

    def send(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> Json:
        """Send a request and return what it answers.

        Raises:
            AssertionError: It was refused.
        """
        answer = self._session.request(
            method,
            self._server + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
            timeout=SECONDS,
        )
        assert answer.ok, answer.text
        found: Json = answer.json()
        return found

    def close(self) -> None:
        """Close every connection."""
        self._session.close()


class _Certified(requests.adapters.HTTPAdapter):
    """Shows a client certificate that a kubeconfig holds as data."""

    def __init__(self, user: Json, cluster: Json) -> None:
        self._context = ssl.create_default_context(
            cadata=b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile() as file:
            for key in ("client-certificate-data", "client-key-data"):
                file.write(b64decode(user[key]) + b"\n")
            file.flush()
            self._context.load_cert_chain(file.name)
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
        super().init_poolmanager(*arguments, **more, ssl_context=self._context)


class System(ABC):
    """A cluster, and a namespace of the test's own in it."""

    namespace: str
    kubeconfig: Path

    def __init__(self, namespace: str, kubeconfig: Path) -> None:
        self.namespace, self.kubeconfig = namespace, kubeconfig
        self.api = Api(kubeconfig)
        self.client = KubernetesClient(kubeconfig)

    def close(self) -> None:
        """Close every connection."""
        self.api.close()
        self.client.close()

    def ref(self, name: str, kind: WorkloadKind = WorkloadKind.DEPLOYMENT) -> WorkloadRef:
        """Name a workload of the namespace."""
        return WorkloadRef(kind=kind, namespace=self.namespace, name=name)

    def path(self, kind: WorkloadKind, name: str = "") -> str:
        """Return the path of a kind's workloads, or of one."""
        below = f"/{name}" if name else ""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{PLURALS[kind]}{below}"

    def create(
        self,
        name: str,
        image: str = "registry.example/app:1",
        *,
        kind: WorkloadKind = WorkloadKind.DEPLOYMENT,
        cause: str | None = None,
        settled: bool = True,
        template: Json | None = None,
        **spec: Any,
    ) -> Workload:
        """Make a workload, and await its rollout unless told otherwise."""
        labels = {"app": name}
        pod = {"containers": [{"name": "app", "image": image}], **(template or {})}
        whole = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **({"serviceName": name} if kind is WorkloadKind.STATEFUL_SET else {}),
            **spec,
        }
        metadata = {"name": name, "annotations": {CHANGE_CAUSE: cause} if cause is not None else {}}
        self.api.send("POST", self.path(kind), {"metadata": metadata, "spec": whole})
        if not settled:
            return self.client.workload(self.ref(name, kind))
        return self.settle(name, kind)

    def deploy(
        self,
        name: str,
        image: str,
        *,
        kind: WorkloadKind = WorkloadKind.DEPLOYMENT,
        cause: str | None = None,
        settled: bool = True,
    ) -> Workload:
        """Deploy another image as somebody else does, and await the rollout unless told otherwise."""
        patch: Json = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}
        if cause is not None:
            patch["metadata"] = {"annotations": {CHANGE_CAUSE: cause}}
        self.patch(name, patch, kind=kind)
        return self.settle(name, kind) if settled else self.observed(name, kind)

    def patch(self, name: str, patch: Json, *, kind: WorkloadKind = WorkloadKind.DEPLOYMENT) -> None:
        """Change a workload as somebody else does, by a merge patch."""
        self.api.send("PATCH", self.path(kind, name), patch, content_type="application/merge-patch+json")

    def settle(self, name: str, kind: WorkloadKind = WorkloadKind.DEPLOYMENT) -> Workload:
        """Await a workload's rollout."""

        def settled() -> bool:
            found = self.client.workload(self.ref(name, kind))
            return (
                found.observed_generation >= found.generation
                and found.updated == found.available == found.replicas == found.wanted > 0
            )

        until(settled, seconds=SECONDS)
        return self.client.workload(self.ref(name, kind))

    def observed(self, name: str, kind: WorkloadKind = WorkloadKind.DEPLOYMENT) -> Workload:
        """Await that a workload's controller has noted the revision of the template that it has now."""

        def noted() -> bool:
            found = self.client.workload(self.ref(name, kind))
            revisions = self.client.revisions(found)
            return bool(revisions) and revisions[0].template.digest == found.template.digest

        until(noted, seconds=SECONDS)
        return self.client.workload(self.ref(name, kind))

    def revisions(self, name: str, kind: WorkloadKind = WorkloadKind.DEPLOYMENT) -> dict[int, Revision]:
        """Return the revisions that are kept of a workload, by number."""
        found = self.client.revisions(self.client.workload(self.ref(name, kind)))
        return {one.number: one for one in found}

    def service(self, name: str, target_port: int = PORT) -> None:
        """Make a service of the pods that are labelled with its name."""
        spec = {
            "selector": {"app": name},
            "ports": [{"name": "http", "port": PORT, "targetPort": target_port}],
        }
        path = f"/api/v1/namespaces/{self.namespace}/services"
        self.api.send("POST", path, {"metadata": {"name": name}, "spec": spec})

    def autoscaler(self, name: str, *, minimum: int, maximum: int) -> None:
        """Make an autoscaler of a Deployment."""
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        spec = {"scaleTargetRef": target, "minReplicas": minimum, "maxReplicas": maximum}
        path = f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"
        self.api.send("POST", path, {"metadata": {"name": name}, "spec": spec})

    def application(self, name: str) -> Json:
        """Make an application of Argo CD."""
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{self.namespace}/applications"
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name},
            "spec": {"syncPolicy": {"automated": {"selfHeal": True}}},
        }
        return self.api.send("POST", path, body)

    @abstractmethod
    def account(self, rules: list[Json]) -> Path:
        """Return a kubeconfig of an account that may do what these rules of a role say, in the namespace."""

    @abstractmethod
    def answering(self, name: str, status: int) -> Any:
        """Make a Deployment whose service answers with a status at /health; a context manager."""

    @abstractmethod
    def write_log(self, image: str, text: str) -> None:
        """Have containers of an image log this."""

    @abstractmethod
    def define_custom_resources(self) -> None:
        """Have the cluster know Argo CD's kinds."""

    def with_token(self, token: str, folder: Path) -> Path:
        """Return a kubeconfig of the same cluster with another token."""
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        path = folder / "other-token"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


class StandIn(System):
    """The sandbox's."""

    def __init__(self, box: KubernetesBox) -> None:
        self._box = box
        super().__init__("contract", box.admin_kubeconfig)
        self.api.send("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})

    def account(self, rules: list[Json]) -> Path:
        self._box.state.rules = rules
        return self._box.kubeconfig

    @contextmanager
    def answering(self, name: str, status: int) -> Iterator[None]:
        image = f"registry.example/answers:{status}"
        self._box.state.images[image] = Behaviour(health=status)
        self.create(name, image)
        self.service(name)
        yield

    def write_log(self, image: str, text: str) -> None:
        self._box.state.images[image] = Behaviour(log=text)

    def define_custom_resources(self) -> None:
        define(self._box.state, ARGO)


class Real(System):
    """A real API server."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        super().__init__(namespace, cluster.kubeconfig)

    def account(self, rules: list[Json]) -> Path:
        kubeconfig = self._cluster.service_account(self.namespace, "default")
        named = {"name": "contract", "namespace": self.namespace}
        version = {"apiVersion": "rbac.authorization.k8s.io/v1"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "contract"}
        subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": self.namespace}]
        self._cluster.apply(
            {**version, "kind": "Role", "metadata": named, "rules": rules},
            {**version, "kind": "RoleBinding", "metadata": named, "roleRef": role, "subjects": subjects},
        )
        return kubeconfig

    @contextmanager
    def answering(self, name: str, status: int) -> Iterator[None]:
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"status": "ok" if status < 400 else "failing"}).encode()
                self.send_response(status if self.path == "/health" else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.create(name)
            self.service(name, server.server_port)
            yield
            server.shutdown()

    def write_log(self, image: str, text: str) -> None:
        lines = "".join(log_line(line) for line in text.splitlines())
        self._cluster.container_log.write_text(lines)

    def define_custom_resources(self) -> None:
        self._cluster.define_custom_resources()


def rules_of(role: str) -> list[Json]:
    """Return the rules of one of the shipped roles."""
    documents = yaml.safe_load_all(ROLE.read_text(encoding="utf-8"))
    found = next(one for one in documents if (one["kind"], one["metadata"]["name"]) == ("Role", role))
    rules: list[Json] = found["rules"]
    return rules
