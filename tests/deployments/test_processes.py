"""What stands beside Prefect's server and the worker."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from deployments import processes
from deployments.children import Child
from deployments.environment import FLOW_SETTINGS, GITHUB_SETTINGS, INSTALLATION_SETTINGS, flow_settings
from deployments.processes import PAGE_SETTINGS, WEBHOOK_SETTINGS, start_dispatchers, start_gateway
from deployments.supervisor import Supervisor
from runbook.errors import UsageError
from runbook.settings import Settings

PREFECT = "http://192.0.2.1:4200/api"
EVERYTHING = {
    **{name: f"value-of-{name}" for name in FLOW_SETTINGS},
    "GITHUB_API_URL": "https://api.github.com",
    "RUNBOOK_ALLOW_PLAIN_HTTP": "1",
}


class Recording(Supervisor):
    """Keeps the environments of its children instead of starting them; its server is off loopback."""

    def __init__(self) -> None:
        super().__init__(None)
        self.environments: dict[str, Mapping[str, str]] = {}

    @property
    def api_url(self) -> str:
        return PREFECT

    def _spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        self.environments[name] = environment
        return Child.__new__(Child)  # nobody looks at it


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Mapping[str, str]]:
    """All that each process gets to know, for a Prefect server off loopback and behind a proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    monkeypatch.setenv("SSL_CERT_FILE", "/ca.pem")
    monkeypatch.setattr(processes, "_await_ready", lambda *_: None)
    monkeypatch.setattr(processes, "require_free", lambda *_, **__: None)
    monkeypatch.setattr(Child, "await_end", lambda *_, **__: None)
    with Recording() as up:
        monkeypatch.setattr(up, "end", lambda child: None)
        settings = flow_settings(EVERYTHING)
        up.start_worker(settings=settings)
        start_dispatchers(up, settings)
        start_gateway(up, settings, secrets={"RUNBOOK_WEBHOOK_SECRET": "s"}, port=1)
        up.deploy_all()
    return up.environments


@pytest.mark.parametrize("child", ["worker", "dispatcher", "delivery-dispatcher", "gateway"])
def test_each_process_may_speak_to_a_plain_server_off_loopback_where_that_is_allowed(
    environments: Mapping[str, Mapping[str, str]], child: str
) -> None:
    known = {
        name: value for name, value in environments[child].items() if not name.startswith(("GITHUB", "VAULT"))
    }
    Settings.from_environment(known).require_private_prefect()
    del known["RUNBOOK_ALLOW_PLAIN_HTTP"]
    with pytest.raises(UsageError, match="RUNBOOK_ALLOW_PLAIN_HTTP"):
        Settings.from_environment(known).require_private_prefect()


@pytest.mark.parametrize("child", ["worker", "dispatcher", "delivery-dispatcher", "gateway", "deploy"])
def test_whoever_speaks_to_a_server_off_loopback_knows_the_machines_proxies_and_certificates(
    environments: Mapping[str, Mapping[str, str]], child: str
) -> None:
    assert environments[child]["HTTPS_PROXY"] == "http://proxy.example"
    assert environments[child]["SSL_CERT_FILE"] == "/ca.pem"
    assert environments[child]["PREFECT_API_URL"] == PREFECT


@pytest.mark.parametrize(
    ("child", "known"),
    [
        ("worker", FLOW_SETTINGS),
        ("dispatcher", INSTALLATION_SETTINGS | GITHUB_SETTINGS),
        ("delivery-dispatcher", INSTALLATION_SETTINGS),
        ("gateway", INSTALLATION_SETTINGS | {"RUNBOOK_WEBHOOK_SECRET"}),
        ("deploy", frozenset[str]()),
    ],
)
def test_each_process_knows_the_settings_it_needs_and_no_other(
    environments: Mapping[str, Mapping[str, str]], child: str, known: frozenset[str]
) -> None:
    ours: Any = {*FLOW_SETTINGS, *WEBHOOK_SETTINGS, *PAGE_SETTINGS}
    assert ours & environments[child].keys() == known


@pytest.mark.parametrize(
    "secrets", [{}, {"RUNBOOK_WEBHOOK_SECRET": ""}, {"RUNBOOK_APPROVER_SEEDS_FILE": "/seeds"}]
)
def test_no_gateway_starts_without_a_webhook_secret(tmp_path: Path, secrets: dict[str, str]) -> None:
    with Supervisor(tmp_path / "state") as up:
        with pytest.raises(UsageError, match="anybody could forge"):
            start_gateway(up, {}, secrets=secrets, port=1)
        assert not (tmp_path / "state" / "gateway.log").exists()


def test_flow_runs_never_get_the_gateways_secrets() -> None:
    assert FLOW_SETTINGS.isdisjoint({*WEBHOOK_SETTINGS, *PAGE_SETTINGS})
