"""The gateway as a process of its own, over a real connection."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from benchmarks.deliveries import gateway, payload, signed
from deployments.gateway.__main__ import main
from runbook.clock import SystemClock
from runbook.engine.deliveries import Deliveries
from runbook.engine.ledger import Ledger

ROOT = Path(__file__).resolve().parents[3]


def test_process_stores_what_it_acknowledges_shows_no_secret_and_ends_in_peace(tmp_path: Path) -> None:
    with gateway(tmp_path) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        body = payload(1)
        answer = client.post("/webhooks/github", content=body, headers=signed(body, "d-1"))
        assert answer.status_code == 202
        assert "server" not in answer.headers
        too_much = b"x" * (5 * 2**20 + 1)
        assert client.post("/webhooks/github", content=too_much).status_code == 413
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    (delivery,) = Deliveries(ledger, clock=SystemClock()).due(limit=10)
    assert delivery.payload() == body
    ledger.close()
    log = (tmp_path / "gateway.log").read_text()
    assert "listens on http://127.0.0.1:" in log
    assert "benchmark-of-deliveries" not in log
    assert "Traceback" not in log


def test_killed_gateway_has_lost_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    with gateway(tmp_path) as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        for number in range(20):
            body = payload(number)
            client.post(
                "/webhooks/github", content=body, headers=signed(body, f"d-{number}")
            ).raise_for_status()
        running.process.kill()
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert len(Deliveries(ledger, clock=SystemClock()).due(limit=100)) == 20
    ledger.close()


def test_process_without_a_secret_says_what_to_set(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "deployments.gateway", "--port", "1"],
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("size", ["0", "26", "many"])
def test_size_beyond_what_github_sends_is_no_setting(size: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--largest-body-mib", size])
    assert caught.value.code == 2
