"""GitHub's JSON as facts, where the stand-in has no such case."""

from typing import Any

import pytest

from runbook.clients.github_facts import workflow_run

AT = "2026-01-01T00:00:00Z"
RUN: dict[str, Any] = {
    "id": 1,
    "run_attempt": 1,
    "workflow_id": 1,
    "event": "workflow_run",
    "status": "completed",
    "conclusion": "failure",
    "head_branch": "main",
    "head_sha": "a" * 40,
    "path": ".github/workflows/ci.yml",
    "html_url": "https://github.com/acme/app/actions/runs/1",
    "created_at": AT,
    "updated_at": AT,
}


@pytest.mark.parametrize(
    ("head_repository", "from_fork"),
    [
        ({"full_name": "acme/app"}, False),
        ({"full_name": "Acme/App"}, False),
        ({"full_name": "mallory/app"}, True),
        (None, True),  # a fork that was deleted
    ],
)
def test_a_run_whose_head_lies_elsewhere_is_a_forks(head_repository: object, from_fork: bool) -> None:
    assert workflow_run("acme/app", {**RUN, "head_repository": head_repository}).from_fork is from_fork
