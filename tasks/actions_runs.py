"""Reads of workflow runs: the run, its jobs, their logs, its surroundings; and watching a re-run."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from runbook import failed_run
from runbook.artifacts.findings import Findings
from runbook.artifacts.of_run import with_coverage_before
from runbook.decisions.checklist import FailingRun, Suspect
from runbook.decisions.newer_run import newer_run
from runbook.decisions.reconcile import why_resolved
from runbook.engine.engine import Verification
from runbook.engine.leases import Lease
from runbook.errors import Denied, NeedsPerson, NotFound, Permanent
from runbook.failed_run import failed_jobs
from runbook.installation import installation
from runbook.models import Frozen, Job, PullRequest, WorkflowRun
from runbook.triage.classify import Classification
from tasks.progress import Progress
from tasks.retrying import system_task

MAX_NEWEST_RUNS = 1_000
"""Runs that one look at a repository's newest ones reads; GitHub gives no more of a filtered list."""
MAX_OLD_FAILURES = 100
"""Runs of any age that are looked at for one that broke just now, for each way to break: one page."""
MAX_OTHER_FAILURES = 50
"""Failed runs looked at for a common cause: one page."""

T = TypeVar("T")


class Classified(Frozen):
    """What kind of failure a run is, what its reports name, and what could not be read."""

    classification: Classification
    findings: Findings
    notes: tuple[str, ...]


class Surroundings(Frozen):
    """What happened around a failed run; None where it could not be read, with a note.

    ``required_checks`` has the base branches of the blocked pull requests, as far as that may be read, and
    ``changed_paths`` what the change under test touches, where one pull request or one commit is that change.
    """

    recent_runs: tuple[WorkflowRun, ...]
    blocked_pull_requests: tuple[PullRequest, ...] | None
    other_failures: tuple[FailingRun, ...] | None
    suspects: tuple[Suspect, ...] | None
    required_checks: dict[str, tuple[str, ...]] = {}
    changed_paths: tuple[str, ...] | None = None
    notes: tuple[str, ...]


@system_task("read run", run_name="read run {run_id} of {repository}")
def read_run(repository: str, run_id: int, *, attempt: int | None) -> WorkflowRun:
    """Read one attempt of a run (IR-02).

    Args:
        repository: owner/name.
        run_id: The run.
        attempt: The attempt; the newest where None.

    Raises:
        NotFound: There is no such run or attempt.
    """
    github = installation().github
    if attempt is None:
        return github.get_run(repository, run_id)
    return github.get_run_attempt(repository, run_id, attempt=attempt)


@system_task("read newer run", run_name="look for a newer run than {run.id}")
def read_newer_run(run: WorkflowRun) -> WorkflowRun | None:
    """Read which run took a run's place, if one did.

    Args:
        run: The run.
    """
    return newer_run(run, installation().github.runs_after(run))


@system_task("look whether a run is resolved", run_name="look whether run {run_id} is green again")
def read_why_resolved(repository: str, run_id: int) -> str:
    """Say why a run that failed needs nobody's care any more; empty where it does.

    Args:
        repository: owner/name.
        run_id: The run.
    """
    github = installation().github
    try:
        newest = github.get_run(repository, run_id)
    except NotFound:
        return why_resolved(run_id, None, None)
    return why_resolved(run_id, newest, None) or why_resolved(
        run_id, newest, newer_run(newest, github.runs_after(newest))
    )


@system_task("list newest runs", run_name="list the newest runs of {repository}")
def list_newest_runs(repository: str, *, since: datetime) -> tuple[WorkflowRun, ...]:
    """List the runs that were created or broke lately, each as of its newest attempt.

    Args:
        repository: owner/name.
        since: The earliest creation; older runs are listed where they, or a re-run of them, broke.
    """
    here = installation()
    list_runs = partial(here.github.list_runs, repository)
    default_branch = here.policy.repository(repository).default_branch
    # GitHub has no filter for what never started; but that has no long run either.
    old = (
        *list_runs(status="failure", limit=MAX_OLD_FAILURES),
        *list_runs(status="timed_out", limit=MAX_OLD_FAILURES),
        *list_runs(status="cancelled", branch=default_branch, limit=MAX_OLD_FAILURES),
    )
    newest = list_runs(created_since=since, limit=MAX_NEWEST_RUNS)
    return tuple({run.id: run for run in (*old, *newest)}.values())


