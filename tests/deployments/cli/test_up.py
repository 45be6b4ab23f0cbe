"""``runbook up``: what it refuses before anything is started, and what it passes on. Starting: the demo's test."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

import sandbox
from deployments.cli import up
from runbook.installation import Installation
from tests.deployments.cli.conftest import Runbook


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Hold a port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_missing_token_is_named_before_anything_starts(runbook: Runbook, tmp_path: Path) -> None:
    state = tmp_path / "state"
    ended = runbook("up", "--state", str(state))
    assert ended.status == 2
    assert "GITHUB_TOKEN" in ended.err
    assert not state.exists()


def test_token_that_github_refuses_starts_nothing(
    here: Installation, runbook: Runbook, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "runbook.toml"
    policy.write_text(policy.read_text().replace('product_login = "runbook-bot"', ""))
    environment.setenv("GITHUB_TOKEN", "canary-that-github-does-not-know")
    ended = runbook("up", "--state", str(tmp_path / "state"))
    assert ended.status == 5
    assert "canary" not in ended.err
    assert not (tmp_path / "state").exists()


def test_token_of_another_account_than_the_policys_starts_nothing(
    here: Installation,
    runbook: Runbook,
    environment: pytest.MonkeyPatch,
    box: sandbox.Box,
    tmp_path: Path,
    taken_port: int,
) -> None:
    environment.setenv("GITHUB_TOKEN", box.token_of("carol"))
    ended = runbook("up", "--state", str(tmp_path / "state"), "--port", str(taken_port))
    assert ended.status == 2
    assert "GITHUB_TOKEN is carol's" in ended.err
    assert "acts as runbook-bot" in ended.err
    assert "Unchanged: Nothing was started." in ended.err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("product_login", ['product_login = "runbook-bot"', ""])
def test_github_that_is_away_at_the_start_is_a_warning_only(
    here: Installation,
    runbook: Runbook,
    environment: pytest.MonkeyPatch,
    box: sandbox.Box,
    tmp_path: Path,
    taken_port: int,
    product_login: str,
) -> None:
    policy = tmp_path / "runbook.toml"
    policy.write_text(policy.read_text().replace('product_login = "runbook-bot"', product_login))
    environment.setattr("runbook.clock.SystemClock.sleep", lambda _, seconds: None)
    box.fail("500_before", method="GET", times=4)  # a read is tried four times
    ended = runbook("up", "--state", str(tmp_path / "state"), "--port", str(taken_port))
    assert "Whose GITHUB_TOKEN is could not be checked" in ended.err
    assert str(taken_port) in ended.err, "it went on, up to the server's port"


def test_port_in_use_is_said(here: Installation, runbook: Runbook, tmp_path: Path, taken_port: int) -> None:
    ended = runbook("up", "--state", str(tmp_path / "state"), "--port", str(taken_port))
    assert ended.status == 2
    assert str(taken_port) in ended.err


def test_off_loopback_without_a_password_is_refused(
    here: Installation, runbook: Runbook, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    environment.delenv("PREFECT_API_AUTH_STRING", raising=False)
    environment.setenv("RUNBOOK_ALLOW_PLAIN_HTTP", "1")
    ended = runbook("up", "--state", str(tmp_path / "state"), "--host", "0.0.0.0")  # noqa: S104 - refused
    assert ended.status == 2
    assert "PREFECT_SERVER_API_AUTH_STRING" in ended.err


def test_off_loopback_in_plain_http_is_refused_unless_allowed(
    here: Installation, runbook: Runbook, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its own processes would refuse to speak to it, and die one by one."""
    environment.setenv("PREFECT_SERVER_API_AUTH_STRING", "user:canary-password")
    ended = runbook("up", "--state", str(tmp_path / "state"), "--host", "192.0.2.1")
    assert ended.status == 2
    assert "RUNBOOK_ALLOW_PLAIN_HTTP=1" in ended.err
    assert not (tmp_path / "state").exists()


def test_server_of_others_and_options_of_an_own_one_contradict(
    here: Installation, runbook: Runbook, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    ended = runbook("up", "--state", str(tmp_path / "state"), "--port", "4300")
    assert ended.status == 2
    assert "PREFECT_API_URL" in ended.err


@pytest.mark.parametrize(
    "words",
    [("up", "--state", "state"), ("run", "clear-caches", "--all"), ("doctor",)],
    ids=lambda words: words[0],
)
def test_plain_http_to_another_machine_is_refused_with_nothing_sent(
    here: Installation,
    runbook: Runbook,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    sent: list[str] = []
    really = requests.Session.send

    def send(session: requests.Session, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        sent.append(urlsplit(request.url or "").hostname or "")
        return really(session, request, **how)

    environment.setattr(requests.Session, "send", send)
    environment.setenv("PREFECT_API_URL", "http://prefect.example/api")
    environment.setenv("PREFECT_API_AUTH_STRING", "user:canary")
    ended = runbook(*words)
    assert ended.status == (1 if words == ("doctor",) else 2)
    assert "RUNBOOK_ALLOW_PLAIN_HTTP=1" in ended.out + ended.err
    assert "prefect.example" not in sent
    assert not (tmp_path / "state").exists()


def test_children_get_absolute_paths_and_no_token_of_a_person(
    box: sandbox.Box, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(box.token)
    environment.setenv("RUNBOOK_POLICY", "runbook.toml")
    environment.setenv("RUNBOOK_LEDGER_URL", "sqlite:///ledger.db")
    environment.setenv("GITHUB_TOKEN_FILE", "token")
    environment.setenv("RUNBOOK_APPROVER_TOKEN", box.token_of("alice"))
    environment.setenv("UNRELATED_SECRET", "canary")
    settings = up._settings_of_children(Installation.open())
    assert settings["RUNBOOK_POLICY"] == str(tmp_path / "runbook.toml")
    assert settings["RUNBOOK_LEDGER_URL"] == f"sqlite:///{tmp_path / 'ledger.db'}"
    assert settings["GITHUB_TOKEN_FILE"] == str(tmp_path / "token")
    assert not {"canary", box.token_of("alice")} & set(settings.values())
