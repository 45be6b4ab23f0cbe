"""A bad commit on the stand-in, and the effects that take it back."""

from typing import Any

import sandbox
from runbook.effects.pull_requests import CreateRevertCommit, OpenPullRequest
from runbook.source_facts import TreeChange, TreeEntry
from sandbox.github.records import Commit, sha_of
from sandbox.github.trees import tree_of

BRANCH = "runbook/revert-bad"
COMMITS: list[dict[str, Any]] = [
    {"id": "bad", "message": "Bad", "ago": "1h", "files": ["app.py", {"added": "new.py"}]},
    {"id": "good", "message": "Good", "ago": "2d", "files": ["app.py"]},
]


def revert_commit(box: sandbox.Box, *, beside: bool = False) -> CreateRevertCommit:
    """Return the effect that takes the newest commit back."""
    repository = box.repository
    bad, good = repository.commits[:2]
    mode, blob = tree_of(repository, good)["app.py"]
    return CreateRevertCommit(
        repository=repository.full_name,
        branch=BRANCH,
        base_branch="main",
        base_sha=bad.sha,
        changes=(
            TreeChange(path="app.py", entry=TreeEntry(mode=mode, blob=blob)),
            TreeChange(path="new.py", entry=None),
        ),
        message='Revert "Bad"',
        reverted_sha=bad.sha,
        beside=beside,
    )


def pull_request(box: sandbox.Box, *, beside: bool = False) -> OpenPullRequest:
    """Return the effect that opens the pull request for it."""
    return OpenPullRequest(
        repository=box.repository.full_name,
        head=BRANCH,
        base="main",
        title='Revert "Bad"',
        body="b",
        key="k",
        beside=beside,
    )


def with_its_branch(box: sandbox.Box) -> OpenPullRequest:
    """Return it, once somebody has made its branch."""
    push(box)
    return pull_request(box)


def push(box: sandbox.Box, message: str = "Pushed") -> str:
    """Put a commit of somebody's on the branch; return it."""
    repository = box.repository
    head = repository.head(BRANCH) or repository.commits[0]
    commit = Commit(
        sha=sha_of(message + head.sha),
        message=message,
        author="alice",
        at=box.clock.now(),
        branch="",
        files=["app.py"],
        parent=head.sha,
    )
    repository.objects[commit.sha] = commit
    repository.refs[BRANCH] = commit.sha
    return commit.sha
