"""A fresh GitHub for each test, on a virtual clock, and a client that knows nothing but HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

import sandbox

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


class Api:
    """Sends requests as one account; paths without a leading slash are below the repository; addresses stay."""

    def __init__(self, url: str, token: str | None, session: requests.Session) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = session

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        if path.startswith("http"):
            target = path
        else:
            target = self.url + (path if path.startswith("/") else f"/repos/acme/app/{path}".rstrip("/"))
        headers = {**self._headers, **more.pop("headers", {})}
        return self._session.request(
            method, target, headers=headers, allow_redirects=False, timeout=10, **more
        )

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.send("GET", path, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.send("POST", path, **more)

    def patch(self, path: str, **more: Any) -> requests.Response:
        return self.send("PATCH", path, **more)

    def put(self, path: str, **more: Any) -> requests.Response:
        return self.send("PUT", path, **more)

    def delete(self, path: str, **more: Any) -> requests.Response:
        return self.send("DELETE", path, **more)

    def failed_run(self) -> dict[str, Any]:
        """Return the newest failed run of ci-test.yml."""
        rows = self.get("actions/workflows/ci-test.yml/runs", params={"status": "failure"}).json()
        run: dict[str, Any] = rows["workflow_runs"][0]
        return run


class GitHub:
    """The system under contract: accounts to speak as, and time."""

    def __init__(self, box: sandbox.Box, session: requests.Session) -> None:
        self._box = box
        self._session = session
        self.url = box.url

    def as_user(self, login: str, *, app: str | None = None) -> Api:
        return Api(self.url, self._box.token_of(login, app=app), self._session)

    def with_token(self, token: str | None) -> Api:
        return Api(self.url, token, self._session)

    def wait(self, seconds: float) -> None:
        self._box.clock.sleep(seconds)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as one:
        yield one


@pytest.fixture
def github(session: requests.Session) -> Iterator[GitHub]:
    clock = sandbox.VirtualClock(START)
    with sandbox.running(Path(__file__).with_name("scenario.yaml"), clock=clock) as box:
        yield GitHub(box, session)


@pytest.fixture
def bot(github: GitHub) -> Api:
    return github.as_user("bot")
