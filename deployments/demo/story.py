"""What all stories share: what they leave for their summary, and the steps from a plan to its verified end."""

from collections.abc import Mapping
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


def incident_facts(incident: Incident) -> dict[str, Any]:
    """Return what is told of an incident."""
    return {
        "title": incident.title,
        "url": incident.issue_url,
        "severity": incident.severity,
        "class": incident.failure_class,
        "state": incident.state.value,
        "resolution": incident.resolution,
    }


def told_of(stage: Stage, plan: StoredPlan, incident: Incident, *, calls: int) -> Told:
    """Return what is left of a story of one plan that was applied and verified."""
    return Told(
        ok=True,
        api_calls=calls,
        incident=incident_facts(stage.here.engine.incidents.get(incident.id)),
        plan={
            "digest": plan.digest,
            "effects": [planned.load().describe() for planned in plan.plan.effects],
            "state": stage.here.engine.plans.get(plan.id).state.value,
        },
    )


def show_artifact(stage: Stage, teller: Teller, run_id: str, key: str, title: str) -> None:
    """Show one of a run's documents."""
    teller.show(stage.ask(lambda prefect: prefect.artifact(run_id, key)) or "", title)


def show_effects(stage: Stage, teller: Teller, plan: StoredPlan) -> None:
    """Tell what became of each of a plan's effects."""
    for entry in stage.here.engine.entries.of_plan(plan.id):
        teller.say(f"{entry.effect.describe()}: {entry.state}")


def suspended(stage: Stage, run_id: str, *, asks: int) -> StoredPlan | None:
    """Return the plan once the run sleeps after being asked about that often.

    Raises:
        StoryBroken: The run ended.
    """
    state = stage.prefect.read(run_id)
    if state.ended:
        raise StoryBroken(f"The run ended as {state.state}: {state.message}")
    plan = stage.here.engine.plans.active(run_id)
    return plan if plan is not None and plan.asks >= asks and state.type == "PAUSED" else None


def verified(stage: Stage, run_id: str) -> bool | None:
    """Return True once the run has ended as it must.

    Raises:
        StoryBroken: It ended otherwise.
    """
    state = stage.prefect.read(run_id)
    if not state.ended:
        return None
    if state.state != "Verified":
        raise StoryBroken(f"The run ended as {state.state}: {state.message}")
    return True


def incident_of(stage: Stage, run_id: str) -> Incident:
    """Return the incident of a run.

    Raises:
        StoryBroken: It opened none.
    """
    execution = stage.here.engine.executions.get(run_id)
    if execution is None or execution.incident_id is None:
        raise StoryBroken("The run opened no incident.")
    return stage.here.engine.incidents.get(execution.incident_id)


def comment(stage: Stage, plan: StoredPlan, login: str, body: str) -> None:
    """Comment on a plan's issue as one of the sandbox's people."""
    path = f"/repos/{plan.issues_repository}/issues/{plan.issue_number}/comments"
    stage.as_person(login, "POST", path, body=body)


def require_only_records(stage: Stage, teller: Teller) -> None:
    """Check that nothing but the product's own issue and comments was written.

    Raises:
        StoryBroken: Something was.
    """
    writes = [entry for entry in stage.requests_by_product() if entry["method"] not in ("GET", "HEAD")]
    effects = effects_among(writes)
    if effects:
        raise StoryBroken(f"Written without approval: {', '.join(effects)}.")
    teller.say(f"It sleeps again. Written so far: {len(writes)} records, no effect.")


def effects_among(writes: list[dict[str, Any]]) -> list[str]:
    """Return those writes, as ``DELETE /path``, that are not on the product's own issue, comments or labels."""
    return [
        f"{entry['method']} {entry['path']}"
        for entry in writes
        if "/issues" not in entry["path"] and "/labels" not in entry["path"]
    ]


def verify(
    stage: Stage, teller: Teller, plan: StoredPlan, incident: Incident, checks: Mapping[str, bool]
) -> None:
    """Check that the outside world and the ledger agree, and show the incident's last word.

    Args:
        stage: Where.
        teller: Who tells it.
        plan: The plan.
        incident: Its incident.
        checks: The story's own, by what they say.

    Raises:
        StoryBroken: Something does not hold.
    """
    issue_path = f"/repos/{plan.issues_repository}/issues/{plan.issue_number}"
    issue = stage.as_person("alice", "GET", issue_path)
    execution = stage.here.engine.executions.get(plan.execution_id)
    with stage.here.ledger.read() as session:
        verdict = audit.verify(session)
    held = {
        **checks,
        f"issue #{issue['number']} is closed": issue["state"] == "closed",
        f"the audit's {verdict.lines} lines follow from each other": verdict.intact,
        "the execution ended as done": execution is not None and execution.state is ExecutionState.DONE,
    }
    for what, holds in held.items():
        if not holds:
            raise StoryBroken(f"It is not so that {what}.")
        teller.say(what)
    comments = stage.as_person("alice", "GET", f"{issue_path}/comments?per_page=100")
    teller.show(str(comments[-1]["body"]), f"The last word on {incident.issue_url}")
