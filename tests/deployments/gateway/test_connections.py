"""A connection that says nothing is closed, whether before its first request, within a head, or between two."""

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from deployments.gateway.connections import ImpatientProtocol
from tests.deployments.processes import await_true

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
MOST = 5


class Hasty(ImpatientProtocol):
    """For tests that nobody waits for."""

    head_seconds = 0.3


@pytest.fixture
def port() -> Iterator[int]:
    """Serve, with room for few connections."""
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("hello"))])
    config = uvicorn.Config(app, http=Hasty, log_config=None, limit_concurrency=MOST, timeout_keep_alive=30)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        await_true(lambda: server.started, deadline_seconds=10, what="the server")
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def answer(connection: socket.socket) -> bytes:
    """Return the answer's head and body, which come as one or two pieces."""
    got = b""
    while not got.endswith((b"hello", b"Service Unavailable")):
        piece = connection.recv(65_536)
        if not piece:
            break
        got += piece
    return got


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: he"])
def test_a_connection_without_a_whole_head_is_closed(port: int, said: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(said)
        assert connection.recv(1) == b""


def test_silent_connections_keep_others_out_for_a_while_only(port: int) -> None:
    silent = [connect(port) for _ in range(MOST + 1)]
    with connect(port) as other:
        other.sendall(REQUEST)
        assert answer(other).startswith(b"HTTP/1.1 503")
    for one in silent:
        assert one.recv(1) == b""
        one.close()
    with connect(port) as other:
        other.sendall(REQUEST)
        assert answer(other).startswith(b"HTTP/1.1 200")


def test_a_head_that_is_begun_after_an_answer_has_the_same_deadline(port: int) -> None:
    with connect(port) as connection:
        for _ in range(2):
            connection.sendall(REQUEST)
            assert answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HT")
        assert connection.recv(1) == b""


def test_an_idle_connection_between_two_requests_is_kept_as_long_as_is_set(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(REQUEST)
        assert answer(connection).startswith(b"HTTP/1.1 200")
        connection.settimeout(Hasty.head_seconds * 2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(5)
        connection.sendall(REQUEST)
        assert answer(connection).startswith(b"HTTP/1.1 200")