@system_task("read jobs", run_name="read jobs of run {run_id}, attempt {attempt}")
def read_jobs(repository: str, run_id: int, *, attempt: int) -> tuple[Job, ...]:
    """Read the jobs of an attempt with their steps (IR-02)."""
    return tuple(installation().github.list_jobs(repository, run_id, attempt=attempt))


@system_task("classify failed run", run_name="read the logs and reports of run {run.id}")
def classify_failed_run(run: WorkflowRun, jobs: tuple[Job, ...]) -> Classified:
    """Read the failed jobs' logs as streams and the run's reports, and classify it (IR-03, IR-17).

    Args:
        run: The attempt.
        jobs: All its jobs.

    Returns:
        What they say; a log or report that is gone or unreadable is noted, and the others decide.
    """
    here = installation()
    failed = failed_jobs(jobs)
    progress = Progress("Logs read", total=len(failed))
    reading = failed_run.read_failed_logs(
        here.github,
        run.repository,
        failed,
        catalogue=here.catalogue,
        largest_bytes=here.policy.caps.max_log_bytes,
        report=lambda number, job: progress.show(number - 1, job.name),
    )
    progress.show(len(failed))
    findings = failed_run.read_reports(
        here.github,
        run,
        policy=here.policy,
        report=lambda name: progress.show(len(failed), f"artifact {name}"),
    )
    findings = with_coverage_before(here.github, run, findings)
    found = failed_run.classify_run(run, failed, reading.scans, findings)
    return Classified(classification=found, findings=findings, notes=(*reading.notes, *findings.notes))


@system_task("read surroundings", run_name="read what happened around run {run.id}")
def read_surroundings(run: WorkflowRun) -> Surroundings:
    """Read what the triage checklist asks about (IR-01, IR-09 to IR-13).

    Args:
        run: The failed attempt.

    Returns:
        Each fact, or None with a note where the credential may not read it.
    """
    here = installation()
    triage = here.policy.triage
    readings = _Readings()
    since = run.updated_at - timedelta(minutes=triage.outage_window_minutes)
    repository = run.repository
    recent = readings.read(
        "the workflow's recent runs",
        lambda: here.github.list_runs(repository, workflow=run.workflow_file, limit=triage.recent_runs + 1),
    )
    pulls = readings.read(
        "open pull requests", lambda: here.github.list_pull_requests(repository, head_sha=run.head_sha)
    )
    suspects = readings.read("commits since the last green run", lambda: _suspects(run))
    return Surroundings(
        recent_runs=tuple(other for other in recent or () if other.id != run.id)[: triage.recent_runs],
        blocked_pull_requests=pulls,
        required_checks=_required_checks(readings, repository, pulls or ()),
        changed_paths=readings.read("the changed files", lambda: _changed_paths(run, pulls, suspects)),
        other_failures=readings.read("other failures", lambda: _other_failures(run, since)),
        suspects=suspects,
        notes=tuple(readings.notes),
    )


