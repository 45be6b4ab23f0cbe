"""Services in a cluster for the stories of rollbacks: each story has a repository and a namespace of its own."""

from collections.abc import Mapping
from typing import Any

import requests

from runbook.engine.plans import StoredPlan
from runbook.requests import Mode, RollbackImageRequest
from sandbox.github.scenario import add_repository
from tests.flows.fleet_scenario import (
    SOAK_SECONDS,
    STORIES,
    content,
    image,
    namespace,
    repository,
)
from tests.flows.theatre import Theatre


def open_fleet(theatre: Theatre) -> None:
    """Add the stories' repositories to the stand-in, and repositories and services to the policy."""
    tables = ["[image_rollback]\npoll_seconds = 0.3\nlog_poll_seconds = 0.5\nrollout_timeout_seconds = 60\n"]
    for story in STORIES:
        add_repository(theatre.box.state, repository(story), content(story))
        tables.append(f'[[repositories]]\nname = "{repository(story)}"\n')
        for service, other in (("tts", "agent"), ("agent", "tts")):
            tables.append(
                f'[[services]]\nname = "{service}"\nrepository = "{repository(story)}"\n'
                f'namespace = "{namespace(story)}"\nimage = "ghcr.io/acme/{story}-{service}"\n'
                f'dockerfile = "Dockerfile"\nmoves_with = ["{other}"]\nsoak_seconds = {SOAK_SECONDS}\n'
                + ('helm_release = "voice"\n' if story in ("release", "pending") else "")
            )
    with theatre.policy_file.open("a") as policy:
        policy.writelines(tables)


def ask(story: str, **more: Any) -> RollbackImageRequest:
    """Ask for a story's services to be rolled back."""
    return RollbackImageRequest(repository=repository(story), mode=Mode.APPLY, services=("tts",), **more)


def start(theatre: Theatre, story: str, **more: Any) -> str:
    """Start a story's rollback; return the run's id."""
    return theatre.start("rollback-image", ask(story, **more)).id


def approve(theatre: Theatre, run_id: str) -> StoredPlan:
    """Approve what a run waits for, with the two people that an unnamed one needs."""
    plan = theatre.asked(run_id)
    for login in ("alice", "bob"):
        theatre.comment(plan, login, f"/approve {plan.short_digest}")
    theatre.resume(run_id)
    return plan


def running(theatre: Theatre, story: str) -> dict[str, str]:
    """Return the tag that each service's template names."""
    return {
        service: _template_image(theatre, story, service).partition(":")[2] for service in ("tts", "agent")
    }


def deploy(theatre: Theatre, story: str, service: str, tag: str) -> None:
    """Have somebody else deploy."""
    body = {
        "namespace": namespace(story),
        "name": service,
        "images": image(service, tag, story=story),
    }
    answer = requests.post(f"{theatre.cluster.url}/_sandbox/deploy", json=body, timeout=10)
    assert answer.ok, answer.text


def patches(theatre: Theatre, story: str) -> list[Mapping[str, Any]]:
    """Return the writes to a story's workloads that took effect."""
    return [
        request
        for request in theatre.cluster.requests
        if request["method"] == "PATCH" and request["applied"] and f"/{namespace(story)}/" in request["path"]
    ]


def _template_image(theatre: Theatre, story: str, service: str) -> str:
    path = f"/apis/apps/v1/namespaces/{namespace(story)}/deployments/{service}"
    headers = {"Authorization": f"Bearer {theatre.cluster.token}"}
    answer = requests.get(f"{theatre.cluster.url}{path}", headers=headers, timeout=10)
    return str(answer.json()["spec"]["template"]["spec"]["containers"][0]["image"])
