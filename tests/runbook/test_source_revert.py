"""What a rollback proposes for the source, on the stand-in; and that nobody's words in it take effect."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

import sandbox
from runbook.clients.github_client import GitHubClient
from runbook.decisions.source_revert import NoRevert, WhyNoRevert
from runbook.scrub import register_secret
from runbook.source_revert import propose_revert, revert_branch, revert_title

REPO = "acme/app"
HOSTILE = "Fix it [skip ci] @alice closes #12, GH-7 https://github.com/acme/app/issues/9 <!-- x -->"


def scenario(commits: list[dict[str, Any]]) -> dict[str, Any]:
    return {"users": {"bot": {}}, "repositories": {REPO: {"roles": {"bot": "write"}, "commits": commits}}}


BAD = {"id": "bad", "message": f"{HOSTILE}\n\nSecond", "ago": "1h", "files": ["app.py", {"added": "`x`.py"}]}
GOOD = {"id": "good", "message": "Good", "ago": "2d", "files": ["app.py"]}


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    with sandbox.running(scenario([BAD, GOOD])) as running:
        yield running


def propose(box: sandbox.Box, sha: str, **more: Any) -> Any:
    with GitHubClient(token=SecretStr(box.token), api_url=box.url) as github:
        return propose_revert(
            github, REPO, sha, base_branch="main", execution_id="0f3a9c1e-77aa", why="tts is down", **more
        )


def test_commit_and_pull_request_are_proposed_on_one_new_branch(box: sandbox.Box) -> None:
    bad, good = box.repository.commits
    commit, opened = propose(box, bad.sha, incident_url="https://github.com/acme/log/issues/3")
    assert commit.branch == opened.head == f"runbook/revert-{bad.sha[:7]}-0f3a9c1e"
    assert (commit.base_sha, commit.reverted_sha) == (bad.sha, bad.sha)
    assert [change.path for change in commit.changes] == ["`x`.py", "app.py"]
    assert (commit.may_be_refused(), opened.may_be_refused()) == (True, True)
    assert (opened.base, opened.title) == ("main", commit.message.split("\n")[0])
    assert f"This reverts commit {bad.sha}." in commit.message
    assert "Incident: https://github.com/acme/log/issues/3" in opened.body
    assert "\\`x\\`.py" in opened.body
    assert not any(entry["applied"] for entry in box.requests)
    assert good.tree is not None


def test_what_was_changed_since_is_said_instead() -> None:
    newer = {"id": "newer", "message": "Newer", "ago": "10m", "files": ["app.py"]}
    with sandbox.running(scenario([newer, BAD, GOOD])) as box:
        decision = propose(box, box.repository.commits[1].sha)
    assert decision == NoRevert(why=WhyNoRevert.CHANGED_SINCE, paths=("app.py",))


def test_the_first_commit_is_not_taken_back(box: sandbox.Box) -> None:
    assert propose(box, box.repository.commits[1].sha) == NoRevert(why=WhyNoRevert.FIRST_COMMIT)


def test_many_files_are_counted_not_named() -> None:
    bad = {**BAD, "files": [{"added": f"f{number:03}"} for number in range(80)]}
    with sandbox.running(scenario([bad, GOOD])) as box:
        commit, opened = propose(box, box.repository.commits[0].sha)
    assert len(commit.changes) == 80
    assert opened.body.endswith("- f049\n- and 30 more")


def test_nothing_in_a_title_takes_effect() -> None:
    register_secret("canary-in-a-commit")
    title = revert_title(f"{HOSTILE} canary-in-a-commit\x1b[31m\nSecond")
    assert title.startswith('Revert "Fix it ')
    for word in ("[skip ci]", "@alice", "#12", "GH-7", "://", "<!--", "canary", "\x1b", "\n"):
        assert word not in title, word


def test_a_long_title_is_cut() -> None:
    title = revert_title("x" * 500)
    assert len(title) <= 256
    assert title.endswith('…"')


def test_a_branchs_name_holds_nothing_but_what_a_ref_may() -> None:
    assert revert_branch("0123456789abcdef", "../../x y:z~^1-long") == "runbook/revert-0123456-xyz1long"
