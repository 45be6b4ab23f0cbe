"""The main job as a story: a corrupt cache breaks main; it is found, planned, approved, remedied, verified."""

from dataclasses import dataclass
from typing import Any

from deployments.demo.stage import Stage
from deployments.demo.teller import Teller
from runbook.engine import audit
from runbook.engine.incidents import Incident
from runbook.engine.plans import StoredPlan
from runbook.engine.states import ExecutionState
from runbook.errors import RunbookError


class StoryBroken(RunbookError):
    """The product did what it must not, or failed to do what it must: the demo's whole point."""


@dataclass(frozen=True)
class Told:
    """What a story leaves for its summary."""

    ok: bool
    api_calls: int
    incident: dict[str, Any]
    plan: dict[str, Any]


def tell(stage: Stage, teller: Teller) -> Told:
    """Play the story.

    Raises:
        StoryBroken: Something was written without approval, or the remedy did not end as it must.
        Transient: A step took too long.
    """
    repository = f"{stage.github['owner']}/{stage.github['repo']}"
    with teller.stage("failure", f"A run of ci-test.yml on main of {repository} is red"):
        failed = _failed_run(stage, repository)
        teller.say(f"{_attempt(failed)}: {failed['conclusion']} ({failed['html_url']})")
        stage.tell_gateway(repository)
        teller.say("alice runs its failed jobs again, as one does")
        again = {"run_id": failed["id"], "attempt": failed["run_attempt"] + 1}
        stage.as_person("alice", "POST", f"/repos/{repository}/actions/runs/{failed['id']}/rerun-failed-jobs")
        failed = stage.await_("the second attempt", lambda: _failed_again(stage, repository, **again))
        teller.say(f"{_attempt(failed)}: {failed['conclusion']} again")
    with teller.stage("triage", "GitHub tells the gateway by a signed webhook, which starts the triage"):
        execution = stage.await_(
            "the webhook to start a triage", lambda: _triage_of(stage, repository, failed)
        )
        run = stage.ask(lambda prefect: prefect.read(execution))
        teller.say(f"POST {stage.gateway}/webhooks/github → run {run.id}")
        teller.say(f"Watch it: {stage.up.ui_url}/v2/runs/flow-run/{run.id}")
        plan = stage.await_("a plan that waits for approval", lambda: _suspended(stage, run.id, asks=1))
        # Prefect gives a random name at first; the flow names its run after its target when it starts.
        teller.say(f"In Prefect the run is named: {stage.ask(lambda prefect: prefect.read(run.id)).name}")
        incident = _incident(stage, run.id)
        teller.say(f"Incident: {incident.title} ({incident.issue_url})")
        _show_artifact(stage, teller, run.id, "assessment", "What triage found")
        _show_artifact(stage, teller, run.id, "plan", "The plan, on the incident's issue")
    with teller.stage(
        "resume without approval", "Somebody presses Resume in Prefect, but nobody has approved"
    ):
        stage.ask(lambda prefect: prefect.resume(run.id))
        stage.await_("the run to sleep again", lambda: _suspended(stage, run.id, asks=2))
        _require_only_records(stage, teller)
    with teller.stage("approval by a stranger", "mallory, who is not entitled, comments /approve"):
        _comment(stage, plan, "mallory", f"/approve {plan.short_digest}")
        stage.ask(lambda prefect: prefect.resume(run.id))
        stage.await_("the run to sleep again", lambda: _suspended(stage, run.id, asks=3))
        _require_only_records(stage, teller)
    with teller.stage("approval and remedy", "alice, who is entitled, comments /approve"):
        _comment(stage, plan, "alice", f"/approve {plan.short_digest}")
        stage.await_("the remedy's verified end", lambda: _ended(stage, run.id))
        for entry in stage.here.engine.entries.of_plan(plan.id):
            teller.say(f"{entry.effect.describe()}: {entry.state}")
        _show_artifact(stage, teller, run.id, "report", "The report")
    with teller.stage("verification", "The outside world and the audit agree"):
        _verify(stage, teller, plan, incident, failed)
    closed = stage.here.engine.incidents.get(incident.id)
    calls = len(stage.requests_by_product())
    teller.summary(
        {
            "what was wrong": incident.title,
            "what was done": plan.view.title,
            "how it ended": closed.resolution,
            "incident": closed.issue_url,
            "GitHub API calls": str(calls),
        }
    )
    return Told(
        ok=True,
        api_calls=calls,
        incident={
            "title": incident.title,
            "url": closed.issue_url,
            "severity": closed.severity,
            "class": closed.failure_class,
            "state": closed.state.value,
            "resolution": closed.resolution,
        },
        plan={
            "digest": plan.digest,
            "effects": [planned.load().describe() for planned in plan.plan.effects],
            "state": stage.here.engine.plans.get(plan.id).state.value,
        },
    )


