"""``runbook audit``: the hash-chained log, shown and verified without any network."""

import re
from typing import Annotated

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption
from runbook.errors import UsageError

app = typer.Typer(help="The hash-chained log of everything said and done.", no_args_is_help=True)


@app.command("verify")
def verify_audit(
    head: Annotated[
        str | None,
        typer.Option(
            "--head", metavar="HASH", help="A head noted outside (an incident's last comment has one)."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute the whole chain; exit 1 where a line was changed, is missing or was cut off."""
    from deployments.cli.opening import opened_ledger
    from runbook.engine import audit

    if head is not None and not re.fullmatch(r"[0-9a-f]{64}", head := head.strip().lower()):
        raise UsageError(
            "--head is not a head of the log, which has 64 hexadecimal digits.",
            next_step="copy it from the comment that closed an incident.",
        )
    with opened_ledger() as ledger, ledger.read() as session:
        verdict = audit.verify(session, witness=head)
    if as_json:
        terminal.print_json(
            {
                "intact": verdict.intact,
                "lines": verdict.lines,
                "head": {"seq": verdict.head.seq, "hash": verdict.head.hash},
                "broken_at": verdict.broken_at,
                "reason": verdict.reason,
            }
        )
    elif verdict.intact:
        terminal.say(f"Intact: {verdict.lines} lines; {verdict.reason}.", style="green")
        terminal.say(f"Head: line {verdict.head.seq}, {verdict.head.hash}")
        if head is not None:
            terminal.say("The head noted outside stands in the log.")
    else:
        terminal.say(f"Broken at line {verdict.broken_at}: {verdict.reason}.", style="bold red")
        terminal.note("Next: keep a copy of the ledger, and compare it with heads noted on incidents.")
    if not verdict.intact:
        raise typer.Exit(1)


@app.command("show")
def show_audit(
    last: Annotated[int, typer.Option("--last", min=1, help="How many lines.")] = 50,
    about: Annotated[
        str,
        typer.Option(
            "--about", help="Only lines whose subject, actor or event begins so: plan:, alice, effect.undone."
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Show the newest lines of the log, oldest first."""
    from deployments.cli import ledger_views
    from deployments.cli.opening import opened_ledger

    with opened_ledger() as ledger:
        lines = ledger_views.audit_lines(ledger, last=last, about=about)
    if as_json:
        terminal.print_json([line.model_dump(mode="json") for line in lines])
        return
    terminal.print_table(
        ("Line", "When", "Who", "What", "About", "Facts"),
        [
            (
                line.seq,
                terminal.when(line.at),
                line.actor,
                line.event,
                line.subject,
                terminal.one_line(terminal.readable(line.body) if line.body else ""),
            )
            for line in lines
        ],
    )
