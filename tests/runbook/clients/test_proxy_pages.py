"""A page that is no answer of GitHub's, of a proxy that wants a sign-in, say, is an error that says so."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from runbook.clients.github_client import GitHubClient
from runbook.errors import Ambiguous, Permanent
from tests.runbook.clients.scripted import Said, Seen, scripted

REPO = "acme/app"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def behind_proxy() -> Iterator[GitHubClient]:
    """A client whose every call is answered by a proxy's page."""
    with (
        scripted(lambda _: Said(200, b"<html>Sign in</html>")) as server,
        GitHubClient(token=SecretStr("canary-token-0123456789"), api_url=server.url) as client,
    ):
        yield client


READS: dict[str, Callable[[GitHubClient], object]] = {
    "token": lambda github: github.token_facts(),
    "run": lambda github: github.get_run(REPO, 1),
    "page of runs": lambda github: github.read_runs_page(REPO, created_from=NOW, created_to=NOW, page=1),
    "listing": lambda github: github.list_workflows(REPO),
    "webhooks": lambda github: github.list_hooks(REPO),
    "deliveries": lambda github: github.list_deliveries(REPO, 1, since=NOW, limit=10),
    "issue": lambda github: github.get_issue(REPO, 1),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_a_read_says_that_no_json_came(
    behind_proxy: GitHubClient, read: Callable[[GitHubClient], object]
) -> None:
    with pytest.raises(Permanent, match=r"the answer is not JSON.*no proxy's page"):
        read(behind_proxy)


def test_a_write_that_is_answered_by_a_page_is_ambiguous(behind_proxy: GitHubClient) -> None:
    with pytest.raises(Ambiguous, match="the answer is not JSON"):
        behind_proxy.delete_caches_by_key(REPO, key="pip", ref="refs/heads/main")


def test_a_page_of_deliveries_may_be_empty_though_another_follows() -> None:
    delivery = {
        **{"id": 7, "guid": "g", "delivered_at": "2026-03-02T00:00:00Z", "redelivery": False},
        **{"status": "OK", "status_code": 200, "event": "workflow_run", "action": "completed"},
    }

    def answer(seen: Seen) -> Said:
        if "cursor" in seen.query:
            return Said(200, [delivery])
        return Said(200, [], {"Link": f'<{server.url}/next?cursor=c1>; rel="next"'})

    with (
        scripted(answer) as server,
        GitHubClient(token=SecretStr("canary-token-0123456789"), api_url=server.url) as client,
    ):
        (found,) = client.list_deliveries(REPO, 1, since=NOW, limit=10)
    assert found.id == 7
