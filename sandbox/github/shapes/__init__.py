"""The JSON that GitHub sends for each kind of thing; integration/github judges it."""

from sandbox.github.shapes.actions import artifact, cache, job, run, workflow
from sandbox.github.shapes.common import full_user, repo_url, user, when
from sandbox.github.shapes.git_data import comparison, git_commit, ref, tree
from sandbox.github.shapes.hooks import comment_event, delivery, full_delivery, hook, ping, run_event
from sandbox.github.shapes.issues import comment, event, issue, label
from sandbox.github.shapes.releases import (
    deployment,
    deployment_status,
    deployment_status_event,
    package_version,
)
from sandbox.github.shapes.repositories import (
    changed_file,
    commit,
    file_entry,
    full_pull,
    full_repository,
    permission_level,
    pull,
)

__all__ = [
    "artifact",
    "cache",
    "changed_file",
    "comment",
    "comment_event",
    "commit",
    "comparison",
    "delivery",
    "deployment",
    "deployment_status",
    "deployment_status_event",
    "event",
    "file_entry",
    "full_delivery",
    "full_pull",
    "full_repository",
    "full_user",
    "git_commit",
    "hook",
    "issue",
    "job",
    "label",
    "package_version",
    "permission_level",
    "ping",
    "pull",
    "ref",
    "repo_url",
    "run",
    "run_event",
    "tree",
    "user",
    "when",
    "workflow",
]
