"""Rules of the settings: typed, from variable or file, and never showing a credential."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import SecretStr

from runbook.errors import UsageError
from runbook.scrub import scrub
from runbook.settings import AppSettings, Settings, github_site, is_loopback

CANARY = "canary-token-0123456789"


def test_unset_variables_give_the_documented_defaults() -> None:
    settings = Settings.from_environment({"HOME": "/home/ann"})
    assert settings.github_api_url == "https://api.github.com"
    assert settings.policy_file == Path("runbook.toml")
    assert settings.prefect_api_url is None
    assert settings.github_token is None
    assert settings.ledger_url.get_secret_value() == "sqlite:////home/ann/.local/state/runbook/ledger.sqlite3"


def test_variables_are_taken_and_the_base_url_loses_its_slash() -> None:
    settings = Settings.from_environment(
        {
            "RUNBOOK_POLICY": "p.toml",
            "RUNBOOK_LEDGER_URL": "sqlite:///x.db",
            "GITHUB_API_URL": "http://127.0.0.1:8080/",
            "PREFECT_API_URL": "http://127.0.0.1:4200/api",
        }
    )
    assert settings.policy_file == Path("p.toml")
    assert settings.ledger_url.get_secret_value() == "sqlite:///x.db"
    assert settings.github_api_url == "http://127.0.0.1:8080"
    assert settings.prefect_api_url == "http://127.0.0.1:4200/api"


@pytest.mark.parametrize(
    ("api_url", "registry"),
    [
        ("", "https://ghcr.io"),
        ("https://ghe.example/api/v3", "https://containers.ghe.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_the_registry_follows_from_the_api(api_url: str, registry: str) -> None:
    assert Settings.from_environment({"GITHUB_API_URL": api_url}).registry_url == registry


@pytest.mark.parametrize("by_file", [False, True])
def test_a_credential_shows_in_no_repr_and_the_scrubber_knows_it(tmp_path: Path, by_file: bool) -> None:
    file = tmp_path / "token"
    file.write_text(CANARY + "\n")
    environment = {"GITHUB_TOKEN_FILE": str(file)} if by_file else {"GITHUB_TOKEN": CANARY}
    settings = Settings.from_environment(environment)
    assert settings.require_github_credential("read runs") == SecretStr(CANARY)
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings.github_token)
    assert CANARY not in scrub(f"log {CANARY}")


def test_a_ledger_password_is_registered_and_hidden() -> None:
    settings = Settings.from_environment({"RUNBOOK_LEDGER_URL": "postgresql://u:canary-pass@h/db"})
    assert "canary-pass" not in repr(settings)
    assert "canary-pass" not in scrub("could not connect as u with canary-pass")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GITHUB_TOKEN": "a", "GITHUB_TOKEN_FILE": "b"}, "both set"),
        ({"GITHUB_TOKEN_FILE": "/nonexistent/token"}, "GITHUB_TOKEN_FILE names /nonexistent/token"),
        ({"GITHUB_TOKEN": CANARY + "\nmore"}, "control characters"),
        ({"GITHUB_API_URL": "api.github.com"}, "GITHUB_API_URL is not the base URL"),
        ({"GITHUB_API_URL": "https://u:p@host"}, "GITHUB_API_URL is not the base URL"),
        ({"GITHUB_API_URL": "http://ghe.example"}, "plain http on ghe.example"),
        ({"GITHUB_API_URL": "http://127.evil.example"}, "plain http on 127.evil.example"),
        ({"RUNBOOK_ALLOW_PLAIN_HTTP": "yes"}, "RUNBOOK_ALLOW_PLAIN_HTTP is neither 1 nor 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(environment: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refusal:
        Settings.from_environment(environment)
    assert CANARY not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "switch", "refused"),
    [
        ("", "", False),
        ("http://127.0.0.1:4200/api", "", False),
        ("http://[::1]:4200/api", "", False),
        ("http://localhost:4200/api", "", False),
        ("https://prefect.example/api", "", False),
        ("http://prefect.example/api", "", True),
        ("HTTP://prefect.example/api", "", True),
        ("http://127.evil.example/api", "0", True),
        ("http://0.0.0.0:4200/api", "", True),
        ("http://prefect.example/api", "1", False),
    ],
)
def test_a_prefect_server_in_plain_http_over_a_network_must_be_allowed(
    url: str, switch: str, refused: bool
) -> None:
    settings = Settings.from_environment({"PREFECT_API_URL": url, "RUNBOOK_ALLOW_PLAIN_HTTP": switch})
    with pytest.raises(UsageError, match="RUNBOOK_ALLOW_PLAIN_HTTP=1") if refused else nullcontext():
        settings.require_private_prefect()


def test_a_missing_token_is_named_with_its_purpose() -> None:
    with pytest.raises(UsageError, match=r"needed to read the run\..*set GITHUB_TOKEN, or GITHUB_TOKEN_FILE"):
        Settings.from_environment({}).require_github_credential("read the run")


def test_the_approver_token_falls_back_to_gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "gh"
    program.write_text(
        '#!/bin/sh\n[ "$*" = "auth token --hostname github.com" ] && echo gh-gave-this-token\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Settings.from_environment({}).require_approver_token().get_secret_value() == "gh-gave-this-token"
    own = Settings.from_environment({"RUNBOOK_APPROVER_TOKEN": CANARY})
    assert own.require_approver_token().get_secret_value() == CANARY


def test_gh_is_not_asked_to_give_back_the_products_own_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As gh does: a variable outweighs whoever signed in."""
    program = tmp_path / "gh"
    program.write_text('#!/bin/sh\necho "${GH_TOKEN:-${GITHUB_TOKEN:-token-of-alice}}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("GITHUB_TOKEN", "token-of-the-product")
    monkeypatch.setenv("GH_TOKEN", "token-of-the-product")
    assert Settings.from_environment().require_approver_token().get_secret_value() == "token-of-alice"


def test_gh_knows_none_of_the_installations_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "gh"
    program.write_text('#!/bin/sh\necho "token:$HOME:$VAULT_TOKEN$PREFECT_API_AUTH_STRING"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", "/home/alice")
    for name in ("VAULT_TOKEN", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(name, CANARY)
    assert Settings.from_environment({}).require_approver_token().get_secret_value() == "token:/home/alice:"


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://u:correct%40horse@db/ledger", "correct@horse"),
        ("postgresql://u:correct#horse@db/ledger", "correct#horse"),
        ("postgresql://u:correct/horse@db/ledger", "correct/horse"),
        ("postgresql+psycopg://db/ledger?user=u&password=correct-horse", "correct-horse"),
    ],
)
def test_the_ledgers_password_is_hidden_as_a_driver_would_show_it(url: str, password: str) -> None:
    Settings.from_environment({"RUNBOOK_LEDGER_URL": url})
    assert password not in scrub(f'login of "u" with "{password}" failed')


def test_without_any_approver_token_the_error_says_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"RUNBOOK_APPROVER_TOKEN, or sign in with `gh auth login`"):
        Settings.from_environment({}).require_approver_token()


