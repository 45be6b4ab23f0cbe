"""Triage of one run on GitHub for ``runbook why``: reads only, no ledger, no server.

The flow ``triage-failed-run`` reads more (what surrounds the run) and keeps it; this answers within seconds.
"""

from collections.abc import Callable
from functools import partial

from deployments.cli.why_answer import Answer
from deployments.cli.why_target import RunTarget
from runbook.assessment import failed_jobs
from runbook.clients.github_client import GitHubClient, TooLarge
from runbook.decisions.severity import AffectedRef, SeverityFacts, affected_ref, decide_severity
from runbook.errors import Conflict, Denied, Gone, NotFound, UsageError
from runbook.models import Job, WorkflowRun
from runbook.policy import Policy, Severity
from runbook.scrub import shell_quote
from runbook.triage.catalogue import Catalogue
from runbook.triage.classes import FailureClass
from runbook.triage.classify import classify_scans
from runbook.triage.logs import MAX_LOG_BYTES, LogSource, NotText
from runbook.triage.scan import Scan, scan

_NOTHING_TO_DO = "Nothing needs to be done."
# What a job's end alone says where its log does not: GitHub ended it, whatever it was doing.
_BY_CONCLUSION = {
    "timed_out": (
        FailureClass.TIMEOUT,
        "ran into its time-out",
        "Look which step hung; then re-run, or raise it.",
    ),
    "cancelled": (FailureClass.CANCELLED, "was cancelled", "Re-run it if it is still wanted."),
}


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
        answer = _with_failure(github, run, failed, policy=policy, catalogue=catalogue, report=report)
    else:
        answer = _without_failure(run, jobs, target)
    if answer.failure_class is FailureClass.PASSING:
        return answer
    severity, reason = _severity(github, run, answer.failure_class, policy=policy)
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
    if run.conclusion in {"success", "skipped", "neutral"}:
        summary = f"The run passed: {what} ended in {run.conclusion}."
        return Answer(
            failure_class=FailureClass.PASSING, confidence=1.0, summary=summary, proposal=_NOTHING_TO_DO
        )
    if run.conclusion == "startup_failure":
        return Answer(
            failure_class=FailureClass.WORKFLOW_CONFIGURATION,
            confidence=0.9,
            summary=f"GitHub could not start {what}: no job of it ever ran.",
            proposal=f"Check {run.path} and what it calls, at commit {run.head_sha[:12]}.",
        )
    return Answer(
        failure_class=FailureClass.CANCELLED if run.conclusion == "cancelled" else FailureClass.UNKNOWN,
        confidence=1.0 if run.conclusion == "cancelled" else 0.0,
        summary=f"No job failed, but {what} ended in {run.conclusion}.",
        proposal="Look at the run's page for what GitHub says about it.",
    )


def _with_failure(
    github: GitHubClient,
    run: WorkflowRun,
    failed: tuple[Job, ...],
    *,
    policy: Policy | None,
    catalogue: Catalogue,
    report: Callable[[str], None],
) -> Answer:
    scans, notes = _read_logs(github, run, failed, policy=policy, catalogue=catalogue, report=report)
    answer = _answer(run, failed, scans, notes)
    if run.status != "completed":
        notes.append("the run still goes on: this is about the jobs that have failed so far")
    return answer.model_copy(update={"notes": tuple(notes)})


def _read_logs(
    github: GitHubClient,
    run: WorkflowRun,
    failed: tuple[Job, ...],
    *,
    policy: Policy | None,
    catalogue: Catalogue,
    report: Callable[[str], None],
) -> tuple[list[Scan], list[str]]:
    largest = policy.caps.max_log_bytes if policy else MAX_LOG_BYTES
    scans: list[Scan] = []
    notes: list[str] = []
    for number, job in enumerate(failed, start=1):
        report(f"Reading log {number} of {len(failed)}: {job.name}")
        source = LogSource(
            name=f"{job.name}.txt",
            job=job.name,
            read=partial(github.stream_job_log, run.repository, job.id, largest_bytes=largest),
        )
        try:
            scans.append(scan(source, catalogue))
        except Gone:
            notes.append(f"the log of {job.name} has expired or was deleted")
        except (NotFound, TooLarge, NotText) as error:
            notes.append(f"the log of {job.name} was not read: {error.message}")
    return scans, notes


