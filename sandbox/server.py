"""The HTTP side of every stand-in: sockets, the request log, faults, and the ``/_sandbox`` pages.

One ``Server`` serves one stand-in on a loopback TCP port and, if asked, on a unix socket. Requests under
``/_sandbox`` steer the stand-in itself: they need no token, are not logged and never fail on purpose.
"""

import contextlib
import json
import socket
import struct
import threading
from collections import deque
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn, UnixStreamServer
from typing import Any, Protocol

from sandbox import faults
from sandbox.clock import Clock, SystemClock
from sandbox.wire import Bytes, Json, Refused, Reply, Request

MAX_BODY_BYTES = 10 * 1024 * 1024
LOGGED_REQUESTS = 100_000
API_PREFIX = "/api/v3"


class StandIn(Protocol):
    """What the server needs of a stand-in."""

    clock: Clock
    faults: faults.Faults

    def start(self, url: str) -> None:
        """Begin whatever goes on beside answering requests."""
        ...

    def stop(self) -> None:
        """End it."""
        ...

    def steer(self, what: str, data: Json) -> Json | None:
        """Do what ``POST /_sandbox/<what>`` asks of this stand-in; None where it knows no such page."""
        ...

    def actor(self, request: Request) -> str | None:
        """Return who sends the request, None when nobody the stand-in knows."""
        ...

    def handle(self, request: Request) -> tuple[Reply, bool]:
        """Answer a request; the second value says whether any state changed."""
        ...

    def failure(self, request: Request, status: int, message: str | None, retry_after: int | None) -> Reply:
        """Word a fault as the real system would."""
        ...

    def state(self) -> Json:
        """Return the whole state, for ``GET /_sandbox/state``."""
        ...


