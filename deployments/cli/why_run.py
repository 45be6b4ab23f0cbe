"""Triage of one run on GitHub for ``runbook why``: reads only, no ledger, no server.

The flow ``triage-failed-run`` reads more (what surrounds the run) and keeps it; this answers within seconds.
"""

from collections.abc import Callable

from deployments.cli.why_answer import Answer
from deployments.cli.why_target import RunTarget
from runbook.artifacts.findings import Findings
from runbook.clients.github_client import GitHubClient
from runbook.decisions.severity import AffectedRef, affected_ref, decide_severity
from runbook.errors import Conflict, Denied, Gone, NotFound, UsageError
from runbook.failed_run import (
    GREEN,
    classify_run,
    failed_jobs,
    passed_later,
    read_failed_logs,
    read_reports,
    severity_facts,
)
from runbook.models import Job, WorkflowRun
from runbook.policy import Policy, Severity
from runbook.scrub import shell_quote
from runbook.triage.catalogue import Catalogue
from runbook.triage.classes import FailureClass
from runbook.triage.logs import MAX_LOG_BYTES

_NOTHING_TO_DO = "Nothing needs to be done."


def triage_run(
    github: GitHubClient,
    target: RunTarget,
    *,
    policy: Policy | None,
    catalogue: Catalogue,
    report: Callable[[str], None],
) -> Answer:
    """Say why a run failed.

    Args:
        github: Whoever may read the repository.
        target: The run, perhaps with attempt and job.
        policy: For the severity; None where there is none.
        catalogue: The signatures.
        report: Told what is being read.

    Raises:
        NotFound: There is no such run, attempt or job.
        Gone: It failed, and no log of it is left.
        Conflict: It still runs, and nothing of it has failed yet.
    """
    run = _read_run(github, target)
    jobs = _wanted_jobs(github.list_jobs(run.repository, run.id, attempt=run.run_attempt), target)
    failed = failed_jobs(jobs)
    if failed:
        answer = _with_failure(github, run, failed, target, policy=policy, catalogue=catalogue, report=report)
    else:
        answer = _without_failure(run, jobs, target)
    if answer.failure_class is FailureClass.PASSING:
        return answer
    severity, reason = _severity(github, run, target, answer.failure_class, policy=policy)
    return answer.model_copy(
        update={
            "severity": severity,
            "severity_reason": reason,
            "look_further": (_gh_line(run, failed, target),),
        }
    )


def _read_run(github: GitHubClient, target: RunTarget) -> WorkflowRun:
    if target.attempt is None:
        return github.get_run(target.repository, target.run_id)
    return github.get_run_attempt(target.repository, target.run_id, attempt=target.attempt)


def _wanted_jobs(jobs: tuple[Job, ...], target: RunTarget) -> tuple[Job, ...]:
    if target.job_id is None:
        return jobs
    wanted = tuple(job for job in jobs if job.id == target.job_id)
    if not wanted:
        raise NotFound(
            f"Run {target.run_id} has no job {target.job_id} in that attempt.",
            next_step="name the attempt as well (…/attempts/1), or drop the job from the address.",
        )
    return wanted


def _without_failure(run: WorkflowRun, jobs: tuple[Job, ...], target: RunTarget) -> Answer:
    what = f"{run.workflow_file}, run {run.id}, attempt {run.run_attempt}"
    if target.job_id is not None and jobs[0].conclusion is not None:
        summary = f"Job {jobs[0].name} of {what} ended in {jobs[0].conclusion}."
        return Answer(
            failure_class=FailureClass.PASSING, confidence=1.0, summary=summary, proposal=_NOTHING_TO_DO
        )
    if run.status != "completed":
        raise Conflict(
            f"Run {run.id} is {run.status.replace('_', ' ')}, and no job of it has failed yet.",
            unchanged="Nothing was changed.",
            next_step=f"wait for it: gh run watch {run.id} --repo {run.repository}",
        )
    if run.conclusion in GREEN:
        summary = f"The run passed: {what} ended in {run.conclusion}."
        return Answer(
            failure_class=FailureClass.PASSING, confidence=1.0, summary=summary, proposal=_NOTHING_TO_DO
        )
    return Answer.of(classify_run(run, (), ()))


def _with_failure(
    github: GitHubClient,
    run: WorkflowRun,
    failed: tuple[Job, ...],
    target: RunTarget,
    *,
    policy: Policy | None,
    catalogue: Catalogue,
    report: Callable[[str], None],
) -> Answer:
    reading = read_failed_logs(
        github,
        run.repository,
        failed,
        catalogue=catalogue,
        largest_bytes=policy.caps.max_log_bytes if policy else MAX_LOG_BYTES,
        report=lambda number, job: report(f"Reading log {number} of {len(failed)}: {job.name}"),
    )
    findings = Findings()
    if target.job_id is None:  # reports do not say which job wrote them
        findings = read_reports(github, run, policy=policy, report=lambda name: report(f"Reading {name}"))
    notes = [*reading.notes, *findings.notes]
    found = classify_run(run, failed, reading.scans, findings)
    if not reading.scans and found.failure_class is FailureClass.UNKNOWN:
        raise Gone(
            f"Run {run.id} failed, but no log of it can be read: {'; '.join(notes)}.",
            unchanged="Nothing was changed.",
            next_step="re-run its failed jobs for new logs, if it is still of interest.",
        )
    if run.status != "completed":
        notes.append("the run still goes on: this is about the jobs that have failed so far")
    return Answer.of(found).model_copy(update={"notes": tuple(notes)})


def _severity(
    github: GitHubClient,
    run: WorkflowRun,
    target: RunTarget,
    failure_class: FailureClass,
    *,
    policy: Policy | None,
) -> tuple[Severity | None, str]:
    if policy is None:
        return None, "no policy says what is urgent"
    try:
        repository = policy.repository(run.repository)
    except UsageError:
        return None, f"the policy does not name {run.repository}"
    on_pull_request = affected_ref(run, repository) is AffectedRef.PULL_REQUEST
    facts = severity_facts(
        run,
        repository,
        failure_class,
        blocked_pull_requests=_blocked(github, run) if on_pull_request else (),
        # Where no attempt was asked for, this one is the newest.
        passed_on_retry=target.attempt is not None
        and passed_later(run, github.get_run(run.repository, run.id)),
    )
    decided = decide_severity(facts, policy=policy)
    return decided.severity, decided.explanation


def _blocked(github: GitHubClient, run: WorkflowRun) -> tuple[int, ...]:
    if run.pull_requests:
        return run.pull_requests
    try:  # GitHub leaves them out for forks
        found = github.list_pull_requests(run.repository, head_sha=run.head_sha)
    except (Denied, NotFound):
        return ()
    return tuple(request.number for request in found)


def _gh_line(run: WorkflowRun, failed: tuple[Job, ...], target: RunTarget) -> str:
    words = ["gh", "run", "view", str(run.id), "--repo", run.repository, "--log-failed"]
    if target.attempt is not None:
        words += ["--attempt", str(target.attempt)]
    if len(failed) == 1:
        words += ["--job", str(failed[0].id)]
    return " ".join(map(shell_quote, words))
