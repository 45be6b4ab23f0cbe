"""A bare HTTP server that answers as a test says: for what no well-behaved stand-in would send."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: object


@dataclass
class Said:
    """One answer.

    ``drop`` is ``reset`` (no answer), ``half`` (cut off), ``hang`` (to the test's end), or ``after`` (answered in
    full, then the connection is closed without a word).
    """

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: str = ""
    stream: Iterator[bytes] | None = None


Script = Callable[[Seen], Said]


class Scripted:
    """The running server: ``url``, and the requests it ``seen`` so far."""

    def __init__(self, script: Script) -> None:
        self.script, self.seen, self.lock = script, list[Seen](), threading.Lock()
        self.ending, self.closed = threading.Event(), threading.Event()
        outer = self

        class Handler(_Handler):
            scripted = outer

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.server.closed = self.closed
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def sent(self, method: str) -> int:
        """Return how many requests of a method arrived."""
        with self.lock:
            return sum(seen.method == method for seen in self.seen)


class _Server(ThreadingHTTPServer):
    closed: threading.Event

    def shutdown_request(self, request: object) -> None:
        super().shutdown_request(request)  # type: ignore[arg-type]
        self.closed.set()


class _Handler(BaseHTTPRequestHandler):
    scripted: Scripted
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(
            self.command, parts.path, dict(parse_qsl(parts.query)), headers, json.loads(raw) if raw else None
        )
        with self.scripted.lock:
            self.scripted.seen.append(seen)
        said = self.scripted.script(seen)
        if said.drop == "hang":
            self.scripted.ending.wait(30)
            self.close_connection = True
        elif said.drop == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            self._send(said)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 - http.server's names

    def _send(self, said: Said) -> None:
        body = said.body if isinstance(said.body, bytes) else b""
        if said.body is not None and not isinstance(said.body, bytes):
            body = json.dumps(said.body).encode()
        if "Date" in said.headers:
            self.send_response_only(said.status)  # the other writes this machine's time
        else:
            self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        if said.stream is not None:
            self.send_header("Connection", "close")
            self.end_headers()
            for chunk in said.stream:
                self.wfile.write(chunk)
            self.close_connection = True
            return
        self.send_header("Content-Length", str(len(body) + (10 if said.drop == "half" else 0)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = said.drop in ("half", "after")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    """Serve ``script`` on a free loopback port."""
    server = Scripted(script)
    thread = threading.Thread(target=server.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.server.shutdown()
        server.server.server_close()
        thread.join()
