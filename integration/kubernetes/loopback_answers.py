"""What a test answers for the cluster on loopback: a service's health endpoint, and an admission webhook that waits."""

import base64
import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Iterator

from integration.kubernetes.cluster import Cluster

_LOOPBACK = "127.0.0.1"
# The longest that an API server waits for a webhook.
HELD_SECONDS = 30


class Health:
    """What answers for a service: ``pages`` as they are, any other path with ``status``; a test may change both."""

    def __init__(self) -> None:
        self.status = 200
        self.pages: dict[str, str] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(_Quiet):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if self.path in outer.pages:
                    self.send(200, "text/plain", outer.pages[self.path])
                else:
                    self.answer(outer.status, {"status": outer.status})

        self._server = http.server.ThreadingHTTPServer((_LOOPBACK, 0), Handler)
        self.port = self._server.server_port

    @contextlib.contextmanager
    def serving(self) -> Iterator["Health"]:
        """Answer until the block ends."""
        with _serving(self._server):
            yield self


class Held:
    """Writes to one Deployment that the API server keeps waiting for its webhook's consent.

    Args:
        after: So many go through at once.
    """

    def __init__(self, after: int) -> None:
        self.asked = threading.Event()
        self._let_go = threading.Event()
        self._at_once = iter(range(after))

    def let_go(self) -> None:
        """Consent to it and to all that follow."""
        self._let_go.set()

    def wait(self) -> None:
        """Return at once for the first ones; for others note that one was asked for, and wait until it is let go."""
        if next(self._at_once, None) is None:
            self.asked.set()
            self._let_go.wait(HELD_SECONDS)


@contextlib.contextmanager
def holding_writes(
    cluster: Cluster, namespace: str, name: str, *, user: str, after: int = 0
) -> Iterator[Held]:
    """Keep one user's writes to one Deployment waiting, until they are let go.

    Args:
        cluster: The cluster; one of our own.
        namespace: The Deployment's.
        name: The Deployment's.
        user: Whose writes.
        after: So many of them go through at once.
    """
    held = Held(after)

    class Handler(_Quiet):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            held.wait()
            with contextlib.suppress(
                ConnectionError
            ):  # whoever wrote is gone, and so is the API server's question
                self.answer(200, {**review, "response": {"uid": review["request"]["uid"], "allowed": True}})

    certificate, key = cluster.authority.serving(f"webhook-{namespace}", addresses=(_LOOPBACK,), names=())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer((_LOOPBACK, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    authority = base64.b64encode(cluster.authority.certificate_file.read_bytes()).decode()
    webhook = {
        "name": "hold.runbook.test",
        "clientConfig": {"url": f"https://{_LOOPBACK}:{server.server_port}/", "caBundle": authority},
        "rules": [
            {
                "apiGroups": ["apps"],
                "apiVersions": ["v1"],
                "operations": ["UPDATE"],
                "resources": ["deployments"],
            }
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "matchConditions": [
            {"name": "name", "expression": f"object.metadata.name == '{name}'"},
            {"name": "user", "expression": f"request.userInfo.username == '{user}'"},
        ],
        "timeoutSeconds": HELD_SECONDS,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    with _serving(server):
        cluster.apply(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": f"hold-{namespace}"},
                "webhooks": [webhook],
            }
        )
        try:
            yield held
        finally:
            held.let_go()
            cluster.kubectl("delete", "validatingwebhookconfiguration", f"hold-{namespace}")


class _Quiet(http.server.BaseHTTPRequestHandler):
    def answer(self, status: int, body: object) -> None:
        """Send a status and a body of JSON."""
        self.send(status, "application/json", json.dumps(body))

    def send(self, status: int, kind: str, body: str) -> None:
        """Send a status and a body."""
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def _serving(server: http.server.HTTPServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
