"""Webhooks and label events through the client, on the stand-in."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from pydantic import SecretStr

import sandbox
from runbook.clients.github_client import GitHubClient
from runbook.errors import NotFound, Permanent
from runbook.models import LabelEvent
from tests.runbook.clients.scripted import Said, scripted
from tests.runbook.effects.failed_delivery import NOWHERE, failed_delivery

REPO = "acme/app"
SCENARIO: dict[str, Any] = {
    "bot": "bot",
    "users": {"bot": {}, "alice": {}, "bob": {"tokens": [{"app": "chat-bridge"}]}},
    "repositories": {
        REPO: {
            "roles": {"bot": "write", "alice": "admin", "bob": "write"},
            "issues": [{"title": "Stop here", "author": "alice"}],
            "labels": ["runbook-stop"],
        }
    },
}


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    with sandbox.running(SCENARIO) as running:
        yield running


@pytest.fixture
def github(box: sandbox.Box) -> Iterator[GitHubClient]:
    with GitHubClient(token=SecretStr(box.token), api_url=box.url) as client:
        yield client


def test_deliveries_are_read_from_all_pages_back_to_a_time(box: sandbox.Box, github: GitHubClient) -> None:
    effect = failed_delivery(box)
    hook = box.repository.hooks[effect.hook_id]
    (first,) = hook.deliveries
    hook.deliveries += [
        type(first)(**{**vars(first), "id": first.id + number, "guid": f"g{number}"})
        for number in range(1, 250)
    ]
    (listed,) = github.list_hooks(REPO)
    assert (listed.id, listed.url, listed.active) == (hook.id, NOWHERE, True)
    since = first.at - timedelta(minutes=1)
    found = github.list_deliveries(REPO, hook.id, since=since, limit=1000)
    assert [one.id for one in found] == [one.id for one in reversed(hook.deliveries)]
    assert not any(one.arrived for one in found)
    assert len(github.list_deliveries(REPO, hook.id, since=since, limit=3)) == 3
    hook.deliveries[0].at -= timedelta(hours=1)
    assert len(github.list_deliveries(REPO, hook.id, since=since, limit=1000)) == 249


def test_hooks_that_may_not_be_seen_are_not_found(github: GitHubClient) -> None:
    with pytest.raises(NotFound):
        github.list_hooks(REPO)


def test_a_delivery_that_github_does_not_keep_cannot_be_sent_again(
    box: sandbox.Box, github: GitHubClient
) -> None:
    effect = failed_delivery(box)
    with pytest.raises(NotFound):
        github.redeliver(REPO, effect.hook_id, 1)


def test_deliveries_that_are_no_list_are_said() -> None:
    with (
        scripted(lambda seen: Said(200, {"message": "a proxy's page"})) as server,
        GitHubClient(token=SecretStr("t"), api_url=server.url) as client,
        pytest.raises(Permanent, match="not a list"),
    ):
        client.list_deliveries(REPO, 1, since=datetime.now(UTC), limit=1)


def test_label_events_tell_who_did_what_and_whether_an_app_did_it_for_them(
    box: sandbox.Box, github: GitHubClient
) -> None:
    def send(login: str, method: str, path: str, **body: Any) -> None:
        headers = {"Authorization": f"Bearer {box.state.users[login].tokens[0].value}"}
        url = f"{box.url}/repos/{REPO}/issues/1/{path}"
        assert requests.request(method, url, json=body or None, headers=headers, timeout=10).ok

    send("alice", "POST", "labels", labels=["runbook-stop"])
    send("alice", "POST", "comments", body="Stopped")
    send("bob", "DELETE", "labels/runbook-stop")
    events = github.list_label_events(REPO, 1)
    assert [_told(one) for one in events] == [
        ("runbook-stop", True, "alice", False),
        ("runbook-stop", False, "bob", True),
    ]


def _told(event: LabelEvent) -> tuple[str, bool, str, bool]:
    return event.label, event.added, event.login, event.via_app
