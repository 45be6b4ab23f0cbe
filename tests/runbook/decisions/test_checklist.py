"""The five questions of the triage checklist, each with its evidence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.checklist import (
    Answer,
    ChecklistAnswer,
    ChecklistFacts,
    FailingRun,
    Question,
    SimilarIncident,
    Suspect,
    answer_checklist,
)
from runbook.decisions.outage import OutsideReason
from runbook.decisions.severity import AffectedRef
from runbook.models import PullRequest
from runbook.policy import Triage

AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SHA = "a" * 40


def _facts(**changes: Any) -> ChecklistFacts:
    known: dict[str, Any] = {
        "ref": AffectedRef.DEFAULT_BRANCH,
        "ref_name": "main",
        "workflow_file": "ci-test.yml",
        "workflow_required": True,
        "head_sha": SHA,
        "failed_at": AT,
        "blocked_pull_requests": (),
        "earlier_incidents": (),
        "other_failures": (),
        "suspects": (),
    }
    return ChecklistFacts(**known | changes)


def _ask(question: Question, triage: Triage | None = None, **changes: Any) -> ChecklistAnswer:
    answers = answer_checklist(_facts(**changes), triage=triage or Triage())
    return next(answer for answer in answers if answer.question is question)


def _incident(**ago: float) -> SimilarIncident:
    return SimilarIncident(title="Cache broken", html_url="https://x/1", opened_at=AT - timedelta(**ago))


def _failure(workflow_file: str, *, minutes: float = 0, head_sha: str = SHA) -> FailingRun:
    return FailingRun(
        workflow_file=workflow_file,
        head_sha=head_sha,
        html_url="https://x/2",
        failed_at=AT + timedelta(minutes=minutes),
    )


def _suspect(number: int) -> Suspect:
    return Suspect(sha=f"{number:040x}", author="bob", title=f"Change {number}", html_url="https://x/3")


def test_the_questions_come_in_the_order_of_the_runbook() -> None:
    answers = answer_checklist(_facts(), triage=Triage())
    assert [answer.question for answer in answers] == ["IR-09", "IR-10", "IR-11", "IR-12", "IR-13"]
    assert all(answer.question.text.endswith("?") for answer in answers)


@pytest.mark.parametrize(
    ("ref", "required", "answer", "conclusion"),
    [
        (AffectedRef.DEFAULT_BRANCH, True, Answer.YES, "Highest urgency"),
        (AffectedRef.RELEASE, True, Answer.YES, "Highest urgency"),
        (AffectedRef.DEFAULT_BRANCH, False, Answer.YES, "stops neither"),
        (AffectedRef.PULL_REQUEST, True, Answer.NO, "Neither"),
        (AffectedRef.OTHER_BRANCH, True, Answer.NO, "Neither"),
        (AffectedRef.NOT_KNOWN, True, Answer.NOT_KNOWN, "names no branch"),
    ],
)
def test_default_branch_or_release(ref: AffectedRef, required: bool, answer: Answer, conclusion: str) -> None:
    told = _ask(Question.DEFAULT_BRANCH_OR_RELEASE, ref=ref, workflow_required=required)
    assert told.answer is answer
    assert conclusion in told.conclusion


def test_the_blocked_pull_requests_are_named_and_linked() -> None:
    pull = PullRequest(
        number=7,
        title="Add x",
        author="bob",
        head_sha=SHA,
        head_ref="x",
        base_ref="main",
        html_url="https://x/7",
    )
    told = _ask(Question.BLOCKS_PULL_REQUESTS, blocked_pull_requests=(pull,))
    assert (told.answer, told.conclusion) == (Answer.YES, "1 open pull request cannot be merged.")
    assert [(line.text, line.url) for line in told.evidence] == [("#7 Add x (bob)", "https://x/7")]
    assert _ask(Question.BLOCKS_PULL_REQUESTS).answer is Answer.NO


def test_only_incidents_within_the_policys_days_make_it_known() -> None:
    triage = Triage(similar_incidents_days=30)
    inside, outside = _incident(days=30), _incident(days=30, seconds=1)
    told = _ask(Question.KNOWN_ISSUE, triage, earlier_incidents=(inside, outside))
    assert (told.answer, len(told.evidence)) == (Answer.YES, 1)
    assert _ask(Question.KNOWN_ISSUE, triage, earlier_incidents=(outside,)).answer is Answer.NO


def test_an_old_incident_still_means_that_the_failure_is_not_new() -> None:
    told = _ask(Question.NEW_PATTERN, earlier_incidents=(_incident(days=200), _incident(days=400)))
    assert told.answer is Answer.NO
    assert [line.text for line in told.evidence] == ["Cache broken (2025-10-20)"]


def test_workflows_failing_together_on_different_commits_point_at_the_infrastructure() -> None:
    told = _ask(
        Question.SEVERAL_WORKFLOWS, other_failures=(_failure("ci-build-push.yml", head_sha="b" * 40),)
    )
    assert told.answer is Answer.YES
    assert told.conclusion.startswith("2 workflows fail on different commits")


def test_workflows_failing_together_on_one_commit_point_at_the_commit_first() -> None:
    told = _ask(Question.SEVERAL_WORKFLOWS, other_failures=(_failure("ci-build-push.yml"),))
    assert told.answer is Answer.YES
    assert "look at the commit before the infrastructure" in told.conclusion


def test_an_outside_reason_says_more_than_the_commit_that_they_share() -> None:
    told = _ask(
        Question.SEVERAL_WORKFLOWS,
        other_failures=(_failure("ci-build-push.yml"),),
        outside=OutsideReason.INFRASTRUCTURE,
    )
    assert told.conclusion.startswith("2 workflows fail, and the infrastructure outside")


def test_one_workflow_failing_on_another_commit_is_enough_to_look_outside() -> None:
    others = (_failure("ci-build-push.yml"), _failure("docs.yml", head_sha="b" * 40))
    assert "different commits" in _ask(Question.SEVERAL_WORKFLOWS, other_failures=others).conclusion


@pytest.mark.parametrize(
    "others",
    [
        (_failure("ci-test.yml"),),  # the same workflow
        (_failure("docs.yml", minutes=30.1),),
        (_failure("docs.yml", minutes=-30.1),),
    ],
)
def test_what_is_the_same_workflow_or_outside_the_window_is_not_an_outage(
    others: tuple[FailingRun, ...],
) -> None:
    told = _ask(Question.SEVERAL_WORKFLOWS, Triage(outage_window_minutes=30), other_failures=others)
    assert (told.answer, told.conclusion) == (Answer.NO, "No other within 30 minutes.")


def test_fewer_workflows_than_the_policy_asks_for_are_no_outage() -> None:
    others = (_failure("docs.yml"), _failure("docs.yml", minutes=5))
    told = _ask(Question.SEVERAL_WORKFLOWS, Triage(outage_workflows=3), other_failures=others)
    assert told.answer is Answer.NO
    assert told.conclusion.startswith("2 within 30 minutes; from 3 on")


def test_a_failure_never_seen_before_lists_its_suspects() -> None:
    told = _ask(Question.NEW_PATTERN, Triage(max_suspects=2), suspects=tuple(map(_suspect, range(1, 6))))
    assert told.answer is Answer.YES
    assert told.conclusion == "Find the root cause; 5 commits since the last green run, 3 not shown."
    assert [line.text for line in told.evidence] == [
        "000000000000 Change 1 (bob)",
        "000000000000 Change 2 (bob)",
    ]


def test_a_new_failure_without_a_new_commit_points_outside_the_code() -> None:
    assert "outside the code" in _ask(Question.NEW_PATTERN, suspects=()).conclusion
    assert "not known" in _ask(Question.NEW_PATTERN, suspects=None).conclusion


@pytest.mark.parametrize(
    ("question", "facts"),
    [
        (Question.BLOCKS_PULL_REQUESTS, "blocked_pull_requests"),
        (Question.KNOWN_ISSUE, "earlier_incidents"),
        (Question.SEVERAL_WORKFLOWS, "other_failures"),
        (Question.NEW_PATTERN, "earlier_incidents"),
    ],
)
def test_facts_that_could_not_be_read_are_never_a_no(question: Question, facts: str) -> None:
    told = _ask(question, **{facts: None})
    assert told.answer is Answer.NOT_KNOWN
    assert told.conclusion.startswith("Not known: ")


@given(minutes=st.lists(st.floats(-200, 200), max_size=8), window=st.floats(1, 120), needed=st.integers(2, 5))
def test_the_outage_answer_counts_distinct_workflows_in_the_window(
    minutes: list[float], window: float, needed: int
) -> None:
    others = tuple(_failure(f"w{index % 3}.yml", minutes=offset) for index, offset in enumerate(minutes))
    triage = Triage(outage_window_minutes=window, outage_workflows=needed)
    told = _ask(Question.SEVERAL_WORKFLOWS, triage, other_failures=others)
    reach = timedelta(minutes=window)
    inside = {run.workflow_file for run in others if -reach <= run.failed_at - AT <= reach}
    assert (told.answer is Answer.YES) == (1 + len(inside) >= needed)