class Server:
    """Serves one stand-in until ``stop``.

    Args:
        stand_in: What answers.
        port: TCP port on 127.0.0.1; 0 takes a free one.
        socket_path: Also listen on this unix socket.
    """

    def __init__(self, stand_in: StandIn, *, port: int = 0, socket_path: Path | None = None) -> None:
        self.stand_in = stand_in
        self.faults = stand_in.faults
        self.requests: deque[Json] = deque(maxlen=LOGGED_REQUESTS)
        self.stopping = threading.Event()
        self.socket_path = socket_path
        self._listeners: list[_Tcp | _Unix] = [_Tcp(self, ("127.0.0.1", port))]
        self.url = f"http://127.0.0.1:{self._listeners[0].socket.getsockname()[1]}"
        if socket_path is not None:
            try:
                self._listeners.append(_Unix(self, str(socket_path)))
            except OSError:
                self._listeners[0].server_close()
                raise
        self._threads = [threading.Thread(target=one.serve_forever, args=(0.02,)) for one in self._listeners]

    def start(self) -> None:
        """Begin to serve, in threads of this process."""
        self.stand_in.start(self.url)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every connection and listener, and remove the unix socket."""
        self.stopping.set()
        self.stand_in.stop()
        for listener in self._listeners:
            listener.shutdown()
        for thread in self._threads:
            thread.join()
        for listener in self._listeners:
            listener.close_connections()
            listener.server_close()
        if self.socket_path is not None:
            self.socket_path.unlink(missing_ok=True)

    def process(self, request: Request) -> tuple[Reply, faults.Fault | None]:
        """Answer one request; a fault that comes with it is for the connection to act out."""
        if request.path.startswith("/_sandbox/"):
            return self._control(request), None
        started = self.stand_in.clock.now()
        fault = self.faults.take(request.method, request.path)
        applied = False
        reply = Reply(0)  # status 0: nothing is sent
        if fault is None or fault.effect_first:
            reply, applied = self.stand_in.handle(request)
        if fault is not None and fault.kind[:3].isdigit():
            status = int(fault.kind[:3])
            sent = reply.sent
            reply = self.stand_in.failure(request, status, fault.message, fault.retry_after)
            reply.sent = sent
        elif fault is not None and fault.kind != "slow":
            reply = Reply(0, sent=reply.sent)
        self._log(request, started, reply.status, applied, fault)
        return reply, fault

    def _log(
        self, request: Request, at: datetime, status: int, applied: bool, fault: faults.Fault | None
    ) -> None:
        self.requests.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "status": status or None,
                "actor": self.stand_in.actor(request),
                "time": at.isoformat(),
                "applied": applied,
                "fault": fault.kind if fault else None,
            }
        )

    def _control(self, request: Request) -> Reply:
        match request.method, request.path.removeprefix("/_sandbox/"):
            case "GET", "requests":
                return Reply(200, list(self.requests))
            case "DELETE", "requests":
                self.requests.clear()
                return Reply(204)
            case "GET", "state":
                return Reply(200, self.stand_in.state())
            case "GET", "faults":
                return Reply(200, self.faults.as_json())
            case "POST", "faults":
                self.faults.add(faults.parse(_json_object(request)))
                return Reply(201, self.faults.as_json())
            case "DELETE", "faults":
                self.faults.clear()
                return Reply(204)
            case "POST", "advance":
                return self._advance(request)
            case "POST", what if (done := self.stand_in.steer(what, _json_object(request))) is not None:
                return Reply(200, done)
        raise Refused(
            404, "the sandbox has requests, state, faults, advance, runs and announce under /_sandbox/"
        )

    def _advance(self, request: Request) -> Reply:
        clock = self.stand_in.clock
        if isinstance(clock, SystemClock):
            raise Refused(409, "this sandbox runs on the real clock; start it with --virtual-clock")
        seconds = _json_object(request).get("seconds")
        if not isinstance(seconds, int | float) or seconds < 0:
            raise Refused(422, "seconds must be a number, 0 or more; the clock was not moved")
        clock.sleep(seconds)
        return Reply(200, {"now": clock.now().isoformat()})


def _json_object(request: Request) -> Json:
    try:
        data = json.loads(request.body or b"{}")
    except ValueError as error:
        raise Refused(400, "Problems parsing JSON") from error
    if not isinstance(data, dict):
        raise Refused(422, "the body must be a JSON object")
    return data


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Tcp | _Unix"

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the request log is at /_sandbox/requests."""

    def version_string(self) -> str:
        """Name no Python version in the Server header."""
        return "sandbox"

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            self._send(Reply(413, {"message": "the body is larger than this stand-in takes"}), 0)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request.parse(self.command, self.path, headers, self.rfile.read(length))
        if request.path.startswith(API_PREFIX + "/"):
            request = Request(
                request.method,
                request.path[len(API_PREFIX) :],
                request.query,
                {**headers, "x-sandbox-prefix": API_PREFIX},
                request.body,
            )
        fault: faults.Fault | None = None
        try:
            reply, fault = self.server.owner.process(request)
        except Refused as refusal:  # only the /_sandbox pages let it through
            reply = Reply(refusal.status, {"message": refusal.message})
        try:
            self._act(reply, fault)
        finally:
            if reply.sent is not None:
                reply.sent()

    def _act(self, reply: Reply, fault: faults.Fault | None) -> None:
        kind = fault.kind.removesuffix("_after") if fault else ""
        if fault and kind == "timeout":
            self.server.owner.stopping.wait(fault.seconds)
            self.close_connection = True
        elif kind == "reset":
            self.server.reset(self.connection)
            self.close_connection = True
        else:
            self._send(reply, fault.seconds if fault and kind == "slow" else 0.0)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _send(self, reply: Reply, slow_seconds: float) -> None:
        body = reply.payload()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(body.length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD" or reply.status in (204, 304):
            return
        if slow_seconds and isinstance(body, Bytes):
            self._trickle(body.data, slow_seconds)
            return
        for chunk in body.chunks():
            self.wfile.write(chunk)

    def _trickle(self, data: bytes, seconds: float) -> None:
        pieces = 10
        step = max(1, -(-len(data) // pieces))
        for start in range(0, len(data), step):
            self.wfile.write(data[start : start + step])
            self.server.owner.stopping.wait(seconds / pieces)


class _UnixHandler(_Handler):
    disable_nagle_algorithm = False  # TCP only


class _Connections(ThreadingMixIn):
    """Knows its open connections, so that stopping does not wait for clients that keep theirs alive."""

    daemon_threads = False
    block_on_close = True
    owner: Server

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: set[socket.socket] = set()
        self._reset: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, then serve it in its own thread."""
        self._open.add(request)
        super().process_request(request, client_address)

    def reset(self, connection: socket.socket) -> None:
        """Have the connection end with RST instead of FIN."""
        with contextlib.suppress(OSError):  # a unix socket has no RST; it just ends
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reset.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; one that is to be reset gets no orderly shutdown first."""
        self._open.discard(request)
        if request in self._reset:
            self._reset.discard(request)
            request.close()
        else:
            super().shutdown_request(request)  # type: ignore[misc]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is its own business; a bug of ours is printed."""
        import sys

        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[misc]

    def close_connections(self) -> None:
        """Wake every thread that still reads from or writes to a client."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Tcp(_Connections, TCPServer):
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, owner: Server, address: tuple[str, int]) -> None:
        self.owner = owner
        super().__init__(address, _Handler)


class _Unix(_Connections, UnixStreamServer):
    request_queue_size = 256

    def __init__(self, owner: Server, path: str) -> None:
        self.owner = owner
        super().__init__(path, _UnixHandler)
        Path(path).chmod(0o600)
