"""The main job as a story: a corrupt cache breaks main; it is found, planned, approved, remedied, verified."""

from typing import Any

from deployments.demo import story
from deployments.demo.stage import Stage
from deployments.demo.story import Told
from deployments.demo.teller import Teller


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
        plan = stage.await_("a plan that waits for approval", lambda: story.suspended(stage, run.id, asks=1))
        # Prefect gives a random name at first; the flow names its run after its target when it starts.
        teller.say(f"In Prefect the run is named: {stage.ask(lambda prefect: prefect.read(run.id)).name}")
        incident = story.incident_of(stage, run.id)
        teller.say(f"Incident: {incident.title} ({incident.issue_url})")
        story.show_artifact(stage, teller, run.id, "assessment", "What triage found")
        story.show_artifact(stage, teller, run.id, "plan", "The plan, on the incident's issue")
    with teller.stage(
        "resume without approval", "Somebody presses Resume in Prefect, but nobody has approved"
    ):
        stage.ask(lambda prefect: prefect.resume(run.id))
        stage.await_("the run to sleep again", lambda: story.suspended(stage, run.id, asks=2))
        story.require_only_records(stage, teller)
    with teller.stage("approval by a stranger", "mallory, who is not entitled, comments /approve"):
        story.comment(stage, plan, "mallory", f"/approve {plan.short_digest}")
        stage.ask(lambda prefect: prefect.resume(run.id))
        stage.await_("the run to sleep again", lambda: story.suspended(stage, run.id, asks=3))
        story.require_only_records(stage, teller)
    with teller.stage("approval and remedy", "alice, who is entitled, comments /approve"):
        story.comment(stage, plan, "alice", f"/approve {plan.short_digest}")
        stage.await_("the remedy's verified end", lambda: story.verified(stage, run.id))
        story.show_effects(stage, teller, plan)
        story.show_artifact(stage, teller, run.id, "report", "The report")
    with teller.stage("verification", "The outside world and the audit agree"):
        run_path = f"/repos/{repository}/actions/runs/{failed['id']}"
        last = stage.as_person("alice", "GET", run_path)
        green = {
            f"run {last['id']} is green at attempt {last['run_attempt']}": last["conclusion"] == "success"
        }
        story.verify(stage, teller, plan, incident, green)
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
    return story.told_of(stage, plan, incident, calls=calls)


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
