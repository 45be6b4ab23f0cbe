"""How soon a flow run starts, and how soon an approved plan acts: our worker beside Prefect's own.

Run as ``python -m benchmarks.flow_start [--runs N] [--json]``; it starts a real Prefect server and takes some minutes.
*Created to body*: from the run's creation over REST to the moment its flow's code runs, by Prefect's own times.
*Approval to effect*: from the resume of a run whose plan is approved to its first effect at the stand-in for GitHub.
The yardstick is Prefect's stock process worker, at its own polls (10 s) and at ours.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import requests

import sandbox
from deployments.prefect_runs import FlowRunState, PrefectRuns
from deployments.supervisor import Supervisor, prefect_command
from runbook.errors import Transient
from runbook.requests import ClearCachesRequest, Mode

OUR_POLL_SECONDS = 0.5
STOCK_POLL_SECONDS = 10.0
_DEADLINE_SECONDS = 120.0
_LOOK_SECONDS = 0.05
T = TypeVar("T")

POLICY = """
product_login = "runbook-bot"
{repositories}
[approvals]
approvers = ["alice", "bob"]
"""


@dataclass(frozen=True)
class Setting:
    """One way to run a worker."""

    name: str
    stock: bool
    poll_seconds: float


SETTINGS = (
    Setting("ours", stock=False, poll_seconds=OUR_POLL_SECONDS),
    Setting("stock at 10 s", stock=True, poll_seconds=STOCK_POLL_SECONDS),
    Setting("stock at 0.5 s", stock=True, poll_seconds=OUR_POLL_SECONDS),
)


@dataclass(frozen=True)
class Measured:
    """Seconds of each run under one setting."""

    to_body: tuple[float, ...]
    to_effect: tuple[float, ...]


@dataclass(frozen=True)
class Stage:
    """What runs are measured on."""

    up: Supervisor
    box: sandbox.Box
    prefect: PrefectRuns
    settings: Mapping[str, str]

    def measure(self, setting: Setting, repositories: list[str]) -> Measured:
        """Start a worker so, and measure one run per repository."""
        to_body, to_effect = [], []
        with self._worker(setting):
            for repository in repositories:
                run = self._planned_run(repository)
                to_body.append(self._seconds_to_body(run.id))
                to_effect.append(self._seconds_to_effect(repository))
        return Measured(tuple(to_body), tuple(to_effect))

    @contextmanager
    def _worker(self, setting: Setting) -> Iterator[None]:
        if setting.stock:
            stock = (
                "worker",
                "start",
                "--pool",
                "runbook",
                "--type",
                "process",
                "--name",
                self.up.worker_name,
            )
            child = self.up.start(
                "worker",
                prefect_command(*stock),
                settings={**self.settings, "PREFECT_WORKER_QUERY_SECONDS": str(setting.poll_seconds)},
                reaches_prefect=True,
            )
        else:
            child = self.up.start_worker(settings=self.settings, poll_seconds=setting.poll_seconds)
        try:
            self.up.await_worker()
            self._planned_run(WARM_UP)
            yield
        finally:
            self.up.end(child)

    def _planned_run(self, repository: str) -> FlowRunState:
        request = ClearCachesRequest(repository=repository, mode=Mode.PLAN, key_prefix="pip-")
        run = self.prefect.create("clear-caches", request)
        return self._until("a plan", lambda: self._state(run.id, "COMPLETED"))

    def _seconds_to_body(self, run_id: str) -> float:
        run = requests.get(f"{self.prefect.url}/flow_runs/{run_id}", timeout=10).json()
        created, started = (_seconds(run[name]) for name in ("created", "start_time"))
        return started - created

    def _seconds_to_effect(self, repository: str) -> float:
        request = ClearCachesRequest(repository=repository, mode=Mode.APPLY, key_prefix="pip-")
        run = self.prefect.create("clear-caches", request)
        self._until("the plan to wait", lambda: self._state(run.id, "PAUSED"))
        issue, digits = self._shown_plan(repository)
        for approver in ("alice", "bob"):  # started over REST, so two are needed
            self._comment(approver, repository, issue, f"/approve {digits}")
        seen = len(self.box.requests)
        resumed = time.monotonic()
        self.prefect.resume(run.id)
        effect = self._until(
            "the effect",
            lambda: next(
                (time.monotonic() for r in self.box.requests[seen:] if r["method"] == "DELETE"), None
            ),
        )
        self._until("the end", lambda: self._state(run.id, "COMPLETED"))
        return effect - resumed

    def _shown_plan(self, repository: str) -> tuple[int, str]:
        kept = self.box.state.repository(*repository.split("/"))
        if kept is None:
            raise RuntimeError(f"the stand-in has no {repository}")
        comment = next(comment for comment in kept.comments.values() if "/approve " in comment.body)
        return comment.issue, comment.body.partition("/approve ")[2].split()[0]

    def _comment(self, login: str, repository: str, issue: int, body: str) -> None:
        answer = requests.post(
            f"{self.box.url}/repos/{repository}/issues/{issue}/comments",
            headers={"Authorization": f"Bearer {self.box.token_of(login)}"},
            json={"body": body},
            timeout=10,
        )
        answer.raise_for_status()

    def _state(self, run_id: str, wanted: str) -> FlowRunState | None:
        state = self.prefect.read(run_id)
        if state.ended and state.type != wanted:
            raise RuntimeError(f"run {run_id} ended as {state.state}: {state.message}")
        return state if state.type == wanted else None

    def _until(self, what: str, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            self.up.check()
            try:
                seen = look()
            except Transient:  # SQLite is busy for a moment
                continue
            if seen is not None:
                return seen
            time.sleep(_LOOK_SECONDS)
        raise TimeoutError(f"waited {_DEADLINE_SECONDS:.0f} s for {what}, in vain")


WARM_UP = "acme/warm-up"


def scenario(repositories: list[str]) -> dict[str, Any]:
    """Return a stand-in with one cache in each repository."""
    one = {
        "roles": {"runbook-bot": "write", "alice": "admin", "bob": "write"},
        "caches": [{"key": "pip-1", "size": 1000}],
    }
    return {
        "bot": "runbook-bot",
        "users": {"runbook-bot": {}, "alice": {}, "bob": {}},
        "repositories": dict.fromkeys(repositories, one),
    }


def measure(runs: int) -> dict[str, Measured]:
    """Measure every setting with as many runs; a stock worker at 10 s gets a third of them.

    Args:
        runs: Runs of each kind.
    """
    counts = {s.name: max(3, runs // 3) if s.poll_seconds == STOCK_POLL_SECONDS else runs for s in SETTINGS}
    names = {
        setting.name: [f"acme/app-{place}-{number}" for number in range(counts[setting.name])]
        for place, setting in enumerate(SETTINGS)
    }
    every = [WARM_UP, *(name for group in names.values() for name in group)]
    with (
        tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder,
        sandbox.running(scenario(every)) as box,
        Supervisor(None) as up,
    ):
        policy = Path(folder) / "runbook.toml"
        repositories = "\n".join(f'[[repositories]]\nname = "{name}"' for name in every)
        policy.write_text(POLICY.format(repositories=repositories))
        up.start_prefect_server()
        up.deploy_all()
        settings = {
            "RUNBOOK_POLICY": str(policy),
            "RUNBOOK_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "GITHUB_API_URL": box.url,
            "GITHUB_TOKEN": box.token,
        }
        with PrefectRuns(up.api_url) as prefect:
            stage = Stage(up, box, prefect, settings)
            found = {}
            for setting in SETTINGS:
                print(f"{setting.name} ...", file=sys.stderr)
                found[setting.name] = stage.measure(setting, names[setting.name])
            return found


def ratios(found: Mapping[str, Measured]) -> dict[str, float]:
    """Return our medians in seconds, and how many times sooner they are than each yardstick's."""
    ours = found["ours"]
    said = {"to_body_p50_s": median(ours.to_body), "to_effect_p50_s": median(ours.to_effect)}
    for name, other in found.items():
        if name != "ours":
            label = name.replace(" ", "_")
            said[f"to_body_sooner_than_{label}"] = median(other.to_body) / median(ours.to_body)
            said[f"to_effect_sooner_than_{label}"] = median(other.to_effect) / median(ours.to_effect)
    return said


def _seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="runs of each kind (9)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.runs)
    if options.json:
        print(json.dumps(ratios(found)))
        return
    print(f"{'seconds, p50 (least to most)':32}{'created to body':>24}{'approval to effect':>24}")
    for name, one in found.items():
        columns = [f"{median(t):.2f} ({min(t):.2f} to {max(t):.2f})" for t in (one.to_body, one.to_effect)]
        print(f"{name:32}{columns[0]:>24}{columns[1]:>24}")
    for name, ratio in ratios(found).items():
        print(f"{name.replace('_', ' '):44}{ratio:8.2f}")


if __name__ == "__main__":
    main()
