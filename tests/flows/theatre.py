"""One real Prefect server for all flow stories, with the stand-in for GitHub in this process.

Each story has a repository of its own, so that none waits for another's targets.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import requests

import sandbox
from deployments.environment import base_environment, client_environment
from deployments.prefect_runs import FlowRunState, PrefectRuns
from deployments.supervisor import Supervisor
from runbook.engine.entries import JournalEntry
from runbook.engine.executions import Execution
from runbook.engine.plans import StoredPlan
from runbook.engine.states import EffectState
from runbook.errors import Transient
from runbook.installation import Installation
from runbook.requests import Mode, ProcedureRequest, SweepRequest, TriageRequest
from runbook.settings import Settings
from sandbox.box import KubernetesBox
from tests.flows.fleet_scenario import cluster

STORIES = 40
STEP_SECONDS = 240.0
"""Prefect on SQLite can stall for a minute when a client of it is killed in the middle of a request."""
LOOK_SECONDS = 0.1
RESUME_COUNTS = f"acme/app-{STORIES - 1}"
"""Here the policy lets an unnamed resume count for clear-caches; no story gets it as its own."""
T = TypeVar("T")

POLICY = """
product_login = "runbook-bot"
on_call = "@alice"
{repositories}
[approvals]
approvers = ["alice", "bob"]
poll_seconds = 0.5
[[approvals.overrides]]
procedure = "clear-caches"
repository = "{resume_counts}"
prefect_resume = "counts"
[remedies.cache_corruption]
propose = ["clear_implicated_caches", "rerun_failed_jobs"]
[timings]
lease_seconds = 20
watch_poll_seconds = 0.3
probe_interval_seconds = 0.2
settle_seconds = 2
revive_grace_seconds = 1
"""
LOG = (
    "##[group]Run actions/cache@v4\nwith:\n  path: ~/.cache/pip\n  key: pip-Linux-0badcafe\n##[endgroup]\n"
    "Cache hit for: pip-Linux-0badcafe\n"
    "/*stdin*\\ : Decoding error (36) : Corrupted block detected\n"
    "/usr/bin/tar: Unexpected EOF in archive\n"
    "##[warning]Failed to restore: Tar failed with error: The process '/usr/bin/tar' failed with exit code 2\n"
    "Cache restored from key: pip-Linux-0badcafe\n"
    "##[error]Process completed with exit code 1.\n"
)


def repository_name(number: int) -> str:
    """Name a story's repository."""
    return f"acme/app-{number}"


def scenario() -> dict[str, Any]:
    """Return a stand-in with one corrupt cache and one red run per story."""
    one = {
        "roles": {"runbook-bot": "write", "alice": "admin", "bob": "write", "mallory": "read"},
        "workflows": [{"file": "ci-test.yml", "name": "CI Test"}],
        "labels": ["incident"],
        "caches": [
            {"key": "pip-Linux-0badcafe", "ref": "refs/heads/main", "size": 1000},
            {"key": "npm-Linux-1", "ref": "refs/heads/main", "size": 1000},
        ],
        "runs": [
            {
                "workflow": "ci-test.yml",
                "ago": "30m",
                "jobs": [
                    {
                        "name": "test",
                        "seconds": 10,
                        "conclusion": "failure",
                        "steps": ["Set up job", {"Run pytest": "failure"}],
                        "log": LOG,
                        "rerun": {
                            "seconds": 4,
                            "conclusion": "success",
                            "fails_while_cache": {"key": "pip-Linux-0badcafe", "ref": "refs/heads/main"},
                        },
                    }
                ],
            }
        ],
    }
    return {
        "bot": "runbook-bot",
        "users": {
            "runbook-bot": {},
            "alice": {"tokens": [{}, {"app": "chat-bridge"}]},
            "bob": {},
            "mallory": {},
        },
        "repositories": {repository_name(number): one for number in range(STORIES)},
    }


