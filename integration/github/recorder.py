"""A pytest plugin (``-p integration.github.recorder``): writes each HTTP exchange to the file $RUNBOOK_RECORD."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter


@pytest.fixture(autouse=True)
def record_exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Record what a test sends and gets, one JSON object a line."""
    send = HTTPAdapter.send
    with Path(os.environ["RUNBOOK_RECORD"]).open("a", encoding="utf-8") as out:

        def recorded(self: HTTPAdapter, sent: requests.PreparedRequest, *more: Any, **named: Any) -> Any:
            reply = send(self, sent, *more, **named)
            # Read ahead where the client would stream JSON; a downloaded log or zip is left to it.
            if not named.get("stream") or "json" in reply.headers.get("Content-Type", ""):
                entry = {
                    "test": request.node.nodeid,
                    "method": sent.method,
                    "path": sent.path_url,
                    "status": reply.status_code,
                    "content_type": reply.headers.get("Content-Type", ""),
                    "headers": {name.lower(): value for name, value in reply.headers.items()},
                    "body": reply.text,
                }
                out.write(json.dumps(entry) + "\n")
            return reply

        monkeypatch.setattr(HTTPAdapter, "send", recorded)
        yield