def _show_artifact(stage: Stage, teller: Teller, run_id: str, key: str, title: str) -> None:
    teller.show(stage.ask(lambda prefect: prefect.artifact(run_id, key)) or "", title)


def _failed_run(stage: Stage, repository: str) -> dict[str, Any]:
    path = f"/repos/{repository}/actions/workflows/ci-test.yml/runs?branch=main&status=failure&per_page=1"
    return dict(stage.as_person("alice", "GET", path)["workflow_runs"][0])


def _attempt(run: dict[str, Any]) -> str:
    return f"Run {run['id']}, attempt {run['run_attempt']}"


def _failed_again(stage: Stage, repository: str, *, run_id: int, attempt: int) -> dict[str, Any] | None:
    run = dict(stage.as_person("alice", "GET", f"/repos/{repository}/actions/runs/{run_id}"))
    return run if run["run_attempt"] == attempt and run["status"] == "completed" else None


def _triage_of(stage: Stage, repository: str, failed: dict[str, Any]) -> str | None:
    """Return the execution that claimed a failed attempt."""
    return stage.here.engine.executions.of_attempt(
        repository=repository, run_id=failed["id"], run_attempt=failed["run_attempt"]
    )


def _suspended(stage: Stage, run_id: str, *, asks: int) -> StoredPlan | None:
    """Return the plan once the run sleeps after being asked about that often."""
    state = stage.prefect.read(run_id)
    if state.ended:
        raise StoryBroken(f"The run ended as {state.state}: {state.message}")
    plan = stage.here.engine.plans.active(run_id)
    return plan if plan is not None and plan.asks >= asks and state.type == "PAUSED" else None


def _ended(stage: Stage, run_id: str) -> bool | None:
    state = stage.prefect.read(run_id)
    if not state.ended:
        return None
    if state.state != "Verified":
        raise StoryBroken(f"The run ended as {state.state}: {state.message}")
    return True


def _incident(stage: Stage, run_id: str) -> Incident:
    execution = stage.here.engine.executions.get(run_id)
    if execution is None or execution.incident_id is None:
        raise StoryBroken("Triage opened no incident.")
    return stage.here.engine.incidents.get(execution.incident_id)


def _comment(stage: Stage, plan: StoredPlan, login: str, body: str) -> None:
    path = f"/repos/{plan.issues_repository}/issues/{plan.issue_number}/comments"
    stage.as_person(login, "POST", path, body=body)


def _require_only_records(stage: Stage, teller: Teller) -> None:
    """Check that nothing but the product's own issue and comments was written."""
    writes = [entry for entry in stage.requests_by_product() if entry["method"] != "GET"]
    effects = _effects_among(writes)
    if effects:
        raise StoryBroken(f"Written without approval: {', '.join(effects)}.")
    teller.say(f"It sleeps again. Written so far: {len(writes)} records, no effect.")


def _effects_among(writes: list[dict[str, Any]]) -> list[str]:
    """Return those writes, as ``DELETE /path``, that are not on the product's own issue, comments or labels."""
    return [
        f"{entry['method']} {entry['path']}"
        for entry in writes
        if "/issues" not in entry["path"] and "/labels" not in entry["path"]
    ]


def _verify(
    stage: Stage, teller: Teller, plan: StoredPlan, incident: Incident, failed: dict[str, Any]
) -> None:
    run_path = f"/repos/{plan.plan.repository}/actions/runs/{failed['id']}"
    run = stage.as_person("alice", "GET", run_path)
    issue = stage.as_person("alice", "GET", f"/repos/{plan.issues_repository}/issues/{plan.issue_number}")
    execution = stage.here.engine.executions.get(plan.execution_id)
    with stage.here.ledger.read() as session:
        verdict = audit.verify(session)
    checks = {
        f"run {run['id']} is green at attempt {run['run_attempt']}": run["conclusion"] == "success",
        f"issue #{issue['number']} is closed": issue["state"] == "closed",
        f"the audit's {verdict.lines} lines follow from each other": verdict.intact,
        "the execution ended as done": execution is not None and execution.state is ExecutionState.DONE,
    }
    for what, holds in checks.items():
        if not holds:
            raise StoryBroken(f"It is not so that {what}.")
        teller.say(what)
    path = f"/repos/{plan.issues_repository}/issues/{plan.issue_number}/comments?per_page=100"
    comments = stage.as_person("alice", "GET", path)
    teller.show(str(comments[-1]["body"]), f"The last word on {incident.issue_url}")
