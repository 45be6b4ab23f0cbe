"""What probes, monitoring and strangers find."""

import re
import sqlite3
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from prometheus_client.parser import text_string_to_metric_families

from deployments.gateway.app import create_app
from runbook.clock import SystemClock
from runbook.engine.deliveries import Deliveries
from tests.deployments.gateway.conftest import Client
from tests.deployments.gateway.payloads import PATH, POLICY, headers, run_payload


def metrics(client: Client) -> dict[str, float]:
    """Return each sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_living_gateway_is_healthy_and_ready(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}


def test_gateway_without_its_ledger_is_healthy_but_not_ready(client: Client, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    database.execute("ALTER TABLE deliveries RENAME TO elsewhere")
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"detail": "The ledger is away."}
    assert metrics(client)["runbook_ledger_up[]"] == 0
    database.execute("ALTER TABLE elsewhere RENAME TO deliveries")
    database.close()
    assert client.get("/readyz").status_code == 200
    assert metrics(client)["runbook_ledger_up[]"] == 1


def test_metrics_count_deliveries_by_kind_and_outcome(client: Client) -> None:
    body = run_payload()
    sent = headers(body)
    for _ in range(2):
        client.post(PATH, content=body, headers=sent)
    client.post(PATH, content=body, headers=headers(body, event="no_such_event"))
    client.post(PATH, content=body, headers=headers(body, secret="wrong"))
    client.post(PATH, content=b"x" * 5000, headers=headers(body))
    found = metrics(client)
    assert found["runbook_deliveries_total['stored', 'workflow_run']"] == 1
    assert found["runbook_deliveries_total['repeated', 'workflow_run']"] == 1
    assert found["runbook_deliveries_total['ignored', 'other']"] == 1
    assert found["runbook_deliveries_total['forged', 'workflow_run']"] == 1
    assert found["runbook_deliveries_total['too_large', 'workflow_run']"] == 1
    assert found["runbook_delivery_seconds_count[]"] == 5
    assert found["runbook_deliveries_in_ledger['waiting']"] == 1
    assert found["runbook_deliveries_in_ledger['ignored']"] == 1
    assert 0 < found["runbook_oldest_waiting_delivery_seconds[]"] < 60


def test_foreign_event_names_make_no_new_time_series(client: Client) -> None:
    for number in range(5):
        client.post(PATH, content=b"{}", headers={"x-github-event": f"made-up-{number}"})
    assert "made-up" not in client.get("/metrics").text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/nowhere"])
def test_every_answer_carries_the_headers_and_invites_no_other_site(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert not any(name.startswith("access-control-") for name in answer.headers)


def test_page_may_bring_a_content_policy_of_its_own(deliveries: Deliveries) -> None:
    router = APIRouter()

    @router.get("/page")
    def page() -> HTMLResponse:
        return HTMLResponse("<p>", headers={"content-security-policy": "default-src 'self'"})

    app = create_app(
        deliveries=deliveries,
        policy=lambda: POLICY,
        webhook_secrets=tuple,
        clock=SystemClock(),
        routers=(router,),
    )
    answer = Client(app).get("/page")
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_description_names_every_answer_of_the_webhook(app: FastAPI) -> None:
    operation = app.openapi()["paths"][PATH]["post"]
    assert {"202", "400", "401", "408", "413", "415", "503"} <= set(operation["responses"])
    assert {"application/json", "application/x-www-form-urlencoded"} == set(
        operation["requestBody"]["content"]
    )
    assert all(re.match("[A-Z]", operation[part]) for part in ("summary", "description"))
