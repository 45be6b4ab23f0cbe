"""One running sandbox, in this process."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox import faults
from sandbox.clock import Clock, SystemClock
from sandbox.github.app import GitHub
from sandbox.github.records import Repository
from sandbox.github.scenario import build, load
from sandbox.github.scenario_values import ScenarioError
from sandbox.github.state import State
from sandbox.helm.script import write_program
from sandbox.kubernetes.app import ACCOUNT, ADMINISTRATOR, Kubernetes, token_of
from sandbox.kubernetes.scenario import build_cluster
from sandbox.kubernetes.state import State as Cluster
from sandbox.server import Server
from sandbox.wire import Json

DEMO = Path(__file__).parent / "scenarios" / "demo.yaml"


class KubernetesBox:
    """A Kubernetes stand-in with its files: a kubeconfig for each account, and a ``helm`` program.

    Args:
        state: The cluster.

    Attributes:
        state: The cluster.
        server: What answers.
        kubeconfig: Of the product's account.
        admin_kubeconfig: Of an account that may do everything.
        helm: The program; it finds the cluster through KUBECONFIG.
    """

    def __init__(self, state: Cluster) -> None:
        self.state = state
        self.server = Server(Kubernetes(state))
        self._folder = Path(tempfile.mkdtemp(prefix="sandbox-kubernetes-"))
        self.kubeconfig = self._write("kubeconfig", ACCOUNT)
        self.admin_kubeconfig = self._write("admin-kubeconfig", ADMINISTRATOR)
        self.helm = write_program(self._folder)

    @property
    def url(self) -> str:
        """Base address of the API."""
        return self.server.url

    @property
    def token(self) -> str:
        """Token of the product's account."""
        return token_of(ACCOUNT)

    @property
    def admin_token(self) -> str:
        """Token of the account that may do everything."""
        return token_of(ADMINISTRATOR)

    @property
    def requests(self) -> list[Json]:
        """The request log, as ``GET /_sandbox/requests`` gives it."""
        return list(self.server.requests)

    def fail(self, fault: str, *, method: str = "*", path_regex: str = ".*", **more: Any) -> None:
        """Set a fault, as ``POST /_sandbox/faults`` does."""
        self.server.faults.add(
            faults.parse({"fault": fault, "method": method, "path_regex": path_regex, **more})
        )

    def stop(self) -> None:
        """End the server, and remove the files."""
        self.server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, name: str, account: str) -> Path:
        path = self._folder / name
        cluster = {"name": "sandbox", "cluster": {"server": self.server.url}}
        context = {"cluster": "sandbox", "user": account, "namespace": "default"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [{"name": account, "user": {"token": token_of(account)}}],
            "contexts": [{"name": "sandbox", "context": context}],
            "current-context": "sandbox",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")  # JSON is YAML
        return path


class Box:
    """A GitHub stand-in with its scenario, and a Kubernetes one if the scenario has the key.

    Args:
        scenario: YAML file or data; the demo's if None.
        clock: Time of the stand-in; the machine's if None.
        port: TCP port; 0 takes a free one.
        socket_path: Also listen on this unix socket.

    Raises:
        ScenarioError: The scenario cannot be used.
        OSError: The port or the socket is taken.
    """

    def __init__(
        self,
        scenario: Path | str | Mapping[str, Any] | None = None,
        *,
        clock: Clock | None = None,
        port: int = 0,
        socket_path: Path | None = None,
    ) -> None:
        data = load(DEMO if scenario is None else scenario)
        self.clock = clock or SystemClock()
        cluster = data.pop("kubernetes", None)
        self.state: State
        self.state, limits = build(data, self.clock)
        self.bot = str(data.get("bot") or next(iter(self.state.users.values())).login)
        first = next(iter(self.state.repositories.values())).full_name
        self.owner, _, self.repo = str(data.get("repository") or first).partition("/")
        self.webhook_secret = self.state.webhook_secret
        if self.state.user(self.bot) is None:
            raise ScenarioError(f"bot: there is no user {self.bot!r}. Nothing was started.")
        built = None if cluster is None else build_cluster(cluster, self.clock)
        self.server = Server(GitHub(self.state, limits), port=port, socket_path=socket_path)
        self._kubernetes = None if built is None else KubernetesBox(built)

    def start(self) -> None:
        """Begin to serve."""
        self.server.start()
        if self._kubernetes is not None:
            self._kubernetes.server.start()

    def stop(self) -> None:
        """End every server, and remove what was written."""
        self.server.stop()
        if self._kubernetes is not None:
            self._kubernetes.stop()

    @property
    def kubernetes(self) -> KubernetesBox:
        """The Kubernetes stand-in.

        Raises:
            LookupError: The scenario has none.
        """
        if self._kubernetes is None:
            raise LookupError("the scenario has no key kubernetes")
        return self._kubernetes

    @property
    def url(self) -> str:
        """Base address of the API."""
        return self.server.url

    @property
    def token(self) -> str:
        """Token of the product's account."""
        return self.token_of(self.bot)

    @property
    def requests(self) -> list[Json]:
        """The request log, as ``GET /_sandbox/requests`` gives it."""
        return list(self.server.requests)

    @property
    def repository(self) -> Repository:
        """State of the main repository."""
        found = self.state.repository(self.owner, self.repo)
        assert found is not None, "checked when the scenario was read"  # noqa: S101
        return found

    def token_of(self, login: str, *, app: str | None = None) -> str:
        """Return a token of an account; with ``app`` the one by which that app acts for it."""
        user = self.state.users[login.lower()]
        return next(one.value for one in user.tokens if one.app == app)

    def fail(self, fault: str, *, method: str = "*", path_regex: str = ".*", **more: Any) -> None:
        """Set a fault, as ``POST /_sandbox/faults`` does."""
        self.server.faults.add(
            faults.parse({"fault": fault, "method": method, "path_regex": path_regex, **more})
        )

    def ready(self) -> Json:
        """Return what ``--json`` prints when the sandbox is ready."""
        people = [user for user in self.state.users.values() if user.login != self.bot]
        ready: Json = {
            "github": {
                "url": self.url,
                "token": self.token,
                "approver_tokens": {user.login: user.tokens[0].value for user in people},
                "socket": str(self.server.socket_path) if self.server.socket_path else None,
                "owner": self.owner,
                "repo": self.repo,
                "webhook_secret": self.webhook_secret,
            }
        }
        if self._kubernetes is not None:
            cluster = self._kubernetes
            ready["kubernetes"] = {"kubeconfig": str(cluster.kubeconfig), "url": cluster.url}
            ready["helm"] = {"program": str(cluster.helm)}
        return ready


@contextmanager
def running(
    scenario: Path | str | Mapping[str, Any] | None = None,
    *,
    clock: Clock | None = None,
    socket_path: Path | None = None,
) -> Iterator[Box]:
    """Run a sandbox for the length of a ``with`` block.

    Args:
        scenario: YAML file or data; the demo's if None.
        clock: Time of the stand-in, possibly virtual and shared with the client; the machine's if None.
        socket_path: Also listen on this unix socket.
    """
    box = Box(scenario, clock=clock, socket_path=socket_path)
    box.start()
    try:
        yield box
    finally:
        box.stop()
