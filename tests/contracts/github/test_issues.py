"""Issues, comments, labels, timeline: what an approval by comment rests on."""

from typing import Any

import pytest

from tests.contracts.github.conftest import Api, GitHub


def open_issue(api: Api, **more: Any) -> dict[str, Any]:
    reply = api.post("issues", json={"title": "Main is red", "body": "See the run.", **more})
    assert reply.status_code == 201
    body: dict[str, Any] = reply.json()
    return body


def test_an_issue_is_opened_with_its_labels_and_can_be_read_back(bot: Api) -> None:
    issue = open_issue(bot, labels=["severity/P0", "new-one"], assignees=["alice"])
    assert bot.get(f"issues/{issue['number']}").json() == issue
    assert [one["name"] for one in issue["labels"]] == ["severity/P0", "new-one"]
    assert [one["login"] for one in issue["assignees"]] == ["alice"]
    assert bot.get("labels/new-one").json()["name"] == "new-one"
    assert (issue["user"]["login"], issue["state"], issue["number"]) == ("bot", "open", 4)


@pytest.mark.parametrize(
    "body", [{}, {"title": ""}, {"title": "   "}, {"title": "x", "body": "y" * 65537}, {"title": 3}]
)
def test_an_issue_without_a_title_or_with_too_long_a_body_is_422(bot: Api, body: dict[str, Any]) -> None:
    reply = bot.post("issues", json=body)
    assert (reply.status_code, reply.json()["message"]) == (422, "Validation Failed")
    assert reply.json()["errors"][0]["resource"] == "Issue"


def test_labels_of_somebody_without_triage_rights_are_dropped_without_a_word(github: GitHub) -> None:
    assert open_issue(github.as_user("rita"), labels=["bug"])["labels"] == []


def test_an_issue_is_closed_and_opened_again(github: GitHub, bot: Api) -> None:
    issue = open_issue(bot)
    github.wait(5)
    closed = bot.patch(f"issues/{issue['number']}", json={"state": "closed"}).json()
    assert (closed["state"], closed["state_reason"], closed["closed_by"]["login"]) == (
        "closed",
        "completed",
        "bot",
    )
    assert closed["closed_at"] > issue["created_at"]
    again = bot.patch(f"issues/{issue['number']}", json={"state": "open"}).json()
    assert (again["state"], again["closed_at"]) == ("open", None)


def test_an_update_replaces_all_labels_and_leaves_the_rest_alone(bot: Api) -> None:
    issue = open_issue(bot, labels=["bug"])
    changed = bot.patch(f"issues/{issue['number']}", json={"labels": ["severity/P0"]}).json()
    assert [one["name"] for one in changed["labels"]] == ["severity/P0"]
    assert (changed["title"], changed["body"]) == (issue["title"], issue["body"])


@pytest.mark.parametrize("change", [{"state": "gone"}, {"title": ""}, {"labels": "bug"}])
def test_an_update_that_cannot_be_used_is_422(bot: Api, change: dict[str, Any]) -> None:
    issue = open_issue(bot)
    assert bot.patch(f"issues/{issue['number']}", json=change).status_code == 422


def test_somebody_else_without_write_access_may_not_edit_an_issue(github: GitHub, bot: Api) -> None:
    issue = open_issue(bot)
    assert github.as_user("rita").patch(f"issues/{issue['number']}", json={"title": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", ["Two", "One"]),
        ("state=closed", ["Old trouble"]),
        ("state=all&direction=asc", ["Old trouble", "One", "Two"]),
        ("labels=bug", ["Two"]),
        ("labels=BUG,severity/p0", ["Two"]),
        ("labels=bug,none", []),
        ("creator=rita", ["One"]),
        ("state=all&since=2026-05-04T09:00:00Z", ["Two", "One"]),
        ("sort=updated", ["One", "Two"]),
    ],
)
def test_issues_are_filtered_by_what_the_query_says(
    github: GitHub, bot: Api, query: str, titles: list[str]
) -> None:
    one = open_issue(github.as_user("rita"), title="One")
    open_issue(bot, title="Two", labels=["bug", "severity/P0"])
    github.wait(60)
    bot.post(f"issues/{one['number']}/comments", json={"body": "x"})
    assert [issue["title"] for issue in bot.get(f"issues?{query}").json()] == titles


def comment(api: Api, issue: dict[str, Any], body: str = "/approve 0123456789abcdef") -> dict[str, Any]:
    reply = api.post(f"issues/{issue['number']}/comments", json={"body": body})
    assert reply.status_code == 201
    data: dict[str, Any] = reply.json()
    return data


def test_whoever_may_read_may_comment_and_is_named_as_the_author(github: GitHub, bot: Api) -> None:
    issue = open_issue(bot)
    written = comment(github.as_user("rita"), issue)
    assert (written["user"]["login"], written["performed_via_github_app"]) == ("rita", None)
    assert bot.get(f"issues/comments/{written['id']}").json() == written
    assert bot.get(f"issues/{issue['number']}").json()["comments"] == 1


def test_a_comment_that_an_app_makes_for_somebody_says_so(github: GitHub, bot: Api) -> None:
    written = comment(github.as_user("alice", app="chat-bridge"), open_issue(bot))
    assert written["user"]["login"] == "alice"
    assert written["performed_via_github_app"]["slug"] == "chat-bridge"


