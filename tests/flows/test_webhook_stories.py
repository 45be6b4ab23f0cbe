"""R10 through all of it: gateway, ledger, dispatcher, a real Prefect and the worker; each attempt in one incident."""

import random
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from deployments.children import Child
from deployments.ports import free_port
from deployments.processes import start_gateway
from sandbox.github.scenario import add_repository
from tests.deployments.gateway.payloads import PATH, body_of, headers
from tests.flows.theatre import LOG, Theatre

SECRET = "a-secret-of-the-theatre"
ATTEMPTS = 25
COPIES = 2


@pytest.fixture(scope="module")
def gateway(theatre: Theatre) -> Iterator[str]:
    """A gateway and its dispatcher beside the theatre's worker; its URL."""
    settings = {name: theatre.environment[name] for name in ("RUNBOOK_POLICY", "RUNBOOK_LEDGER_URL")}
    url = start_gateway(theatre.up, settings, secrets={"RUNBOOK_WEBHOOK_SECRET": SECRET}, port=free_port())
    dispatcher = theatre.up.start(
        "delivery-dispatcher",
        (sys.executable, "-m", "deployments.delivery_dispatcher"),
        settings=settings,
        reaches_prefect=True,
    )
    yield url
    theatre.up.end(dispatcher)
    theatre.up.end(_named(theatre, "gateway"))


def _named(theatre: Theatre, name: str) -> Child:
    return next(child for child in theatre.up.children if child.name == name)


def deliver(url: str, repository: str, run_id: int, *, delivery: str | None = None) -> int:
    """Post a failed attempt as GitHub would; return the status."""
    run = {"id": run_id, "run_attempt": 1, "conclusion": "failure", "head_branch": "main"}
    body = body_of(action="completed", repository={"full_name": repository}, workflow_run=run)
    signed = headers(body, delivery=delivery, secret=SECRET)
    answer = requests.post(f"{url}{PATH}", data=body, headers=signed, timeout=30)
    return answer.status_code


def stage(theatre: Theatre, repository: str, *, runs: int) -> list[int]:
    """Add a repository with so many failed runs, each of a workflow of its own, and return their ids."""
    job = {
        "name": "test",
        "seconds": 10,
        "conclusion": "failure",
        "steps": ["Set up job", {"Run pytest": "failure"}],
        "log": LOG,
    }
    files = [f"ci-{number}.yml" for number in range(runs)]
    one: dict[str, Any] = {
        "roles": {"runbook-bot": "write", "alice": "admin"},
        "workflows": [{"file": file, "name": file} for file in files],
        "runs": [{"workflow": file, "ago": "30m", "jobs": [job]} for file in files],
    }
    add_repository(theatre.box.state, repository, one)
    with theatre.policy_file.open("a") as policy:
        policy.write(f'[[repositories]]\nname = "{repository}"\n')
    return list(theatre.state_of(repository).runs)


def incidents_of(theatre: Theatre, repository: str, run_ids: list[int]) -> list[int] | None:
    """Return each attempt's incident once all have one."""
    incidents = theatre.here.engine.incidents
    found = [incidents.of_attempt(repository=repository, run_id=run_id, run_attempt=1) for run_id in run_ids]
    known = [incident.id for incident in found if incident is not None and incident.issue_number is not None]
    return known if len(known) == len(run_ids) else None


def test_one_delivery_fifty_times_at_once_is_one_incident(theatre: Theatre, gateway: str) -> None:
    repository = "acme/told-often"
    (run_id,) = stage(theatre, repository, runs=1)
    same = str(uuid.uuid4())
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: deliver(gateway, repository, run_id, delivery=same), range(50)))
    assert answers == [202] * 50
    (incident,) = theatre.until("the incident", lambda: incidents_of(theatre, repository, [run_id]))
    runs = theatre.post("/flow_runs/filter", {"flow_runs": {"name": {"like_": f"triage run {run_id}"}}})
    assert len(runs) == 1
    assert [one.id for one in theatre.here.engine.incidents.recent(repository=repository)] == [incident]


@pytest.mark.integration
def test_each_of_many_attempts_told_twice_and_out_of_order_is_in_one_incident(
    theatre: Theatre, gateway: str
) -> None:
    repository = "acme/told-twice"
    run_ids = stage(theatre, repository, runs=ATTEMPTS)
    told = run_ids * COPIES
    random.Random(4).shuffle(told)  # noqa: S311 - an order, no secret
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda run_id: deliver(gateway, repository, run_id), told))
    assert answers == [202] * len(told)
    found = theatre.until("the incidents", lambda: incidents_of(theatre, repository, run_ids))
    assert len(found) == ATTEMPTS
    # One failure everywhere, so one incident; and nobody triaged an attempt twice, or in vain.
    assert [one.id for one in theatre.here.engine.incidents.recent(repository=repository)] == [found[0]]
    names = {"flow_runs": {"name": {"like_": "triage run"}}, "limit": 200}
    runs = [run["name"] for run in theatre.post("/flow_runs/filter", names)]
    assert sorted(name for name in runs if int(name.split()[2]) in run_ids) == sorted(
        f"triage run {run_id}" for run_id in run_ids
    )
