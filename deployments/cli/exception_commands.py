"""``runbook exceptions``: what is left abnormal on purpose, whose it is, until when; and ending it before its time."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from datetime import datetime

    from runbook.engine.exception_rows import StandingException

app = typer.Typer(help="Exceptions: what is left abnormal on purpose, with owner, reason and deadline.")

Number = Annotated[int, typer.Argument(help="The exception's number, as in the list.", min=1, metavar="ID")]


@app.callback(invoke_without_command=True)
def list_exceptions(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="With --all, exceptions to list.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """List exceptions; those that stand unless --all is given."""
    if context.invoked_subcommand is not None:
        return
    from deployments.cli.opening import opened_ledger
    from runbook.clock import SystemClock
    from runbook.engine.exceptions import Exceptions

    clock = SystemClock()
    with opened_ledger() as ledger:
        exceptions = Exceptions(ledger, clock=clock)
        found = exceptions.every(limit=limit + 1) if everything else exceptions.open()
    if everything and len(found) > limit:
        terminal.note(f"Only the newest {limit} are shown; --limit shows more.")
        found = found[:limit]
    now = clock.now()
    if as_json:
        terminal.print_json([_as_json(one, now) for one in found])
        return
    if not found:
        terminal.say("There has been no exception." if everything else "Nothing is left abnormal on purpose.")
        return
    terminal.print_table(
        ("No.", "Kind", "What", "Stands", "Owner", "Until", "Left by", "Why", "Note"),
        [
            (
                one["id"],
                one["kind"],
                terminal.one_line(one["subject"]),
                one["standing"],
                one["owner"] or "nobody",
                terminal.when(one["deadline"]),
                f"{one['procedure']} {one['execution'][:8]}",
                terminal.one_line(one["reason"]),
                terminal.one_line(one["seen"] or one["note"]),
            )
            for one in (_as_json(each, now) for each in found)
        ],
    )


@app.command("restore")
def restore(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", help="Why now; it stands in the record.")] = "",
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo now what is left until a deadline, in your own name; you must be able to approve its procedure."""
    from deployments.cli.ending import restore_as_person
    from deployments.cli.opening import opened_installation, require_ledger
    from runbook.decisions.exceptions import ExceptionState
    from runbook.errors import NeedsPerson

    with opened_installation() as here:
        require_ledger(here.settings)
        ended = restore_as_person(here, number, reason=reason)
        _print_ended(ended, here.clock.now(), as_json=as_json)
    if ended.state is ExceptionState.NEEDS_PERSON:
        raise typer.Exit(NeedsPerson.exit_code)


@app.command("end")
def end(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", help="Why it is over; it stands in the record.")],
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """End an exception without undoing anything, in your own name; you must be able to approve its procedure."""
    from deployments.cli.ending import end_as_person
    from deployments.cli.opening import opened_installation, require_ledger

    with opened_installation() as here:
        require_ledger(here.settings)
        ended = end_as_person(here, number, reason=reason)
        _print_ended(ended, here.clock.now(), as_json=as_json)


def _print_ended(exception: "StandingException", now: "datetime", *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(_as_json(exception, now))
        return
    terminal.say(
        f"Exception {exception.id} ({exception.kind} of {terminal.one_line(exception.subject)}) "
        f"is {exception.state.replace('_', ' ')}: {terminal.one_line(exception.note)}"
    )


def _as_json(exception: "StandingException", now: "datetime") -> dict[str, Any]:
    from runbook.decisions.exceptions import standing_of

    names = (
        *("id", "kind", "state", "repository", "service", "subject", "owner", "reason", "note", "procedure"),
        *("created_at", "deadline", "ended_at", "seen_at"),
    )
    return {
        **{name: getattr(exception, name) for name in names},
        "standing": standing_of(exception.facts, now=now),
        "execution": exception.execution_id,
        "incident": exception.incident_id,
        "effect": exception.effect_id,
        "seen": f"seen {terminal.when(exception.seen_at)} in {exception.seen_where}"
        if exception.seen_at
        else "",
    }
