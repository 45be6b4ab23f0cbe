"""One failed run: its logs and reports read, its class decided, its urgency's facts; for triage and ``runbook why``."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from runbook.artifacts import of_run
from runbook.artifacts.findings import Findings
from runbook.artifacts.support import with_findings
from runbook.clients.github_client import GitHubClient, TooLarge
from runbook.decisions.severity import AffectedRef, SeverityFacts, affected_ref
from runbook.errors import Gone, NotFound, UsageError
from runbook.models import Frozen, Job, WorkflowRun
from runbook.policy import Policy, RepositoryPolicy
from runbook.triage.catalogue import Catalogue
from runbook.triage.classes import FailureClass
from runbook.triage.classify import Classification, classify_scans, classify_without_log
from runbook.triage.logs import LogSource, NotText
from runbook.triage.scan import Scan, scan

GREEN = frozenset({"success", "skipped", "neutral"})
"""Conclusions that keep nothing from going on."""

# What an end alone says where no log does: GitHub ended it, whatever it was doing.
_BY_CONCLUSION = {
    "timed_out": (
        FailureClass.TIMEOUT,
        "ran into its time-out",
        "Look which step hung; then re-run, or raise it.",
    ),
    "cancelled": (FailureClass.CANCELLED, "was cancelled", "Re-run it if it is still wanted."),
}
_SURE = 0.9


class LogReading(Frozen):
    """What the failed jobs' logs hold; ``notes`` say which were not read, and why, ``gone`` how many were deleted."""

    scans: tuple[Scan, ...]
    notes: tuple[str, ...]
    gone: int = 0


@dataclass(slots=True)
class _Part:
    """As much of a log as may be read: where the rest would be too much, it ends there."""

    open: Callable[[], Iterator[bytes]]
    bytes_read: int = 0
    cut: TooLarge | None = None

    def read(self) -> Iterator[bytes]:
        try:
            for chunk in self.open():
                self.bytes_read += len(chunk)
                yield chunk
        except TooLarge as error:
            self.cut = error


def failed_jobs(jobs: tuple[Job, ...]) -> tuple[Job, ...]:
    """Return the jobs whose conclusion keeps a run from being green."""
    return tuple(job for job in jobs if job.conclusion is not None and job.conclusion not in GREEN)


def read_failed_logs(
    github: GitHubClient,
    repository: str,
    failed: tuple[Job, ...],
    *,
    catalogue: Catalogue,
    largest_bytes: int,
    report: Callable[[int, Job], None],
) -> LogReading:
    """Scan the failed jobs' logs as streams (IR-03, IR-17); one that is gone or no text leaves the others.

    All of them together take the bytes that are allowed: of those left, each log may take as much as each of the
    logs after it, so that a flood in one job hides no other. Of a longer log the hits so far are kept.

    Args:
        github: Who reads.
        repository: owner/name.
        failed: The failed jobs.
        catalogue: The signatures.
        largest_bytes: Bytes that are read of all of them together.
        report: Told each job and its number, from 1, before its log is read.
    """
    scans: list[Scan] = []
    notes: list[str] = []
    gone = 0
    left = largest_bytes
    for number, job in enumerate(failed, start=1):
        report(number, job)
        share = left // (len(failed) - number + 1)
        part = _Part(partial(github.stream_job_log, repository, job.id, largest_bytes=share))
        try:
            scans.append(scan(LogSource(name=f"{job.name}.txt", job=job.name, read=part.read), catalogue))
        except Gone:
            gone += 1
            notes.append(f"the log of {job.name} has expired or was deleted (410)")
        except (NotFound, NotText) as error:
            notes.append(f"the log of {job.name} was not read: {error.message}")
        if part.cut is not None:
            notes.append(f"the log of {job.name} was not read to its end: {part.cut.message}")
        left -= part.bytes_read
    return LogReading(scans=tuple(scans), notes=tuple(notes), gone=gone)


def read_reports(
    github: GitHubClient, run: WorkflowRun, *, policy: Policy | None, report: Callable[[str], None]
) -> Findings:
    """Read the test, coverage and scan reports that an attempt left as artifacts (IR-03).

    Args:
        github: Who reads.
        run: The attempt.
        policy: Names the workflow's artifacts; the usual names are looked for where it does not.
        report: Told each artifact's name before it is read.
    """
    try:
        wanted = policy.repository(run.repository).workflow(run.path).artifacts if policy else ()
    except UsageError:  # `why` is asked about any repository
        wanted = ()
    return of_run.read_artifacts(github, run, wanted=wanted, report=report)


