"""The sandbox as a process and as a server: start, steer, stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

import sandbox
from tests.sandbox.conftest import SCENARIO

ROOT = Path(__file__).parents[2]


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "sandbox", "--json", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running, json.loads(running.stdout.readline())["github"]
        finally:
            if running.poll() is None:
                running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_in_one_line_what_it_is_and_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with process() as (running, ready):
        assert {"url", "token", "approver_tokens", "socket", "owner", "repo", "webhook_secret"} == set(ready)
        headers = {"Authorization": f"Bearer {ready['token']}"}
        assert (
            requests.get(f"{ready['url']}/user", headers=headers, timeout=5).json()["login"] == "runbook-bot"
        )
        assert {"alice", "mallory"} <= set(ready["approver_tokens"])
        folder = Path(ready["socket"]).parent
        assert folder.exists()
        os.kill(running.pid, number)
        assert running.wait(timeout=10) == 0
        assert not folder.exists()


def test_it_answers_on_its_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "box.sock"
    with process("--socket", str(path)) as (running, ready):
        assert ready["socket"] == str(path)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            raw.sendall(b"GET /rate_limit HTTP/1.1\r\nHost: api.github.com\r\nConnection: close\r\n\r\n")
            answer = raw.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200")
        running.terminate()
        assert running.wait(timeout=10) == 0
        assert not path.exists()


def test_a_port_in_use_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "sandbox", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert (done.returncode, "cannot start" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_time_is_moved_on_request_when_it_is_virtual_only(box: sandbox.Box) -> None:
    assert requests.post(f"{box.url}/_sandbox/advance", json={"seconds": 5}, timeout=5).status_code == 409
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with sandbox.running(SCENARIO, clock=sandbox.VirtualClock(start)) as virtual:
        reply = requests.post(f"{virtual.url}/_sandbox/advance", json={"seconds": 3600}, timeout=5)
        assert reply.json() == {"now": "2026-01-01T01:00:00+00:00"}
        wrong = requests.post(f"{virtual.url}/_sandbox/advance", json={"seconds": "x"}, timeout=5)
        assert (wrong.status_code, virtual.clock.now().hour) == (422, 1)


def test_the_request_log_says_who_did_what_and_whether_it_changed_anything(box: sandbox.Box) -> None:
    headers = {"Authorization": f"Bearer {box.token}"}
    target = f"{box.url}/repos/acme/app/actions/caches"
    requests.get(target, params={"key": "one"}, headers=headers, timeout=5)
    requests.delete(f"{target}/501", headers=headers, timeout=5)
    requests.delete(f"{target}/501", headers=headers, timeout=5)
    requests.get(target, timeout=5)
    log = requests.get(f"{box.url}/_sandbox/requests", timeout=5).json()
    assert [(one["method"], one["actor"], one["status"], one["applied"]) for one in log] == [
        ("GET", "bot", 200, False),
        ("DELETE", "bot", 204, True),
        ("DELETE", "bot", 404, False),
        ("GET", None, 200, False),
    ]
    assert log[0]["query"] == {"key": "one"}
    assert datetime.fromisoformat(log[0]["time"]).tzinfo is not None
    requests.delete(f"{box.url}/_sandbox/requests", timeout=5)
    assert requests.get(f"{box.url}/_sandbox/requests", timeout=5).json() == []


def test_the_state_can_be_read_and_holds_no_token(box: sandbox.Box) -> None:
    reply = requests.get(f"{box.url}/_sandbox/state", timeout=5)
    repository = reply.json()["repositories"]["acme/app"]
    assert [cache["key"] for cache in repository["caches"]] == ["one", "two"]
    assert repository["runs"][0]["attempts"][0]["conclusion"] == "failure"
    assert box.token not in reply.text


def test_an_unknown_page_of_the_sandbox_says_which_there_are(box: sandbox.Box) -> None:
    reply = requests.get(f"{box.url}/_sandbox/none", timeout=5)
    assert (reply.status_code, "faults" in reply.json()["message"]) == (404, True)


def test_many_threads_lose_no_effect_and_no_log_entry(box: sandbox.Box) -> None:
    def work() -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {box.token}"
            for _ in range(5):
                session.post(f"{box.url}/repos/acme/app/issues", json={"title": "x"}, timeout=10)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(box.repository.issues) == list(range(1, 41))
    assert len(box.requests) == 40
