"""``runbook backtest`` as a command: what it prints, what it refuses, what it keeps."""

from collections.abc import Callable
from pathlib import Path

import pytest

import sandbox
from deployments.cli import INTERRUPTED, backtest_command
from runbook.backtest import reading
from tests.deployments.cli.alone import run_alone
from tests.deployments.cli.conftest import Ended

Backtest = Callable[..., Ended]


@pytest.fixture
def backtest(
    environment: pytest.MonkeyPatch, box: sandbox.Box, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Backtest:
    """Run it on the demo's repository, with a cache folder of its own."""
    environment.setenv("GITHUB_API_URL", box.url)
    environment.setenv("GITHUB_TOKEN", box.token)
    environment.setenv("RUNBOOK_CACHE", str(tmp_path / "cache"))

    def run(*words: str) -> Ended:
        return run_alone(backtest_command.app, capsys, words)

    return run


def test_it_says_what_would_have_been_done(backtest: Backtest) -> None:
    ended = backtest("--since", "30d")
    assert ended.status == 0, ended.err
    assert "cache corruption" in ended.out
    assert "clear implicated caches + rerun failed jobs" in ended.out
    assert "15 minutes for a triage by hand" in ended.out


def test_the_json_answer_stands_alone_on_standard_output(backtest: Backtest) -> None:
    answer = backtest("--since", "30d", "--json", "--minutes-by-hand", "60").json
    assert answer["repository"] == "acme/voice-agent"
    assert (answer["failed_attempts"], answer["incidents"]) == (1, 1)
    assert answer["severities"] == {"P0": 1, "P1": 0, "P2": 0, "P3": 0}
    assert answer["hours_saved"] == 1.0
    assert answer["classes"][0]["failure_class"] == "cache_corruption"


def test_it_writes_nothing_on_github_and_makes_no_ledger(
    backtest: Backtest, box: sandbox.Box, tmp_path: Path
) -> None:
    backtest()
    assert {one["method"] for one in box.requests} == {"GET"}
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize("span", ["90", "0d", "d", "-3d", "3 months", "1e3d"])
def test_a_span_that_is_none_is_refused_before_anything_is_asked(
    backtest: Backtest, box: sandbox.Box, span: str
) -> None:
    ended = backtest("--since", span)
    assert ended.status == 2
    assert "90d" in ended.err
    assert box.requests == []


def test_without_a_policy_a_named_repository_is_looked_at_all_the_same(
    backtest: Backtest, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.delenv("RUNBOOK_POLICY")
    (tmp_path / "runbook.toml").unlink()
    ended = backtest("--repo", "acme/voice-agent", "--json")
    assert ended.status == 0, ended.err
    assert "Without a policy" in ended.err
    assert ended.json["incidents"] == 1
    assert ended.json["remedies"] == []


def test_a_repository_that_the_policy_does_not_name_is_looked_at_all_the_same(backtest: Backtest) -> None:
    ended = backtest("--repo", "acme/incidents", "--json")
    assert ended.status == 0, ended.err
    assert "does not name" in ended.err
    assert ended.json["attempts"] == 0


def test_a_repository_that_cannot_be_seen_is_an_error(backtest: Backtest) -> None:
    assert backtest("--repo", "acme/none").status == 1
    assert backtest("--repo", "../etc").status == 2


def test_an_interrupted_backtest_says_where_it_goes_on(
    backtest: Backtest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reading.HistoryReader, "read", interrupted)
        ended = backtest()
    assert ended.status == INTERRUPTED
    assert "goes on from there" in ended.err
    assert str(tmp_path / "cache") in ended.err