def _answer(run: WorkflowRun, failed: tuple[Job, ...], scans: list[Scan], notes: list[str]) -> Answer:
    steps = tuple(step.name for job in failed for step in job.steps if step.conclusion == "failure")
    answer = Answer.of(classify_scans(scans, failing_steps=steps)) if scans else None
    if answer is not None and answer.failure_class not in {FailureClass.PASSING, FailureClass.UNKNOWN}:
        return answer
    for job in failed:
        if job.conclusion in _BY_CONCLUSION:
            kind, what, proposal = _BY_CONCLUSION[job.conclusion]
            return Answer(
                failure_class=kind, confidence=0.9, summary=f"Job {job.name} {what}.", proposal=proposal
            )
    if answer is None:
        raise Gone(
            f"Run {run.id} failed, but no log of it can be read: {'; '.join(notes)}.",
            unchanged="Nothing was changed.",
            next_step="re-run its failed jobs for new logs, if it is still of interest.",
        )
    if answer.failure_class is FailureClass.PASSING:
        # The run failed: a log without a known failure is not a run without one.
        names = ", ".join(job.name for job in failed)
        return Answer(
            failure_class=FailureClass.UNKNOWN,
            confidence=0.0,
            summary=f"{names} failed, but no line of the logs is known to say why.",
            proposal="Read the failed step's log; a signature for it can go into the policy's known issues.",
        )
    return answer


def _severity(
    github: GitHubClient, run: WorkflowRun, failure_class: FailureClass, *, policy: Policy | None
) -> tuple[Severity | None, str]:
    if policy is None:
        return None, "no policy says what is urgent"
    try:
        repository = policy.repository(run.repository)
    except UsageError:
        return None, f"the policy does not name {run.repository}"
    workflow = repository.workflow(run.path)
    ref = affected_ref(run, repository)
    security_scan = failure_class is FailureClass.SECURITY_SCAN
    decided = decide_severity(
        SeverityFacts(
            ref=ref,
            failure_class=failure_class,
            workflow_kind=workflow.kind,
            workflow_required=workflow.required,
            blocked_pull_requests=_blocked(github, run) if ref is AffectedRef.PULL_REQUEST else (),
            duration_minutes=(run.updated_at - run.run_started_at).total_seconds() / 60,
            baseline_minutes=workflow.baseline_minutes,
            security_blocks_release=security_scan and workflow.required and ref is AffectedRef.RELEASE,
            passed_on_retry=_passed_later(github, run),
        ),
        policy=policy,
    )
    return decided.severity, decided.explanation


def _blocked(github: GitHubClient, run: WorkflowRun) -> tuple[int, ...]:
    if run.pull_requests:
        return run.pull_requests
    try:  # GitHub leaves them out for forks
        found = github.list_pull_requests(run.repository, head_sha=run.head_sha)
    except (Denied, NotFound):
        return ()
    return tuple(request.number for request in found)


def _passed_later(github: GitHubClient, run: WorkflowRun) -> bool:
    newest = github.get_run(run.repository, run.id)
    return newest.run_attempt > run.run_attempt and newest.conclusion == "success"


def _gh_line(run: WorkflowRun, failed: tuple[Job, ...], target: RunTarget) -> str:
    words = ["gh", "run", "view", str(run.id), "--repo", run.repository, "--log-failed"]
    if target.attempt is not None:
        words += ["--attempt", str(target.attempt)]
    if len(failed) == 1:
        words += ["--job", str(failed[0].id)]
    return " ".join(map(shell_quote, words))
