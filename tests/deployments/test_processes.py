"""What stands beside Prefect's server and the worker."""

from pathlib import Path

import pytest

from deployments.environment import FLOW_SETTINGS
from deployments.processes import PAGE_SETTINGS, WEBHOOK_SETTINGS, start_gateway
from deployments.supervisor import Supervisor
from runbook.errors import UsageError


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
