"""Requests that a machine makes up from the gateway's own description: none of them is an error of ours."""

import threading
from collections.abc import Iterator

import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema

from deployments.gateway.app import create_app
from runbook.clock import SystemClock
from runbook.decisions.deliveries import KINDS
from runbook.engine.deliveries import Deliveries
from runbook.engine.ledger import Ledger
from tests.deployments.gateway.conftest import Client
from tests.deployments.gateway.payloads import PATH, POLICY, SECRET, headers

_EXAMPLES = 60


class Serving(uvicorn.Server):
    """Says when it serves."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_config=None))
        self.serving = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.serving.set()

    @property
    def url(self) -> str:
        """Where it serves."""
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """One application for all of them."""
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('hostile') / 'ledger.db'}")
    yield create_app(
        deliveries=Deliveries(ledger, clock=SystemClock()),
        policy=lambda: POLICY,
        webhook_secrets=lambda: (SecretStr(SECRET),),
        clock=SystemClock(),
    )
    ledger.close()


@pytest.fixture(scope="module")
def description(app: FastAPI) -> Iterator[BaseSchema]:
    """The description that a real server serves, over a real connection."""
    server = Serving(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.serving.wait(10)
    yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    server.should_exit = True
    thread.join(10)


def test_no_request_that_fits_the_description_or_almost_does_is_a_server_error(
    description: BaseSchema,
) -> None:
    asked = set()
    for found in description.get_all_operations():
        operation = found.ok()
        # A probe takes nothing that could be wrong.
        for mode in GenerationMode if operation.path == PATH else (GenerationMode.POSITIVE,):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
            def ask(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=[not_a_server_error])

            ask()
        asked.add(operation.path)
    assert asked == {PATH, "/healthz", "/readyz", "/metrics"}


@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode), event=st.sampled_from(sorted(KINDS))
)
@settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_signed_body_is_a_server_error(app: FastAPI, body: bytes, event: str) -> None:
    answer = Client(app).post(PATH, content=body, headers=headers(body, event=event))
    assert answer.status_code in (202, 400)
