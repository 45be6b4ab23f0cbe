"""The numbers of a backtest, counted from the replayed past: a pure function."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from runbook.backtest.facts import History
from runbook.backtest.judge import Judgement, Verdict
from runbook.backtest.replay import Replay, ReplayedFailure
from runbook.models import Frozen
from runbook.policy import Policy, Severity
from runbook.triage.classes import FailureClass


class Assumptions(Frozen):
    """What the hours saved rest on, because no history tells it.

    Args:
        minutes_by_hand: What a person needs to find out what broke a run.
        minutes_when_wrong: What a wrong class costs whoever believed it, beside what it did not save.
    """

    minutes_by_hand: float = Field(default=15.0, ge=0, allow_inf_nan=False)
    minutes_when_wrong: float = Field(default=10.0, ge=0, allow_inf_nan=False)


class Tally(Frozen):
    """How often something was said, and what the past says about it."""

    said: int
    right: int
    wrong: int
    unproven: int

    @classmethod
    def of(cls, judgements: Iterable[Judgement]) -> "Tally":
        """Count judgements."""
        counted = Counter(judgement.verdict for judgement in judgements)
        return cls(
            said=counted.total(),
            right=counted[Verdict.RIGHT],
            wrong=counted[Verdict.WRONG],
            unproven=counted[Verdict.UNPROVEN],
        )


class ClassRow(Frozen):
    """One class of failure.

    Args:
        failure_class: The class.
        attempts: Failed attempts of it.
        incidents: Incidents that began with it.
        classes: Whether the class was right.
        remedies: Whether what was proposed would have helped.
        automatic: How many of the proposals the policy lets act without a person.
    """

    failure_class: FailureClass
    attempts: int
    incidents: int
    classes: Tally
    remedies: Tally
    automatic: int


class RemedyRow(Frozen):
    """One remedy, or several in a row, as the scorecard names them."""

    name: str
    tally: Tally
    automatic: int


class Statement(StrEnum):
    """What of triage was wrong."""

    CLASS = "class"
    REMEDY = "remedy"


class Mistake(Frozen):
    """Something that triage would have said and that the past contradicts."""

    run_id: int
    run_attempt: int
    html_url: str
    workflow_file: str
    failed_at: datetime
    statement: Statement
    said: str
    reason: str


class BacktestReport(Frozen):
    """What the product would have done.

    Args:
        repository: owner/name.
        since: The earliest creation of a run that counts.
        until: When the past was read.
        attempts: Completed attempts that were looked at, green ones too.
        failed_attempts: Failed ones that a person must look into.
        triaged: Those that were triaged here.
        over_limit: Failed ones that were left out because of a limit.
        without_log: Failed ones of which nothing is left to triage.
        logs_read: Logs that were read.
        logs_gone: Logs that had expired or were deleted.
        incidents: Incidents that would have been opened.
        severities: Incidents by severity, most urgent first.
        outages: Incidents in which several workflows failed together for one outside reason.
        announced: Attempts whose class would have been announced.
        unknown: Attempts to which triage would have said *unknown*.
        classes: By class, the most frequent first.
        remedies: By remedy, the most frequent first.
        mistakes: What would have been wrong, in the order of the failures.
        hours_saved: Hours of people's work; negative where mistakes cost more.
        assumptions: What the hours rest on.
    """

    repository: str
    since: datetime
    until: datetime
    attempts: int
    failed_attempts: int
    triaged: int
    over_limit: int
    without_log: int
    logs_read: int
    logs_gone: int
    incidents: int
    severities: dict[Severity, int]
    outages: int
    announced: int
    unknown: int
    classes: tuple[ClassRow, ...]
    remedies: tuple[RemedyRow, ...]
    mistakes: tuple[Mistake, ...]
    hours_saved: float
    assumptions: Assumptions


def report_on(
    history: History, replayed: Replay, *, policy: Policy, assumptions: Assumptions
) -> BacktestReport:
    """Count.

    Args:
        history: What happened.
        replayed: What the product would have done.
        policy: The policy that it was replayed with.
        assumptions: What the hours are to rest on.
    """
    failures = replayed.failures
    severities = Counter(incident.severity for incident in replayed.incidents)
    unknown = sum(one.failure_class is FailureClass.UNKNOWN for one in failures)
    return BacktestReport(
        repository=history.repository,
        since=history.since,
        until=history.until,
        attempts=len(history.attempts),
        failed_attempts=history.failed_in_all,
        triaged=len(failures),
        over_limit=history.failed_in_all - len(history.failures),
        without_log=len(history.failures) - len(failures),
        logs_read=sum(facts.logs_read for facts in history.failures),
        logs_gone=sum(facts.logs_gone for facts in history.failures),
        incidents=len(replayed.incidents),
        severities={severity: severities[severity] for severity in Severity},
        outages=sum(
            incident.outside and len(incident.workflows) >= policy.triage.outage_workflows
            for incident in replayed.incidents
        ),
        announced=len(failures) - unknown,
        unknown=unknown,
        classes=_by_class(replayed),
        remedies=_by_remedy(failures),
        mistakes=tuple(mistake for one in failures for mistake in _mistakes(one)),
        hours_saved=_hours_saved(failures, assumptions),
        assumptions=assumptions,
    )


def _by_class(replayed: Replay) -> tuple[ClassRow, ...]:
    opened = Counter(incident.failure_class for incident in replayed.incidents)
    rows = []
    for failure_class in FailureClass:
        own = [one for one in replayed.failures if one.failure_class is failure_class]
        if own:
            rows.append(
                ClassRow(
                    failure_class=failure_class,
                    attempts=len(own),
                    incidents=opened[failure_class],
                    classes=Tally.of(one.class_judgement for one in own),
                    remedies=Tally.of(one.remedy_judgement for one in own if one.remedy_judgement),
                    automatic=sum(one.automatic for one in own),
                )
            )
    return tuple(sorted(rows, key=lambda row: -row.attempts))


def _by_remedy(failures: tuple[ReplayedFailure, ...]) -> tuple[RemedyRow, ...]:
    named = Counter("+".join(one.remedies) for one in failures if one.remedies)
    return tuple(
        RemedyRow(
            name=name,
            tally=Tally.of(
                one.remedy_judgement
                for one in failures
                if one.remedy_judgement and "+".join(one.remedies) == name
            ),
            automatic=sum(one.automatic for one in failures if "+".join(one.remedies) == name),
        )
        for name, _ in named.most_common()
    )


def _mistakes(one: ReplayedFailure) -> Iterable[Mistake]:
    run = one.facts.run
    for statement, said, judgement in (
        (Statement.CLASS, str(one.failure_class), one.class_judgement),
        (Statement.REMEDY, "+".join(one.remedies), one.remedy_judgement),
    ):
        if judgement is not None and judgement.verdict is Verdict.WRONG:
            yield Mistake(
                run_id=run.id,
                run_attempt=run.run_attempt,
                html_url=run.html_url,
                workflow_file=run.workflow_file,
                failed_at=run.updated_at,
                statement=statement,
                said=said,
                reason=judgement.reason,
            )


def _hours_saved(failures: tuple[ReplayedFailure, ...], assumptions: Assumptions) -> float:
    announced = [one for one in failures if one.failure_class is not FailureClass.UNKNOWN]
    wrong = sum(one.class_judgement.verdict is Verdict.WRONG for one in announced)
    minutes = (len(announced) - wrong) * assumptions.minutes_by_hand - wrong * assumptions.minutes_when_wrong
    return round(minutes / 60, 2)