@dataclass
class Theatre:
    """What stories play on.

    Args:
        up: Server (and whatever a story adds).
        box: The stand-in for GitHub.
        here: The installation that the flows use.
        prefect: The Prefect server's runs.
        policy_file: The policy, which a story may change.
        environment: What workers are started with.
    """

    up: Supervisor
    box: sandbox.Box
    here: Installation
    prefect: PrefectRuns
    policy_file: Path
    environment: dict[str, str]
    folder: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _next: int = 0

    @property
    def cluster(self) -> KubernetesBox:
        """The stand-in for Kubernetes."""
        return self.box.kubernetes

    def own_repository(self) -> str:
        """Give a story its repository."""
        self._next += 1
        assert self._next < STORIES
        return repository_name(self._next - 1)

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker in a session of its own, outside the supervisor: stories kill it."""
        command = [sys.executable, "-m", "deployments.worker", f"theatre-{len(self.workers)}"]
        with (self.folder / f"worker-{len(self.workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self.workers.append(worker)
        return worker

    def stop_workers(self) -> None:
        """End every worker with all it started."""
        for worker in self.workers:
            try:
                os.killpg(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            worker.wait()

    def triage(self, repository: str) -> FlowRunState:
        """Start the triage of a repository's red run, in apply mode."""
        run_id = next(iter(self.state_of(repository).runs))
        return self.start(
            "triage-failed-run", TriageRequest(repository=repository, run_id=run_id, mode=Mode.APPLY)
        )

    def watching(self, repository: str) -> tuple[FlowRunState, StoredPlan]:
        """Take a repository's red run to where its approved re-run is being watched."""
        run = self.triage(repository)
        plan = self.asked(run.id)
        self.comment(plan, "alice", f"/approve {plan.short_digest}")
        self.resume(run.id)
        self.until(
            "the re-run to be watched",
            lambda: all(entry.state is EffectState.CONFIRMED for entry in self.journal(plan)) or None,
        )
        return run, plan

    def rejected(self, repository: str) -> StoredPlan:
        """Take a repository's red run to where alice has rejected its remedy."""
        run = self.triage(repository)
        plan = self.asked(run.id)
        self.comment(plan, "alice", f"/reject {plan.short_digest}")
        self.resume(run.id)
        assert self.until("the rejected end", lambda: self.ended(run.id)).state == "Rejected"
        return plan

    def start(self, procedure: str, request: ProcedureRequest) -> FlowRunState:
        """Start a procedure over REST, as nobody in particular."""
        key = str(uuid.uuid4())
        return self.until("the run", lambda: self.prefect.create(procedure, request, idempotency_key=key))

    def pause_schedules(self) -> None:
        """Keep schedules from starting runs: reconcile would triage every story's, a sweep go before a story's own."""
        for procedure in ("reconcile-failed-runs", "sweep"):
            self._pause(procedure)

    def _pause(self, procedure: str) -> None:
        deployment = self.until("the deployments", lambda: self._deployment(procedure))
        self.until(
            "the schedule's pause", lambda: self._posted(f"/deployments/{deployment}/pause_deployment")
        )
        # The scheduler may have made a run in the same moment, which would still start.
        self.until("no run of it to be due", lambda: self._none_due(deployment))

    def _none_due(self, deployment: str) -> bool | None:
        wanted = {
            "deployments": {"id": {"any_": [deployment]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        }
        due = self.post("/flow_runs/filter", wanted)
        for run in due:
            requests.delete(f"{self.prefect.url}/flow_runs/{run['id']}", timeout=10)
        return None if due else True

    def _deployment(self, procedure: str) -> str | None:
        answer = requests.get(f"{self.prefect.url}/deployments/name/{procedure}/default", timeout=10)
        return str(answer.json()["id"]) if answer.ok else None

    def _posted(self, path: str) -> bool | None:
        return requests.post(f"{self.prefect.url}{path}", json={}, timeout=10).ok or None

    def resume(self, run_id: str) -> None:
        """Resume a run in Prefect, as anybody could."""
        self.until("the resume", lambda: self.prefect.resume(run_id) or True)  # type: ignore[func-returns-value]

    def sweep(self) -> FlowRunState:
        """Run the sweeper once, to its end."""
        run = self.start("sweep", SweepRequest())
        return self.until("the sweep to end", lambda: self.ended(run.id))

    def asked(self, run_id: str, *, times: int = 1) -> StoredPlan:
        """Wait until a run sleeps, having been asked about so often."""

        def look() -> StoredPlan | None:
            state = self.prefect.read(run_id)
            assert not state.ended, f"ended as {state.state}: {state.message}"
            plan = self.here.engine.plans.active(run_id)
            return plan if plan and plan.asks >= times and state.type == "PAUSED" else None

        return self.until(f"ask {times} of {run_id}", look)

    def ended(self, run_id: str) -> FlowRunState | None:
        """Return a run's state if it has ended."""
        state = self.prefect.read(run_id)
        return state if state.ended else None

    def swept(self, run_id: str) -> FlowRunState:
        """Sweep, as the schedule would, until a run and its execution have ended."""

        def look() -> FlowRunState | None:
            state = self.ended(run_id)
            if state is not None and not self.execution(run_id).open:
                return state
            self.sweep()
            return None

        return self.until("the swept end", look)

    def comment(self, plan: StoredPlan, login: str, body: str, *, app: str | None = None) -> dict[str, Any]:
        """Comment on a plan's issue as one of the people."""
        return self.send(
            login,
            "POST",
            f"/repos/{plan.issues_repository}/issues/{plan.issue_number}/comments",
            app=app,
            json={"body": body},
        )

    def send(self, login: str, method: str, path: str, *, app: str | None = None, json: object = None) -> Any:
        """Send a request to the stand-in as one of its people."""
        headers = {"Authorization": f"Bearer {self.box.token_of(login, app=app)}"}
        answer = requests.request(method, f"{self.box.url}{path}", json=json, headers=headers, timeout=10)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def rest(self, path: str, body: object) -> None:
        """Post to Prefect's REST API as anybody could."""
        self.post(path, body)

    def post(self, path: str, body: object) -> Any:
        """Post as :meth:`rest` does and return the answer; the server answers 503 while SQLite is busy."""

        def sent() -> requests.Response | None:
            answer = requests.post(f"{self.prefect.url}{path}", json=body, timeout=10)
            if answer.status_code == 503:
                return None
            assert answer.ok, answer.text
            return answer

        answer = self.until(f"an answer to {path}", sent)
        return answer.json() if answer.content else None

    def logged(self, run_id: str, text: str) -> str | None:
        """Return the first line of a run's log that holds a text."""
        lines = self.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
        return next((line["message"] for line in lines if text in line["message"]), None)

    def effects_on(self, repository: str) -> list[dict[str, Any]]:
        """Return the product's applied writes to a repository, but for record writes."""
        return [
            request
            for request in self.box.requests
            if request["applied"]
            and request["actor"] == "runbook-bot"
            and request["path"].startswith(f"/repos/{repository}/")
            and "/issues" not in request["path"]
            and "/labels" not in request["path"]
        ]

    def state_of(self, repository: str) -> Any:
        """Return the stand-in's state of a repository."""
        owner, _, name = repository.partition("/")
        return self.box.state.repository(owner, name)

    def execution(self, run_id: str) -> Execution:
        """Return a run's execution."""
        found = self.here.engine.executions.get(run_id)
        assert found is not None
        return found

    def journal(self, plan: StoredPlan) -> tuple[JournalEntry, ...]:
        """Return a plan's effects."""
        return self.here.engine.entries.of_plan(plan.id)

    def files_holding(self, *texts: str) -> list[str]:
        """Return the files of everything that ran here which hold one of the texts.

        Another process reads them: this one has the ledger open, and closing a file of it would drop the locks
        that SQLite holds, upon which the next process to open the ledger takes it for unused and cuts its index.
        """
        command = ["grep", "-r", "--text", "--files-with-matches", "--fixed-strings", "--file=-", "."]
        found = subprocess.run(
            command, cwd=self.folder, input="\n".join(texts), capture_output=True, text=True, check=False
        )
        assert found.returncode in (0, 1), found.stderr
        return found.stdout.splitlines()

    def until(self, what: str, look: Callable[[], T | None], *, seconds: float = STEP_SECONDS) -> T:
        """Wait until ``look`` returns something, with a deadline."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.up.check()
            try:
                seen = look()
            except Transient:  # a server on two busy cores may be slow to answer
                continue
            if seen is not None:
                return seen
            time.sleep(LOOK_SECONDS)
        logs = "\n".join(log.read_text()[-3000:] for log in sorted(self.folder.glob("worker-*.log")))
        raise AssertionError(f"waited {seconds} s in vain for: {what}\n{logs}")


@contextmanager
def open_theatre(folder: Path, *, overrides: Mapping[str, str] | None = None) -> Iterator[Theatre]:
    """Start everything; end everything.

    Args:
        folder: Where all state goes.
        overrides: Variables of the flows' environment that name something else than a stand-in: another cluster, say.
    """
    policy = folder / "runbook.toml"
    tables = "".join(f'[[repositories]]\nname = "{repository_name(n)}"\n' for n in range(STORIES))
    policy.write_text(POLICY.format(repositories=tables, resume_counts=RESUME_COUNTS))
    with (
        sandbox.running({**scenario(), "kubernetes": cluster()}) as box,
        Supervisor(state_directory=folder / "state") as up,
    ):
        flows = {
            "RUNBOOK_POLICY": str(policy),
            "RUNBOOK_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "GITHUB_API_URL": box.url,
            "GITHUB_TOKEN": box.token,
            "KUBECONFIG": str(box.kubernetes.kubeconfig),
            "RUNBOOK_HELM": str(box.kubernetes.helm),
            **(overrides or {}),
        }
        up.start_prefect_server()
        up.deploy_all()
        home = folder / "prefect"
        home.mkdir()
        environment = {
            **base_environment(folder),
            **client_environment(home, up.api_url, None),
            **flows,
            "PREFECT_WORKER_QUERY_SECONDS": "0.3",
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
        }
        here = Installation.open(Settings.from_environment({**flows, "HOME": str(folder)}))
        with PrefectRuns(up.api_url) as prefect:
            theatre = Theatre(up, box, here, prefect, policy, environment, folder)
            try:
                theatre.pause_schedules()
                theatre.start_worker()
                theatre.pause_schedules()
                yield theatre
            finally:
                theatre.stop_workers()
                here.ledger.close()
