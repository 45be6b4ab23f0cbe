"""The simulated year, a client that reads it, and a cache folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import sandbox
from runbook.backtest.facts import History
from runbook.backtest.reading import HistoryReader, Report
from runbook.backtest.store import Store
from runbook.clients.github_client import GitHubClient
from runbook.policy import Policy, load_policy
from runbook.triage.catalogue import catalogue_with
from sandbox.github import downloads
from tests.runbook.backtest import year

EXAMPLE = Path(__file__).resolve().parents[3] / "runbook.toml"


@pytest.fixture(scope="module")
def box() -> Iterator[sandbox.Box]:
    """Run the year's GitHub, of a repository that keeps its logs for 400 days."""
    clock = sandbox.VirtualClock(year.END)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "LOG_RETENTION", timedelta(days=400))
        with sandbox.running(year.scenario(), clock=clock) as running:
            year.add_attempts(running)
            yield running


@dataclass(frozen=True)
class Whole:
    """The whole year, read once."""

    history: History
    folder: Path
    requests: list[dict[str, Any]]

    @property
    def logs(self) -> list[str]:
        """The logs that were asked for."""
        return logs_in(self.requests)


def logs_in(requests: list[dict[str, Any]]) -> list[str]:
    """Return the paths of the logs that were asked for, sorted."""
    return sorted(one["path"] for one in requests if one["path"].endswith("/logs"))


@pytest.fixture(scope="module")
def whole(box: sandbox.Box, policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Read the year into a folder that no test changes."""
    folder = tmp_path_factory.mktemp("backtest") / "cache"
    box.server.requests.clear()
    with GitHubClient(token=SecretStr(box.token), api_url=box.url, clock=box.clock) as client:
        history = read_year(client, folder, policy)
    return Whole(history, folder, box.requests)


@pytest.fixture
def github(box: sandbox.Box) -> Iterator[GitHubClient]:
    box.server.requests.clear()
    with GitHubClient(token=SecretStr(box.token), api_url=box.url, clock=box.clock) as client:
        yield client


@pytest.fixture(scope="session")
def policy() -> Policy:
    """Return the example policy."""
    return load_policy(EXAMPLE)


def read_year(
    github: GitHubClient,
    folder: Path,
    policy: Policy,
    *,
    report: Report = lambda what, done, total: None,
    limit: int | None = None,
) -> History:
    """Read the year, or what a cache folder lacks of it."""
    reader = HistoryReader(
        github,
        Store(folder),
        policy=policy,
        repository=year.REPOSITORY,
        catalogue=catalogue_with(()),
        report=report,
    )
    return reader.read(since=year.start(), until=year.END, limit=limit)
