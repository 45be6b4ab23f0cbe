"""The stage of a demo or a drill: its own folder, sandbox, Prefect server, worker and dispatcher, gone when it ends."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from deployments.demo.cluster import Cluster
from deployments.demo.sending import answer_of
from deployments.ports import free_port
from deployments.prefect_database import default_cache_directory
from deployments.prefect_runs import PrefectRuns
from deployments.processes import start_dispatchers, start_gateway
from deployments.supervisor import Supervisor
from runbook.errors import Transient
from runbook.installation import Installation
from runbook.settings import Settings

POLICY = Path(__file__).with_name("policy.toml")
READY_SECONDS = 30.0
STEP_SECONDS = 120.0
"""So long one step of a story may take before the demo counts as failed."""
LOOK_SECONDS = 0.2
"""How often the demo looks whether a step is over."""
WORKER_POLL_SECONDS = 0.5
WEBHOOK_EVENTS = ("workflow_run", "issue_comment")

T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """What a story plays on.

    Args:
        up: The processes.
        github: The sandbox's GitHub, as ``runbook sandbox --json`` describes it.
        gateway: The gateway's URL.
        here: The installation that the flows use, seen from this process.
        prefect: The Prefect server.
        kubernetes: The sandbox's cluster, if it has one.
        what: What is played, for people: ``demo``, ``drill``.
    """

    up: Supervisor
    github: dict[str, Any]
    gateway: str
    here: Installation
    prefect: PrefectRuns
    kubernetes: Cluster | None = None
    what: str = "demo"

    def await_(self, what: str, look: Callable[[], T | None], *, seconds: float = STEP_SECONDS) -> T:
        """Wait until ``look`` returns something.

        Raises:
            Transient: It did not in time.
            ChildDied: One of the demo's processes ended.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.up.check()
            with suppress(Transient):  # Prefect on SQLite may not answer for a minute
                seen = look()
                if seen is not None:
                    return seen
            time.sleep(LOOK_SECONDS)
        raise Transient(
            f"The {self.what} waited {seconds:g} seconds in vain for: {what}.",
            next_step=f"run `runbook {self.what} --keep` and look at the run in the Prefect UI",
        )

    def ask(self, call: Callable[[PrefectRuns], T]) -> T:
        """Ask the Prefect server something that may be asked again, until it answers."""
        return self.await_("an answer of Prefect's", lambda: (call(self.prefect),))[0]

    def as_person(self, login: str, method: str, path: str, **body: Any) -> Any:
        """Send a request to the sandbox's GitHub as one of its people; return the JSON that comes back."""
        token = self.github["approver_tokens"][login]
        url = f"{self.github['url']}{path}"
        return _json(method, url, body or None, token=token)

    @property
    def cluster(self) -> Cluster:
        """The sandbox's cluster.

        Raises:
            LookupError: Its scenario has none.
        """
        if self.kubernetes is None:
            raise LookupError("the scenario has no cluster")
        return self.kubernetes

    def steer(self, page: str, **body: Any) -> Any:
        """Steer the sandbox: set faults, add runs (``sandbox/README.md``)."""
        return _json("POST", f"{self.github['url']}/_sandbox/{page}", body)

    def tell_gateway(
        self, repository: str, *, owner: str = "alice", events: Sequence[str] = WEBHOOK_EVENTS
    ) -> None:
        """Have a repository's webhook tell the gateway, as its owner sets it up on GitHub.

        Args:
            repository: owner/name.
            owner: A login with the right to do so.
            events: What it tells.
        """
        config = {
            "url": f"{self.gateway}/webhooks/github",
            "content_type": "json",
            "secret": self.github["webhook_secret"],
        }
        path = f"/repos/{repository}/hooks"
        self.as_person(owner, "POST", path, name="web", config=config, events=list(events))

    def requests_by_product(self) -> list[dict[str, Any]]:
        """Return what the product sent to GitHub so far."""
        log = _json("GET", f"{self.github['url']}/_sandbox/requests")
        return [entry for entry in log if entry["actor"] == self.here.product_login]

    def state(self) -> dict[str, Any]:
        """Return what the sandbox holds now."""
        return dict(_json("GET", f"{self.github['url']}/_sandbox/state"))


@contextmanager
def stage(
    report: Callable[[str], None],
    *,
    scenario: Mapping[str, Any] | None = None,
    policy: Path = POLICY,
    what: str = "demo",
) -> Iterator[Stage]:
    """Set the stage, and clear it away whatever happens.

    Args:
        report: Called with each line of progress.
        scenario: What the sandbox starts from; the demo's own scenario where None.
        policy: The policy's file.
        what: What is played, for people.
    """
    with Supervisor(None, report=report, cache_directory=default_cache_directory()) as up:
        folder = up.state_directory
        ready = _start_sandbox(up, scenario)
        github = dict(ready["github"])
        report(f"GitHub's stand-in is up at {github['url']} ({github['owner']}/{github['repo']})")
        if "kubernetes" in ready:
            report(f"Kubernetes' stand-in is up at {ready['kubernetes']['url']}")
        flows = {
            "RUNBOOK_POLICY": str(policy.absolute()),
            "RUNBOOK_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
            "GITHUB_API_URL": github["url"],
            "GITHUB_TOKEN": github["token"],
            **_cluster_settings(ready, folder),
        }
        up.start_prefect_server()
        up.start_worker(settings=flows, poll_seconds=WORKER_POLL_SECONDS)
        here = Installation.open(Settings.from_environment({**flows, "HOME": str(folder)}))
        try:
            _ = here.ledger  # made here, before the others look for it
            start_dispatchers(up, flows)
            secrets = {"RUNBOOK_WEBHOOK_SECRET": github["webhook_secret"]}
            gateway = start_gateway(up, flows, secrets=secrets, port=free_port())
            up.deploy_all()
            up.await_worker()
            with PrefectRuns(up.api_url) as prefect:
                yield Stage(
                    up=up,
                    github=github,
                    gateway=gateway,
                    here=here,
                    prefect=prefect,
                    kubernetes=Cluster.of(ready),
                    what=what,
                )
        finally:
            here.ledger.close()


def _start_sandbox(up: Supervisor, scenario: Mapping[str, Any] | None) -> dict[str, Any]:
    """Start the stand-ins, and return what they say of themselves when they are ready."""
    command = [sys.executable, "-m", "sandbox", "--json"]
    if scenario is not None:
        file = up.state_directory / "scenario.yaml"
        file.write_text(json.dumps(scenario, indent=2), encoding="utf-8")  # JSON is YAML
        command += ["--scenario", str(file)]
    sandbox = up.start("sandbox", command)
    ready = sandbox.await_line(lambda line: line.startswith("{"), deadline_seconds=READY_SECONDS)
    return dict(json.loads(ready))


def _cluster_settings(ready: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return how flows reach the sandbox's cluster; where it has none they must not find the user's own."""
    kubeconfig = (ready.get("kubernetes") or {}).get("kubeconfig") or str(folder / "no-cluster")
    helm = (ready.get("helm") or {}).get("program")
    return {"KUBECONFIG": str(kubeconfig), **({"RUNBOOK_HELM": str(helm)} if helm else {})}


def _json(method: str, url: str, body: Any = None, *, token: str | None = None) -> Any:
    """Send a request to the sandbox; return the JSON that comes back."""
    answer = answer_of(method, url, body=body, token=token)
    answer.raise_for_status()
    return answer.json()
