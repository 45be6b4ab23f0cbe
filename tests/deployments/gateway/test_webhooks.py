"""Deliveries, good and bad: what is acknowledged is stored, what is not genuine leaves no trace."""

import asyncio
import json
import sqlite3
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from runbook.engine.deliveries import Deliveries, DeliveryState
from tests.deployments.gateway.conftest import Client, connected
from tests.deployments.gateway.payloads import PATH, REPOSITORY, SECRET, body_of, headers, run_payload


def stored(deliveries: Deliveries) -> int:
    return sum(deliveries.backlog().counts.values())


def test_failed_run_is_stored_then_acknowledged(client: Client, deliveries: Deliveries) -> None:
    body = run_payload()
    answer = client.post(PATH, content=body, headers=headers(body, delivery="d-1"))
    assert answer.status_code == 202
    assert answer.json() == {
        "delivery": "d-1",
        "status": "stored",
        "reason": f"{REPOSITORY}:42:1 will be looked at",
    }
    (delivery,) = deliveries.due(limit=10)
    assert (delivery.id, delivery.event, delivery.repository) == ("d-1", "workflow_run", REPOSITORY)
    assert delivery.payload() == body


@pytest.mark.parametrize(
    ("event", "body", "reason"),
    [
        ("ping", b'{"zen": "x"}', "a ping"),
        ("push", body_of(ref="refs/heads/main"), "events of this kind"),
        ("projects_v2_item", body_of(), "events of this kind"),
        ("workflow_run", run_payload(conclusion="success"), "did not fail (success)"),
        ("workflow_run", body_of(action="completed"), "(workflow_run)"),
        ("workflow_run", body_of(repository={"full_name": "a/b"}), "does not name its repository"),
        ("secret_scanning_alert", body_of(action="created"), "not built yet"),
        ("issue_comment", body_of(action="created"), "a field is missing"),
    ],
)
def test_what_leads_to_nothing_is_acknowledged_with_its_reason_and_kept_without_its_body(
    client: Client, deliveries: Deliveries, tmp_path: Path, event: str, body: bytes, reason: str
) -> None:
    answer = client.post(PATH, content=body, headers=headers(body, event=event))
    assert answer.status_code == 202
    assert answer.json()["status"] == "ignored"
    assert reason in answer.json()["reason"]
    assert deliveries.backlog().counts[DeliveryState.IGNORED] == 1
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        assert database.execute("SELECT body FROM deliveries").fetchall() == [(b"",)]
    database.close()


def test_repeated_delivery_is_acknowledged_once_as_stored(client: Client, deliveries: Deliveries) -> None:
    body = run_payload()
    sent = headers(body, delivery="d-1")
    assert client.post(PATH, content=body, headers=sent).json()["status"] == "stored"
    again = client.post(PATH, content=body, headers=sent)
    assert (again.status_code, again.json()["status"]) == (202, "repeated")
    assert stored(deliveries) == 1


def _with(name: str, value: str | None) -> dict[str, str]:
    changed = headers(run_payload())
    changed.pop(name)
    return changed if value is None else changed | {name: value}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (_with("x-hub-signature-256", None), 401),
        (_with("x-hub-signature-256", ""), 401),
        (_with("x-hub-signature-256", "sha256=" + "0" * 64), 401),
        (_with("x-hub-signature-256", headers(run_payload(), secret="wrong")["x-hub-signature-256"]), 401),
        (_with("x-hub-signature-256", headers(run_payload())["x-hub-signature-256"][7:]), 401),
        (_with("x-hub-signature-256", headers(run_payload())["x-hub-signature-256"][:-1]), 401),
        (_with("x-github-delivery", None), 400),
        (_with("x-github-delivery", "../../etc"), 400),
        (_with("x-github-delivery", "x" * 65), 400),
        (_with("x-github-event", None), 400),
        (_with("x-github-event", "workflow run"), 400),
        (_with("content-type", "text/plain"), 415),
        (_with("content-type", None), 415),
    ],
)
def test_what_is_not_github_s_is_refused_and_leaves_no_trace(
    client: Client, deliveries: Deliveries, sent: dict[str, str], status: int
) -> None:
    assert client.post(PATH, content=run_payload(), headers=sent).status_code == status
    assert stored(deliveries) == 0


