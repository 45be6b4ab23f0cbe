"""A receiver of webhooks: keeps what it is sent and answers as it is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    """One delivery; header names are lower case."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What was received, and with which status the next deliveries are answered."""

    url: str
    status: int = 202
    received: list[Received] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, *, event: str, seconds: float = 5.0) -> list[Received]:
        """Return the deliveries of an event once there are so many."""

        def of_event() -> list[Received]:
            return [one for one in self.received if one.headers["x-github-event"] == event]

        with self.arrived:
            assert self.arrived.wait_for(lambda: len(of_event()) >= count, timeout=seconds), of_event()
            return of_event()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with receiver.arrived:
                receiver.received.append(Received(headers, body))
                receiver.arrived.notify_all()
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/webhooks/github")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
