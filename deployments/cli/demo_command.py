"""`runbook demo [STORY]`."""

import sys
from typing import Annotated

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption
from runbook.errors import UsageError

app = typer.Typer()
STORIES = ("cache-corruption", "outage", "rollback-image")


@app.command("demo")
def demo(
    story: Annotated[str, typer.Argument(help=f"Which story: {', '.join(STORIES)}.")] = STORIES[0],
    json_output: JsonOption = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Stay up afterwards, for a look at the Prefect UI; Ctrl-C ends it.")
    ] = False,
) -> None:
    """Play a failure being remedied, on a real Prefect server and stand-ins for all else; no account needed."""
    if story not in STORIES:
        raise UsageError(f"There is no story {story!r}.", next_step=f"stories are: {', '.join(STORIES)}")
    from rich.console import Console

    from deployments.demo import cache_corruption, outage, rollback_image
    from deployments.demo.stage import stage
    from deployments.demo.teller import Teller

    teller = Teller(Console(file=sys.stderr, highlight=False))
    with stage(report=teller.say) as ready:
        tells = (cache_corruption.tell, outage.tell, rollback_image.tell)
        told = dict(zip(STORIES, tells, strict=True))[story](ready, teller)
        if json_output:
            terminal.print_json(
                {
                    "ok": told.ok,
                    "stages": teller.stages,
                    "api_calls": told.api_calls,
                    "incident": told.incident,
                    "plan": told.plan,
                }
            )
        if keep:
            teller.say(
                f"Still up: {ready.up.ui_url} (Prefect), {ready.github['url']} (GitHub). Ctrl-C ends it."
            )
            ready.up.wait()
