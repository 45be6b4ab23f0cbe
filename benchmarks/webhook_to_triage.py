"""From a webhook that tells of a failed run to its triage: our gateway, dispatcher and worker beside Prefect's own.

Run as ``python -m benchmarks.webhook_to_triage [--runs N] [--json]``; it starts a real Prefect server and takes some
minutes. A run counts as triaged when its incident's issue is opened at the stand-in for GitHub. The yardstick is what
Prefect has for it: an event, an automation that starts the same deployment, and a stock process worker at its own
polls (10 s).
"""

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import requests

import sandbox
from benchmarks.deliveries import SECRET, signed
from deployments.ports import free_port
from deployments.processes import start_dispatchers, start_gateway
from deployments.supervisor import Supervisor, prefect_command

OUR_POLL_SECONDS = 0.5
STOCK_POLL_SECONDS = 10.0
_DEADLINE_SECONDS = 120.0
_LOOK_SECONDS = 0.02
_WARM_UPS = 4
_EVENT = "benchmark.workflow-run-failed"
_RESOURCE = "benchmark.repository"

_LOG = (
    "E   assert 1 == 2\nFAILED tests/test_a.py::test_a - assert 1 == 2\n"
    "##[error]Process completed with exit code 1.\n"
)


def scenario(repositories: list[str]) -> dict[str, Any]:
    """Return a stand-in with one failed run in each repository."""
    job = {
        "name": "test",
        "seconds": 10,
        "conclusion": "failure",
        "steps": ["Set up job", {"Run pytest": "failure"}],
        "log": _LOG,
    }
    one = {
        "roles": {"runbook-bot": "write"},
        "workflows": [{"file": "ci-test.yml", "name": "CI Test"}],
        "runs": [{"workflow": "ci-test.yml", "ago": "30m", "jobs": [job]}],
    }
    return {
        "bot": "runbook-bot",
        "users": {"runbook-bot": {}},
        "repositories": dict.fromkeys(repositories, one),
    }


