"""The drill of `rollback-image`: what the sandbox is given, and what is refused before anything starts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

import sandbox
from deployments.demo.cluster import Cluster
from deployments.drill.procedures import prepare
from runbook.clients.github_client import GitHubClient
from runbook.decisions.revision_evidence import green_sign
from runbook.errors import UsageError
from runbook.policy import Policy, load_policy
from runbook.policy.loading import parse_policy
from tests.deployments.test_drill import EXAMPLE

NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
REPOSITORY = "acme/shop"


def policy_of(*services: dict[str, Any], **changed: Any) -> Policy:
    """A policy with services."""
    whole = [
        {
            "repository": REPOSITORY,
            "namespace": "shop",
            "image": f"ghcr.io/acme/{one['name']}",
            "dockerfile": "Dockerfile",
            **one,
        }
        for one in services
    ]
    document = {
        "repositories": [{"name": REPOSITORY}],
        "approvals": {"approvers": ["alice"]},
        "services": whole,
        **changed,
    }
    return parse_policy(document)


def test_the_whole_set_is_bad_in_the_sandbox_until_it_is_rolled_back() -> None:
    policy = load_policy(EXAMPLE)
    rehearsal = prepare("rollback-image", policy, about="agent-service", now=NOW)
    assert rehearsal.request.model_dump()["services"] == ("agent-service",)
    assert "300 s" in rehearsal.wait
    with sandbox.running(rehearsal.scenario) as box:
        cluster = Cluster.of(box.ready())
        assert cluster is not None
        assert cluster.writes() == []
        for service in policy.services:
            image = f"{service.image}:sha-"
            assert cluster.images(service.namespace, service.name)[0].startswith(image)
            assert cluster.health(service.namespace, service.name, port=service.port, path="/health") == 500


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_paths_ports_and_metrics_are_the_policys_own(kind: str) -> None:
    service = {
        "name": "till",
        "workload": kind,
        "port": 9090,
        "health_path": "/api/alive",
        "metrics_path": "/api/figures",
        "metrics": [{"name": "errors", "labels": {"of": "till"}, "at_most": 3}],
    }
    rehearsal = prepare("rollback-image", policy_of(service), about=None, now=NOW)
    with sandbox.running(rehearsal.scenario) as box:
        cluster = Cluster.of(box.ready())
        assert cluster is not None
        assert cluster.health("shop", "till", port=9090, path="/api/alive") == 500
        assert cluster.health("shop", "till", port=9090, path="/api/figures") == 200
        assert cluster.health("shop", "till", port=8000, path="/api/alive") == 503


def test_the_revision_before_is_good_by_the_policys_own_rules() -> None:
    rules = {"good_after_minutes": 600, "good_signs": ["green_run", "deployed", "in_registry"]}
    workflows = [{"file": "docs.yml", "kind": "docs", "required": False}]
    policy = policy_of(
        {"name": "till", "environments": ["shop-eu"]},
        image_rollback=rules,
        repositories=[{"name": REPOSITORY, "workflows": workflows}],
    )
    rehearsal = prepare("rollback-image", policy, about=None, now=NOW)
    with sandbox.running(rehearsal.scenario) as box:
        github = GitHubClient(token=SecretStr(box.token), api_url=box.url)
        with github:
            (good,) = [
                one
                for one in github.deployments(REPOSITORY, environment="shop-eu", limit=10)
                if github.deployment_statuses(REPOSITORY, one.id)[0].state == "success"
            ]
            runs = github.list_runs(REPOSITORY, branch="main", head_sha=good.sha, limit=10)
            versions = github.container_versions("acme", "till", limit=10)
        assert green_sign(runs, policy.repositories[0]).holds
        assert [tag for one in versions for tag in one.tags if good.sha.startswith(tag.removeprefix("sha-"))]


def test_helm_releases_have_their_history() -> None:
    services = [{"name": name, "helm_release": "shop"} for name in ("till", "stock")]
    rehearsal = prepare("rollback-image", policy_of(*services), about="till", now=NOW)
    (release,) = rehearsal.scenario["kubernetes"]["helm_releases"]
    assert [len(one["workloads"]) for one in release["revisions"]] == [2, 2]


@pytest.mark.parametrize(
    ("services", "changed", "about", "said"),
    [
        ([], {}, None, "names no services"),
        ([{"name": "till"}], {}, "tull", "names no service 'tull'"),
        ([{"name": "till", "image": "registry.example.org/till"}], {}, None, "not in ghcr.io"),
        (
            [{"name": "till", "metrics": [{"name": "sales", "at_least": 1, "per_second": True}]}],
            {},
            None,
            "only while sales grows",
        ),
        (
            [{"name": "till"}],
            {
                "freeze_windows": [
                    {
                        "name": "Sale",
                        "start": (NOW + timedelta(seconds=200)).isoformat(),
                        "end": (NOW + timedelta(hours=9)).isoformat(),
                    }
                ]
            },
            None,
            "freezes rollback-image",
        ),
    ],
    ids=["no services", "no such service", "another registry", "growing metrics", "a freeze during the soak"],
)
def test_what_the_policy_makes_impossible_is_said_before_anything_starts(
    services: list[dict[str, Any]], changed: dict[str, Any], about: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as refusal:
        prepare("rollback-image", policy_of(*services, **changed), about=about, now=NOW)
    assert refusal.value.unchanged == "Nothing was started."
    assert refusal.value.next_step


def test_an_image_elsewhere_is_rehearsed_where_the_policy_asks_for_another_sign() -> None:
    policy = policy_of(
        {"name": "till", "image": "registry.example.org/till"}, image_rollback={"good_signs": ["deployed"]}
    )
    rehearsal = prepare("rollback-image", policy, about=None, now=NOW)
    assert rehearsal.scenario["repositories"][REPOSITORY]["images"] == []
