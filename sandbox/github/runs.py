"""Workflows, runs, attempts, jobs; re-running and cancelling."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from sandbox.github import shapes
from sandbox.github.records import Attempt, Job, Repository, Run, Workflow
from sandbox.github.routing import REPOSITORY, Call, routes
from sandbox.wire import Refused, Reply

ACTIONS = REPOSITORY + "/actions"
RUN = ACTIONS + "/runs/{run_id}"
RERUN_AGE = timedelta(days=30)
MOST_RERUNS = 50
MOST_FILTERED_RUNS = 1000
QUEUED_SECONDS = 1.0
CANCEL_SECONDS = 1.0
FAILED = ("failure", "cancelled", "timed_out", "action_required")


def find_workflow(call: Call) -> Workflow:
    """Return the workflow that the path names by id or file name."""
    wanted = call.params["workflow"]
    for one in call.repo.workflows.values():
        if wanted in (str(one.id), one.path.rsplit("/", 1)[1]):
            return one
    raise Refused(404, "Not Found")


def find_run(call: Call) -> Run:
    """Return the run that the path names."""
    found = call.repo.runs.get(call.number("run_id"))
    if found is None:
        raise Refused(404, "Not Found")
    return found


def find_attempt(call: Call, run: Run) -> Attempt:
    """Return the attempt that the path names."""
    number = call.number("attempt")
    if not 1 <= number <= len(run.attempts):
        raise Refused(404, "Not Found")
    return run.attempts[number - 1]


def find_job(call: Call) -> tuple[Run, Job]:
    """Return the job that the path names, with its run."""
    wanted = call.number("job_id")
    for run in call.repo.runs.values():
        for attempt in run.attempts:
            for job in attempt.jobs:
                if job.id == wanted:
                    return run, job
    raise Refused(404, "Not Found")


@routes.add("GET", ACTIONS + "/workflows", permission="actions:read")
def list_workflows(call: Call) -> Reply:
    """List the workflows."""
    repo = call.repo
    return call.page(list(repo.workflows.values()), lambda one: shapes.workflow(call, repo, one), "workflows")


@routes.add("GET", ACTIONS + "/workflows/{workflow}", permission="actions:read")
def get_workflow(call: Call) -> Reply:
    """Return a workflow."""
    return Reply(200, shapes.workflow(call, call.repo, find_workflow(call)))


def _set_workflow_state(call: Call, state: str) -> Reply:
    workflow = find_workflow(call)
    if workflow.state != state:
        call.state.touch()
        workflow.state, workflow.updated_at = state, call.now
    return Reply(204)


@routes.add("PUT", ACTIONS + "/workflows/{workflow}/enable", permission="actions:write", role="write")
def enable_workflow(call: Call) -> Reply:
    """Set a workflow to run again."""
    return _set_workflow_state(call, "active")


@routes.add("PUT", ACTIONS + "/workflows/{workflow}/disable", permission="actions:write", role="write")
def disable_workflow(call: Call) -> Reply:
    """Keep a workflow from running."""
    return _set_workflow_state(call, "disabled_manually")


@routes.add("GET", ACTIONS + "/runs", permission="actions:read")
def list_runs(call: Call) -> Reply:
    """List runs, newest first."""
    return _runs(call, list(call.repo.runs.values()))


@routes.add("GET", ACTIONS + "/workflows/{workflow}/runs", permission="actions:read")
def list_workflow_runs(call: Call) -> Reply:
    """List the runs of one workflow, newest first."""
    workflow = find_workflow(call)
    return _runs(call, [one for one in call.repo.runs.values() if one.workflow_id == workflow.id])


def _runs(call: Call, rows: list[Run]) -> Reply:
    repo, query = call.repo, call.request.query
    wanted = {name: query[name] for name in ("branch", "event", "actor", "head_sha") if query.get(name)}
    status = query.get("status")
    created = _created_filter(query["created"]) if query.get("created") else None

    def fits(run: Run) -> bool:
        facts = {"branch": run.branch, "event": run.event, "actor": run.actor, "head_sha": run.sha}
        if any(facts[name] != value for name, value in wanted.items()):
            return False
        if created is not None and not created(run.created_at):
            return False
        if status is None:
            return True
        conclusion = run.conclusion or run.latest.conclusion(call.now)
        return status in (run.latest.status(call.now), conclusion)

    rows = sorted((run for run in rows if fits(run)), key=lambda run: (run.created_at, run.id), reverse=True)
    if wanted or status or created:
        rows = rows[:MOST_FILTERED_RUNS]  # GitHub gives no more to a filtered list
    return call.page(rows, lambda run: shapes.run(call, repo, run, run.latest), "workflow_runs")


def _created_filter(text: str) -> Callable[[datetime], bool]:
    """Read a range: ``>=DATE``, ``DATE..DATE``, ``*..DATE``, or a day; dates with or without a time."""
    lower, upper = "", "9999"
    if ".." in text:
        lower, upper = (part.replace("*", "") for part in text.split("..", 1))
        upper = upper or "9999"
    elif match := re.match(r"(>=|<=|>|<)(.*)", text):
        sign, value = match.groups()
        lower, upper = (value, "9999") if sign.startswith(">") else ("", value)
    else:
        lower = upper = text
    top = upper if "T" in upper else upper + "T~"  # a day includes all its times
    strict = text.startswith(("<", ">")) and not text.startswith(("<=", ">="))
    excluded = text[1:] if strict else None

    def within(at: datetime) -> bool:
        written = shapes.when(at) or ""
        return lower <= written <= top and written != excluded

    return within


@routes.add("GET", RUN, permission="actions:read")
def get_run(call: Call) -> Reply:
    """Return a run as of its latest attempt."""
    run = find_run(call)
    return Reply(200, shapes.run(call, call.repo, run, run.latest))


@routes.add("DELETE", RUN, permission="actions:write", role="write")
def delete_run(call: Call) -> Reply:
    """Delete a run."""
    run = find_run(call)
    if run.latest.status(call.now) != "completed":
        raise Refused(403, "Could not delete the workflow run")
    del call.repo.runs[run.id]
    return call.created(None, status=204)


@routes.add("GET", RUN + "/attempts/{attempt}", permission="actions:read")
def get_attempt(call: Call) -> Reply:
    """Return a run as of one attempt."""
    run = find_run(call)
    return Reply(200, shapes.run(call, call.repo, run, find_attempt(call, run)))


@routes.add("GET", RUN + "/jobs", permission="actions:read")
def list_jobs(call: Call) -> Reply:
    """List the jobs of the latest attempt, or of every one (``filter=all``)."""
    run = find_run(call)
    every = call.request.query.get("filter") == "all"
    jobs = [job for attempt in reversed(run.attempts) for job in attempt.jobs] if every else run.latest.jobs
    return _jobs(call, call.repo, run, jobs)


@routes.add("GET", RUN + "/attempts/{attempt}/jobs", permission="actions:read")
def list_attempt_jobs(call: Call) -> Reply:
    """List the jobs of one attempt."""
    run = find_run(call)
    return _jobs(call, call.repo, run, find_attempt(call, run).jobs)


def _jobs(call: Call, repo: Repository, run: Run, jobs: list[Job]) -> Reply:
    return call.page(jobs, lambda job: shapes.job(call, repo, run, job), "jobs")


@routes.add("GET", ACTIONS + "/jobs/{job_id}", permission="actions:read")
def get_job(call: Call) -> Reply:
    """Return a job."""
    run, job = find_job(call)
    return Reply(200, shapes.job(call, call.repo, run, job))


@routes.add("POST", RUN + "/rerun", permission="actions:write", role="write")
def rerun(call: Call) -> Reply:
    """Run every job of a run again."""
    run = find_run(call)
    return _start_again(call, run, {job.plan.name for job in run.latest.jobs})


@routes.add("POST", RUN + "/rerun-failed-jobs", permission="actions:write", role="write")
def rerun_failed_jobs(call: Call) -> Reply:
    """Run the failed jobs of a run again."""
    run = find_run(call)
    return _start_again(call, run, {job.plan.name for job in run.latest.jobs if job.conclusion in FAILED})


@routes.add("POST", ACTIONS + "/jobs/{job_id}/rerun", permission="actions:write", role="write")
def rerun_job(call: Call) -> Reply:
    """Run one job of the latest attempt again."""
    run, job = find_job(call)
    if job not in run.latest.jobs:
        raise Refused(403, "Only jobs from the current attempt can be re-run")
    return _start_again(call, run, {job.plan.name})


def _start_again(call: Call, run: Run, names: set[str]) -> Reply:
    call.data()  # a body that is not JSON is refused before anything happens
    if run.latest.status(call.now) != "completed":
        raise Refused(403, "This workflow is already running")
    if call.now - run.created_at > RERUN_AGE:
        raise Refused(403, "Unable to retry this workflow run because it was created over a month ago")
    if len(run.attempts) > MOST_RERUNS or not names or run.conclusion is not None:
        raise Refused(403, "This workflow run cannot be retried")
    if call.repo.workflows[run.workflow_id].state != "active":
        raise Refused(403, "Unable to retry this workflow run because the workflow is disabled")
    number = len(run.attempts) + 1
    jobs = []
    for old in run.latest.jobs:
        again = old.plan.name in names
        plan = (old.plan.rerun or old.plan) if again else old.plan
        job = call.state.new_job(plan, attempt=number, queued_at=call.now, queued_seconds=QUEUED_SECONDS)
        if not again:
            # The other jobs show up in the new attempt too, as they ended.
            job.carried, job.conclusion = True, old.conclusion
            job.queued_at, job.starts_at, job.ends_at = old.queued_at, old.starts_at, old.ends_at
        jobs.append(job)
    call.state.start_attempt(call.repo, run, actor=call.login, jobs=jobs, at=call.now)
    return call.created({})


@routes.add("POST", RUN + "/cancel", permission="actions:write", role="write")
def cancel_run(call: Call) -> Reply:
    """Cancel a run: its jobs end a moment later."""
    run = find_run(call)
    if run.latest.status(call.now) == "completed":
        raise Refused(409, "Cannot cancel a workflow run that is completed")
    end = call.now + timedelta(seconds=CANCEL_SECONDS)
    for job in run.latest.jobs:
        if job.status(call.now) != "completed":
            job.starts_at, job.ends_at = min(job.starts_at, call.now), min(job.ends_at, end)
            job.conclusion = "cancelled"
    return call.created({}, status=202)
