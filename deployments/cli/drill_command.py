"""`runbook drill PROCEDURE`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption, PolicyOption

app = typer.Typer()


@app.command("drill")
def drill(
    procedure: Annotated[str, typer.Argument(help="Which procedure: clear-caches, rollback-image.")],
    about: Annotated[
        str | None,
        typer.Option(
            "--about",
            metavar="NAME",
            help="For clear-caches a repository, for rollback-image a service; else the policy's first.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Where the report goes; else drill-PROCEDURE-TIME.md here. A file that exists is never replaced.",
        ),
    ] = None,
    policy: PolicyOption = None,
    json_output: JsonOption = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Stay up afterwards, for a look at the Prefect UI; Ctrl-C ends it.")
    ] = False,
) -> None:
    """Rehearse a procedure in the sandbox, under your own policy and with the people it names; no account needed."""
    from importlib.metadata import version

    from rich.console import Console

    from deployments.demo.stage import stage
    from deployments.demo.teller import Teller
    from deployments.drill.procedures import prepare
    from deployments.drill.record import Record
    from deployments.drill.rehearse import rehearse
    from deployments.drill.report import report_file, report_json, report_markdown, write_report
    from runbook.clock import SystemClock
    from runbook.policy import find_policy, load_policy

    now = SystemClock().now()
    path = find_policy()
    settled = load_policy(path)
    rehearsal = prepare(procedure, settled, about=about, now=now)
    file = report_file(report, procedure=procedure, now=now)
    cast = rehearsal.cast
    record = Record(
        procedure=procedure,
        repository=rehearsal.repository,
        started_at=now,
        product_version=version("runbook"),
        policy_file=str(path.absolute()),
        policy_digest=settled.digest,
        broken=rehearsal.broken,
        wait=rehearsal.wait,
        requester=cast.requester,
        approvers=cast.approvers,
        needed=cast.needed,
    )
    teller = Teller(Console(file=sys.stderr, highlight=False))
    teller.say(f"Rehearsing {procedure} in {rehearsal.repository} under {path}: {rehearsal.wait}.")
    with stage(teller.say, scenario=rehearsal.scenario, policy=path, what="drill") as ready:
        rehearse(ready, teller, rehearsal, record)
        write_report(record, file)
        if json_output:
            terminal.print_json(report_json(record, file))
        else:
            terminal.print_markdown(report_markdown(record))
        teller.say(f"The report: {file}")
        if keep:
            teller.say(
                f"Still up: {ready.up.ui_url} (Prefect), {ready.github['url']} (GitHub). Ctrl-C ends it."
            )
            ready.up.wait()
    if not record.verified:
        raise typer.Exit(1)
