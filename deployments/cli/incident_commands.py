"""``runbook incidents``: what failed, how urgent it is, and what was done about it."""

from typing import Annotated, Any

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption

app = typer.Typer(help="Incidents: what failed and what was done about it.")


@app.callback(invoke_without_command=True)
def list_incidents(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Incidents to list.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """List incidents, newest first; open ones unless --all is given."""
    if context.invoked_subcommand is not None:
        return
    from deployments.cli.opening import opened_ledger
    from runbook.clock import SystemClock
    from runbook.engine.incidents import Incidents
    from runbook.engine.states import IncidentState

    clock = SystemClock()
    state = None if everything else IncidentState.OPEN
    with opened_ledger() as ledger:
        # One more than asked for tells whether there are more.
        found = Incidents(ledger, clock=clock).recent(state=state, limit=limit + 1)
    shown = found[:limit]
    if len(found) > limit:
        terminal.note(f"Only the newest {limit} are shown; --limit shows more.")
    if as_json:
        terminal.print_json([_as_json(one) for one in shown])
        return
    if not shown:
        terminal.say("No incident is open." if not everything else "There has been no incident.")
        return
    rows = [
        (
            one.id,
            one.severity,
            one.state,
            one.failure_class,
            terminal.one_line(one.title),
            terminal.span((clock.now() - one.opened_at).total_seconds()),
            one.issue_url or "no issue yet",
        )
        for one in shown
    ]
    terminal.print_table(("No.", "Severity", "State", "Class", "What", "Age", "Issue"), rows)


@app.command("show")
def show_incident(
    number: Annotated[int, typer.Argument(help="The incident's number, as in the list.", min=1)],
    as_json: JsonOption = False,
) -> None:
    """Show one incident with its attempts, executions and timeline."""
    from deployments.cli import ledger_views
    from deployments.cli.opening import opened_ledger
    from runbook.clock import SystemClock
    from runbook.engine.incidents import Incidents

    with opened_ledger() as ledger:
        ledger_views.require_incident(ledger, number)
        incident = Incidents(ledger, clock=SystemClock()).get(number)
        attempts = ledger_views.attempts_of_incident(ledger, number)
        executions = ledger_views.executions_of_incident(ledger, number)
        timeline = ledger_views.timeline_of_incident(ledger, number)
    if as_json:
        terminal.print_json(
            {
                **_as_json(incident),
                "attempts": attempts,
                "executions": [one.model_dump(mode="json") for one in executions],
                "timeline": [one.model_dump(mode="json") for one in timeline],
            }
        )
        return
    terminal.say(f"Incident {incident.id}: {terminal.one_line(incident.title)}", style="bold")
    terminal.print_fields(
        {
            "Severity": incident.severity,
            "Class": incident.failure_class,
            "State": incident.state,
            "Resolution": incident.resolution,
            "Repository": incident.repository,
            "Attempts": ", ".join(f"{one['run_id']} (attempt {one['run_attempt']})" for one in attempts),
            "Opened": terminal.when(incident.opened_at),
            "Closed": terminal.when(incident.closed_at),
            "Issue": incident.issue_url,
        }
    )
    terminal.print_table(
        ("Execution", "Procedure", "State", "Plan", "Plan is"),
        [
            (one.id, one.procedure, one.state, (one.plan or "")[:16], one.plan_state or "")
            for one in executions
        ],
    )
    terminal.print_table(
        ("When", "Who", "What", "About"),
        [(terminal.when(one.at), one.actor, one.event, _gist(one.body)) for one in timeline],
        title="Timeline",
    )


def _gist(body: dict[str, Any]) -> str:
    return terminal.one_line(body.get("what") or body.get("reason") or body.get("note") or "")


def _as_json(incident: Any) -> dict[str, Any]:
    names = (
        *("id", "repository", "issues_repository", "issue_number", "issue_url", "fingerprint"),
        *("failure_class", "severity", "title", "state", "resolution", "opened_at", "closed_at"),
    )
    return {name: getattr(incident, name) for name in names}
