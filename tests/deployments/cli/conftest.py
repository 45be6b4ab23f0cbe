"""An installation on the stand-in, as the environment of one command line."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sandbox
from deployments import cli
from runbook.installation import Installation
from tests.deployments.cli.story import POLICY

SETTINGS = (
    *("RUNBOOK_POLICY", "RUNBOOK_LEDGER_URL", "RUNBOOK_APPROVER_TOKEN", "RUNBOOK_APPROVER_TOKEN_FILE"),
    *("GITHUB_API_URL", "GITHUB_TOKEN", "GITHUB_TOKEN_FILE", "PREFECT_API_URL", "PREFECT_PROFILES_PATH"),
    *("PREFECT_API_AUTH_STRING", "RUNBOOK_ALLOW_PLAIN_HTTP"),
    *("KUBECONFIG", "RUNBOOK_HELM", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
)


@dataclass(frozen=True)
class Ended:
    """How a command line ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


Runbook = Callable[..., Ended]


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    """Run the demo's GitHub."""
    with sandbox.running() as running:
        yield running


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Give the command line nothing of this machine's: a policy of its own, and a ledger that is not there yet."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    policy = tmp_path / "runbook.toml"
    shutil.copy(POLICY, policy)
    monkeypatch.setenv("RUNBOOK_POLICY", str(policy))
    monkeypatch.setenv("RUNBOOK_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(tmp_path / "no-profiles.toml"))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.fixture
def here(environment: pytest.MonkeyPatch, box: sandbox.Box) -> Iterator[Installation]:
    """Open the installation whose GitHub is the stand-in; alice is who approves."""
    environment.setenv("GITHUB_API_URL", box.url)
    environment.setenv("GITHUB_TOKEN", box.token)
    environment.setenv("RUNBOOK_APPROVER_TOKEN", box.token_of("alice"))
    installation = Installation.open()
    yield installation
    installation.ledger.close()
    installation.github.close()


@pytest.fixture
def runbook(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runbook:
    """Run a command line in this process."""

    def run(*words: str) -> Ended:
        capsys.readouterr()
        status = cli.run(words)
        printed = capsys.readouterr()
        return Ended(status=status, out=printed.out, err=printed.err)

    return run
