"""Reads that a backtest and a first policy need: pages by ETag, names of refs and secrets."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

import sandbox
from runbook.clients.github_client import GitHubClient
from runbook.errors import Denied, Permanent
from tests.runbook.clients.scripted import Said, Script, scripted

REPO = "acme/voice-agent"
FROM, TO = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 7, 23, 59, 59, tzinfo=UTC)


def _client(url: str) -> GitHubClient:
    return GitHubClient(token=SecretStr("a-token"), api_url=url)


def _says(**answer: object) -> Script:
    return lambda seen: Said(**answer)  # type: ignore[arg-type]


def test_a_page_of_runs_is_asked_for_by_window_and_answered_with_its_etag() -> None:
    headers = {"ETag": 'W/"1"', "Link": '<https://x/?page=2>; rel="next"'}
    body = {"total_count": 1_204, "workflow_runs": []}
    with scripted(_says(body=body, headers=headers)) as server, _client(server.url) as github:
        page = github.read_runs_page(REPO, created_from=FROM, created_to=TO, page=1)
    assert page is not None
    assert (page.total, page.more, page.etag) == (1_204, True, 'W/"1"')
    assert server.seen[0].query["created"] == "2026-03-01T00:00:00Z..2026-03-07T23:59:59Z"


def test_a_page_that_is_as_the_etag_says_is_none() -> None:
    with scripted(_says(status=304)) as server, _client(server.url) as github:
        assert github.read_runs_page(REPO, created_from=FROM, created_to=TO, page=1, etag='W/"1"') is None
    sent = {name.lower(): value for name, value in server.seen[0].headers.items()}
    assert sent["if-none-match"] == 'W/"1"'


@pytest.mark.parametrize("body", [None, [], {"workflow_runs": []}, {"total_count": 1, "workflow_runs": [{}]}])
def test_a_page_that_is_no_list_of_runs_is_an_error(body: object) -> None:
    with (
        scripted(_says(body=body)) as server,
        _client(server.url) as github,
        pytest.raises(Permanent),
    ):
        github.read_runs_page(REPO, created_from=FROM, created_to=TO, page=1)


def test_the_second_reading_of_a_page_costs_nothing_of_the_stand_ins_budget() -> None:
    with sandbox.running() as box, GitHubClient(token=SecretStr(box.token), api_url=box.url) as github:
        now = datetime.now(UTC)
        since = now - timedelta(days=365)
        page = github.read_runs_page(REPO, created_from=since, created_to=now, page=1)
        assert page is not None
        assert page.total == len(page.runs) > 0
        again = github.read_runs_page(REPO, created_from=since, created_to=now, page=1, etag=page.etag)
        assert again is None


def test_refs_are_listed_by_name_up_to_a_limit() -> None:
    body = [{"name": "main"}, {"name": "release/1"}, {"name": "topic"}]
    with scripted(_says(body=body)) as server, _client(server.url) as github:
        assert github.list_ref_names(REPO, "branches", limit=2) == ("main", "release/1")
    assert server.seen[0].path.endswith(f"/repos/{REPO}/branches")


def test_secrets_are_listed_by_name() -> None:
    body = {"total_count": 1, "secrets": [{"name": "GHCR_TOKEN", "created_at": "", "updated_at": ""}]}
    with scripted(_says(body=body)) as server, _client(server.url) as github:
        assert github.list_secret_names(REPO) == ("GHCR_TOKEN",)


def test_secrets_that_may_not_be_listed_are_denied() -> None:
    with (
        scripted(_says(status=403, body={"message": "Resource not accessible"})) as server,
        _client(server.url) as github,
        pytest.raises(Denied),
    ):
        github.list_secret_names(REPO)


GREEN = [{"name": "test", "conclusion": "success"}]
RED = [{"name": "test", "conclusion": "failure"}]


def _forked(*runs: dict[str, Any]) -> dict[str, Any]:
    """Return a scenario with these runs of one workflow."""
    return {
        "bot": "bot",
        "users": {"bot": {}, "mallory": {}, "eve": {}},
        "repositories": {
            REPO: {
                "roles": {"bot": "write"},
                "commits": [{"id": "one", "message": "One", "author": "bot", "branch": "main", "ago": "9d"}],
                "workflows": [{"file": "ci.yml", "name": "CI"}],
                "runs": [{"workflow": "ci.yml", "branch": "main", **run} for run in runs],
            }
        },
    }


def _fork(whose: str, ago: str, **more: Any) -> dict[str, Any]:
    return {"event": "pull_request", "actor": whose, "fork": whose, "ago": ago, "jobs": GREEN, **more}


@pytest.mark.parametrize(
    ("others", "ago"),
    [
        ([{"ago": "5h", "jobs": GREEN}, _fork("mallory", "2h")], timedelta(hours=5)),
        ([{"ago": "9h", "jobs": GREEN}, _fork("mallory", "2h", count=60, every="1m")], timedelta(hours=9)),
        ([_fork("mallory", "2h")], None),
        ([{"ago": "5h", "jobs": GREEN}, {"ago": "2h", "jobs": GREEN}], timedelta(hours=2)),
    ],
)
def test_a_branchs_last_green_run_is_none_of_a_fork_whose_branch_is_called_alike(
    others: list[dict[str, Any]], ago: timedelta | None
) -> None:
    """Else a stranger's pull request from its own main says what of ours was green."""
    red = {"ago": "1h", "jobs": RED}
    with (
        sandbox.running(_forked(red, *others)) as box,
        GitHubClient(token=SecretStr(box.token), api_url=box.url) as github,
    ):
        failed = next(run for run in github.list_runs(REPO, status="failure", limit=5) if not run.from_fork)
        green = github.green_run_before(failed)
        assert green is None if ago is None else green is not None
        if green is not None and ago is not None:
            assert not green.from_fork
            assert failed.created_at - green.created_at == ago - timedelta(hours=1)


def test_a_forks_last_green_run_is_its_own() -> None:
    scenario = _forked(
        _fork("eve", "1h", jobs=RED), _fork("mallory", "2h"), {"ago": "3h", "jobs": GREEN}, _fork("eve", "4h")
    )
    with (
        sandbox.running(scenario) as box,
        GitHubClient(token=SecretStr(box.token), api_url=box.url) as github,
    ):
        (failed,) = github.list_runs(REPO, status="failure", limit=5)
        green = github.green_run_before(failed)
    assert green is not None
    assert (green.actor, green.from_fork) == ("eve", True)
