"""What this process was told by its environment (DESIGN, "Configuration"), typed and read once.

A credential is given as a variable or as a file (``GITHUB_TOKEN`` or ``GITHUB_TOKEN_FILE``); its value shows
in no repr and is registered with the scrubber when it is loaded. Numbers and names of people are policy.
"""

import ipaddress
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from runbook.errors import UsageError
from runbook.scrub import register_secret

DEFAULT_GITHUB_API_URL = "https://api.github.com"
DEFAULT_POLICY_FILE = "runbook.toml"
DEFAULT_HELM = "helm"
_GH_TIMEOUT_SECONDS = 10.0
_MAX_CREDENTIAL_BYTES = 65_536
# Where gh keeps its tokens, and how it reaches the system's keyring. Its own variables for a token are not among
# them: with these it gives back the variable, which is the product's account, not whoever signed in.
_GH_READS = (
    *("PATH", "HOME", "USER", "GH_CONFIG_DIR", "XDG_CONFIG_HOME"),
    *("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
)
_APP_VARIABLES = ("GITHUB_APP_ID", "GITHUB_APP_INSTALLATION_ID", "GITHUB_APP_PRIVATE_KEY_FILE")


@dataclass(frozen=True)
class AppSettings:
    """A GitHub App as which the product acts.

    Args:
        app_id: The App's id or its client id.
        installation_id: Where it is installed.
        key: Its private key, PEM.
    """

    app_id: str
    installation_id: int
    key: SecretStr


@dataclass(frozen=True)
class Settings:
    """The settled environment variables.

    Args:
        policy_file: ``RUNBOOK_POLICY``, else ``runbook.toml`` in the working directory.
        ledger_url: ``RUNBOOK_LEDGER_URL`` (it may carry a password), else a SQLite file of this user.
        github_api_url: ``GITHUB_API_URL`` without a trailing slash.
        prefect_api_url: ``PREFECT_API_URL``, if set.
        prefect_auth: ``PREFECT_API_AUTH_STRING``: the Prefect server's user:password, if set.
        plain_http_allowed: ``RUNBOOK_ALLOW_PLAIN_HTTP`` is ``1``: the Prefect server may be spoken to in plain
            http over a network.
        github_token: ``GITHUB_TOKEN`` or the content of ``GITHUB_TOKEN_FILE``, if set.
        github_app: ``GITHUB_APP_ID``, ``GITHUB_APP_INSTALLATION_ID`` and the key that
            ``GITHUB_APP_PRIVATE_KEY_FILE`` names, if set; then there is no ``github_token``.
        approver_token: ``RUNBOOK_APPROVER_TOKEN`` or ``RUNBOOK_APPROVER_TOKEN_FILE``, if set.
        kubeconfig: ``KUBECONFIG``, if set: the file that says where the cluster is and who the product is there.
        helm: ``RUNBOOK_HELM``: the helm program, else the one in ``PATH``.
    """

    policy_file: Path
    ledger_url: SecretStr
    github_api_url: str
    prefect_api_url: str | None
    prefect_auth: SecretStr | None
    github_token: SecretStr | None
    approver_token: SecretStr | None
    plain_http_allowed: bool = False
    github_app: AppSettings | None = None
    kubeconfig: Path | None = None
    helm: str = DEFAULT_HELM

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings.

        Args:
            environment: The variables; this process's own where None.

        Raises:
            UsageError: A value makes no sense, or a credential's file cannot be read.
        """
        values = os.environ if environment is None else environment
        ledger_url = values.get("RUNBOOK_LEDGER_URL") or _default_ledger_url(values)
        _register_password(ledger_url)
        return cls(
            policy_file=Path(values.get("RUNBOOK_POLICY") or DEFAULT_POLICY_FILE),
            ledger_url=SecretStr(ledger_url),
            github_api_url=_base_url(values, "GITHUB_API_URL", DEFAULT_GITHUB_API_URL),
            prefect_api_url=values.get("PREFECT_API_URL") or None,
            prefect_auth=_credential(values, "PREFECT_API_AUTH_STRING"),
            github_token=_credential(values, "GITHUB_TOKEN"),
            approver_token=_credential(values, "RUNBOOK_APPROVER_TOKEN"),
            plain_http_allowed=_switch(values, "RUNBOOK_ALLOW_PLAIN_HTTP"),
            github_app=_github_app(values),
            kubeconfig=Path(values["KUBECONFIG"]) if values.get("KUBECONFIG") else None,
            helm=values.get("RUNBOOK_HELM") or DEFAULT_HELM,
        )

    @property
    def registry_url(self) -> str:
        """The container registry that belongs to the API: GHCR, a GitHub server's own, or the sandbox's."""
        parts = urlsplit(self.github_api_url)
        host = parts.hostname or ""
        if self.github_api_url == DEFAULT_GITHUB_API_URL:
            return "https://ghcr.io"
        return f"{parts.scheme}://{parts.netloc}" if is_loopback(host) else f"https://containers.{host}"

    def require_private_prefect(self) -> None:
        """Check that what is said to the Prefect server cannot be read, or changed, on its way.

        Raises:
            UsageError: ``PREFECT_API_URL`` is plain http on another machine, and nobody has allowed that.
        """
        url = self.prefect_api_url or ""
        if self.plain_http_allowed or not travels_readable(url):
            return
        raise UsageError(
            f"PREFECT_API_URL is plain http on {urlsplit(url).hostname}: the server's password would travel readable, "
            "and whoever is on the way could start runs with this installation's credentials.",
            unchanged="Nothing was sent there.",
            next_step="use https; or, on a network that is yours alone, set RUNBOOK_ALLOW_PLAIN_HTTP=1.",
        )

    @property
    def has_github_credential(self) -> bool:
        """Whether the product was given a credential of its own for GitHub."""
        return self.github_token is not None or self.github_app is not None

    def require_github_credential(self, purpose: str) -> SecretStr | AppSettings:
        """Return the product's GitHub token, or the App that is given tokens.

        Args:
            purpose: What it is needed for, as it continues the words "is needed to".

        Raises:
            UsageError: None was given.
        """
        given = self.github_token or self.github_app
        if given is None:
            raise UsageError(
                f"No GitHub credential was given: one is needed to {purpose}.",
                unchanged="Nothing was sent.",
                next_step="set GITHUB_TOKEN, or GITHUB_TOKEN_FILE to a file that holds it; "
                f"or, for a GitHub App, {', '.join(_APP_VARIABLES)}.",
            )
        return given

    def require_approver_token(self) -> SecretStr:
        """Return the token of the person who approves: the variable's, else what ``gh auth token`` gives.

        Raises:
            UsageError: Neither gives one.
        """
        token = self.approver_token or _token_of_gh(self.github_api_url)
        if token is None:
            raise UsageError(
                "No approver's credential was found: your own token is needed to post the approval as you.",
                unchanged="Nothing was approved.",
                next_step="set RUNBOOK_APPROVER_TOKEN, or sign in with `gh auth login`.",
            )
        return token


def _register_password(ledger_url: str) -> None:
    # As SQLAlchemy reads it: one with a # or / in it is cut short by the rules for web addresses. A driver's
    # error shows it decoded.
    found = re.match(r"[^:]+://[^:/]*:([^@]*)@", ledger_url)
    password = found[1] if found else ""
    queried = [value for name, value in parse_qsl(urlsplit(ledger_url).query) if name == "password"]
    for secret in (password, unquote(password), *queried):
        register_secret(secret)


def _default_ledger_url(values: Mapping[str, str]) -> str:
    # An absolute path: a worker and a terminal with different working directories must mean the same ledger.
    state_home = values.get("XDG_STATE_HOME") or str(
        Path(values.get("HOME") or Path.home()) / ".local" / "state"
    )
    return f"sqlite:///{Path(state_home).absolute() / 'runbook' / 'ledger.sqlite3'}"


def _base_url(values: Mapping[str, str], name: str, default: str) -> str:
    url = (values.get(name) or default).strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise UsageError(
            f"{name} is not the base URL of an API (http or https, a host, no user, no query).",
            unchanged="Nothing was sent.",
            next_step=f"set it like {default}, or unset it to use that.",
        )
    if travels_readable(url):
        raise UsageError(
            f"{name} is plain http on {parts.hostname}: the token would travel readable.",
            unchanged="Nothing was sent.",
            next_step="use https; plain http is for loopback only.",
        )
    return url


def _switch(values: Mapping[str, str], name: str) -> bool:
    value = values.get(name, "").strip()
    if value not in ("", "0", "1"):
        # A switch that loosens something must not be on, or off, by a misunderstanding.
        raise UsageError(f"{name} is neither 1 nor 0.", next_step="set it to 1, or unset it.")
    return value == "1"


def travels_readable(url: str) -> bool:
    """Return whether what is sent to a URL can be read on its way: plain http to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can only be this machine (``127.example.com`` is not)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name: where it leads is decided by a resolver, not by us


def github_site(api_url: str) -> str:
    """Return the host name that people see, and that git and ``gh`` know, of the server that an API belongs to."""
    host = urlsplit(api_url).hostname or ""
    return "github.com" if host == urlsplit(DEFAULT_GITHUB_API_URL).hostname else host


def _credential(values: Mapping[str, str], name: str) -> SecretStr | None:
    value, path = values.get(name), values.get(f"{name}_FILE")
    if value and path:
        raise UsageError(
            f"{name} and {name}_FILE are both set, and may disagree.", next_step="unset one of them."
        )
    if path:
        value = _read_credential(name, Path(path))
    value = (value or "").strip()
    if not value:
        return None
    register_secret(value)
    if not value.isprintable() or " " in value:
        raise UsageError(
            f"{name} holds blanks or control characters, which no token has.",
            unchanged="Nothing was sent.",
            next_step="copy the token again, without quotes or line breaks inside.",
        )
    return SecretStr(value)


def _github_app(values: Mapping[str, str]) -> AppSettings | None:
    given = {name: values.get(name, "").strip() for name in _APP_VARIABLES}
    if not any(given.values()):
        return None
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise UsageError(
            f"A GitHub App was begun, but {' and '.join(missing)} is not set.",
            unchanged="Nothing was sent.",
            next_step=f"set all of {', '.join(_APP_VARIABLES)}, or none.",
        )
    if values.get("GITHUB_TOKEN") or values.get("GITHUB_TOKEN_FILE"):
        raise UsageError(
            "GITHUB_TOKEN and a GitHub App are both set, and are two accounts.",
            unchanged="Nothing was sent.",
            next_step="unset one of them.",
        )
    app_id, installation, path = given.values()
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", app_id) or not re.fullmatch(r"[0-9]{1,18}", installation):
        raise UsageError(
            "GITHUB_APP_ID or GITHUB_APP_INSTALLATION_ID is no id.",
            unchanged="Nothing was sent.",
            next_step="take the first from the App's settings, the second from its installation's address.",
        )
    return AppSettings(app_id=app_id, installation_id=int(installation), key=_private_key(Path(path)))


def _private_key(path: Path) -> SecretStr:
    name = "GITHUB_APP_PRIVATE_KEY"
    key = _read_credential(name, path)
    register_secret(key)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        # Whoever reads it can act as the App wherever that is installed, without a trace here.
        raise UsageError(
            f"{name}_FILE names {path}, which other users of this machine may read or write.",
            unchanged="Nothing was sent.",
            next_step=f"make it yours alone: chmod 600 {path}",
        )
    return SecretStr(key)


def _read_credential(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_CREDENTIAL_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(
            f"{name}_FILE names {path}, which cannot be read: {reason}.",
            next_step="check the path and that this user may read it.",
        ) from error


def _token_of_gh(api_url: str) -> SecretStr | None:
    try:
        answer = subprocess.run(  # noqa: S603 - an argument list; the host comes from a checked base URL
            ["gh", "auth", "token", "--hostname", github_site(api_url)],  # noqa: S607 - the user's own gh, wherever it is
            capture_output=True,
            text=True,
            timeout=_GH_TIMEOUT_SECONDS,
            check=False,
            env={name: os.environ[name] for name in _GH_READS if name in os.environ},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # no gh, or one that hangs: the caller says what else would do
    token = answer.stdout.strip()
    if answer.returncode != 0 or not token:
        return None
    register_secret(token)
    return SecretStr(token)