def app_environment(key: Path, **more: str) -> dict[str, str]:
    """Return the variables of a GitHub App."""
    ids = {"GITHUB_APP_ID": "12345", "GITHUB_APP_INSTALLATION_ID": "67"}
    return {**ids, "GITHUB_APP_PRIVATE_KEY_FILE": str(key), **more}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A file that holds a private key, for its owner alone."""
    file = tmp_path / "app.pem"
    file.write_text(f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----\n")
    file.chmod(0o600)
    return file


def test_a_github_app_is_a_credential_whose_key_is_hidden(key: Path) -> None:
    settings = Settings.from_environment(app_environment(key))
    app = settings.require_github_credential("act")
    assert app is settings.github_app
    assert isinstance(app, AppSettings)
    assert (app.app_id, app.installation_id) == ("12345", 67)
    assert settings.has_github_credential
    assert CANARY not in repr(settings)
    assert CANARY not in scrub(f"log {CANARY}")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_private_key_that_others_may_touch_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(UsageError, match=r"other users of this machine.*chmod 600"):
        Settings.from_environment(app_environment(key))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"GITHUB_APP_ID": ""}, "GITHUB_APP_ID is not set"),
        ({"GITHUB_APP_PRIVATE_KEY_FILE": ""}, "GITHUB_APP_PRIVATE_KEY_FILE is not set"),
        ({"GITHUB_APP_PRIVATE_KEY_FILE": "/nowhere"}, "cannot be read"),
        ({"GITHUB_APP_INSTALLATION_ID": "../1"}, "is no id"),
        ({"GITHUB_APP_ID": "a b"}, "is no id"),
        ({"GITHUB_TOKEN": CANARY}, "are two accounts"),
    ],
)
def test_half_an_app_or_two_accounts_are_refused(key: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Settings.from_environment(app_environment(key) | changes)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1", True), ("127.3.2.1", True), ("localhost", True), ("::1", True), ("[::1]", True)),
        *(("0.0.0.0", False), ("::", False), ("192.168.1.2", False)),  # noqa: S104
        *(("localhost.example", False), ("127.example.com", False)),
    ],
)
def test_loopback_is_what_no_other_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("api_url", "site"),
    [
        ("https://api.github.com", "github.com"),
        ("https://github.example/api/v3", "github.example"),
        ("http://127.0.0.1:8000", "127.0.0.1"),
    ],
)
def test_people_know_the_public_api_by_another_name(api_url: str, site: str) -> None:
    assert github_site(api_url) == site
