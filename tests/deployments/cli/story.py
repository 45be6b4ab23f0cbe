"""A ledger as procedures leave it, made by the engine itself against the stand-in."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

import sandbox
from runbook.clients.github_client import GitHubClient
from runbook.effects.actions_caches import DeleteCacheEntries
from runbook.effects.incident_issues import OpenIssue, PostComment
from runbook.engine.effects import Effect
from runbook.engine.executions import BY_PRODUCT, Requester
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import StoredPlan
from runbook.installation import Installation

POLICY = Path(__file__).resolve().parents[3] / "runbook.toml"
"""The example policy, which the sandbox's people fit."""

REPOSITORY = "acme/voice-agent"
PRUNE = {"repository": REPOSITORY, "mode": "apply", "key_prefix": "pip-"}


@dataclass(frozen=True)
class Story:
    """A plan that waits, and where people see it."""

    plan: StoredPlan
    issue: int
    execution_id: str


def waiting_plan(
    here: Installation,
    *,
    requester: str | None = None,
    by: Requester | None = None,
    key: str = "pip-Linux-5c0ffee4b1d2a9e8f7d6c5b4a3928170",
    expires_after_seconds: float = 3600.0,
    incident: bool = False,
    effect: Effect | None = None,
) -> Story:
    """Take ``clear-caches`` to the point where it waits for people.

    Args:
        here: The installation.
        requester: The person who asked by the command line; None where nobody can be named.
        by: A requester of another kind.
        key: The cache key that it would delete.
        expires_after_seconds: The plan's time.
        incident: Give the execution an incident.
        effect: What it would do instead.
    """
    engine = here.engine
    execution_id = str(uuid.uuid4())
    token = (
        engine.executions.ask(procedure="clear-caches", request=PRUNE, requester=requester)
        if requester
        else None
    )
    engine.executions.begin(
        execution_id,
        procedure="clear-caches",
        repository=REPOSITORY,
        subject=f"caches of {REPOSITORY}: key {key}",
        request=PRUNE,
        idempotency_key=token,
        requester=by,
    )
    if incident:
        engine.executions.claim_attempt(execution_id, repository=REPOSITORY, run_id=7, run_attempt=1)
        engine.incidents.open_or_join(
            execution_id,
            repository=REPOSITORY,
            issues_repository=REPOSITORY,
            fingerprint="f00d",
            failure_class="cache_corruption",
            severity="P0",
            title="P0: ci-test.yml on main: cache corruption",
            detail={},
        )
    effect = effect or DeleteCacheEntries(
        repository=REPOSITORY, key=key, ref="refs/heads/main", cache_ids=(1, 2)
    )
    plan = engine.plans.store(
        execution_id,
        Plan.of(procedure="clear-caches", repository=REPOSITORY, effects=[effect]),
        view=PlanView(
            title="delete one cache",
            why="it is corrupt",
            remedy="clear_implicated_caches",
            blast_radius="one slower build",
            if_nobody_acts="builds keep failing",
        ),
        expires_after_seconds=expires_after_seconds,
    )
    issue = engine.record(
        execution_id,
        "issue",
        OpenIssue(
            repository=REPOSITORY, key=execution_id, title="Approval", body="A plan follows.", labels=()
        ),
    )
    number, url = int((issue.result or {})["number"]), str((issue.result or {})["url"])
    engine.plans.placed(plan.id, issues_repository=REPOSITORY, issue_number=number, issue_url=url)
    shown = engine.record(
        execution_id,
        "plan",
        PostComment(
            repository=REPOSITORY, issue=number, key=f"{execution_id}/plan", body=f"Plan {plan.digest}"
        ),
    )
    plan = engine.plans.shown(plan.id, comment_id=int((shown.result or {})["comment"]))
    engine.executions.wait(execution_id)
    return Story(plan=plan, issue=number, execution_id=execution_id)


def product(name: str = "runbook") -> Requester:
    """Return the product as the requester."""
    return Requester(BY_PRODUCT.kind, name)


def comment_as(box: sandbox.Box, login: str, story: Story, body: str) -> None:
    """Say something on the plan's issue as one of the sandbox's people."""
    with GitHubClient(token=SecretStr(box.token_of(login)), api_url=box.url) as github:
        github.create_comment(REPOSITORY, story.issue, body=body)
