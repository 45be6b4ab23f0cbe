"""A server of Prefect's API that answers each proposed state with one of somebody else's making."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import prefect
from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending


@contextmanager
def forging_server(run_id: str, forged: dict[str, Any]) -> Iterator[str]:
    """Serve one flow run whose every proposed state is rejected for ``forged``; yield the API's URL.

    Args:
        run_id: The flow run.
        forged: The state that is given back.
    """
    run = FlowRun(
        id=UUID(run_id),
        name="forged",
        flow_id=uuid4(),
        parameters={"request": {"repository": "acme/app", "mode": "plan"}},
        state=Pending(),
    ).model_dump(mode="json")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "/csrf-token" in self.path:
                self._answer({"detail": "CSRF protection is disabled."}, status=422)
            else:
                self._answer(prefect.__version__ if self.path.endswith("/admin/version") else run)

        def do_PATCH(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            if self.path.endswith("/set_state"):
                self._answer({"status": "REJECT", "state": forged, "details": {"type": "reject_details"}})
            else:
                self._answer({})

        def _answer(self, body: object, *, status: int = 200) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output to itself."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()
