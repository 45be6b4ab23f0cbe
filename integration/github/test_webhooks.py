"""The gateway over every payload that GitHub's webhooks are documented with: taken or ignored, never an error."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deployments.gateway.app import create_app
from integration.github.conftest import judge
from runbook.clock import SystemClock
from runbook.decisions.deliveries import KINDS
from runbook.engine.deliveries import Deliveries
from runbook.engine.ledger import Ledger
from tests.deployments.gateway.conftest import Client
from tests.deployments.gateway.payloads import PATH, POLICY, SECRET, headers

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def examples() -> list[tuple[str, bytes]]:
    """Every example: its event and its body as sent."""
    kinds = json.loads(judge("octokit-webhooks-examples/examples.json").read_text())
    return [(kind["name"], json.dumps(body).encode()) for kind in kinds for body in kind["examples"]]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Client]:
    """A gateway on a ledger of its own."""
    clock = SystemClock()
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    app = create_app(
        deliveries=Deliveries(ledger, clock=clock),
        policy=lambda: POLICY,
        webhook_secrets=lambda: (SecretStr(SECRET),),
        clock=clock,
    )
    yield Client(app)
    ledger.close()


def test_each_documented_payload_is_taken_or_ignored_with_a_reason(
    gateway: Client, examples: list[tuple[str, bytes]]
) -> None:
    assert len(examples) > 200
    statuses = set()
    for event, body in examples:
        answer = gateway.post(PATH, content=body, headers=headers(body, event=event))
        said: dict[str, Any] = answer.json()
        assert answer.status_code == 202, (event, said)
        assert said["status"] in {"stored", "ignored"}, (event, said)
        assert said["reason"] or said["status"] == "stored", (event, said)
        statuses.add((event in KINDS, said["status"]))
    assert (False, "stored") not in statuses


def test_each_is_refused_when_a_byte_or_its_signature_was_changed(
    gateway: Client, examples: list[tuple[str, bytes]]
) -> None:
    chance = random.Random(7)  # noqa: S311 - which byte is changed is no secret
    for event, body in examples:
        at = chance.randrange(len(body))
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        signed = headers(body, event=event)
        assert gateway.post(PATH, content=changed, headers=signed).status_code == 401, event
        signature = signed["x-hub-signature-256"]
        forged = signature[:-1] + ("0" if signature[-1] != "0" else "1")
        answer = gateway.post(PATH, content=body, headers=signed | {"x-hub-signature-256": forged})
        assert answer.status_code == 401, event
