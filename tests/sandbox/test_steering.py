"""What the sandbox's own pages add to a stand-in that runs: runs, and webhooks told of what has ended."""

import json
from typing import Any

import pytest
import requests

import sandbox
from tests.contracts.github.receiver import receiving
from tests.sandbox.conftest import SCENARIO


def post(box: sandbox.Box, page: str, body: dict[str, Any]) -> requests.Response:
    return requests.post(f"{box.url}/_sandbox/{page}", json=body, timeout=10)


def hooked(url: str) -> dict[str, Any]:
    content = {**SCENARIO["repositories"]["acme/app"], "hooks": [{"url": url}], "logs": {"bad": "Oh no"}}
    return {**SCENARIO, "webhook_secret": "s3", "repositories": {"acme/app": content}}


def test_runs_can_be_added_and_the_hooks_are_told_when_they_end() -> None:
    with receiving() as receiver, sandbox.running(hooked(receiver.url)) as box:
        run = {
            "workflow": "new.yml",
            "ago": 0,
            "queued_seconds": 0,
            "jobs": [{"name": "t", "seconds": 0.1, "conclusion": "failure", "log": "bad"}],
        }
        added = {"repository": "acme/app", "workflows": [{"file": "new.yml"}], "runs": [run]}
        reply = post(box, "runs", added)
        assert reply.status_code == 200, reply.text
        (told,) = receiver.wait_for(1, event="workflow_run")
        ended = json.loads(told.body)["workflow_run"]
        assert ([ended["id"]], ended["conclusion"]) == (reply.json()["ids"], "failure")


def test_a_run_of_the_past_is_announced_when_asked_for() -> None:
    with receiving() as receiver, sandbox.running(hooked(receiver.url)) as box:
        run_id = next(iter(box.repository.runs))
        assert post(box, "announce", {"repository": "acme/app", "run_id": run_id}).ok
        (told,) = receiver.wait_for(1, event="workflow_run")
        assert json.loads(told.body)["workflow_run"]["id"] == run_id


@pytest.mark.parametrize(
    ("page", "body", "status"),
    [
        ("announce", {"repository": "acme/app", "run_id": 1}, 404),
        ("announce", {"repository": "acme/none", "run_id": 1}, 404),
        ("runs", {"repository": "acme/app", "runs": [{"workflow": "none.yml"}]}, 422),
        ("runs", {"repository": "acme/app", "runs": [{"flow": "ci.yml"}]}, 422),
    ],
)
def test_what_does_not_exist_is_refused(
    box: sandbox.Box, page: str, body: dict[str, Any], status: int
) -> None:
    assert post(box, page, body).status_code == status