@system_task("watch re-run", run_name="watch attempt {attempt} of run {run_id}")
def watch_attempt(repository: str, run_id: int, *, attempt: int, lease: Lease) -> Verification:
    """Watch an attempt to its end (IR-16), keeping the lease.

    GitHub starts an attempt after it has answered: until the policy's ``settle_seconds`` are over, one that is
    not there yet is waited for.

    Args:
        repository: owner/name.
        run_id: The run.
        attempt: The attempt that was started.
        lease: What this process holds meanwhile.

    Raises:
        Fenced: Another process took over.
        NeedsPerson: It did not end in the policy's time.
    """
    here = installation()
    timings = here.policy.timings
    deadline = here.clock.now() + timedelta(seconds=timings.watch_timeout_seconds)
    there_by = here.clock.now() + timedelta(seconds=timings.settle_seconds)
    progress = Progress(f"Attempt {attempt} of run {run_id}", total=100)
    while True:
        try:
            run = here.github.get_run_attempt(repository, run_id, attempt=attempt)
        except NotFound:
            if here.clock.now() >= there_by:
                return Verification(passed=False, reason=f"there is no attempt {attempt} of run {run_id}")
            here.engine.keep(lease)
            here.clock.sleep(timings.watch_poll_seconds)
            continue
        jobs = here.github.list_jobs(repository, run_id, attempt=attempt)
        ended = sum(job.status == "completed" for job in jobs)
        progress.show(100 * ended / max(1, len(jobs)), f"{run.status}, {ended} of {len(jobs)} jobs ended")
        if run.status == "completed":
            green = run.conclusion == "success"
            return Verification(
                passed=green, reason=f"attempt {attempt} of run {run_id} ended in {run.conclusion}"
            )
        if here.clock.now() >= deadline:
            raise NeedsPerson(
                f"Attempt {attempt} of run {run_id} has not ended in {timings.watch_timeout_seconds:g} seconds.",
                next_step=f"watch it yourself: gh run watch {run_id} --repo {repository}",
            )
        here.engine.keep(lease)
        here.clock.sleep(timings.watch_poll_seconds)


class _Readings:
    """Reads that may be refused without ending the triage."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def read(self, what: str, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except (Denied, Permanent) as error:
            self.notes.append(f"{what} could not be read: {error.message}")
            return None


def _required_checks(
    readings: _Readings, repository: str, pulls: Iterable[PullRequest]
) -> dict[str, tuple[str, ...]]:
    """Read what the pull requests' base branches require; a branch of which that is not known is left out."""
    github = installation().github
    known: dict[str, tuple[str, ...]] = {}
    for base in sorted({pull.base_ref for pull in pulls}):
        read = partial(github.required_checks, repository, base)
        found = readings.read(f"the required checks of {base}", read)
        if found is not None and not found.unreadable:
            known[base] = found.contexts
    return known


def _changed_paths(
    run: WorkflowRun, pulls: tuple[PullRequest, ...] | None, suspects: tuple[Suspect, ...] | None
) -> tuple[str, ...] | None:
    """Read what the change under test touches: its pull request, or the one commit since the last green run."""
    github = installation().github
    if pulls:
        return github.pull_request_files(run.repository, pulls[0].number)
    if suspects is not None and len(suspects) == 1:
        return github.commit_files(run.repository, suspects[0].sha)
    return None


def _other_failures(run: WorkflowRun, since: datetime) -> tuple[FailingRun, ...]:
    runs = installation().github.list_runs(
        run.repository, status="failure", created_since=since, limit=MAX_OTHER_FAILURES
    )
    return tuple(
        FailingRun(
            workflow_file=other.workflow_file,
            head_sha=other.head_sha,
            html_url=other.html_url,
            failed_at=other.updated_at,
        )
        for other in runs
        if other.id != run.id
    )


def _suspects(run: WorkflowRun) -> tuple[Suspect, ...] | None:
    github = installation().github
    green = github.green_run_before(run)
    if green is None:
        return None
    commits = github.list_commits(
        run.repository,
        branch=run.head_sha,
        since_sha=green.head_sha,
        limit=installation().policy.triage.max_suspects + 1,
    )
    return tuple(
        Suspect(
            sha=commit.sha,
            author=commit.author,
            title=commit.message.partition("\n")[0],
            html_url=commit.html_url,
        )
        for commit in commits
    )