def test_signature_beyond_ascii_is_refused_like_any_other(client: Client) -> None:
    sent = list(headers(run_payload()).items())
    raw = [(name.encode(), value.encode()) for name, value in sent if name != "x-hub-signature-256"]
    raw.append((b"x-hub-signature-256", b"sha256=\xff\xc3\xa9"))
    assert client.post(PATH, content=run_payload(), headers=raw).status_code == 401


def test_every_single_changed_byte_is_noticed(client: Client, deliveries: Deliveries) -> None:
    body = run_payload()
    sent = headers(body)
    for place in range(len(body)):
        changed = bytearray(body)
        changed[place] ^= 1
        assert client.post(PATH, content=bytes(changed), headers=sent).status_code == 401
    for length in range(0, len(body), 7):
        assert client.post(PATH, content=body[:length], headers=sent).status_code == 401
    assert stored(deliveries) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"a": "\xff"}',
        run_payload().decode().encode("utf-16"),
        b"\x1f\x8b\x08",
        b"[" * 4000,
    ],
)
def test_genuine_body_that_is_no_json_object_is_refused(
    client: Client, deliveries: Deliveries, body: bytes
) -> None:
    answer = client.post(PATH, content=body, headers=headers(body))
    assert answer.status_code == 400
    assert stored(deliveries) == 0


def test_body_may_come_as_a_form(client: Client, deliveries: Deliveries) -> None:
    form = urllib.parse.urlencode({"payload": run_payload().decode()}).encode()
    kind = "application/x-www-form-urlencoded"
    answer = client.post(PATH, content=form, headers=headers(form, content_type=kind))
    assert answer.json()["status"] == "stored"
    assert deliveries.due(limit=1)[0].payload() == run_payload()
    for broken in (b"", b"other=1", b"payload=", "payload=\u00e9".encode(), b"a=1&" * 50):
        answer = client.post(PATH, content=broken, headers=headers(broken, content_type=kind))
        assert answer.status_code == 400, broken


def test_both_secrets_are_good_while_one_takes_the_place_of_the_other(client: Client) -> None:
    for secret in ("the-one-before", SECRET):
        body = run_payload()
        assert client.post(PATH, content=body, headers=headers(body, secret=secret)).status_code == 202


def test_too_large_a_body_is_refused_by_its_declared_length(client: Client) -> None:
    body = body_of(filler="x" * 5000)
    assert client.post(PATH, content=body, headers=headers(body)).status_code == 413


async def _pieces(*pieces: bytes, forever: bool = False) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if forever:
        await asyncio.Event().wait()


def test_too_large_a_body_without_declared_length_is_refused_while_it_streams(app: FastAPI) -> None:
    async def send() -> int:
        async with connected(app) as client:
            body = (b"x" * 1000,) * 100
            return (await client.post(PATH, content=_pieces(*body), headers=headers(b""))).status_code

    assert asyncio.run(send()) == 413


def test_body_that_never_ends_is_given_up(app: FastAPI) -> None:
    async def send() -> int:
        async with connected(app) as client:
            body = _pieces(b"{", forever=True)
            return (await client.post(PATH, content=body, headers=headers(b""))).status_code

    assert asyncio.run(send()) == 408


def test_same_delivery_fifty_times_at_once_is_one_row(app: FastAPI, deliveries: Deliveries) -> None:
    body = run_payload()
    sent = headers(body, delivery="d-1")

    async def send() -> list[str]:
        async with connected(app) as client:
            answers = await asyncio.gather(
                *(client.post(PATH, content=body, headers=sent) for _ in range(50))
            )
            return [answer.json()["status"] for answer in answers]

    statuses = asyncio.run(send())
    assert sorted(statuses) == ["repeated"] * 49 + ["stored"]
    assert stored(deliveries) == 1


def test_nothing_is_acknowledged_while_the_ledger_is_away(
    client: Client, deliveries: Deliveries, tmp_path: Path
) -> None:
    body = run_payload()
    sent = headers(body, delivery="d-1")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answer = client.post(PATH, content=body, headers=sent)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert str(tmp_path) not in answer.text
    other.execute("ROLLBACK")
    other.close()
    assert stored(deliveries) == 0
    assert client.post(PATH, content=body, headers=sent).json()["status"] == "stored"
    assert stored(deliveries) == 1


def test_lone_surrogate_in_a_payload_troubles_no_database(client: Client) -> None:
    body = json.dumps({"repository": {"full_name": REPOSITORY}, "action": "\ud800"}).encode()
    assert client.post(PATH, content=body, headers=headers(body)).status_code in (202, 400)
