"""Triage on real, labelled logs, which are not part of the project: ``RUNBOOK_CORPUS`` names their folder."""

import os
from functools import cache
from pathlib import Path

import pytest

from benchmarks.triage_corpus import Judged, judge, ratios, reliability, report
from runbook.triage.classes import FailureClass

CORPUS = os.environ.get("RUNBOOK_CORPUS", "")

LEAST_PRECISION = 0.95
LEAST_RECALL = 0.85
LEAST_FIRST_CAUSES = 0.85
LEAST_CLAIMS = 5

pytestmark = pytest.mark.skipif(
    not CORPUS, reason="RUNBOOK_CORPUS is unset: it names a folder with logs/ and manifest.tsv"
)


@cache
def _judged() -> list[Judged]:
    return judge(Path(CORPUS))


def test_every_log_is_classified_and_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert _judged()
    with capsys.disabled():
        print()
        report(_judged(), verbose=False)


def test_classes_are_precise_and_most_failures_get_one() -> None:
    share = ratios(_judged())
    assert share["macro_precision"] >= LEAST_PRECISION
    assert share["macro_recall"] >= LEAST_RECALL


def test_the_first_cause_is_within_three_lines_of_the_label() -> None:
    assert ratios(_judged())["first_cause_near_the_label"] >= LEAST_FIRST_CAUSES


def test_no_tenth_of_confidence_promises_much_more_than_it_keeps() -> None:
    for row in reliability(_judged()):
        assert row.claims < LEAST_CLAIMS or row.hit_rate >= row.at_least - 0.1, row


def test_a_named_cause_is_a_line_of_its_log() -> None:
    for one in _judged():
        lines = (Path(CORPUS) / "logs" / f"{one.id}.log").read_bytes().count(b"\n") + 1
        for shown in one.found.evidence:
            assert 1 <= shown.line <= lines, one.id


def test_a_log_is_judged_the_same_each_time() -> None:
    assert [one.found for one in judge(Path(CORPUS))] == [one.found for one in _judged()]


def test_no_failure_is_seen_in_a_job_that_passed() -> None:
    claims = {
        one.id: one.found.failure_class
        for one in _judged()
        if one.label is FailureClass.PASSING and one.found.failure_class is not FailureClass.PASSING
    }
    assert claims == {}