def classify_run(
    run: WorkflowRun,
    failed: tuple[Job, ...],
    scans: tuple[Scan, ...],
    findings: Findings | None = None,
) -> Classification:
    """Say what kind of failure a run is: by its logs, else by how it and its jobs ended, else by its reports.

    Args:
        run: An attempt that is not green.
        failed: Its failed jobs.
        scans: What their logs hold.
        findings: What its reports say, where they were read.
    """
    steps = tuple(step.name for job in failed for step in job.steps if step.conclusion == "failure")
    found = _classify_by_logs(run, failed, scans, steps)
    return found if findings is None else with_findings(found, findings, failing_steps=steps)


def _classify_by_logs(
    run: WorkflowRun, failed: tuple[Job, ...], scans: tuple[Scan, ...], steps: tuple[str, ...]
) -> Classification:
    found = classify_scans(scans, failing_steps=steps)
    if found.failure_class not in {FailureClass.PASSING, FailureClass.UNKNOWN}:
        return found
    for job in failed:
        if job.conclusion in _BY_CONCLUSION:
            kind, what, proposal = _BY_CONCLUSION[job.conclusion]
            return classify_without_log(kind, _SURE, summary=f"Job {job.name} {what}.", proposal=proposal)
    if not failed:
        return _without_failed_job(run)
    if found.failure_class is FailureClass.PASSING:
        # A log without a known failure is not a run without one.
        names = ", ".join(job.name for job in failed)
        return classify_without_log(
            FailureClass.UNKNOWN,
            0.0,
            summary=f"{names} failed, but no line of the logs is known to say why.",
            proposal="Read the failed step's log; a signature for it can go into the policy's known issues.",
        )
    return found


def passed_later(failed: WorkflowRun, newest: WorkflowRun) -> bool:
    """Tell whether a failed attempt's run passed when it was run again.

    Args:
        failed: The attempt.
        newest: The newest attempt of its run.
    """
    return newest.run_attempt > failed.run_attempt and newest.conclusion == "success"


def incident_scope(run: WorkflowRun, repository: RepositoryPolicy) -> str:
    """Say where the same failure is the same incident: on one branch, or in one pull request.

    A pull request that is red keeps no incident of the default branch open, nor does a fork choose which it joins.

    Args:
        run: The attempt.
        repository: The policy of its repository.
    """
    author = f"{run.actor}:" if run.from_fork else ""
    return f"{affected_ref(run, repository)}:{author}{run.head_branch or run.head_sha}"


def incident_fingerprint(run: WorkflowRun, found: Classification) -> str:
    """Return what makes two failures the same: an unknown one is like no other."""
    if found.failure_class is FailureClass.UNKNOWN:
        return f"{found.fingerprint}:{run.id}"
    return found.fingerprint


def severity_facts(
    run: WorkflowRun,
    repository: RepositoryPolicy,
    failure_class: FailureClass,
    *,
    blocked_pull_requests: tuple[int, ...],
    passed_on_retry: bool,
    documentation_only: bool = False,
) -> SeverityFacts:
    """Gather what a run's severity rests on.

    Args:
        run: The attempt.
        repository: What the policy says about its repository.
        failure_class: What triage found.
        blocked_pull_requests: Open pull requests that it keeps from being merged.
        passed_on_retry: Whether a later attempt passed.
        documentation_only: Whether the change under test touches documentation alone.
    """
    workflow = repository.workflow(run.path)
    ref = affected_ref(run, repository)
    return SeverityFacts(
        ref=ref,
        failure_class=failure_class,
        workflow_kind=workflow.kind,
        workflow_required=workflow.required,
        blocked_pull_requests=blocked_pull_requests,
        duration_minutes=(run.updated_at - run.run_started_at) / timedelta(minutes=1),
        baseline_minutes=workflow.baseline_minutes,
        security_blocks_release=(
            failure_class is FailureClass.SECURITY_SCAN and workflow.required and ref is AffectedRef.RELEASE
        ),
        passed_on_retry=passed_on_retry,
        documentation_only=documentation_only,
    )


def _without_failed_job(run: WorkflowRun) -> Classification:
    what = f"{run.workflow_file}, run {run.id}, attempt {run.run_attempt}"
    if run.conclusion == "startup_failure":
        return classify_without_log(
            FailureClass.WORKFLOW_CONFIGURATION,
            _SURE,
            summary=f"GitHub could not start {what}: no job of it ever ran.",
            proposal=f"Check {run.path} and what it calls, at commit {run.head_sha[:12]}.",
        )
    cancelled = run.conclusion == "cancelled"
    return classify_without_log(
        FailureClass.CANCELLED if cancelled else FailureClass.UNKNOWN,
        1.0 if cancelled else 0.0,
        summary=f"No job failed, but {what} ended in {run.conclusion}.",
        proposal="Look at the run's page for what GitHub says about it.",
    )
