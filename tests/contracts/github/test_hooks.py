"""Webhooks: who may have them, what they are sent and how it is signed, what became of it, and once more."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.contracts.github.conftest import Api, GitHub
from tests.contracts.github.receiver import Received, Receiver, receiving

SECRET = "an example's secret"
SECONDS = 5.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def alice(github: GitHub) -> Api:
    return github.as_user("alice")


def make_hook(api: Api, receiver: Receiver, *, events: tuple[str, ...] = ("*",)) -> dict[str, Any]:
    config = {"url": receiver.url, "content_type": "json", "secret": SECRET}
    reply = api.post("hooks", json={"name": "web", "config": config, "events": list(events)})
    assert reply.status_code == 201, reply.text
    hook: dict[str, Any] = reply.json()
    return hook


def deliveries(api: Api, hook: dict[str, Any], *, event: str, count: int) -> list[dict[str, Any]]:
    """Return an event's deliveries, newest first, once so many have ended."""
    end = time.monotonic() + SECONDS
    while True:
        rows = api.get(f"hooks/{hook['id']}/deliveries").json()
        found = [row for row in rows if row["event"] == event]
        if len(found) >= count:
            return found
        assert time.monotonic() < end, rows


def signed(one: Received) -> bool:
    expected = "sha256=" + hmac.new(SECRET.encode(), one.body, hashlib.sha256).hexdigest()
    return one.headers["x-hub-signature-256"] == expected


def test_a_new_hook_is_pinged_and_never_shows_its_secret(alice: Api, receiver: Receiver) -> None:
    hook = make_hook(alice, receiver)
    (ping,) = receiver.wait_for(1, event="ping")
    assert json.loads(ping.body)["hook_id"] == hook["id"]
    assert hook["config"]["secret"] == "********"
    assert [one["id"] for one in alice.get("hooks").json()] == [hook["id"]]
    assert SECRET not in alice.get(f"hooks/{hook['id']}").text


@pytest.mark.parametrize("login", ["bob", "tina", "rita", "narrow"])
def test_hooks_are_hidden_from_whoever_may_not_administer_them(
    github: GitHub, alice: Api, receiver: Receiver, login: str
) -> None:
    hook = make_hook(alice, receiver)
    reply = github.as_user(login).get(f"hooks/{hook['id']}/deliveries")
    assert reply.status_code == (403 if login == "narrow" else 404)


def test_a_comment_is_told_signed_and_with_what_it_is_about(bot: Api, alice: Api, receiver: Receiver) -> None:
    make_hook(alice, receiver, events=("issue_comment",))
    issue = bot.post("issues", json={"title": "Main is red"}).json()
    comment = alice.post(f"issues/{issue['number']}/comments", json={"body": "/approve 0123"}).json()
    (told,) = receiver.wait_for(1, event="issue_comment")
    assert signed(told)
    assert told.headers["content-type"] == "application/json"
    assert UUID(told.headers["x-github-delivery"])
    body = json.loads(told.body)
    assert body["action"] == "created"
    assert body["comment"]["id"] == comment["id"]
    assert body["issue"]["number"] == issue["number"]
    assert body["repository"]["full_name"] == "acme/app"
    assert body["sender"]["login"] == "alice"


def test_a_run_that_ends_is_told_once_with_its_attempt(
    github: GitHub, alice: Api, receiver: Receiver
) -> None:
    make_hook(alice, receiver, events=("workflow_run",))
    run = alice.failed_run()
    assert alice.post(f"actions/runs/{run['id']}/rerun-failed-jobs").status_code == 201
    github.wait(120)
    (told,) = receiver.wait_for(1, event="workflow_run")
    body = json.loads(told.body)
    assert (body["action"], body["workflow_run"]["id"], body["workflow_run"]["run_attempt"]) == (
        "completed",
        run["id"],
        2,
    )
    assert (body["workflow_run"]["status"], body["workflow"]["path"]) == (
        "completed",
        ".github/workflows/ci-test.yml",
    )
    assert signed(told)


def test_a_hook_is_told_nothing_that_it_did_not_ask_for(bot: Api, alice: Api, receiver: Receiver) -> None:
    hook = make_hook(alice, receiver, events=("workflow_run",))
    issue = bot.post("issues", json={"title": "Main is red"}).json()
    bot.post(f"issues/{issue['number']}/comments", json={"body": "Hm"})
    deliveries(alice, hook, event="ping", count=1)
    assert {one.headers["x-github-event"] for one in receiver.received} == {"ping"}


