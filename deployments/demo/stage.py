"""The stage of a demo: its own folder, sandbox, Prefect server, worker and dispatcher, gone when it ends."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

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
    """

    up: Supervisor
    github: dict[str, Any]
    gateway: str
    here: Installation
    prefect: PrefectRuns

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
            f"The demo waited {seconds:g} seconds in vain for: {what}.",
            next_step="run `runbook demo --keep` and look at the run in the Prefect UI",
        )

    def ask(self, call: Callable[[PrefectRuns], T]) -> T:
        """Ask the Prefect server something that may be asked again, until it answers."""
        return self.await_("an answer of Prefect's", lambda: (call(self.prefect),))[0]

    def as_person(self, login: str, method: str, path: str, **body: Any) -> Any:
        """Send a request to the sandbox's GitHub as one of its people; return the JSON that comes back."""
        token = self.github["approver_tokens"][login]
        answer = requests.request(
            method,
            f"{self.github['url']}{path}",
            json=body or None,
            headers={"Authorization": f"Bearer {token}"},
            timeout=READY_SECONDS,
        )
        answer.raise_for_status()
        return answer.json()

    def requests_by_product(self) -> list[dict[str, Any]]:
        """Return what the product sent to GitHub so far."""
        log = requests.get(f"{self.github['url']}/_sandbox/requests", timeout=READY_SECONDS).json()
        return [entry for entry in log if entry["actor"] == self.here.product_login]

    def state(self) -> dict[str, Any]:
        """Return what the sandbox holds now."""
        return dict(requests.get(f"{self.github['url']}/_sandbox/state", timeout=READY_SECONDS).json())


@contextmanager
def stage(report: Callable[[str], None]) -> Iterator[Stage]:
    """Set the stage, and clear it away whatever happens.

    Args:
        report: Called with each line of progress.
    """
    with Supervisor(None, report=report, cache_directory=default_cache_directory()) as up:
        folder = up.state_directory
        sandbox = up.start("sandbox", (sys.executable, "-m", "sandbox", "--json"))
        ready = sandbox.await_line(lambda line: line.startswith("{"), deadline_seconds=READY_SECONDS)
        github = dict(json.loads(ready)["github"])
        report(f"GitHub's stand-in is up at {github['url']} ({github['owner']}/{github['repo']})")
        flows = {
            "RUNBOOK_POLICY": str(POLICY),
            "RUNBOOK_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
            "GITHUB_API_URL": github["url"],
            "GITHUB_TOKEN": github["token"],
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
                yield Stage(up=up, github=github, gateway=gateway, here=here, prefect=prefect)
        finally:
            here.ledger.close()
