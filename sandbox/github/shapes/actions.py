"""Workflows, runs, jobs, caches, artifacts."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sandbox.github.records import (
    Artifact,
    Attempt,
    Cache,
    Job,
    Pull,
    Repository,
    Run,
    Workflow,
    node_id,
    sha_of,
)
from sandbox.github.routing import Call
from sandbox.github.shapes.common import repo_url, user, when
from sandbox.github.shapes.repositories import repository
from sandbox.wire import Json


def workflow(call: Call, repo: Repository, one: Workflow) -> Json:
    """Return a workflow."""
    html = f"{call.site}/{repo.full_name}"
    name = one.path.rsplit("/", 1)[1]
    return {
        "id": one.id,
        "node_id": node_id("Workflow", one.id),
        "name": one.name,
        "path": one.path,
        "state": one.state,
        "created_at": when(one.created_at),
        "updated_at": when(one.updated_at),
        "url": f"{repo_url(call, repo)}/actions/workflows/{one.id}",
        "html_url": f"{html}/blob/{repo.default_branch}/{one.path}",
        "badge_url": f"{html}/workflows/{name}/badge.svg",
    }


def run(call: Call, repo: Repository, one: Run, attempt: Attempt) -> Json:
    """Return a workflow run as of one of its attempts."""
    flow = repo.workflows[one.workflow_id]
    url = f"{repo_url(call, repo)}/actions/runs/{one.id}"
    html = f"{call.site}/{repo.full_name}/actions/runs/{one.id}"
    old = attempt is not one.latest
    base = f"{url}/attempts/{attempt.number}" if old else url
    status = attempt.status(call.now)
    done = attempt.ended_at() if status == "completed" else attempt.started_at
    suite = one.id - 1_000_000_000
    return {
        "id": one.id,
        "name": flow.name,
        "node_id": node_id("WorkflowRun", one.id),
        "head_branch": one.branch,
        "head_sha": one.sha,
        "path": flow.path,
        "display_title": one.title,
        "run_number": one.number,
        "event": one.event,
        "status": status,
        "conclusion": (one.conclusion or attempt.conclusion(call.now)) if status == "completed" else None,
        "workflow_id": flow.id,
        "check_suite_id": suite,
        "check_suite_node_id": node_id("CheckSuite", suite),
        "url": url,
        "html_url": f"{html}/attempts/{attempt.number}" if old else html,
        "pull_requests": [
            _run_pull(call, repo, two)
            for two in repo.pulls.values()
            # GitHub leaves the list of a fork's run empty.
            if two.sha == one.sha and two.state == "open" and one.fork is None
        ],
        "created_at": when(one.created_at),
        "updated_at": when(done),
        "actor": user(call, one.actor),
        "run_attempt": attempt.number,
        "referenced_workflows": [],
        "run_started_at": when(attempt.started_at),
        "triggering_actor": user(call, attempt.actor),
        "jobs_url": f"{base}/jobs",
        "logs_url": f"{base}/logs",
        "check_suite_url": f"{repo_url(call, repo)}/check-suites/{suite}",
        "artifacts_url": f"{url}/artifacts",
        "cancel_url": f"{url}/cancel",
        "rerun_url": f"{url}/rerun",
        "previous_attempt_url": f"{url}/attempts/{attempt.number - 1}" if attempt.number > 1 else None,
        "workflow_url": f"{repo_url(call, repo)}/actions/workflows/{flow.id}",
        "head_commit": _head_commit(repo, one),
        "repository": repository(call, repo),
        "head_repository": repository(call, _head_repository(repo, one)),
    }


def _head_repository(repo: Repository, one: Run) -> Repository:
    """Return the repository that a run's commit lies in: a fork is a namesake of another owner's."""
    if one.fork is None:
        return repo
    return replace(repo, id=int(sha_of(f"{one.fork}/{repo.name}")[:7], 16), owner=one.fork)


def _run_pull(call: Call, repo: Repository, one: Pull) -> Json:
    own = {"id": repo.id, "url": repo_url(call, repo), "name": repo.name}
    base = repo.head(one.base)
    return {
        "id": one.id,
        "number": one.number,
        "url": f"{repo_url(call, repo)}/pulls/{one.number}",
        "head": {"ref": one.head, "sha": one.sha, "repo": own},
        "base": {"ref": one.base, "sha": base.sha if base else one.sha, "repo": own},
    }


def _head_commit(repo: Repository, one: Run) -> Json | None:
    found = next((two for two in repo.commits if two.sha == one.sha), None)
    if found is None:
        return None
    person = {"name": found.author, "email": f"{found.author}@example.com"}
    return {
        "id": found.sha,
        "tree_id": sha_of("tree" + found.sha),
        "message": found.message,
        "timestamp": when(found.at),
        "author": person,
        "committer": person,
    }


def job(call: Call, repo: Repository, one_run: Run, one: Job) -> Json:
    """Return a job with its steps."""
    url = repo_url(call, repo)
    status = one.status(call.now)
    started = one.starts_at if status != "queued" else one.queued_at
    return {
        "id": one.id,
        "run_id": one_run.id,
        "workflow_name": repo.workflows[one_run.workflow_id].name,
        "head_branch": one_run.branch,
        "run_url": f"{url}/actions/runs/{one_run.id}",
        "run_attempt": one.attempt,
        "node_id": node_id("CheckRun", one.id),
        "head_sha": one_run.sha,
        "url": f"{url}/actions/jobs/{one.id}",
        "html_url": f"{call.site}/{repo.full_name}/actions/runs/{one_run.id}/job/{one.id}",
        "status": status,
        "conclusion": one.conclusion if status == "completed" else None,
        "created_at": when(one.queued_at),
        "started_at": when(started),
        "completed_at": when(one.ends_at) if status == "completed" else None,
        "name": one.plan.name,
        "steps": _steps(one, status),
        "check_run_url": f"{url}/check-runs/{one.id}",
        "labels": ["ubuntu-latest"],
        "runner_id": 1 if status != "queued" else None,
        "runner_name": "GitHub Actions 1" if status != "queued" else None,
        "runner_group_id": 0 if status != "queued" else None,
        "runner_group_name": "GitHub Actions" if status != "queued" else None,
    }


def _steps(one: Job, status: str) -> list[Json]:
    if status == "queued":
        return []
    span = (one.ends_at - one.starts_at) / max(1, len(one.plan.steps))
    done = status == "completed"
    steps: list[Json] = []
    for index, (name, when_failed) in enumerate(one.plan.steps):
        conclusion: Any = when_failed if one.conclusion == "failure" else one.conclusion
        steps.append(
            {
                "name": name,
                "status": "completed" if done else "in_progress",
                "conclusion": conclusion if done else None,
                "number": index + 1,
                "started_at": when(one.starts_at + span * index),
                "completed_at": when(one.starts_at + span * (index + 1)) if done else None,
            }
        )
    return steps


def cache(one: Cache) -> Json:
    """Return a cache entry; its times have seven decimals, unlike GitHub's other ones."""

    def fine(at: datetime) -> str:
        return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"

    return {
        "id": one.id,
        "ref": one.ref,
        "key": one.key,
        "version": one.version,
        "last_accessed_at": fine(one.used_at),
        "created_at": fine(one.created_at),
        "size_in_bytes": one.size,
    }


def artifact(call: Call, repo: Repository, one: Artifact) -> Json:
    """Return an artifact."""
    url = f"{repo_url(call, repo)}/actions/artifacts/{one.id}"
    owner = repo.runs[one.run_id]
    return {
        "id": one.id,
        "node_id": node_id("Artifact", one.id),
        "name": one.name,
        "size_in_bytes": sum(len(text) for text in one.files.values()),
        "url": url,
        "archive_download_url": f"{url}/zip",
        "expired": one.expired,
        "created_at": when(one.created_at),
        "updated_at": when(one.created_at),
        "expires_at": when(one.created_at.replace(year=one.created_at.year + 1)),
        "workflow_run": {
            "id": owner.id,
            "repository_id": repo.id,
            "head_repository_id": _head_repository(repo, owner).id,
            "head_branch": owner.branch,
            "head_sha": owner.sha,
        },
    }