@pytest.mark.parametrize(("status", "words"), [(202, "OK"), (503, "Invalid HTTP Response: 503")])
def test_a_delivery_says_how_it_was_answered(
    bot: Api, alice: Api, receiver: Receiver, status: int, words: str
) -> None:
    receiver.status = status
    hook = make_hook(alice, receiver)
    (ping,) = deliveries(alice, hook, event="ping", count=1)
    assert (ping["status_code"], ping["status"], ping["redelivery"]) == (status, words, False)
    full = alice.get(f"hooks/{hook['id']}/deliveries/{ping['id']}").json()
    assert full["request"]["headers"]["X-GitHub-Delivery"] == ping["guid"]
    assert full["request"]["payload"]["hook_id"] == hook["id"]


def test_a_failed_delivery_is_sent_again_under_the_same_guid_when_asked_for(
    alice: Api, receiver: Receiver
) -> None:
    receiver.status = 500
    hook = make_hook(alice, receiver)
    (ping,) = deliveries(alice, hook, event="ping", count=1)
    receiver.status = 202
    reply = alice.post(f"hooks/{hook['id']}/deliveries/{ping['id']}/attempts")
    assert (reply.status_code, reply.json()) == (202, {})
    again, first = deliveries(alice, hook, event="ping", count=2)
    assert (again["guid"], again["redelivery"], again["status_code"]) == (ping["guid"], True, 202)
    assert again["id"] > first["id"] == ping["id"]
    one, two = receiver.wait_for(2, event="ping")
    assert (one.body, one.headers["x-github-delivery"]) == (two.body, two.headers["x-github-delivery"])


def test_deliveries_are_paged_by_a_cursor(bot: Api, alice: Api, receiver: Receiver) -> None:
    hook = make_hook(alice, receiver)
    issue = bot.post("issues", json={"title": "Main is red"}).json()
    for number in range(4):
        bot.post(f"issues/{issue['number']}/comments", json={"body": f"{number}"})
    every = deliveries(alice, hook, event="issue_comment", count=4)
    deliveries(alice, hook, event="ping", count=1)
    seen: list[int] = []
    link = f"hooks/{hook['id']}/deliveries?per_page=2"
    while link:
        reply = alice.get(link)
        seen += [row["id"] for row in reply.json()]
        link = reply.links["next"]["url"] if "next" in reply.links else ""
    assert len(seen) == 5
    assert {row["id"] for row in every} <= set(seen)
    assert seen == sorted(seen, reverse=True)


Faulty = Callable[[str], None]


@pytest.fixture
def fault(github: GitHub) -> Faulty:
    """Set a fault for the next comment's delivery."""

    def set_fault(kind: str) -> None:
        body = {"fault": kind, "path_regex": "issue_comment/created"}
        assert github.with_token(None).post("/_sandbox/faults", json=body).status_code == 201

    return set_fault


def test_a_lost_delivery_leaves_no_trace_and_a_failed_one_is_noted(
    bot: Api, alice: Api, receiver: Receiver, fault: Faulty
) -> None:
    hook = make_hook(alice, receiver)
    issue = bot.post("issues", json={"title": "Main is red"}).json()
    for kind in ("lost_delivery", "failed_delivery"):
        fault(kind)
        bot.post(f"issues/{issue['number']}/comments", json={"body": kind})
    (failed,) = deliveries(alice, hook, event="issue_comment", count=1)
    assert (failed["status_code"], failed["status"]) == (502, "failed to connect to host")
    assert receiver.wait_for(0, event="issue_comment") == []
    alice.post(f"hooks/{hook['id']}/deliveries/{failed['id']}/attempts")
    (told,) = receiver.wait_for(1, event="issue_comment")
    assert json.loads(told.body)["comment"]["body"] == "failed_delivery"


@pytest.mark.parametrize("config", [None, {}, {"url": "nowhere"}])
def test_a_hook_without_an_address_is_422(alice: Api, config: dict[str, Any] | None) -> None:
    assert alice.post("hooks", json={"config": config, "events": ["*"]}).status_code == 422


def test_a_deleted_hook_is_gone(bot: Api, alice: Api, receiver: Receiver) -> None:
    hook = make_hook(alice, receiver)
    assert alice.delete(f"hooks/{hook['id']}").status_code == 204
    assert alice.get(f"hooks/{hook['id']}").status_code == 404
