"""The five questions of the runbook's triage checklist (IR-09 to IR-13), answered with evidence.

Evidence repeats names and titles from outside: whoever shows it neutralises it first.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from runbook.decisions.outage import OutsideReason
from runbook.decisions.severity import AffectedRef
from runbook.models import Frozen, PullRequest
from runbook.policy import Triage


class Question(StrEnum):
    """The checklist's questions, by their step in the runbook."""

    DEFAULT_BRANCH_OR_RELEASE = "IR-09"
    BLOCKS_PULL_REQUESTS = "IR-10"
    KNOWN_ISSUE = "IR-11"
    SEVERAL_WORKFLOWS = "IR-12"
    NEW_PATTERN = "IR-13"

    @property
    def text(self) -> str:
        """The question as people read it."""
        return _TEXTS[self]


_TEXTS = {
    Question.DEFAULT_BRANCH_OR_RELEASE: "Is the default branch or a release affected?",
    Question.BLOCKS_PULL_REQUESTS: "Does it block pull requests?",
    Question.KNOWN_ISSUE: "Has this happened lately?",
    Question.SEVERAL_WORKFLOWS: "Are several workflows failing?",
    Question.NEW_PATTERN: "Is it a failure never seen before?",
}


class Answer(StrEnum):
    """An answer; ``not_known`` says that the facts could not be read."""

    YES = "yes"
    NO = "no"
    NOT_KNOWN = "not_known"


class Evidence(Frozen):
    """One thing an answer rests on; ``text`` may come from outside."""

    text: str
    url: str = ""


class SimilarIncident(Frozen):
    """An earlier incident with the same fingerprint."""

    title: str
    html_url: str
    opened_at: datetime


class FailingRun(Frozen):
    """A failed run of another workflow of the repository."""

    workflow_file: str
    head_sha: str
    html_url: str
    failed_at: datetime


class Suspect(Frozen):
    """A commit made since the workflow was last green."""

    sha: str
    author: str
    title: str
    html_url: str


class ChecklistFacts(Frozen):
    """What the answers rest on; None stands for facts that could not be read.

    Args:
        ref: What the run was made for.
        ref_name: The branch or tag itself.
        workflow_file: The failed run's workflow.
        workflow_required: Whether its failure stops merges and releases.
        head_sha: The commit that failed.
        failed_at: When it failed, UTC-aware.
        blocked_pull_requests: Open pull requests that it keeps from being merged.
        earlier_incidents: Incidents with the same fingerprint, of any age.
        other_failures: Failed runs of the repository around that time, of any workflow.
        suspects: Commits since the last green run, newest first.
        outside: The failure's outside reason; None where it may as well be the repository's own.
    """

    ref: AffectedRef
    ref_name: str
    workflow_file: str
    workflow_required: bool
    head_sha: str
    failed_at: datetime
    blocked_pull_requests: tuple[PullRequest, ...] | None
    earlier_incidents: tuple[SimilarIncident, ...] | None
    other_failures: tuple[FailingRun, ...] | None
    suspects: tuple[Suspect, ...] | None
    outside: OutsideReason | None = None


class ChecklistAnswer(Frozen):
    """One question's answer, what follows from it, and what it rests on."""

    question: Question
    answer: Answer
    conclusion: str
    evidence: tuple[Evidence, ...] = ()


def answer_checklist(facts: ChecklistFacts, *, triage: Triage) -> tuple[ChecklistAnswer, ...]:
    """Answer the checklist's five questions, in the runbook's order.

    Args:
        facts: What was read about the run and its surroundings.
        triage: The policy's section: how far back and how wide to look.
    """
    return (
        _default_branch_or_release(facts),
        _blocks_pull_requests(facts),
        _known_issue(facts, triage=triage),
        _several_workflows(facts, triage=triage),
        _new_pattern(facts, triage=triage),
    )


def _default_branch_or_release(facts: ChecklistFacts) -> ChecklistAnswer:
    question = Question.DEFAULT_BRANCH_OR_RELEASE
    if facts.ref is AffectedRef.NOT_KNOWN:
        return _not_known(question, "the run names no branch")
    where = Evidence(text=f"{facts.workflow_file} ran for {facts.ref_name} ({facts.ref.replace('_', ' ')})")
    if facts.ref not in (AffectedRef.DEFAULT_BRANCH, AffectedRef.RELEASE):
        return _answer(
            question, Answer.NO, "Neither the default branch nor a release ref is affected.", [where]
        )
    if not facts.workflow_required:
        conclusion = "It is affected, but this workflow stops neither merges nor releases."
        return _answer(question, Answer.YES, conclusion, [where])
    return _answer(question, Answer.YES, "Highest urgency: everybody's next build starts from here.", [where])


