"""Deployments and their statuses: read newest first, made, and told to the webhooks."""

import json

import pytest

from tests.contracts.github.conftest import Api, GitHub
from tests.contracts.github.receiver import receiving

DEPLOYMENTS = "/repos/acme/ship/deployments"


@pytest.mark.parametrize(
    ("query", "environments"),
    [
        ("", ["production", "staging", "production"]),
        ("environment=production", ["production", "production"]),
        ("ref=main&per_page=1&page=2", ["staging"]),
        ("environment=elsewhere", []),
    ],
)
def test_deployments_are_listed_newest_first(bot: Api, query: str, environments: list[str]) -> None:
    assert [one["environment"] for one in bot.get(f"{DEPLOYMENTS}?{query}").json()] == environments


def test_deployments_of_one_commit_are_found(bot: Api) -> None:
    sha = bot.get("/repos/acme/ship/commits/main").json()["sha"]
    found = bot.get(f"{DEPLOYMENTS}?sha={sha}").json()
    assert [(one["environment"], one["sha"]) for one in found] == [("production", sha), ("staging", sha)]
    assert bot.get(f"{DEPLOYMENTS}/{found[0]['id']}").json() == found[0]


def test_what_was_said_of_a_deployment_is_listed_newest_first(bot: Api) -> None:
    oldest = bot.get(DEPLOYMENTS).json()[-1]
    said = bot.get(f"{DEPLOYMENTS}/{oldest['id']}/statuses").json()
    assert [one["state"] for one in said] == ["success", "in_progress"]
    assert said[0]["description"] == "up"


def test_a_new_deployment_and_its_status_are_the_newest(bot: Api) -> None:
    made = bot.post(DEPLOYMENTS, json={"ref": "main", "environment": "production"})
    assert made.status_code == 201
    said = bot.post(f"{DEPLOYMENTS}/{made.json()['id']}/statuses", json={"state": "failure"})
    assert (said.status_code, said.json()["state"]) == (201, "failure")
    assert bot.get(DEPLOYMENTS).json()[0]["id"] == made.json()["id"]


def test_a_failure_is_told_to_the_webhooks(github: GitHub, bot: Api) -> None:
    deployment = bot.get(DEPLOYMENTS).json()[0]
    with receiving() as receiver:
        hook = {"config": {"url": receiver.url}, "events": ["deployment_status"]}
        assert github.as_user("alice").post("/repos/acme/ship/hooks", json=hook).status_code == 201
        said = bot.post(f"{DEPLOYMENTS}/{deployment['id']}/statuses", json={"state": "failure"}).json()
        (told,) = receiver.wait_for(1, event="deployment_status")
    payload = json.loads(told.body)
    assert (payload["action"], payload["deployment_status"]) == ("created", said)
    assert payload["deployment"]["id"] == deployment["id"]
    assert payload["repository"]["full_name"] == "acme/ship"


def test_what_cannot_be_is_refused(github: GitHub, bot: Api) -> None:
    assert bot.get(f"{DEPLOYMENTS}/1").status_code == 404
    assert bot.get(f"{DEPLOYMENTS}/1/statuses").status_code == 404
    assert bot.post(DEPLOYMENTS, json={"ref": "nowhere"}).status_code == 422
    number = bot.get(DEPLOYMENTS).json()[0]["id"]
    assert bot.post(f"{DEPLOYMENTS}/{number}/statuses", json={"state": "broken"}).status_code == 422
    assert github.as_user("rita").post(DEPLOYMENTS, json={"ref": "main"}).status_code == 403
    assert github.as_user("narrow").get(DEPLOYMENTS).status_code == 403
