"""The environments of supervised children, built from nothing: what is not named here does not reach them.

A user's own PREFECT_* settings and profile would otherwise steer our server, and every credential of the
terminal would stand in the environment of every flow run.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import SecretStr

from deployments.ports import LOOPBACK
from runbook.errors import UsageError

# What a program may need to know of the machine it runs on.
_MACHINE = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "XDG_STATE_HOME")
# How to reach the world outside; proxies may carry a password, so only those get it who talk to that world.
_NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)

INSTALLATION_SETTINGS = frozenset({"RUNBOOK_POLICY", "RUNBOOK_LEDGER_URL", "RUNBOOK_ALLOW_PLAIN_HTTP"})
"""What every process of ours needs: where policy and ledger are, and how Prefect's server may be spoken to."""

GITHUB_SETTINGS = frozenset(
    {
        *("GITHUB_API_URL", "GITHUB_TOKEN", "GITHUB_TOKEN_FILE"),
        *("GITHUB_APP_ID", "GITHUB_APP_INSTALLATION_ID", "GITHUB_APP_PRIVATE_KEY_FILE"),
    }
)
"""By which a process is the product on GitHub."""

# DESIGN, "Configuration", as far as flows need it. An approver's token is a person's own: it stays out.
FLOW_SETTINGS = frozenset(
    {
        *INSTALLATION_SETTINGS,
        *GITHUB_SETTINGS,
        *("VAULT_ADDR", "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID"),
        *("KUBECONFIG", "RUNBOOK_HELM", "DOCKER_HOST", "SLACK_BOT_TOKEN", "SLACK_API_URL"),
        # In a pod without a KUBECONFIG: where the cluster is that the pod itself runs in.
        *("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
    }
)


def flow_settings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return those of a process's variables that flows may have.

    Args:
        environment: The variables; this process's own where None.
    """
    values = os.environ if environment is None else environment
    return {name: values[name] for name in sorted(FLOW_SETTINGS) if values.get(name)}


def require_flow_settings(settings: Mapping[str, str]) -> None:
    """Check that nothing but known settings is about to reach flow runs.

    Raises:
        UsageError: There is another name among them.
    """
    unknown = sorted(set(settings) - FLOW_SETTINGS)
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)} may not be passed on to flow runs.",
            unchanged="Nothing was started.",
            next_step=f"pass only {', '.join(sorted(FLOW_SETTINGS))}.",
        )


def base_environment(temporary_directory: Path, *, import_path: Sequence[Path] = ()) -> dict[str, str]:
    """Return what every child gets.

    Args:
        temporary_directory: Where children put temporary files; it goes when the state directory goes.
        import_path: Folders with modules that are not installed.
    """
    environment = {name: os.environ[name] for name in _MACHINE if name in os.environ}
    # Of the same installation as this process, whatever is first on the caller's own PATH.
    environment["PATH"] = os.pathsep.join(
        (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    )
    environment["TMPDIR"] = str(temporary_directory)
    environment["PYTHONUNBUFFERED"] = "1"  # a log is read while it is written
    environment["PYTHONSAFEPATH"] = "1"  # a module beside the working directory shadows nothing
    environment.setdefault("LANG", "C.UTF-8")
    if import_path:
        environment["PYTHONPATH"] = os.pathsep.join(str(path) for path in import_path)
    return environment


def network_environment(*, own_host: str | None = None) -> dict[str, str]:
    """Return how this machine reaches the world outside: proxies (never for itself) and certificates.

    Args:
        own_host: Where a server of this machine listens, if off loopback.
    """
    environment = {name: os.environ[name] for name in _NETWORK if name in os.environ}
    if any(name.lower().endswith("_proxy") for name in environment):
        direct = [environment.get("no_proxy") or environment.get("NO_PROXY", ""), LOOPBACK, "localhost"]
        direct += [own_host] if own_host else []
        environment["no_proxy"] = environment["NO_PROXY"] = ",".join(part for part in direct if part)
    return environment


def client_environment(prefect_home: Path, api_url: str, auth_string: SecretStr | None) -> dict[str, str]:
    """Return what a client of the Prefect API needs: worker, flow run, deploy, dispatcher."""
    environment = {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_PROFILES_PATH": str(prefect_home / "profiles.toml"),
        # A client that finds no server must fail, not start one of its own.
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_CLI_COLORS": "false",
        # With the defaults a server that is away for 15 s leaves runs in Running for good.
        "PREFECT_CLIENT_MAX_RETRIES": "10",
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    }
    if auth_string is not None:
        environment["PREFECT_API_AUTH_STRING"] = auth_string.get_secret_value()
    return environment


def server_environment(
    prefect_home: Path, database: Path, url: str, auth_string: SecretStr | None
) -> dict[str, str]:
    """Return what the Prefect server needs.

    Args:
        prefect_home: Its PREFECT_HOME.
        database: The SQLite file.
        url: Where it listens, without ``/api``.
        auth_string: What it asks of its clients.
    """
    environment = {
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_PROFILES_PATH": str(prefect_home / "profiles.toml"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # Else the UI calls port 4200, whatever port it was served from.
        "PREFECT_SERVER_UI_API_URL": f"{url}/api",
        # The default lets any web page that is open in a browser on this machine call the API.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url,
        "PREFECT_CLI_COLORS": "false",
    }
    if auth_string is not None:
        environment["PREFECT_SERVER_API_AUTH_STRING"] = auth_string.get_secret_value()
    return environment
