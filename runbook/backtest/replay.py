"""What the product would have done, failure by failure, with the code that does it: a pure function of the history.

What the past does not tell is taken for granted, and said in docs/backtest.md: an incident ends when every workflow
that belongs to it is green again on its branch, as somebody would have closed it then; a cache that a log names as
restored existed; nobody threw the kill switch.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from runbook.backtest.facts import FailureFacts, History
from runbook.backtest.judge import Judgement, Outcome, Past, judge_class, judge_remedy, outcome_of
from runbook.decisions.automatic import (
    AutomaticFacts,
    SwitchDecision,
    decide_automatic,
    remedied_targets,
)
from runbook.decisions.cache_selection import CacheSelection, ChosenCache
from runbook.decisions.outage import (
    OpenIncident,
    Together,
    alone,
    decide_outage,
    outage_fingerprint,
    outside_reason,
)
from runbook.decisions.remedy import RemedyDecision, RemedyFacts, decide_remedy, remedy_effects
from runbook.decisions.severity import AffectedRef, affected_ref, decide_severity
from runbook.failed_run import incident_fingerprint, incident_scope, severity_facts
from runbook.models import ActionsCache, Frozen, WorkflowRun
from runbook.policy import Policy, Remedy, RemedyPolicy, RepositoryPolicy, Severity, WorkflowKind
from runbook.triage.classes import FailureClass

_DAY = timedelta(days=1)
_SWITCH = SwitchDecision(stopped=False, reason="the past does not tell when anybody threw it")


class ReplayedFailure(Frozen):
    """What would have followed a failed attempt.

    Args:
        facts: The attempt.
        incident: Number of the incident that it opens or joins, from 1.
        severity: How urgent triage would have called it.
        remedies: What it would have proposed, in order.
        why: Why that, or why nothing.
        automatic: Whether the policy lets it act without a person.
        outcome: What happened later.
        class_judgement: Whether the class was right.
        remedy_judgement: Whether the remedy would have been; None without one.
    """

    facts: FailureFacts
    incident: int
    severity: Severity
    remedies: tuple[Remedy, ...]
    why: str
    automatic: bool
    outcome: Outcome
    class_judgement: Judgement
    remedy_judgement: Judgement | None

    @property
    def failure_class(self) -> FailureClass:
        """The class that would have been announced."""
        return self.facts.classification.failure_class


class ReplayedIncident(Frozen):
    """One incident that would have been opened.

    Args:
        number: From 1, in the order of opening.
        fingerprint: What makes failures the same.
        failure_class: The class of its first failure.
        severity: The severity of its first failure.
        opened_at: When the first attempt ended.
        over_at: When everything in it was green again; None where it never was.
        attempts: The failed attempts in it.
        workflows: The workflow files that they are of, sorted.
        outside: Whether its reason is outside the repository.
    """

    number: int
    fingerprint: str
    failure_class: FailureClass
    severity: Severity
    opened_at: datetime
    over_at: datetime | None
    attempts: tuple[WorkflowRun, ...]
    workflows: tuple[str, ...]
    outside: bool


class Replay(Frozen):
    """The whole past as the product would have dealt with it."""

    failures: tuple[ReplayedFailure, ...]
    incidents: tuple[ReplayedIncident, ...]


def replay(history: History, *, policy: Policy) -> Replay:
    """Go through the past in its own order.

    Args:
        history: What happened; failures of which no log is left are passed over.
        policy: The policy that would have been in force; it names the repository.
    """
    return _Replaying(history, policy).run()


class _Open:
    """An incident while it grows."""

    def __init__(
        self, number: int, fingerprint: str, scope: str, failed: FailureFacts, severity: Severity
    ) -> None:
        self.number, self.fingerprint, self.scope, self.severity = number, fingerprint, scope, severity
        self.failure_class = failed.classification.failure_class
        self.attempts: list[WorkflowRun] = []
        self.green_at: list[datetime | None] = []
        self.together: Together | None = None

    def is_open(self, now: datetime) -> bool:
        return self.over_at is None or self.over_at > now

    def add(self, run: WorkflowRun, severity: Severity, outcome: Outcome, outside: Together | None) -> None:
        self.severity = min(self.severity, severity)
        self.attempts.append(run)
        self.green_at.append(outcome.green_at)
        if outside is not None:
            self.together = outside if self.together is None else self.together.with_also(outside)

    @property
    def over_at(self) -> datetime | None:
        known = [at for at in self.green_at if at is not None]
        return max(known) if len(known) == len(self.green_at) else None

    def frozen(self) -> ReplayedIncident:
        return ReplayedIncident(
            number=self.number,
            fingerprint=self.fingerprint,
            failure_class=self.failure_class,
            severity=self.severity,
            opened_at=self.attempts[0].updated_at,
            over_at=self.over_at,
            attempts=tuple(self.attempts),
            workflows=tuple(sorted({run.workflow_file for run in self.attempts})),
            outside=self.together is not None,
        )


class _Replaying:
    def __init__(self, history: History, policy: Policy) -> None:
        self._history = history
        self._policy = policy
        self._repository: RepositoryPolicy = policy.repository(history.repository)
        self._past = Past(history.attempts)
        self._incidents: list[_Open] = []
        self._reruns: dict[str, list[datetime]] = defaultdict(list)
        self._automatic: dict[str, list[datetime]] = defaultdict(list)

    def run(self) -> Replay:
        readable = [facts for facts in self._history.failures if facts.readable]
        failures = tuple(self._one(facts) for facts in readable)
        return Replay(failures=failures, incidents=tuple(one.frozen() for one in self._incidents))

    def _one(self, facts: FailureFacts) -> ReplayedFailure:
        outcome = outcome_of(facts.run, self._past)
        severity = self._severity(facts)
        incident = self._join(facts, severity, outcome)
        decision, automatic = self._remedy(facts)
        remedies = decision.remedies
        return ReplayedFailure(
            facts=facts,
            incident=incident.number,
            severity=severity,
            remedies=remedies,
            why=decision.reason,
            automatic=automatic,
            outcome=outcome,
            class_judgement=judge_class(facts.classification.failure_class, outcome),
            remedy_judgement=judge_remedy(remedies, outcome) if remedies else None,
        )

    def _severity(self, facts: FailureFacts) -> Severity:
        decided = decide_severity(
            severity_facts(
                facts.run,
                self._repository,
                facts.classification.failure_class,
                blocked_pull_requests=facts.pull_requests,  # none off pull requests
                passed_on_retry=False,  # nobody knew it then
            ),
            policy=self._policy,
        )
        return decided.severity or Severity.P3

    def _join(self, facts: FailureFacts, severity: Severity, outcome: Outcome) -> _Open:
        """Give a failure its incident in the engine's order: the same outage, the same failure, or a new one."""
        run = facts.run
        fingerprint = incident_fingerprint(run, facts.classification)
        outside = None
        reason = outside_reason(facts.classification.failure_class)
        scope = incident_scope(run, self._repository)
        if reason is not None:
            fingerprint = outage_fingerprint(reason, fingerprint)
            if not run.from_fork:
                outside = alone(reason, workflow_file=run.workflow_file, failed_at=run.updated_at)
        still_open = [one for one in self._incidents if one.is_open(run.updated_at)]
        incident = self._outage(outside, still_open) or self._outage(outside, self._lately(run.updated_at))
        if incident is None:
            same = (fingerprint, scope)
            incident = next((one for one in still_open if (one.fingerprint, one.scope) == same), None)
        if incident is None:
            incident = _Open(len(self._incidents) + 1, fingerprint, scope, facts, severity)
            self._incidents.append(incident)
        incident.add(run, severity, outcome, outside)
        return incident

    def _lately(self, now: datetime) -> list[_Open]:
        """Return the incidents that ended within the window: an outage goes on in its incident."""
        since = now - timedelta(minutes=self._policy.triage.outage_window_minutes)
        return [one for one in self._incidents if one.over_at is not None and since <= one.over_at <= now]

    def _outage(self, outside: Together | None, incidents: list[_Open]) -> _Open | None:
        if outside is None:
            return None
        known = [
            OpenIncident(id=one.number, together=one.together)
            for one in incidents
            if one.together is not None
        ]
        window = self._policy.triage.outage_window_minutes
        joins = decide_outage(outside, known, window_minutes=window).joins
        return next((one for one in incidents if one.number == joins), None)

    def _remedy(self, facts: FailureFacts) -> tuple[RemedyDecision, bool]:
        """Return what is proposed, and whether it needs no person."""
        run, found = facts.run, facts.classification
        limited = found.failure_class is FailureClass.RATE_LIMIT
        remedy = self._policy.remedy(found.failure_class)
        known = RemedyFacts(
            run=run,
            failure_class=found.failure_class,
            cache_keys=found.cache_keys,
            caches=_named_caches(run, found.cache_keys),
            reruns_of_run=run.run_attempt - 1,
            reruns_today=_within_a_day(self._reruns[run.workflow_file], run.updated_at),
            limit_ends_at=found.rate_limit_reset_at if limited else None,
        )
        decision = decide_remedy(known, proposed=remedy.propose, caps=self._policy.caps)
        if Remedy.RERUN_FAILED_JOBS in decision.remedies:
            self._reruns[run.workflow_file].append(run.updated_at)
        return decision, bool(decision.remedies) and self._is_automatic(known, decision, remedy)

    def _is_automatic(self, known: RemedyFacts, decision: RemedyDecision, remedy: RemedyPolicy) -> bool:
        now = known.run.updated_at
        effects = remedy_effects(known, decision)
        targets = remedied_targets(effects)
        decided = decide_automatic(
            AutomaticFacts(
                by_triage=True,
                turned_down=False,  # nobody was asked
                from_pull_request=affected_ref(known.run, self._repository) is AffectedRef.PULL_REQUEST,
                deploys=self._repository.workflow(known.run.path).kind is WorkflowKind.DEPLOY,
                reset_known=known.limit_ends_at is not None,
                used_today={target: _within_a_day(self._automatic[target], now) for target in targets},
            ),
            effects,
            remedy=remedy,
            caps=self._policy.caps,
            read_switch=lambda: _SWITCH,
        )
        if decided.automatic:
            for target in targets:
                self._automatic[target].append(now)
        return decided.automatic


def _within_a_day(times: list[datetime], now: datetime) -> int:
    return sum(now - _DAY <= at for at in times)


def _named_caches(run: WorkflowRun, keys: tuple[str, ...]) -> CacheSelection:
    """Return the caches that a log names, as if they stood there: no listing of the past exists."""
    chosen = tuple(
        ChosenCache(
            cache=ActionsCache(
                id=number,
                key=key,
                ref=f"refs/heads/{run.head_branch}",
                version="",
                size_in_bytes=0,
                created_at=run.created_at,
                last_accessed_at=run.created_at,
            ),
            why="the failed job restored it",
        )
        for number, key in enumerate(keys, start=1)
    )
    return CacheSelection(chosen=chosen, staying=())