def measure(runs: int) -> dict[str, list[float]]:
    """Return the seconds from telling to triage, under each of the two.

    Args:
        runs: Failed runs that are told under ours; the yardstick gets a third of them.
    """
    ours = [f"acme/ours-{number}" for number in range(runs + 1)]
    stock = [f"acme/stock-{number}" for number in range(max(3, runs // 3) + 1)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runbook-bench-")))
        box = stack.enter_context(sandbox.running(scenario([*ours, *stock])))
        up = stack.enter_context(Supervisor(None))
        policy = folder / "runbook.toml"
        tables = "\n".join(f'[[repositories]]\nname = "{name}"' for name in [*ours, *stock])
        policy.write_text(f'product_login = "runbook-bot"\n{tables}\n[approvals]\napprovers = ["alice"]\n')
        settings = {
            "RUNBOOK_POLICY": str(policy),
            "RUNBOOK_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
            "GITHUB_API_URL": box.url,
            "GITHUB_TOKEN": box.token,
        }
        up.start_prefect_server()
        up.deploy_all()
        print("ours ...", file=sys.stderr)
        worker = up.start_worker(settings=settings, poll_seconds=OUR_POLL_SECONDS)
        up.await_worker()
        start_dispatchers(up, settings)
        secrets = {"RUNBOOK_WEBHOOK_SECRET": SECRET}
        gateway = start_gateway(up, settings, secrets=secrets, port=free_port())
        found = {"ours": _timed(up, box, ours, lambda name: _deliver(gateway, name, _run_id(box, name)))}
        up.end(worker)
        print("stock ...", file=sys.stderr)
        command = ("worker", "start", "--pool", "runbook", "--type", "process", "--name", up.worker_name)
        polls = {"PREFECT_WORKER_QUERY_SECONDS": str(STOCK_POLL_SECONDS)}
        up.start("worker", prefect_command(*command), settings={**settings, **polls}, reaches_prefect=True)
        up.await_worker()
        _make_automation(up.api_url)
        found["stock"] = _timed(up, box, stock, lambda name: _emit(up.api_url, name, _run_id(box, name)))
        return found


def _timed(
    up: Supervisor, box: sandbox.Box, repositories: list[str], tell: Callable[[str], None]
) -> list[float]:
    """Tell of one failed run after the other; the first is to warm up and does not count."""
    # An automation takes a moment to be known to the server, which misses what it is told until then.
    for _ in range(_WARM_UPS):
        tell(repositories[0])
        if _await_triage(up, box, repositories[0], seconds=_DEADLINE_SECONDS / _WARM_UPS) is not None:
            break
    seconds = []
    for repository in repositories[1:]:
        tell(repository)  # answered in milliseconds
        taken = _await_triage(up, box, repository, seconds=_DEADLINE_SECONDS)
        if taken is None:
            raise TimeoutError(f"{repository} was not triaged in {_DEADLINE_SECONDS:.0f} s")
        seconds.append(taken)
    return seconds


def _await_triage(up: Supervisor, box: sandbox.Box, repository: str, *, seconds: float) -> float | None:
    """Return how long it took from now to a repository's incident; None where it took longer than allowed."""
    began = time.monotonic()
    while not any(_opens_incident(request, repository) for request in box.requests):
        up.check()
        if time.monotonic() - began > seconds:
            return None
        time.sleep(_LOOK_SECONDS)
    return time.monotonic() - began


def _opens_incident(request: Mapping[str, Any], repository: str) -> bool:
    return bool(
        request["applied"]
        and request["method"] == "POST"
        and request["path"] == f"/repos/{repository}/issues"
    )


def _run_id(box: sandbox.Box, repository: str) -> int:
    kept = box.state.repository(*repository.split("/"))
    if kept is None:
        raise RuntimeError(f"the stand-in has no {repository}")
    return next(iter(kept.runs))


def _deliver(gateway: str, repository: str, run_id: int) -> None:
    """Post what GitHub would, signed."""
    run = {"id": run_id, "run_attempt": 1, "conclusion": "failure", "path": ".github/workflows/ci-test.yml"}
    run |= {"event": "push", "head_branch": "main", "status": "completed", "name": "CI Test"}
    body = json.dumps(
        {"action": "completed", "repository": {"full_name": repository}, "workflow_run": run}
    ).encode()
    answer = requests.post(
        f"{gateway}/webhooks/github",
        data=body,
        headers=signed(body, str(uuid.uuid4())),
        timeout=30,
    )
    if answer.status_code != 202:
        raise RuntimeError(f"the gateway answered {answer.status_code}: {answer.text}")


def _make_automation(api_url: str) -> None:
    """Have Prefect start a triage for each event, with the run that the event names."""
    deployment = requests.get(f"{api_url}/deployments/name/triage-failed-run/default", timeout=30).json()[
        "id"
    ]
    template = "{{ event.payload.%s }}"
    request = {
        "repository": {"__prefect_kind": "jinja", "template": template % "repository"},
        "run_id": {
            "__prefect_kind": "json",
            "value": {"__prefect_kind": "jinja", "template": template % "run_id"},
        },
        "run_attempt": 1,
        "mode": "apply",
    }
    automation = {
        "name": "triage",
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": [_EVENT],
            "for_each": ["prefect.resource.id"],
            "threshold": 1,
            "within": 0,
        },
        "actions": [
            {
                "type": "run-deployment",
                "source": "selected",
                "deployment_id": deployment,
                "parameters": {"request": request},
            }
        ],
    }
    answer = requests.post(f"{api_url}/automations/", json=automation, timeout=30)
    if not answer.ok:
        raise RuntimeError(f"Prefect refuses the automation: {answer.text}")


def _emit(api_url: str, repository: str, run_id: int) -> None:
    event = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": _EVENT,
        "resource": {"prefect.resource.id": f"{_RESOURCE}.{repository.replace('/', '.')}"},
        "payload": {"repository": repository, "run_id": run_id},
    }
    answer = requests.post(f"{api_url}/events", json=[event], timeout=30)
    if not answer.ok:
        raise RuntimeError(f"Prefect refuses the event: {answer.text}")


def ratios(found: Mapping[str, list[float]]) -> dict[str, float]:
    """Return our median in seconds, and how many times sooner it is than the yardstick's."""
    ours = median(found["ours"])
    return {"webhook_to_triaged_p50_s": ours, "sooner_than_stock": median(found["stock"]) / ours}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="failed runs that are told (9)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.runs)
    if options.json:
        print(json.dumps(ratios(found)))
        return
    for name, seconds in found.items():
        print(f"{name:8}{median(seconds):6.2f} s p50 ({min(seconds):.2f} to {max(seconds):.2f})")
    for name, ratio in ratios(found).items():
        print(f"{name.replace('_', ' '):32}{ratio:8.2f}")


if __name__ == "__main__":
    main()