def _blocks_pull_requests(facts: ChecklistFacts) -> ChecklistAnswer:
    question = Question.BLOCKS_PULL_REQUESTS
    if facts.blocked_pull_requests is None:
        return _not_known(question, "the open pull requests could not be read")
    if not facts.blocked_pull_requests:
        return _answer(question, Answer.NO, "No open pull request waits for it.")
    evidence = [
        Evidence(text=f"#{pull.number} {pull.title} ({pull.author})", url=pull.html_url)
        for pull in facts.blocked_pull_requests
    ]
    return _answer(
        question, Answer.YES, f"{_count(evidence, 'open pull request')} cannot be merged.", evidence
    )


def _known_issue(facts: ChecklistFacts, *, triage: Triage) -> ChecklistAnswer:
    question = Question.KNOWN_ISSUE
    if facts.earlier_incidents is None:
        return _not_known(question, "earlier incidents could not be read")
    oldest = facts.failed_at - timedelta(days=triage.similar_incidents_days)
    recent = [incident for incident in facts.earlier_incidents if incident.opened_at >= oldest]
    if not recent:
        return _answer(question, Answer.NO, f"Not in the last {triage.similar_incidents_days} days.")
    evidence = _incidents(recent)
    return _answer(
        question, Answer.YES, f"{_count(evidence, 'like incident')}: see what helped then.", evidence
    )


def _several_workflows(facts: ChecklistFacts, *, triage: Triage) -> ChecklistAnswer:
    question = Question.SEVERAL_WORKFLOWS
    if facts.other_failures is None:
        return _not_known(question, "the repository's other runs could not be read")
    window = timedelta(minutes=triage.outage_window_minutes)
    near = [
        run
        for run in facts.other_failures
        if run.workflow_file != facts.workflow_file and abs(run.failed_at - facts.failed_at) <= window
    ]
    evidence = [
        Evidence(text=f"{run.workflow_file} at {run.head_sha[:12]}", url=run.html_url) for run in near
    ]
    failing = 1 + len({run.workflow_file for run in near})
    if failing < triage.outage_workflows:
        conclusion = (
            f"No other within {triage.outage_window_minutes:g} minutes."
            if not near
            else (
                f"{failing} within {triage.outage_window_minutes:g} minutes; "
                f"from {triage.outage_workflows} on one outside cause is suspected."
            )
        )
        return _answer(question, Answer.NO, conclusion, evidence)
    if facts.outside is not None:
        conclusion = (
            f"{failing} workflows fail, and {facts.outside.text}: those that fail for it are one outage."
        )
    elif all(run.head_sha == facts.head_sha for run in near):
        conclusion = (
            f"{failing} workflows fail, all on one commit: look at the commit before the infrastructure."
        )
    else:
        conclusion = (
            f"{failing} workflows fail on different commits: look for one cause in the infrastructure."
        )
    return _answer(question, Answer.YES, conclusion, evidence)


def _new_pattern(facts: ChecklistFacts, *, triage: Triage) -> ChecklistAnswer:
    question = Question.NEW_PATTERN
    if facts.earlier_incidents is None:
        return _not_known(question, "earlier incidents could not be read")
    if facts.earlier_incidents:
        first = min(facts.earlier_incidents, key=lambda incident: incident.opened_at)
        return _answer(
            question, Answer.NO, "It has been seen before; its first incident:", _incidents([first])
        )
    if facts.suspects is None:
        return _answer(
            question, Answer.YES, "Find the root cause. The commits since the last green run are not known."
        )
    if not facts.suspects:
        conclusion = "Find the root cause outside the code: no commit was made since the last green run."
        return _answer(question, Answer.YES, conclusion)
    shown = facts.suspects[: triage.max_suspects]
    evidence = [
        Evidence(text=f"{commit.sha[:12]} {commit.title} ({commit.author})", url=commit.html_url)
        for commit in shown
    ]
    left_out = len(facts.suspects) - len(shown)
    conclusion = f"Find the root cause; {_count(facts.suspects, 'commit')} since the last green run"
    return _answer(
        question, Answer.YES, conclusion + (f", {left_out} not shown." if left_out else "."), evidence
    )


def _incidents(incidents: Iterable[SimilarIncident]) -> list[Evidence]:
    return [
        Evidence(text=f"{incident.title} ({incident.opened_at:%Y-%m-%d})", url=incident.html_url)
        for incident in incidents
    ]


def _count(things: Iterable[object], noun: str) -> str:
    number = len(list(things))
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _answer(
    question: Question, answer: Answer, conclusion: str, evidence: Iterable[Evidence] = ()
) -> ChecklistAnswer:
    return ChecklistAnswer(question=question, answer=answer, conclusion=conclusion, evidence=tuple(evidence))


def _not_known(question: Question, reason: str) -> ChecklistAnswer:
    return _answer(question, Answer.NOT_KNOWN, f"Not known: {reason}.")
