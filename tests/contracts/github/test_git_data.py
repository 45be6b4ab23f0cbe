"""Trees, commits and branches made by requests, and how commits compare."""

from typing import Any

import pytest

from tests.contracts.github.conftest import Api, GitHub

REPO = "/repos/acme/ship"
GIT = f"{REPO}/git"


def commits(bot: Api) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = bot.get(f"{REPO}/commits").json()
    return rows


def tree(bot: Api, ref: str) -> dict[str, str]:
    name = bot.get(f"{REPO}/commits/{ref}").json()["commit"]["tree"]["sha"]
    answer = bot.get(f"{GIT}/trees/{name}?recursive=1").json()
    assert answer["truncated"] is False
    return {entry["path"]: entry["sha"] for entry in answer["tree"]}


def new_commit(bot: Api, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Make a tree and a commit on top of main; return the commit."""
    head = bot.get(f"{REPO}/commits/main").json()
    made = bot.post(f"{GIT}/trees", json={"base_tree": head["commit"]["tree"]["sha"], "tree": entries})
    assert made.status_code == 201, made.text
    body = {"message": "New", "tree": made.json()["sha"], "parents": [head["sha"]]}
    commit = bot.post(f"{GIT}/commits", json=body)
    assert commit.status_code == 201, commit.text
    found: dict[str, Any] = commit.json()
    return found


def test_a_commit_says_how_each_file_changed_and_what_it_holds_now(bot: Api) -> None:
    newest = bot.get(f"{REPO}/commits/main").json()
    assert [(one["filename"], one["status"]) for one in newest["files"]] == [
        ("app.py", "modified"),
        ("new.py", "added"),
        ("old.py", "removed"),
        ("b.py", "renamed"),
    ]
    assert newest["files"][3]["previous_filename"] == "a.py"
    before, after = tree(bot, newest["parents"][0]["sha"]), tree(bot, "main")
    blobs = {one["filename"]: one["sha"] for one in newest["files"]}
    assert blobs == {
        **{path: after[path] for path in ("app.py", "new.py", "b.py")},
        "old.py": before["old.py"],
    }
    assert (after["b.py"], "a.py" in after, "old.py" in after) == (before["a.py"], False, False)
    assert before["app.py"] != after["app.py"]


def test_a_merge_has_two_parents(bot: Api) -> None:
    (merge,) = [one for one in commits(bot) if one["commit"]["message"] == "Merge topic"]
    assert len(merge["parents"]) == 2


def test_a_file_is_named_by_the_blob_that_its_tree_holds(bot: Api) -> None:
    assert bot.get(f"{REPO}/contents/app.py").json()["sha"] == tree(bot, "main")["app.py"]


def test_commits_between_two_are_listed_oldest_first_with_all_files(bot: Api) -> None:
    rows = commits(bot)
    found = bot.get(f"{REPO}/compare/{rows[2]['sha']}...main").json()
    assert (found["status"], found["ahead_by"], found["behind_by"]) == ("ahead", 2, 0)
    assert [one["commit"]["message"] for one in found["commits"]] == ["Good one", "Bad one"]
    assert {one["filename"] for one in found["files"]} == {"app.py", "new.py", "old.py", "a.py", "b.py"}
    second = bot.get(f"{REPO}/compare/{rows[2]['sha']}...main?per_page=1&page=2").json()
    assert ([one["commit"]["message"] for one in second["commits"]], second["files"]) == (["Bad one"], [])


def test_commits_compare_by_their_first_digits_too(bot: Api) -> None:
    rows = commits(bot)
    pair = f"{rows[1]['sha'][:7]}...{rows[0]['sha'][:12]}"
    assert bot.get(f"{REPO}/compare/{pair}").json()["ahead_by"] == 1


@pytest.mark.parametrize(
    ("pair", "status"), [("main...main", "identical"), ("main...topic%2Fone", "diverged")]
)
def test_branches_compare_by_their_newest_common_commit(bot: Api, pair: str, status: str) -> None:
    assert bot.get(f"{REPO}/compare/{pair}").json()["status"] == status


def test_the_older_of_two_is_behind(bot: Api) -> None:
    found = bot.get(f"{REPO}/compare/main...{commits(bot)[1]['sha']}").json()
    assert (found["status"], found["behind_by"], found["commits"]) == ("behind", 1, [])
    assert bot.get(f"{REPO}/compare/main...nowhere").status_code == 404


def test_a_commit_is_seen_once_a_branch_leads_to_it(bot: Api) -> None:
    old = tree(bot, commits(bot)[1]["sha"])
    commit = new_commit(
        bot,
        [
            {"path": "app.py", "mode": "100644", "type": "blob", "sha": old["app.py"]},
            {"path": "new.py", "mode": "100644", "type": "blob", "sha": None},
        ],
    )
    assert bot.get(f"{GIT}/commits/{commit['sha']}").json() == commit
    assert bot.get(f"{GIT}/ref/heads%2Frevert%2Fone").status_code == 404
    made = bot.post(f"{GIT}/refs", json={"ref": "refs/heads/revert/one", "sha": commit["sha"]})
    assert made.status_code == 201
    assert bot.get(f"{GIT}/ref/heads%2Frevert%2Fone").json() == made.json()
    after = tree(bot, "revert%2Fone")
    assert (after["app.py"], "new.py" in after) == (old["app.py"], False)
    listed = bot.get(f"{REPO}/commits?sha=revert/one").json()
    assert [one["commit"]["message"] for one in listed][:2] == ["New", "Bad one"]
    assert len(commits(bot)) == 4


def test_a_branch_is_made_once_and_deleted_once(bot: Api) -> None:
    body = {"ref": "refs/heads/mine", "sha": commits(bot)[0]["sha"]}
    assert bot.post(f"{GIT}/refs", json=body).status_code == 201
    assert bot.post(f"{GIT}/refs", json=body).status_code == 422
    assert bot.delete(f"{GIT}/refs/heads%2Fmine").status_code == 204
    assert bot.delete(f"{GIT}/refs/heads%2Fmine").status_code == 422
    assert bot.get(f"{GIT}/ref/heads%2Fmine").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("refs", {"ref": "mine", "sha": 40 * "a"}),
        ("refs", {"ref": "refs/heads/mine", "sha": 40 * "a"}),
        ("trees", {"tree": []}),
        ("trees", {"tree": [{"path": "a", "mode": "100644", "type": "blob", "sha": 40 * "a"}]}),
        (
            "trees",
            {"base_tree": "main", "tree": [{"path": "x", "mode": "100644", "type": "blob", "sha": None}]},
        ),
        ("trees", {"tree": [{"path": "a", "mode": "7", "type": "blob", "sha": 40 * "a"}]}),
        ("commits", {"message": "m", "tree": 40 * "a", "parents": []}),
        ("commits", {"tree": "main", "parents": []}),
    ],
)
def test_what_leads_nowhere_is_refused(bot: Api, path: str, body: dict[str, Any]) -> None:
    assert bot.post(f"{GIT}/{path}", json=body).status_code == 422


def test_only_who_may_write_contents_makes_objects(github: GitHub, bot: Api) -> None:
    head = commits(bot)[0]["sha"]
    for login in ("rita", "narrow"):
        reply = github.as_user(login).post(f"{GIT}/refs", json={"ref": "refs/heads/x", "sha": head})
        assert reply.status_code == 403


def opened(bot: Api) -> dict[str, Any]:
    commit = new_commit(bot, [{"path": "new.py", "mode": "100644", "type": "blob", "sha": None}])
    bot.post(f"{GIT}/refs", json={"ref": "refs/heads/fix", "sha": commit["sha"]})
    reply = bot.post(f"{REPO}/pulls", json={"title": "Fix", "head": "fix", "base": "main", "body": "Why"})
    assert reply.status_code == 201, reply.text
    pull: dict[str, Any] = reply.json()
    return pull


def test_a_pull_request_is_opened_once_per_branch_and_closed(bot: Api) -> None:
    pull = opened(bot)
    assert (pull["title"], pull["body"], pull["state"], pull["merged"]) == ("Fix", "Why", "open", False)
    again = bot.post(f"{REPO}/pulls", json={"title": "Fix", "head": "fix", "base": "main"})
    assert again.status_code == 422
    assert [one["number"] for one in bot.get(f"{REPO}/pulls?head=acme:fix").json()] == [pull["number"]]
    assert bot.patch(f"{REPO}/pulls/{pull['number']}", json={"state": "closed"}).json()["state"] == "closed"
    assert bot.get(f"{REPO}/pulls/{pull['number']}").json()["closed_at"] is not None


def test_a_pull_request_whose_branch_is_deleted_is_closed(bot: Api) -> None:
    pull = opened(bot)
    bot.delete(f"{GIT}/refs/heads%2Ffix")
    assert bot.get(f"{REPO}/pulls/{pull['number']}").json()["state"] == "closed"


@pytest.mark.parametrize("change", [{"head": "none"}, {"base": "none"}, {"head": "main"}, {"title": ""}])
def test_a_pull_request_needs_two_branches_that_differ(bot: Api, change: dict[str, str]) -> None:
    body = {"title": "T", "head": "topic/one", "base": "main", **change}
    assert bot.post(f"{REPO}/pulls", json=body).status_code == 422
    assert bot.get(f"{REPO}/pulls/99").status_code == 404
