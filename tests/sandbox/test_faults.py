"""Faults: what the client sees, and what happened all the same."""

import socket
import threading
import time
from typing import Any

import pytest
import requests

import sandbox
from tests.sandbox.conftest import SCENARIO


def delete_cache(box: sandbox.Box, **more: Any) -> requests.Response:
    return requests.delete(
        f"{box.url}/repos/acme/app/actions/caches/501",
        headers={"Authorization": f"Bearer {box.token}"},
        timeout=more.pop("timeout", 5),
        **more,
    )


def exists(box: sandbox.Box) -> bool:
    return 501 in box.repository.caches


@pytest.mark.parametrize(("fault", "there"), [("500_before", True), ("500_after", False)])
def test_a_server_error_tells_nothing_about_the_effect(box: sandbox.Box, fault: str, there: bool) -> None:
    box.fail(fault, method="DELETE")
    reply = delete_cache(box)
    assert (reply.status_code, reply.json()["message"]) == (500, "Server Error")
    assert exists(box) is there
    (entry,) = box.requests
    assert (entry["status"], entry["applied"], entry["fault"]) == (500, not there, fault)


@pytest.mark.parametrize(("fault", "there"), [("reset", True), ("reset_after", False)])
def test_a_reset_connection_may_come_before_or_after_the_effect(
    box: sandbox.Box, fault: str, there: bool
) -> None:
    box.fail(fault)
    with pytest.raises(requests.ConnectionError) as caught:
        delete_cache(box)
    assert "reset" in str(caught.value)
    assert exists(box) is there


@pytest.mark.parametrize(("fault", "there"), [("timeout", True), ("timeout_after", False)])
def test_silence_outlasts_the_clients_patience(box: sandbox.Box, fault: str, there: bool) -> None:
    box.fail(fault)
    with pytest.raises(requests.ReadTimeout):
        delete_cache(box, timeout=0.3)
    assert exists(box) is there
    assert box.requests[0]["status"] is None


def test_a_sandbox_stops_at_once_though_it_holds_a_silent_connection() -> None:
    with sandbox.running(SCENARIO) as box:
        box.fail("timeout", seconds=600)
        with pytest.raises(requests.ReadTimeout):
            delete_cache(box, timeout=0.2)
        began = time.monotonic()
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("status", ["403", "429"])
@pytest.mark.parametrize("retry_after", [7, None])
def test_a_limit_comes_with_or_without_a_hint(box: sandbox.Box, status: str, retry_after: int | None) -> None:
    box.fail(status, retry_after=retry_after)
    reply = delete_cache(box)
    assert (reply.status_code, "secondary rate limit" in reply.json()["message"]) == (int(status), True)
    assert reply.headers.get("retry-after") == (str(retry_after) if retry_after else None)
    assert "x-ratelimit-remaining" in reply.headers
    assert exists(box)


def test_a_403_may_be_worded_as_another_refusal(box: sandbox.Box) -> None:
    box.fail("403", message="Must have admin rights to Repository.")
    assert delete_cache(box).json()["message"] == "Must have admin rights to Repository."


def test_a_slow_body_takes_its_time_and_is_complete(box: sandbox.Box) -> None:
    box.fail("slow", seconds=0.3)
    began = time.monotonic()
    reply = requests.get(f"{box.url}/repos/acme/app", timeout=5)
    assert reply.json()["full_name"] == "acme/app"
    assert time.monotonic() - began >= 0.25


def test_a_fault_hits_only_what_it_names_and_only_as_often_as_it_says(box: sandbox.Box) -> None:
    box.fail("500_before", method="GET", path_regex="/actions/runs$", times=2)
    target = f"{box.url}/repos/acme/app"
    seen = [requests.get(f"{target}/actions/{what}", timeout=5).status_code for what in ("caches", "runs")]
    seen += [requests.get(f"{target}/actions/runs", timeout=5).status_code for _ in range(2)]
    assert seen == [200, 500, 500, 200]


def test_faults_are_set_listed_and_removed_over_http(box: sandbox.Box) -> None:
    target = f"{box.url}/_sandbox/faults"
    asked = {"method": "post", "path_regex": "/issues", "fault": "500_after", "times": None}
    assert requests.post(target, json=asked, timeout=5).status_code == 201
    (listed,) = requests.get(target, timeout=5).json()
    assert (listed["method"], listed["times"]) == ("POST", None)
    assert requests.delete(target, timeout=5).status_code == 204
    assert requests.get(target, timeout=5).json() == []


@pytest.mark.parametrize("wrong", [{"fault": "flood"}, {"fault": "reset", "path_regex": "("}, {}])
def test_a_fault_that_cannot_be_read_is_refused_and_not_set(box: sandbox.Box, wrong: dict[str, Any]) -> None:
    target = f"{box.url}/_sandbox/faults"
    reply = requests.post(target, json=wrong, timeout=5)
    assert (reply.status_code, "Nothing was set" in reply.json()["message"]) == (422, True)
    assert requests.get(target, timeout=5).json() == []


def test_more_than_the_allowed_requests_at_a_time_are_refused() -> None:
    scenario = {**SCENARIO, "limits": {"concurrent": 2}}
    with sandbox.running(scenario) as box:
        box.fail("slow", seconds=5, times=2)
        threads = [threading.Thread(target=_get, args=(box.url,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 5
        while len(box.requests) < 2 and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert requests.get(f"{box.url}/repos/acme/app", timeout=5).status_code == 403
    for thread in threads:
        thread.join()


def _get(url: str) -> None:
    try:
        requests.get(f"{url}/repos/acme/app", timeout=10)
    except requests.ConnectionError:
        return  # the sandbox stopped first


def test_a_body_that_is_too_large_is_refused_before_it_is_read(box: sandbox.Box) -> None:
    host, port = box.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"POST /repos/acme/app/issues HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
