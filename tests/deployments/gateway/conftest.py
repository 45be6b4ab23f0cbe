"""A gateway on a real ledger file, reached without a network."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from deployments.gateway.app import Limits, create_app
from runbook.clock import SystemClock
from runbook.engine.deliveries import Deliveries
from runbook.engine.ledger import Ledger
from tests.deployments.gateway.payloads import POLICY, SECRET

BUSY_TIMEOUT_SECONDS = 0.2
Headers = Mapping[str, str] | Sequence[tuple[bytes, bytes]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger that soon gives up where somebody else holds it."""
    opened = Ledger(f"sqlite:///{tmp_path}/ledger.db", busy_timeout_seconds=BUSY_TIMEOUT_SECONDS)
    yield opened
    opened.close()


@pytest.fixture
def deliveries(ledger: Ledger) -> Deliveries:
    """Its deliveries."""
    return Deliveries(ledger, clock=SystemClock())


class Client:
    """Asks an application, one request after the other; an error inside it is the test's.

    Args:
        app: The application.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def post(self, path: str, *, content: bytes, headers: Headers) -> httpx.Response:
        """Send a POST."""
        return self._request("POST", path, content=content, headers=headers)

    def get(self, path: str) -> httpx.Response:
        """Send a GET."""
        return self._request("GET", path, content=b"", headers={})

    def _request(self, method: str, path: str, *, content: bytes, headers: Headers) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with connected(self._app) as client:
                return await client.request(method, path, content=content, headers=headers)

        return asyncio.run(ask())


def connected(app: FastAPI) -> httpx.AsyncClient:
    """Return a client of an application, for several requests at once."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway")


@pytest.fixture
def app(deliveries: Deliveries) -> Iterator[FastAPI]:
    """The application."""
    made = create_app(
        deliveries=deliveries,
        policy=lambda: POLICY,
        webhook_secrets=lambda: (SecretStr("the-one-before"), SecretStr(SECRET)),
        clock=SystemClock(),
        limits=Limits(largest_body_bytes=4096, most_body_bytes_at_once=16_384, body_deadline_seconds=0.2),
    )
    yield made

    async def end() -> None:
        async with made.router.lifespan_context(made):
            pass

    asyncio.run(end())


@pytest.fixture
def client(app: FastAPI) -> Client:
    """Return a client of the application."""
    return Client(app)
