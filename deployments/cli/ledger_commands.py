"""``runbook ledger``: the database of what the product itself must remember."""

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption

app = typer.Typer(help="The database of what the product itself must remember.", no_args_is_help=True)


@app.command("upgrade")
def upgrade_ledger(as_json: JsonOption = False) -> None:
    """Bring a ledger of an older version up to this program's, in one transaction; what waits in it goes on waiting."""
    from deployments.cli.opening import require_ledger
    from runbook.engine.ledger import Ledger
    from runbook.engine.schema import SCHEMA_VERSION
    from runbook.settings import Settings

    settings = Settings.from_environment()
    require_ledger(settings)
    ledger = Ledger(settings.ledger_url.get_secret_value(), upgrade=True)
    ledger.close()
    if as_json:
        terminal.print_json({"from": ledger.upgraded_from or SCHEMA_VERSION, "to": SCHEMA_VERSION})
    elif ledger.upgraded_from is None:
        terminal.say(f"The ledger is up to date, at schema version {SCHEMA_VERSION}.")
    else:
        terminal.say(
            f"The ledger was brought from schema version {ledger.upgraded_from} to {SCHEMA_VERSION}."
        )