def test_an_edited_comment_shows_it_by_updated_at_only(github: GitHub, bot: Api) -> None:
    issue = open_issue(bot)
    written = comment(github.as_user("rita"), issue, "harmless")
    assert written["created_at"] == written["updated_at"]
    github.wait(5)
    edited = bot.patch(f"issues/comments/{written['id']}", json={"body": "/approve"}).json()
    assert (edited["body"], edited["user"]["login"]) == ("/approve", "rita")
    assert edited["updated_at"] > edited["created_at"] == written["created_at"]


def test_readers_may_edit_and_delete_their_own_comments_only(github: GitHub, bot: Api) -> None:
    rita, issue = github.as_user("rita"), open_issue(bot)
    own, foreign = comment(rita, issue), comment(bot, issue)
    assert rita.patch(f"issues/comments/{foreign['id']}", json={"body": "x"}).status_code == 403
    assert rita.delete(f"issues/comments/{foreign['id']}").status_code == 403
    assert rita.delete(f"issues/comments/{own['id']}").status_code == 204
    assert bot.get(f"issues/comments/{own['id']}").status_code == 404


def test_comments_come_oldest_first_with_rising_ids_and_since_looks_at_changes(
    github: GitHub, bot: Api
) -> None:
    issue = open_issue(bot)
    ids = [comment(bot, issue, f"number {number}")["id"] for number in range(3)]
    assert ids == sorted(ids)
    github.wait(60)
    changed = bot.patch(f"issues/comments/{ids[1]}", json={"body": "changed"}).json()
    target = f"issues/{issue['number']}/comments"
    assert [one["id"] for one in bot.get(target).json()] == ids
    assert [one["id"] for one in bot.get(f"{target}?since={changed['updated_at']}").json()] == [ids[1]]


@pytest.mark.parametrize("body", [{}, {"body": ""}, {"body": " "}, {"body": 5}])
def test_an_empty_comment_is_422(bot: Api, body: dict[str, Any]) -> None:
    assert bot.post(f"issues/{open_issue(bot)['number']}/comments", json=body).status_code == 422


def test_labels_are_added_and_removed_one_by_one(bot: Api) -> None:
    target = f"issues/{open_issue(bot, labels=['bug'])['number']}/labels"
    added = bot.post(target, json={"labels": ["severity/P0", "bug"]}).json()
    assert [one["name"] for one in added] == ["bug", "severity/P0"]
    assert [one["name"] for one in bot.delete(f"{target}/severity%2FP0").json()] == ["bug"]
    assert bot.delete(f"{target}/severity%2FP0").status_code == 404
    assert [one["name"] for one in bot.get(target).json()] == ["bug"]


def test_a_label_is_made_once(github: GitHub, bot: Api) -> None:
    label = {"name": "incident", "color": "b60205", "description": "Something is broken"}
    assert bot.post("labels", json=label).json()["color"] == "b60205"
    again = bot.post("labels", json={"name": "Incident"})
    assert (again.status_code, again.json()["errors"][0]["code"]) == (422, "already_exists")
    assert bot.get("labels/INCIDENT").status_code == 200
    assert {one["name"] for one in bot.get("labels").json()} == {"bug", "severity/P0", "incident"}
    assert github.as_user("rita").post("labels", json={"name": "x"}).status_code == 403


def test_assignees_who_cannot_see_the_repository_are_left_out(bot: Api) -> None:
    target = f"issues/{open_issue(bot)['number']}/assignees"
    body = bot.post(target, json={"assignees": ["bob", "stranger"]}).json()
    assert [one["login"] for one in body["assignees"]] == ["bob"]


def test_the_timeline_tells_who_did_what_in_order(github: GitHub, bot: Api) -> None:
    issue = open_issue(bot, labels=["bug"])
    target = f"issues/{issue['number']}"
    github.wait(1)
    comment(github.as_user("rita"), issue)
    github.wait(1)
    github.as_user("tina").delete(f"{target}/labels/bug")
    github.wait(1)
    bot.patch(target, json={"title": "Renamed", "state": "closed"})
    told = [(one["event"], one["actor"]["login"]) for one in bot.get(f"{target}/timeline").json()]
    assert told == [
        ("labeled", "bot"),
        ("commented", "rita"),
        ("unlabeled", "tina"),
        ("renamed", "bot"),
        ("closed", "bot"),
    ]
    events = bot.get(f"{target}/events").json()
    assert [one["event"] for one in events] == ["labeled", "unlabeled", "renamed", "closed"]
    assert events[0]["label"]["name"] == "bug"


def test_issues_and_pull_requests_share_their_numbers(bot: Api) -> None:
    pulls = {one["number"] for one in bot.get("pulls?state=all").json()}
    assert open_issue(bot)["number"] == max(pulls | {3}) + 1


@pytest.mark.parametrize("path", ["issues/99", "issues/99/comments", "issues/comments/1", "labels/none"])
def test_what_is_not_there_is_404(bot: Api, path: str) -> None:
    assert bot.get(path).status_code == 404
