"""A simulated year with known truth gives exactly the known numbers; interrupted, it goes on where it was."""

import stat
from pathlib import Path

import pytest

import sandbox
from runbook.backtest.facts import History
from runbook.backtest.replay import replay
from runbook.backtest.report import (
    Assumptions,
    BacktestReport,
    ClassRow,
    RemedyRow,
    Statement,
    Tally,
    report_on,
)
from runbook.clients.github_client import GitHubClient
from runbook.policy import Policy, Severity
from runbook.triage.classes import FailureClass
from tests.runbook.backtest.conftest import Whole, logs_in, read_year
from tests.runbook.backtest.year import BUILD, TEST

NOTHING = Tally(said=0, right=0, wrong=0, unproven=0)


def _reported(history: History, policy: Policy) -> BacktestReport:
    return report_on(history, replay(history, policy=policy), policy=policy, assumptions=Assumptions())


def test_a_year_of_known_truth_gives_exactly_the_known_numbers(whole: Whole, policy: Policy) -> None:
    report = _reported(whole.history, policy)

    # 365 runs of tests, 183 of builds, one that was cancelled, 15 later attempts.
    assert report.attempts == 365 + 183 + 1 + (4 + 6 + 2 * 2 + 1)
    assert report.failed_attempts == 12 + 4 + 6 + 2 * 2 + 3 + 2 + 3 + 2
    assert (report.triaged, report.without_log, report.over_limit) == (33, 3, 0)
    assert (report.logs_read, report.logs_gone) == (33, 3)
    # An outage is one incident, so are three days of lint, and two attempts for the same reason.
    assert report.incidents == 12 + 4 + 6 + 2 + 1 + 1 + 2
    assert report.outages == 2
    assert report.severities == {Severity.P0: 28, Severity.P1: 0, Severity.P2: 0, Severity.P3: 0}
    assert (report.announced, report.unknown) == (31, 2)
    assert report.classes == (
        ClassRow(
            failure_class=FailureClass.TEST_FAILURE,
            attempts=16,
            incidents=16,
            classes=Tally(said=16, right=12, wrong=4, unproven=0),
            remedies=NOTHING,
            automatic=0,
        ),
        ClassRow(
            failure_class=FailureClass.CACHE_CORRUPTION,
            attempts=6,
            incidents=6,
            classes=Tally(said=6, right=0, wrong=0, unproven=6),
            remedies=Tally(said=6, right=6, wrong=0, unproven=0),
            automatic=0,
        ),
        ClassRow(
            failure_class=FailureClass.INFRASTRUCTURE,
            attempts=6,
            incidents=3,
            classes=Tally(said=6, right=4, wrong=1, unproven=1),
            remedies=Tally(said=6, right=4, wrong=1, unproven=1),
            automatic=0,
        ),
        ClassRow(
            failure_class=FailureClass.LINT_OR_FORMAT,
            attempts=3,
            incidents=1,
            classes=Tally(said=3, right=3, wrong=0, unproven=0),
            remedies=NOTHING,
            automatic=0,
        ),
        ClassRow(
            failure_class=FailureClass.UNKNOWN,
            attempts=2,
            incidents=2,
            classes=Tally(said=2, right=0, wrong=0, unproven=2),
            remedies=NOTHING,
            automatic=0,
        ),
    )
    assert report.remedies == (
        RemedyRow(
            name="clear_implicated_caches+rerun_failed_jobs",
            tally=Tally(said=6, right=6, wrong=0, unproven=0),
            automatic=0,
        ),
        RemedyRow(name="rerun_failed_jobs", tally=Tally(said=6, right=4, wrong=1, unproven=1), automatic=0),
    )
    # Four tests that passed when run again, and the runner that was blamed, with its re-run.
    assert [(one.statement, one.said) for one in report.mistakes] == [
        (Statement.CLASS, "test_failure"),
        (Statement.CLASS, "infrastructure"),
        (Statement.REMEDY, "rerun_failed_jobs"),
        *[(Statement.CLASS, "test_failure")] * 3,
    ]
    # 31 classes announced, 5 of them wrong: 26 times 15 minutes, less 5 times 10.
    assert report.hours_saved == round((26 * 15 - 5 * 10) / 60, 2)


def test_workflows_that_fail_together_are_one_incident(whole: Whole, policy: Policy) -> None:
    outages = [one for one in replay(whole.history, policy=policy).incidents if len(one.workflows) > 1]
    assert [one.workflows for one in outages] == [(BUILD, TEST)] * 2


def test_remedies_without_a_person_are_counted_within_the_caps(whole: Whole, policy: Policy) -> None:
    infrastructure = policy.remedies[FailureClass.INFRASTRUCTURE].model_copy(update={"automatic": True})
    rules = policy.model_copy(
        update={
            "remedies": {**policy.remedies, FailureClass.INFRASTRUCTURE: infrastructure},
            "caps": policy.caps.model_copy(update={"automatic_remedies_per_target_per_day": 1}),
        }
    )
    row = next(
        row
        for row in _reported(whole.history, rules).classes
        if row.failure_class is FailureClass.INFRASTRUCTURE
    )
    # Two outages of two workflows each; of the two attempts for a runner's sake the second is over the cap.
    assert (row.remedies.said, row.automatic) == (6, 5)


def test_an_interrupted_backtest_goes_on_and_asks_for_no_log_twice(
    whole: Whole, box: sandbox.Box, github: GitHubClient, tmp_path: Path, policy: Policy
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "failed attempts" and done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_year(github, tmp_path, policy, report=interrupt)
    assert 0 < len(logs_in(box.requests)) < len(whole.logs)
    assert read_year(github, tmp_path, policy) == whole.history
    assert logs_in(box.requests) == whole.logs, "each log was asked for once in both parts together"


def test_a_second_backtest_reads_nothing_again_but_by_etag(
    whole: Whole, box: sandbox.Box, github: GitHubClient, policy: Policy
) -> None:
    assert read_year(github, whole.folder, policy) == whole.history
    assert {one["status"] for one in box.requests} == {304}
    assert {one["path"] for one in box.requests} == {"/repos/acme/voice-agent/actions/runs"}


def test_a_limit_triages_the_newest_failures_only(
    whole: Whole, box: sandbox.Box, github: GitHubClient, tmp_path: Path, policy: Policy
) -> None:
    history = read_year(github, tmp_path, policy, limit=2)
    assert history.failures == whole.history.failures[-2:]
    assert history.attempts == whole.history.attempts, "what came later is known of all"
    assert len(logs_in(box.requests)) == 2
    assert _reported(history, policy).over_limit == history.failed_in_all - 2


def test_nobody_else_may_read_what_is_kept(whole: Whole) -> None:
    kept = [whole.folder, *whole.folder.rglob("*")]
    assert len(kept) > 100
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in kept)


def test_a_backtest_writes_nothing(whole: Whole) -> None:
    assert {one["method"] for one in whole.requests} == {"GET"}
    assert not any(one["applied"] for one in whole.requests)
