"""Branches, protection, rules, commits, pull requests, files, accounts."""

import base64

import pytest

from tests.contracts.github.conftest import Api, GitHub


def test_a_branch_names_its_head_and_the_checks_it_requires(bot: Api) -> None:
    branch = bot.get("branches/main").json()
    assert branch["commit"]["commit"]["message"].startswith("Newest")
    assert branch["protected"] is True
    assert branch["protection"]["required_status_checks"]["contexts"] == ["lint", "test"]
    assert bot.get("branches/topic").json()["protected"] is False
    assert bot.get("branches/none").status_code == 404


def test_classic_protection_is_read_by_admins_and_404_where_there_is_none(github: GitHub, bot: Api) -> None:
    alice, target = github.as_user("alice"), "branches/{}/protection/required_status_checks"
    assert alice.get(target.format("main")).json()["contexts"] == ["lint", "test"]
    assert bot.get(target.format("main")).status_code == 404
    reply = alice.get(target.format("topic"))
    assert (reply.status_code, reply.json()["message"]) == (404, "Branch not protected")


def test_rules_of_rulesets_are_listed_even_for_a_branch_that_has_none(bot: Api) -> None:
    (rule,) = bot.get("rules/branches/main").json()
    assert rule["parameters"]["required_status_checks"] == [{"context": "scan"}]
    assert bot.get("rules/branches/none").json() == []


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        ("", ["Newest", "Middle", "Oldest"]),
        ("sha=topic", ["Topic"]),
        ("path=docs", ["Newest"]),
        ("since=2026-05-01T00:00:00Z", ["Newest", "Middle"]),
        ("until=2026-05-01T00:00:00Z", ["Oldest"]),
    ],
)
def test_commits_are_listed_newest_first(bot: Api, query: str, messages: list[str]) -> None:
    listed = [one["commit"]["message"].split("\n")[0] for one in bot.get(f"commits?{query}").json()]
    assert listed == messages


def test_commits_can_start_at_a_sha(bot: Api) -> None:
    sha = bot.get("commits?per_page=1&page=2").json()[0]["sha"]
    assert [one["commit"]["message"] for one in bot.get(f"commits?sha={sha}").json()] == ["Middle", "Oldest"]


def test_a_commit_is_named_by_sha_or_branch_and_lists_its_files(bot: Api) -> None:
    head = bot.get("commits/main").json()
    assert bot.get(f"commits/{head['sha'][:8]}").json() == head
    assert [one["filename"] for one in head["files"]] == ["docs/a.md"]
    assert bot.get("commits/0000000").status_code == 422


def test_pull_requests_of_a_commit_are_found(bot: Api) -> None:
    sha = bot.get("commits/topic").json()["sha"]
    assert [one["number"] for one in bot.get(f"commits/{sha}/pulls").json()] == [1]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [1]),
        ("state=closed", [2]),
        ("state=all", [2, 1]),
        ("head=acme:topic", [1]),
        ("head=acme:none", []),
        ("base=main", [1]),
        ("base=other", []),
    ],
)
def test_pull_requests_are_filtered_by_what_the_query_says(bot: Api, query: str, numbers: list[int]) -> None:
    assert [one["number"] for one in bot.get(f"pulls?{query}").json()] == numbers


def test_a_file_comes_as_base64_or_raw(bot: Api) -> None:
    body = bot.get("contents/CODEOWNERS").json()
    assert base64.b64decode(body["content"]) == b"* @alice\n"
    raw = bot.get("contents/CODEOWNERS", headers={"Accept": "application/vnd.github.raw+json"})
    assert raw.text == "* @alice\n"
    assert bot.get("contents/NONE").status_code == 404


def test_a_folder_lists_its_files_and_folders(bot: Api) -> None:
    assert [one["name"] for one in bot.get("contents/docs").json()] == ["a.md", "b.md"]
    kinds = {one["name"]: one["type"] for one in bot.get("contents/").json()}
    assert kinds == {"CODEOWNERS": "file", "docs": "dir", ".github": "dir"}
    assert [one["name"] for one in bot.get("contents/.github/workflows").json()] == [
        "ci-test.yml",
        "nightly.yml",
    ]


def test_accounts_can_be_looked_up(bot: Api) -> None:
    assert bot.get("/users/Alice").json()["login"] == "alice"


def test_the_pages_behind_html_urls_show_text_as_text(bot: Api) -> None:
    run = bot.failed_run()
    issue = bot.post("issues", json={"title": "<b>", "body": "<script>x</script>"}).json()
    shown = bot.get(issue["html_url"].removeprefix(bot.url)).text
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "failure" in bot.get(run["html_url"].removeprefix(bot.url)).text


def test_a_pull_request_tells_the_files_that_it_changes(bot: Api) -> None:
    number = next(one["number"] for one in bot.get("pulls").json() if one["head"]["ref"] == "topic")
    files = bot.get(f"pulls/{number}/files")
    assert files.status_code == 200
    assert [one["filename"] for one in files.json()] == ["src/y.py"]
    assert bot.get("pulls/9999/files").status_code == 404
