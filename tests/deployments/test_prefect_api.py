"""A Prefect server that is not ours: of another version, not one at all, open to the world, or away."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import pytest

from deployments.ports import free_port
from deployments.prefect_api import PrefectApi
from deployments.supervisor import Supervisor
from runbook.errors import Denied, Transient, UsageError


@contextmanager
def answering(*answers: tuple[int, str]) -> Iterator[str]:
    """A server that gives these answers one by one, the last for ever; yields its API URL."""
    remaining = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@contextmanager
def api_at(url: str) -> Iterator[PrefectApi]:
    api = PrefectApi(url)
    try:
        yield api
    finally:
        api.close()


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ((200, json.dumps("2.20.0")), UsageError, "is version 2.20.0; this installation speaks"),
        ((200, "<html>"), UsageError, "does not behave like a Prefect server"),
        ((404, "{}"), UsageError, "does not behave like a Prefect server"),
        ((401, "{}"), Denied, "wants a password"),
    ],
)
def test_a_server_that_we_cannot_use_is_told_by_its_reason(
    tmp_path: Path, answer: tuple[int, str], error: type[Exception], text: str
) -> None:
    with answering(answer) as url, Supervisor(tmp_path) as up, pytest.raises(error, match=text):
        up.use_prefect_server(url)


def test_a_server_that_is_away_is_transient() -> None:
    with api_at(f"http://127.0.0.1:{free_port()}/api") as api:
        assert not api.is_healthy()
        with pytest.raises(Transient, match="does not answer"):
            api.require_matching_version()


def test_a_busy_server_is_asked_again() -> None:
    ours = (200, json.dumps(version("prefect")))
    with answering((503, "{}"), (503, "{}"), ours) as url, api_at(url) as api:
        api.require_matching_version()


def test_a_server_that_stays_busy_is_an_error() -> None:
    with answering((503, "{}")) as url, api_at(url) as api, pytest.raises(Transient, match="503"):
        api.require_matching_version()


@pytest.mark.parametrize(("status", "refused"), [(200, True), (401, False)])
def test_off_loopback_a_server_must_ask_for_a_password(
    monkeypatch: pytest.MonkeyPatch, status: int, refused: bool
) -> None:
    with answering((status, '"3"')) as url, api_at(url) as api:
        api.require_protection()  # on loopback it need not
        monkeypatch.setattr("deployments.prefect_api.is_loopback", lambda host: False)
        if refused:
            with pytest.raises(UsageError, match="off this machine and asks for no password"):
                api.require_protection()
        else:
            api.require_protection()


@pytest.mark.parametrize(
    ("configuration", "offered", "strict"),
    [
        ({"command": "python -m prefect.engine", "stream_output": True}, {}, True),
        ({"command": "{{ command }}", "stream_output": True}, {"command": {}}, False),
        ({"command": "sh -c id", "stream_output": True}, {}, False),
        ({"command": "python -m prefect.engine", "stream_output": True, "env": {"X": "1"}}, {}, False),
        ({"command": "python -m prefect.engine", "stream_output": True}, {"env": {}}, False),
    ],
)
def test_a_pool_that_was_loosened_is_noticed(
    configuration: dict[str, object], offered: dict[str, object], strict: bool
) -> None:
    """Whoever can write to the API can change the pool too."""
    template = {"job_configuration": configuration, "variables": {"type": "object", "properties": offered}}
    with (
        answering((200, json.dumps({"base_job_template": template}))) as url,
        PrefectApi(url) as api,
    ):
        assert api.pool_chooses_everything() is strict
