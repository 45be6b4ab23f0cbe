"""Webhooks, their deliveries, and what they are sent."""

import json

from sandbox.github.records import Attempt, Delivery, Hook, Repository, Run
from sandbox.github.routing import Call
from sandbox.github.shapes.actions import run as run_shape
from sandbox.github.shapes.actions import workflow
from sandbox.github.shapes.common import repo_url, user, when
from sandbox.github.shapes.repositories import pull_repository
from sandbox.wire import Json

MASK = "********"


def hook(call: Call, repo: Repository, one: Hook) -> Json:
    """Return a webhook; its secret is never shown."""
    url = f"{repo_url(call, repo)}/hooks/{one.id}"
    config: Json = {"content_type": "json", "insecure_ssl": "0", "url": one.url}
    if one.secret:
        config["secret"] = MASK
    last = next((two for two in reversed(one.deliveries) if two.status_code), None)
    return {
        "type": "Repository",
        "id": one.id,
        "name": "web",
        "active": one.active,
        "events": list(one.events),
        "config": config,
        "updated_at": when(one.updated_at),
        "created_at": when(one.created_at),
        "url": url,
        "test_url": f"{url}/test",
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "last_response": {
            "code": last.status_code if last else None,
            "status": "unused" if last is None else "active",
            "message": last.status if last else None,
        },
    }


def delivery(repo: Repository, one: Delivery) -> Json:
    """Return a delivery as the list has it."""
    return {
        "id": one.id,
        "guid": one.guid,
        "delivered_at": when(one.at),
        "redelivery": one.redelivery,
        "duration": one.seconds,
        "status": one.status,
        "status_code": one.status_code,
        "event": one.event,
        "action": one.action,
        "installation_id": None,
        "repository_id": repo.id,
        "throttled_at": None,
    }


def full_delivery(repo: Repository, hook: Hook, one: Delivery) -> Json:
    """Return a delivery with request and response."""
    return {
        **delivery(repo, one),
        "url": hook.url,
        "request": {"headers": dict(one.headers), "payload": json.loads(one.body)},
        "response": {"headers": {}, "payload": one.answer},
    }


def ping(call: Call, repo: Repository, one: Hook) -> Json:
    """Return the payload of a new hook's ping."""
    return {
        "zen": "Keep it logically awesome.",
        "hook_id": one.id,
        "hook": hook(call, repo, one),
        "repository": pull_repository(call, repo),
        "sender": user(call, call.login),
    }


def run_event(call: Call, repo: Repository, one: Run, attempt: Attempt) -> Json:
    """Return the payload of ``workflow_run`` completed."""
    return {
        "action": "completed",
        "workflow_run": run_shape(call, repo, one, attempt),
        "workflow": workflow(call, repo, repo.workflows[one.workflow_id]),
        "repository": pull_repository(call, repo),
        "sender": user(call, attempt.actor),
    }


def comment_event(call: Call, repo: Repository, issue: Json, comment: Json) -> Json:
    """Return the payload of ``issue_comment`` created.

    Args:
        call: The call that commented.
        repo: The issue's repository.
        issue: The issue's shape.
        comment: The comment's.
    """
    return {
        "action": "created",
        "issue": issue,
        "comment": comment,
        "repository": pull_repository(call, repo),
        "sender": comment["user"],
    }
