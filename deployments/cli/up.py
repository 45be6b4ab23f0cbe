"""``runbook up``: server, worker, deployments and dispatcher as one; one Ctrl-C stops all of it."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli import terminal
from deployments.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from pydantic import SecretStr

    from deployments.supervisor import Supervisor
    from runbook.installation import Installation

app = typer.Typer()

DEFAULT_PORT = 4200
"""Prefect's own: where its command line looks when nobody says otherwise."""

DEFAULT_GATEWAY_PORT = 8080

_FILES = ("GITHUB_TOKEN_FILE", "GITHUB_APP_PRIVATE_KEY_FILE", "KUBECONFIG")


@app.command("up")
def up(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Of the Prefect server.")
    ] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option("--host", help="Where it listens; off loopback it needs a password (see the docs).")
    ] = "127.0.0.1",
    gateway_port: Annotated[
        int, typer.Option("--gateway-port", min=1, max=65535, help="Of the gateway: webhooks, approval page.")
    ] = DEFAULT_GATEWAY_PORT,
    gateway_host: Annotated[
        str,
        typer.Option("--gateway-host", help="Where it listens, in plain HTTP: a proxy before it ends TLS."),
    ] = "127.0.0.1",
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", metavar="DIR", help="Prefect's database and all logs; else beside the ledger's."
        ),
    ] = None,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the installation in the foreground; with PREFECT_API_URL set, on that server instead of an own one."""
    from deployments.cli.opening import opened_installation
    from deployments.processes import start_dispatchers
    from deployments.supervisor import Supervisor
    from runbook.errors import UsageError

    with opened_installation() as here:
        here.settings.require_github_credential("act on GitHub")
        here.settings.require_private_prefect()
        _require_allowed(here, host)
        _say_account(here)
        _ = here.ledger  # made now, so that every child finds the same one
        settings = _settings_of_children(here)
        directory = (state or _state_directory()).absolute()
        auth = _server_password()
        with Supervisor(
            directory, report=terminal.note, cache_directory=directory / "cache", auth_string=auth
        ) as supervisor:
            if here.settings.prefect_api_url is not None:
                if host != "127.0.0.1" or port != DEFAULT_PORT:
                    raise UsageError(
                        "PREFECT_API_URL names a server, and --host or --port asks for an own one.",
                        unchanged="Nothing was started.",
                        next_step="unset the one or leave out the other.",
                    )
                supervisor.use_prefect_server(here.settings.prefect_api_url)
            else:
                supervisor.start_prefect_server(host=host, port=port)
            supervisor.start_worker(settings=settings)
            start_dispatchers(supervisor, settings)
            gateway = _gateway(supervisor, settings, host=gateway_host, port=gateway_port)
            supervisor.deploy_all()
            supervisor.await_worker()
            _say_ready(supervisor, directory, gateway, as_json=as_json)
            supervisor.wait()


def _require_allowed(here: "Installation", host: str) -> None:
    """Check that an own server off loopback may be spoken to in plain http, the only way it speaks itself.

    Raises:
        UsageError: Nobody has allowed that; its own processes would refuse to speak to it.
    """
    from runbook.errors import UsageError
    from runbook.settings import is_loopback

    if (
        here.settings.prefect_api_url is None
        and not is_loopback(host)
        and not here.settings.plain_http_allowed
    ):
        raise UsageError(
            f"A Prefect server on {host} speaks plain http: its password would travel readable.",
            unchanged="Nothing was started.",
            next_step="stay on 127.0.0.1 behind a proxy that ends TLS; or, on a network that is yours alone, set "
            "RUNBOOK_ALLOW_PLAIN_HTTP=1.",
        )


def _say_account(here: "Installation") -> None:
    """Say as whom the product acts; a GitHub that is away, or an app's token, cannot tell and stops nothing."""
    from deployments.product_account import require_named_account
    from runbook.errors import Denied, Transient

    named = here.policy.product_login
    try:
        login = here.github.whoami()
    except (Transient, Denied) as error:
        if named is None and isinstance(error, Denied):
            raise
        terminal.note(
            f"Whose GITHUB_TOKEN is could not be checked: {error.message} "
            f"{f'The policy says {named}. ' if named else ''}`runbook doctor` checks it again.",
            style="yellow",
        )
        return
    require_named_account(here.policy, login)
    terminal.note(f"The product acts as {login}.")


def _gateway(up: "Supervisor", settings: dict[str, str], *, host: str, port: int) -> str | None:
    """Start the gateway where there is a webhook secret; return its URL."""
    from deployments.processes import PAGE_SETTINGS, WEBHOOK_SETTINGS, start_gateway
    from runbook.scrub import register_secret

    secrets = {name: os.environ[name] for name in (*WEBHOOK_SETTINGS, *PAGE_SETTINGS) if os.environ.get(name)}
    if not any(name in secrets for name in WEBHOOK_SETTINGS):
        terminal.note(
            "No RUNBOOK_WEBHOOK_SECRET is set, so no gateway takes webhooks: reconcile-failed-runs looks for failed "
            "runs every few minutes instead."
        )
        return None
    for name, value in secrets.items():
        if name.endswith("_FILE"):
            secrets[name] = str(Path(value).absolute())
        else:
            for secret in value.splitlines():
                register_secret(secret)
    return start_gateway(up, settings, secrets=secrets, host=host, port=port)


def _say_ready(up: "Supervisor", directory: Path, gateway: str | None, *, as_json: bool) -> None:
    from runbook.settings import travels_readable

    if as_json:
        terminal.print_json({"ui": up.ui_url, "api": up.api_url, "gateway": gateway, "logs": str(directory)})
        sys.stdout.flush()
        return
    terminal.say(f"Up: {up.ui_url}", style="bold")
    allowed = " RUNBOOK_ALLOW_PLAIN_HTTP=1" if travels_readable(up.api_url) else ""
    terminal.say(f"In other terminals: export PREFECT_API_URL={up.api_url}{allowed}")
    if gateway is not None:
        terminal.say(f"Webhooks are taken at {gateway}/webhooks/github")
    terminal.say(f"Logs are in {directory}. Ctrl-C stops everything.")
    sys.stdout.flush()


def _settings_of_children(here: "Installation") -> dict[str, str]:
    """Return what worker and dispatcher get to know, with absolute paths: they stand in another folder."""
    from deployments.environment import flow_settings

    settings = flow_settings()
    settings["RUNBOOK_POLICY"] = str(here.settings.policy_file.absolute())
    settings["RUNBOOK_LEDGER_URL"] = _absolute_ledger(here.settings.ledger_url.get_secret_value())
    for name in _FILES:
        if name in settings:
            settings[name] = str(Path(settings[name]).absolute())
    return settings


def _absolute_ledger(ledger_url: str) -> str:
    from sqlalchemy import make_url

    url = make_url(ledger_url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        url = url.set(database=str(Path(url.database).absolute()))
    return url.render_as_string(hide_password=False)


def _state_directory() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "runbook" / "up"


def _server_password() -> "SecretStr | None":
    from pydantic import SecretStr

    from runbook.scrub import register_secret

    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
        value = os.environ.get(name)
        if value:
            register_secret(value)
            return SecretStr(value)
    return None
