"""The API server's way to pods and nodes: every connection ends on loopback, at the port that was asked for.

kwok's pods have addresses that nothing listens on. The API server is told to reach them through this HTTP CONNECT
proxy, so a Service whose ``targetPort`` is a test's own server on loopback is answered by that server, as long as
the Service has a ready pod. Run as a script; says ``listening on NAME``: a socket without a file (Linux), because
an API server of 1.36 that is told of a proxy on a plain TCP port dies of a nil pointer.
"""

import contextlib
import secrets
import selectors
import socket
import socketserver

_LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 65_536
_LONGEST_HEAD_BYTES = 8_192
_CONNECT_SECONDS = 5.0


class _Tunnel(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD_BYTES:
            part = self.request.recv(_CHUNK_BYTES)
            if not part:
                return
            head += part
        method, _, rest = head.partition(b" ")
        port = rest.split(b" ")[0].rpartition(b":")[2]
        if method != b"CONNECT" or not port.isdigit():
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            target = socket.create_connection((_LOOPBACK, int(port)), timeout=_CONNECT_SECONDS)
        except OSError:
            self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with target, contextlib.suppress(ConnectionError):
            target.settimeout(None)
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            _carry(self.request, target)


def _carry(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until both sides have said all."""
    with selectors.DefaultSelector() as readable:
        readable.register(one, selectors.EVENT_READ, other)
        readable.register(other, selectors.EVENT_READ, one)
        while readable.get_map():
            for key, _ in readable.select():
                part = key.fileobj.recv(_CHUNK_BYTES)  # type: ignore[union-attr]
                if part:
                    key.data.sendall(part)
                else:
                    readable.unregister(key.fileobj)
                    with contextlib.suppress(OSError):
                        key.data.shutdown(socket.SHUT_WR)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    name = f"runbook-egress-{secrets.token_hex(8)}"
    with _Server(f"\0{name}", _Tunnel) as server:
        print(f"listening on @{name}", flush=True)
        server.serve_forever()
