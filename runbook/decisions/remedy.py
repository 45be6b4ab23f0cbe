"""Which remedy to propose for a triaged failure: a pure function of class, policy and what exists."""

from datetime import datetime
from enum import StrEnum

from runbook.decisions.cache_selection import CacheSelection, plan_deletions
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.effects import Effect
from runbook.models import Frozen, WorkflowRun
from runbook.policy import Caps, Remedy
from runbook.triage.classes import FailureClass


class NoRemedy(StrEnum):
    """Why nothing is proposed."""

    NOT_IN_POLICY = "the policy proposes nothing for this class of failure"
    NO_CACHE_FOUND = "none of the caches that the log names exists any more"
    NO_CACHE_NAMED = "the log does not name the cache that is corrupt"
    TOO_MANY_RERUNS = "the run was re-run as often as the policy allows"
    TOO_MANY_RERUNS_TODAY = "the workflow was re-run as often today as the policy allows"
    TOO_MANY_DELETIONS = "more caches are implicated than one plan may delete"
    ONLY_WAITING = "the policy only waits for the rate limit's reset"


class RemedyFacts(Frozen):
    """What the choice rests on.

    Args:
        run: The failed attempt.
        failure_class: What triage found.
        cache_keys: Keys that the log names as restored by the failed job.
        caches: The implicated caches that exist, and those that would stay.
        reruns_of_run: Re-runs of this run so far, the product's and other people's.
        reruns_today: The product's re-runs of this workflow in the last 24 hours.
        limit_ends_at: When the rate limit that it ran into ends; None where nobody knows, or there is none.
    """

    run: WorkflowRun
    failure_class: FailureClass
    cache_keys: tuple[str, ...]
    caches: CacheSelection
    reruns_of_run: int
    reruns_today: int
    limit_ends_at: datetime | None = None


class RemedyDecision(Frozen):
    """The remedies to propose, in order; none, with the reason why."""

    remedies: tuple[Remedy, ...]
    reason: str

    @property
    def name(self) -> str:
        """How the scorecard names the combination."""
        return "+".join(self.remedies)

    @property
    def waits(self) -> bool:
        """Whether a rate limit's end is waited for first."""
        return Remedy.WAIT_FOR_RATE_LIMIT_RESET in self.remedies


def decide_remedy(facts: RemedyFacts, *, proposed: tuple[Remedy, ...], caps: Caps) -> RemedyDecision:
    """Choose among the remedies that the policy lets triage propose.

    A re-run without the clean-up that the policy puts before it would fail again, so nothing is proposed where
    the corrupt cache is not known. Where it is known and already gone, the re-run alone is the cure.
    Waiting for a rate limit's reset is no effect: the plan is held back until then, whoever approved it. Where
    nobody knows when the limit ends, whoever approves has to judge that.

    Args:
        facts: What is known.
        proposed: The policy's remedies for this class, in order.
        caps: The policy's limits.
    """
    if not proposed:
        return _none(NoRemedy.NOT_IN_POLICY)
    clears = Remedy.CLEAR_IMPLICATED_CACHES in proposed
    if clears and not facts.cache_keys and facts.failure_class is FailureClass.CACHE_CORRUPTION:
        return _none(NoRemedy.NO_CACHE_NAMED)
    if clears and len(facts.caches.chosen) > caps.cache_deletions_per_plan:
        return _none(NoRemedy.TOO_MANY_DELETIONS)
    if Remedy.RERUN_FAILED_JOBS in proposed:
        if facts.reruns_of_run >= caps.reruns_per_run:
            return _none(NoRemedy.TOO_MANY_RERUNS)
        if facts.reruns_today >= caps.reruns_per_target_per_day:
            return _none(NoRemedy.TOO_MANY_RERUNS_TODAY)
    there_is = {
        Remedy.RERUN_FAILED_JOBS: True,
        Remedy.CLEAR_IMPLICATED_CACHES: bool(facts.caches.chosen),
        Remedy.WAIT_FOR_RATE_LIMIT_RESET: facts.limit_ends_at is not None,
    }
    remedies = tuple(remedy for remedy in proposed if there_is[remedy])
    if not set(remedies) - {Remedy.WAIT_FOR_RATE_LIMIT_RESET}:
        return _none(NoRemedy.NO_CACHE_FOUND if clears else NoRemedy.ONLY_WAITING)
    return RemedyDecision(remedies=remedies, reason=f"the policy proposes it for {facts.failure_class}")


def remedy_effects(facts: RemedyFacts, decision: RemedyDecision) -> list[Effect]:
    """Turn the chosen remedies into effects, in order.

    Args:
        facts: What is known.
        decision: What was chosen.
    """
    effects: list[Effect] = []
    for remedy in decision.remedies:
        match remedy:
            case Remedy.CLEAR_IMPLICATED_CACHES:
                effects += plan_deletions(facts.run.repository, facts.caches)
            case Remedy.RERUN_FAILED_JOBS:
                effects.append(
                    RerunFailedJobs(
                        repository=facts.run.repository,
                        run_id=facts.run.id,
                        failed_attempt=facts.run.run_attempt,
                        workflow_file=facts.run.workflow_file,
                    )
                )
            case Remedy.WAIT_FOR_RATE_LIMIT_RESET:
                continue  # the gate holds the plan back
    return effects


def _none(why: NoRemedy) -> RemedyDecision:
    return RemedyDecision(remedies=(), reason=why.value)
