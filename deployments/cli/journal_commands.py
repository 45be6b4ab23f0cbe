"""``runbook journal``: what was written to the outside world, effect by effect."""

from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption
from runbook.errors import UsageError

if TYPE_CHECKING:
    from deployments.cli.ledger_views import EffectView, ExecutionView

app = typer.Typer()


@app.command("journal")
def show_journal(
    execution: Annotated[
        str | None,
        typer.Argument(help="An execution (its flow run's id, or eight digits of it).", show_default=False),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="DIGEST", help="A plan, by 16 or more digits of its digest."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Executions to list.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """List executions; or the effects of one execution or plan, with the equivalent commands."""
    from deployments.cli import ledger_views
    from deployments.cli.opening import opened_ledger

    if execution is not None and plan is not None:
        raise UsageError("An execution and a plan were both named.", next_step="name one of them.")
    with opened_ledger() as ledger:
        if plan is not None:
            effects = ledger_views.effects_of_digest(ledger, plan)
        elif execution is not None:
            found = ledger_views.find_execution(ledger, execution)
            effects = ledger_views.effects_of_execution(ledger, found.id)
        else:
            executions = ledger_views.recent_executions(ledger, limit=limit)
    if plan is None and execution is None:
        _print_executions(executions, as_json=as_json)
    elif as_json:
        terminal.print_json([effect.model_dump(mode="json") for effect in effects])
    else:
        if execution is not None:
            _print_execution(found)
        _print_effects(effects)


def _print_executions(executions: tuple["ExecutionView", ...], *, as_json: bool) -> None:
    if as_json:
        terminal.print_json([one.model_dump(mode="json") for one in executions])
        return
    if not executions:
        terminal.say("Nothing was executed yet.")
        return
    terminal.print_table(
        ("Execution", "Procedure", "Subject", "State", "Requested by", "Plan", "Plan is", "Started"),
        [
            (
                one.id,
                one.procedure,
                terminal.one_line(one.subject),
                one.state,
                one.requester,
                (one.plan or "")[:16],
                one.plan_state or "",
                terminal.when(one.started_at),
            )
            for one in executions
        ],
    )


def _print_execution(execution: "ExecutionView") -> None:
    terminal.say(f"Execution {execution.id}: {execution.procedure}", style="bold")
    terminal.print_fields(
        {
            "Repository": execution.repository,
            "Subject": terminal.one_line(execution.subject),
            "Requested by": execution.requester,
            "State": execution.state,
            "Reason": terminal.one_line(execution.reason),
            "Incident": execution.incident,
            "Plan": execution.plan,
            "Revivals": execution.revivals or None,
            "Started": terminal.when(execution.started_at),
            "Ended": terminal.when(execution.ended_at),
        }
    )


def _print_effects(effects: tuple["EffectView", ...]) -> None:
    if not effects:
        terminal.say("It has written nothing, and was to write nothing.")
        return
    terminal.print_table(
        ("No.", "Effect", "Class", "State", "Sends", "Note", "The same by hand"),
        [
            (
                one.id,
                terminal.one_line(one.what),
                one.effect_class,
                one.state,
                one.sends,
                terminal.one_line(one.note),
                one.command,
            )
            for one in effects
        ],
    )
