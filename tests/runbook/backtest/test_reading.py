"""More runs than GitHub lists, logs that are gone, files that are damaged."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

import sandbox
from runbook.backtest.reading import HistoryReader
from runbook.backtest.stopping import StoppableClock, Stopped
from runbook.backtest.store import FORMAT, Store, cache_folder
from runbook.clients.github_client import GitHubClient
from runbook.errors import UsageError
from runbook.models import Step
from runbook.policy import Policy
from runbook.triage.catalogue import Catalogue, catalogue_with
from tests.runbook.backtest import year

MANY = 1_350
SECOND = timedelta(seconds=1)


def _reader(client: GitHubClient, folder: Path, policy: Policy) -> HistoryReader:
    return HistoryReader(
        client,
        Store(folder),
        policy=policy,
        repository=year.REPOSITORY,
        catalogue=catalogue_with(()),
        report=lambda what, done, total: None,
    )


def test_more_runs_in_a_week_than_github_lists_are_all_found(tmp_path: Path, policy: Policy) -> None:
    scenario = year.scenario()
    content = scenario["repositories"][year.REPOSITORY]
    job = {"name": "job", "seconds": 1}
    content["runs"] = [
        {"workflow": year.TEST, "ago": "2h", "every": "60s", "count": MANY, "jobs": [job]},
    ]
    clock = sandbox.VirtualClock(year.END)
    with (
        sandbox.running(scenario, clock=clock) as box,
        GitHubClient(token=SecretStr(box.token), api_url=box.url, clock=clock) as client,
    ):
        found = _reader(client, tmp_path, policy).read(since=year.END - timedelta(days=3), until=year.END)
        asked = [one for one in box.requests if one["path"].endswith("/actions/runs")]
    assert len({run.id for run in found.attempts}) == MANY
    assert len(asked) < 40


def test_a_log_that_is_gone_is_counted_and_ends_nothing(
    github: GitHubClient, box: sandbox.Box, tmp_path: Path, policy: Policy
) -> None:
    box.fail("500_before", path_regex="/logs$", times=1)  # read again by the client
    found = _reader(github, tmp_path, policy).read(since=year.END - timedelta(days=120), until=year.END)
    assert sum(facts.logs_gone for facts in found.failures) == 1
    assert sum(not facts.readable for facts in found.failures) == 1


def test_a_passing_trouble_is_not_kept_as_what_happened(tmp_path: Path, policy: Policy) -> None:
    clock = sandbox.VirtualClock(year.END)
    with (
        sandbox.running(year.scenario(), clock=clock) as box,
        GitHubClient(token=SecretStr(box.token), api_url=box.url, clock=clock) as client,
    ):
        since = year.END - timedelta(days=60)
        box.fail("500_before", path_regex="/artifacts$", times=MANY)
        (troubled,) = _reader(client, tmp_path, policy).read(since=since, until=year.END, limit=1).failures
        assert troubled.incomplete
        assert any("could not be listed" in note for note in troubled.notes)
        box.server.faults.clear()
        (whole,) = _reader(client, tmp_path, policy).read(since=since, until=year.END, limit=1).failures
        assert not whole.incomplete
        assert whole.notes == ()
        box.server.requests.clear()
        assert _reader(client, tmp_path, policy).read(since=since, until=year.END, limit=1).failures == (
            whole,
        )
        assert not any(one["path"].endswith(("/logs", "/artifacts")) for one in box.requests), "kept now"


def test_every_reader_scans_with_the_one_catalogue_that_was_compiled(
    github: GitHubClient, tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = list(catalogue_with(()).databases)
    monkeypatch.setattr(Catalogue, "_compiled", lambda self, first: compiled.append(first))
    found = _reader(github, tmp_path, policy).read(since=year.END - timedelta(days=60), until=year.END)
    assert sum(facts.logs_read for facts in found.failures) > 1
    assert len(compiled) == 1


def test_an_interrupt_ends_the_waits_of_every_reader() -> None:
    clock = StoppableClock()
    with ThreadPoolExecutor(max_workers=2) as readers:
        waits = [readers.submit(clock.sleep, 3_600.0) for _ in range(2)]
        clock.stop()
        assert all(isinstance(wait.exception(timeout=10), Stopped) for wait in waits)
    with pytest.raises(Stopped):
        clock.sleep(0.0)


def test_a_damaged_file_is_read_again(
    github: GitHubClient, box: sandbox.Box, tmp_path: Path, policy: Policy
) -> None:
    since = year.END - timedelta(days=60)
    first = _reader(github, tmp_path, policy).read(since=since, until=year.END)
    damaged = sorted((tmp_path / "failures").iterdir())[0]
    damaged.write_text('{"reader": "')
    box.server.requests.clear()
    assert _reader(github, tmp_path, policy).read(since=since, until=year.END) == first
    assert sum(one["path"].endswith("/logs") for one in box.requests) == 1


def test_what_is_kept_holds_no_secret(tmp_path: Path) -> None:
    token = "ghp_" + "a" * 36
    kept = Store(tmp_path).put("one", Step(number=1, name=f"curl {token}", status="", conclusion=None))
    assert token not in kept.name
    assert token not in (tmp_path / "one.json").read_text()
    assert Store(tmp_path).get("one", Step) == kept


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be kept"):
        Store(tmp_path / "file" / "below").put("one", Step(number=1, name="", status="", conclusion=None))


@pytest.mark.parametrize(
    ("environment", "below"),
    [
        ({"RUNBOOK_CACHE": "/big"}, "/big/backtest"),
        ({"XDG_CACHE_HOME": "/cache", "HOME": "/home/a"}, "/cache/runbook/backtest"),
        ({"HOME": "/home/a"}, "/home/a/.cache/runbook/backtest"),
    ],
)
def test_each_repository_of_each_server_has_its_folder(environment: dict[str, str], below: str) -> None:
    folder = cache_folder(environment, api_url="http://127.0.0.1:8080", repository="Acme/App")
    assert folder == Path(below) / f"format-{FORMAT}" / "127.0.0.1_8080" / "acme" / "app"
