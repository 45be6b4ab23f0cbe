"""The JSON that GitHub sends for each kind of thing; integration/github judges it."""

from sandbox.github.shapes.actions import artifact, cache, job, run, workflow
from sandbox.github.shapes.common import full_user, repo_url, user, when
from sandbox.github.shapes.hooks import comment_event, delivery, full_delivery, hook, ping, run_event
from sandbox.github.shapes.issues import comment, event, issue, label
from sandbox.github.shapes.repositories import changed_file, commit, full_repository, permission_level, pull

__all__ = [
    "artifact",
    "cache",
    "changed_file",
    "comment",
    "comment_event",
    "commit",
    "delivery",
    "event",
    "full_delivery",
    "full_repository",
    "full_user",
    "hook",
    "issue",
    "job",
    "label",
    "permission_level",
    "ping",
    "pull",
    "repo_url",
    "run",
    "run_event",
    "user",
    "when",
    "workflow",
]
