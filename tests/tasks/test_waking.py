"""Waking a run: what each answer of a Prefect server means. The stories through Prefect use the real one."""

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_SERVER_EPHEMERAL_ENABLED,
    temporary_settings,
)

from runbook.errors import Conflict, Denied, Transient
from tasks.waking import Woken, resume

# Fixed, so that parallel test processes collect the same tests.
PAUSED, RUNNING, DELETED, STUBBORN = (str(uuid.UUID(int=number)) for number in range(1, 5))


class Server(ThreadingHTTPServer):
    """The two calls of a Prefect server that waking makes, over runs that hold their state."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.states = {PAUSED: "PAUSED", RUNNING: "RUNNING", STUBBORN: "PAUSED"}
        self.refuse: int | None = None
        self.calls: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """The API's base address."""
        return f"http://127.0.0.1:{self.server_address[1]}/api"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        run_id = self.path.rsplit("/", 1)[-1]
        self.server.calls.append(("GET", run_id))
        if self.server.refuse is not None:
            self._answer(self.server.refuse, {"detail": "no"})
        elif run_id in self.server.states:
            state = {"type": self.server.states[run_id], "name": "Suspended"}
            run = {"id": run_id, "name": "clear", "flow_id": str(uuid.uuid4()), "state": state}
            self._answer(200, run)
        else:
            self._answer(404, {"detail": "Flow run not found"})

    def do_POST(self) -> None:
        run_id = self.path.split("/")[-2]
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append(("POST", run_id))
        if run_id == STUBBORN:
            details = {"type": "reject_details", "reason": "Run input schema not found."}
            self._answer(200, {"state": None, "status": "REJECT", "details": details})
            return
        self.server.states[run_id] = "SCHEDULED"
        scheduled = {"type": "SCHEDULED", "name": "Resuming"}
        self._answer(201, {"state": scheduled, "status": "ACCEPT", "details": {"type": "accept_details"}})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run the server, and make it this process's Prefect."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        settings = {PREFECT_API_URL: running.url, PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False}
        with temporary_settings(settings):
            yield running
        running.shutdown()
        thread.join()


def test_paused_run_is_resumed(server: Server) -> None:
    assert resume(PAUSED) is Woken.RESUMED
    assert server.states[PAUSED] == "SCHEDULED"


def test_waking_twice_changes_nothing(server: Server) -> None:
    assert resume(PAUSED) is Woken.RESUMED
    assert resume(PAUSED) is Woken.NOT_PAUSED
    assert server.calls.count(("POST", PAUSED)) == 1


def test_run_that_is_awake_is_left_alone(server: Server) -> None:
    assert resume(RUNNING) is Woken.NOT_PAUSED
    assert ("POST", RUNNING) not in server.calls


@pytest.mark.parametrize("run_id", [DELETED, "not-a-run"])
def test_run_that_prefect_does_not_know_is_missing(server: Server, run_id: str) -> None:
    assert resume(run_id) is Woken.MISSING
    assert ("POST", run_id) not in server.calls, "the real one answers that with 500"


def test_run_that_cannot_be_resumed_says_why(server: Server) -> None:
    with pytest.raises(Conflict, match="schema not found"):
        resume(STUBBORN)


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Denied), (403, Denied), (500, Transient), (503, Transient)]
)
def test_refusal_is_told_by_its_kind_and_tried_once(
    server: Server, status: int, kind: type[Exception]
) -> None:
    server.refuse = status
    with pytest.raises(kind):
        resume(PAUSED)
    assert len(server.calls) == 1


def test_server_that_is_away_is_transient() -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(Transient, match="not answer"),
    ):
        resume(PAUSED)


def test_no_server_of_our_own_is_started_where_none_is_named() -> None:
    nothing = {PREFECT_API_URL: None, PREFECT_SERVER_EPHEMERAL_ENABLED: True}
    with temporary_settings(nothing), pytest.raises(Transient, match="No Prefect server is named"):
        resume(PAUSED)
