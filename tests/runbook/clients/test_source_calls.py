"""Commits, deployments, image versions and pull requests through the client, on the stand-in."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

import sandbox
from runbook.clients.github_client import GitHubClient
from runbook.errors import Conflict, Denied, NotFound, Permanent, UsageError
from runbook.source_facts import TreeChange
from tests.runbook.clients.scripted import Said, scripted

REPO = "acme/app"
DIGEST = "sha256:" + 64 * "a"
SCENARIO: dict[str, Any] = {
    "bot": "bot",
    "users": {"bot": {}, "alice": {}, "narrow": {"permissions": {"contents": "read"}}},
    "repositories": {
        REPO: {
            "roles": {"bot": "write", "alice": "admin", "narrow": "write"},
            "files": {"app.py": "print(1)\n"},
            "commits": [
                {
                    "id": "bad",
                    "message": "Bad",
                    "author": "alice",
                    "ago": "1h",
                    "files": ["app.py", {"renamed": ["a.py", "b.py"]}, {"removed": "old.py"}],
                },
                *(
                    {
                        "id": f"c{number}",
                        "message": f"C{number}",
                        "ago": f"{number + 2}h",
                        "files": ["app.py"],
                    }
                    for number in range(4)
                ),
            ],
            "images": [
                {"image": "acme/app", "tags": ["v2"], "ago": "1h"},
                {"image": "acme/app", "tags": ["v1"], "digest": DIGEST, "ago": "2d"},
                "alice/tool:v1",
            ],
            "deployments": [
                {"environment": "production", "commit": "c0", "ago": "2h", "statuses": ["success"]},
                {
                    "environment": "production",
                    "commit": "bad",
                    "ago": "1h",
                    "statuses": ["success", "failure"],
                },
                {"environment": "staging", "commit": "bad", "ago": "1h", "statuses": ["queued"]},
            ],
        }
    },
}


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    with sandbox.running(SCENARIO) as running:
        yield running


@pytest.fixture
def github(box: sandbox.Box) -> Iterator[GitHubClient]:
    with GitHubClient(token=SecretStr(box.token), api_url=box.url) as client:
        yield client


def test_a_commit_comes_with_its_parents_and_what_each_file_holds(github: GitHubClient) -> None:
    found = github.get_commit(REPO, "main")
    before, after = (
        github.tree(REPO, github.get_commit(REPO, found.parents[0]).tree),
        github.tree(REPO, found.tree),
    )
    assert (found.commit.message, found.whole, len(found.parents)) == ("Bad", True, 1)
    assert [(one.path, one.status, one.previous_path) for one in found.files] == [
        ("app.py", "modified", None),
        ("b.py", "renamed", "a.py"),
        ("old.py", "removed", None),
    ]
    assert found.files[0].blob == after["app.py"].blob
    assert found.files[2].blob == before["old.py"].blob
    assert before["a.py"] == after["b.py"]
    with pytest.raises(Conflict):
        github.get_commit(REPO, "0000000")


@pytest.mark.parametrize(("limit", "messages"), [(250, ["C1", "C0", "Bad"]), (2, ["C1", "C0"])])
def test_a_comparison_holds_no_more_commits_than_asked_for(
    github: GitHubClient, limit: int, messages: list[str]
) -> None:
    base = github.list_commits(REPO, branch="main")[3].sha
    found = github.compare(REPO, base, "main", limit=limit)
    assert (found.status, found.ahead_by, found.behind_by, found.merge_base) == ("ahead", 3, 0, base)
    assert [one.message for one in found.commits] == messages
    assert {one.path for one in found.files} == {"app.py", "a.py", "b.py", "old.py"}


def test_a_comparison_of_many_commits_is_read_from_all_pages() -> None:
    commits = [{"id": f"c{number}", "ago": f"{number + 1}m"} for number in range(230)]
    scenario = {**SCENARIO, "repositories": {REPO: {"roles": {"bot": "write"}, "commits": commits}}}
    with sandbox.running(scenario) as box:
        github = GitHubClient(token=SecretStr(box.token), api_url=box.url)
        base = box.repository.commits[-1].sha
        found = github.compare(REPO, base, "main")
        assert [one.sha for one in found.commits] == [
            one.sha for one in reversed(box.repository.commits[:-1])
        ]
        assert len(github.compare(REPO, base, "main", limit=150).commits) == 150
        github.close()


def test_a_tree_that_github_cuts_off_is_refused() -> None:
    answer = {"sha": "t", "tree": [], "truncated": True}
    with scripted(lambda seen: Said(200, answer)) as server:
        github = GitHubClient(token=SecretStr("a-token"), api_url=server.url)
        with pytest.raises(Permanent, match="larger than GitHub tells"):
            github.tree(REPO, "t")
        github.close()


def test_a_commit_is_put_on_a_new_branch_and_the_branch_is_deleted(github: GitHubClient) -> None:
    head = github.get_commit(REPO, "main")
    old = github.tree(REPO, github.get_commit(REPO, head.parents[0]).tree)
    changes = (TreeChange(path="app.py", entry=old["app.py"]), TreeChange(path="b.py", entry=None))
    tree = github.create_tree(REPO, base_tree=head.tree, changes=changes)
    sha = github.create_commit(REPO, message="Back", tree=tree, parent=head.commit.sha)
    assert github.branch_head(REPO, "runbook/back") is None
    github.create_branch(REPO, "runbook/back", sha=sha)
    assert github.branch_head(REPO, "runbook/back") == sha
    made = github.get_commit(REPO, sha)
    assert (made.parents, made.tree) == ((head.commit.sha,), tree)
    assert github.tree(REPO, tree) == {
        **{path: entry for path, entry in github.tree(REPO, head.tree).items() if path != "b.py"},
        "app.py": old["app.py"],
    }
    with pytest.raises(Conflict):
        github.create_branch(REPO, "runbook/back", sha=sha)
    github.delete_branch(REPO, "runbook/back")
    assert github.branch_head(REPO, "runbook/back") is None


def test_pull_requests_of_a_branch_are_found_closed_ones_too(github: GitHubClient) -> None:
    head = github.get_commit(REPO, "main")
    tree = github.create_tree(REPO, base_tree=head.tree, changes=(TreeChange(path="b.py", entry=None),))
    github.create_branch(
        REPO, "fix", sha=github.create_commit(REPO, message="F", tree=tree, parent=head.commit.sha)
    )
    opened = github.create_pull_request(REPO, head="fix", base="main", title="Fix", body="Why")
    assert (opened.author, opened.state, opened.merged, opened.body) == ("bot", "open", False, "Why")
    github.close_pull_request(REPO, opened.number)
    (found,) = github.pull_requests_from(REPO, branch="fix")
    assert found == github.get_pull_request(REPO, opened.number)
    assert (found.number, found.state) == (opened.number, "closed")
    assert github.pull_requests_from(REPO, branch="other") == ()
    with pytest.raises(Conflict):
        github.create_pull_request(REPO, head="none", base="main", title="T", body="")


def test_deployments_are_read_newest_first_and_no_more_than_asked_for(github: GitHubClient) -> None:
    production = github.deployments(REPO, environment="production", limit=10)
    assert [one.sha for one in production] == [
        github.get_commit(REPO, "main").commit.sha,
        github.list_commits(REPO, branch="main")[1].sha,
    ]
    assert github.deployments(REPO, environment="production", limit=1) == production[:1]
    assert len(github.deployments(REPO, sha=production[0].sha, limit=10)) == 2
    assert github.deployment(REPO, production[0].id) == production[0]
    said = github.deployment_statuses(REPO, production[0].id)
    assert [(one.state, one.failed) for one in said] == [("failure", True), ("success", False)]
    with pytest.raises(NotFound):
        github.deployment_statuses(REPO, 1)


def test_versions_of_an_organisations_image_and_of_an_accounts(github: GitHubClient) -> None:
    newest, older = github.container_versions("acme", "app", limit=10)
    assert (newest.tags, older.tags, older.digest) == (("v2",), ("v1",), DIGEST)
    assert github.container_versions("acme", "app", limit=1) == (newest,)
    assert [one.tags for one in github.container_versions("alice", "tool", limit=10)] == [("v1",)]


def test_whoever_may_not_read_packages_is_told_what_it_takes(box: sandbox.Box, github: GitHubClient) -> None:
    narrow = GitHubClient(token=SecretStr(box.token_of("narrow")), api_url=box.url)
    with narrow, pytest.raises(Denied) as denied:
        narrow.container_versions("acme", "app", limit=1)
    with pytest.raises(NotFound) as missing:
        github.container_versions("acme", "none", limit=1)
    for raised in (denied.value, missing.value):
        assert "read:packages" in raised.next_step


@pytest.mark.parametrize("image", ["", "..", "."])
def test_a_name_that_would_climb_in_the_path_is_refused(github: GitHubClient, image: str) -> None:
    with pytest.raises(UsageError, match="is no name"):
        github.container_versions("acme", image, limit=1)
