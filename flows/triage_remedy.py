"""What triage proposes to do about a failed attempt, and how its plan is shown."""

from datetime import datetime, timedelta

from flows.clear_caches import cache_table, counted
from flows.run import Run
from runbook import report
from runbook.assessment import Assessment
from runbook.decisions.cache_selection import CacheSelection, restorable_refs, select_implicated
from runbook.decisions.remedy import RemedyDecision, RemedyFacts
from runbook.decisions.severity import AffectedRef, affected_ref
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.plan import PlanView
from runbook.policy import Remedy
from runbook.triage.classes import FailureClass
from tasks.actions_caches import list_caches


def remedy_facts(run: Run, assessment: Assessment) -> RemedyFacts:
    """Gather what the choice of a remedy rests on; caches are listed only where one is implicated."""
    failed = assessment.run
    keys = frozenset(assessment.classification.cache_keys)
    proposed = run.here.policy.remedy(assessment.classification.failure_class).propose
    caches = CacheSelection(chosen=(), staying=())
    if keys and Remedy.CLEAR_IMPLICATED_CACHES in proposed:
        refs = restorable_refs(
            failed,
            ref=affected_ref(failed, run.repository),
            default_branch=run.repository.default_branch,
        )
        caches = select_implicated(list_caches(run.repository.name), keys=keys, refs=refs)
    return RemedyFacts(
        limit_ends_at=_limit_ends_at(assessment),
        run=failed,
        failure_class=assessment.classification.failure_class,
        cache_keys=assessment.classification.cache_keys,
        caches=caches,
        reruns_of_run=failed.run_attempt - 1,
        reruns_today=run.here.engine.entries.count_since(
            RerunFailedJobs.kind,
            params={"repository": failed.repository, "workflow_file": failed.workflow_file},
            since=run.here.clock.now() - timedelta(days=1),
        ),
    )


def _limit_ends_at(assessment: Assessment) -> datetime | None:
    """Return when the rate limit ends that a run ran into: as its log says, else as GitHub says of ours."""
    found = assessment.classification
    if found.failure_class is not FailureClass.RATE_LIMIT:
        return None
    spent = [limit.reset_at for limit in assessment.rate_limits if limit.remaining == 0]
    return found.rate_limit_reset_at or max(spent, default=None)


def plan_view(run: Run, assessment: Assessment, caches: CacheSelection, decision: RemedyDecision) -> PlanView:
    """Say what a remedy's plan shows beside its effects."""
    failure_class = assessment.classification.failure_class
    failed = assessment.run
    scorecard = run.here.engine.plans.scorecard(remedy=decision.name, failure_class=failure_class)
    clears = f"delete {counted(len(caches.chosen), 'implicated cache')}, then " if caches.chosen else ""
    cold = "Builds that would have restored these caches start cold once. " if caches.chosen else ""
    jobs = ", ".join(job.name for job in assessment.failed_jobs)
    not_before = _limit_ends_at(assessment) if decision.waits else None
    waits = f"wait until {not_before:%Y-%m-%d %H:%M:%S} (UTC), then " if not_before else ""
    return PlanView(
        not_before=not_before,
        from_pull_request=affected_ref(failed, run.repository) is AffectedRef.PULL_REQUEST,
        title=f"{waits}{clears}re-run the failed jobs of {failed.workflow_file}",
        why=report.sentences(assessment.classification.summary, assessment.classification.proposal),
        remedy=decision.name,
        failure_class=failure_class,
        blast_radius=f"{cold}Only the failed jobs ({jobs}) run again, with the rights of the run's first actor.",
        if_nobody_acts=(
            f"{failed.workflow_file} stays red on {failed.head_branch or failed.head_sha[:12]}, "
            "and the next run is likely to fail the same way."
        ),
        history=scorecard.sentence(),
        tables=(cache_table(caches),) if caches.chosen else (),
    )
