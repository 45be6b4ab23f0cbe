"""Logs that are made as they are sent."""

import tracemalloc
from typing import Any

import pytest
import requests

import sandbox
from sandbox.wire import Bytes, Joined, Repeated
from tests.sandbox.conftest import SCENARIO

MIB = 1024 * 1024


def log_of(box: sandbox.Box) -> requests.Response:
    (run,) = box.repository.runs.values()
    target = f"{box.url}/repos/acme/app/actions/jobs/{run.latest.jobs[0].id}/logs"
    headers = {"Authorization": f"Bearer {box.token}"}
    link = requests.get(target, headers=headers, allow_redirects=False, timeout=5).headers["Location"]
    return requests.get(link, stream=True, timeout=30)


def with_log(log: Any) -> dict[str, Any]:
    app = SCENARIO["repositories"]["acme/app"]
    runs = [{"workflow": "ci.yml", "jobs": [{"name": "test", "log": log}]}]
    return {**SCENARIO, "repositories": {"acme/app": {**app, "runs": runs}}}


@pytest.mark.parametrize(
    ("log", "start", "length"),
    [
        ({"repeat": "abc\n", "bytes": 10}, b"abc\nabc\nab", 10),
        ({"line_bytes": 5}, b"xxxxx\n", 6),
        ({"binary_bytes": 3}, b"\x00\x01\x02", 3),
        ({"text": "one\ntwo", "stamped": False}, b"one\ntwo", 7),
        ([{"text": "head\n", "stamped": False}, {"line_bytes": 2}], b"head\nxx\n", 8),
    ],
)
def test_a_log_is_made_of_what_the_scenario_says(log: Any, start: bytes, length: int) -> None:
    with sandbox.running(with_log(log)) as box, log_of(box) as reply:
        assert reply.headers["Content-Length"] == str(length)
        assert reply.content == start


def test_a_log_of_300_mib_takes_no_memory_to_make() -> None:
    with sandbox.running(with_log({"line_bytes": 300 * MIB})) as box:
        tracemalloc.start()
        try:
            with log_of(box) as reply:
                total = sum(len(chunk) for chunk in reply.iter_content(MIB))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert total == 300 * MIB + 1
    assert peak < 16 * MIB


@pytest.mark.parametrize(
    "body", [Bytes(b"x" * 700_000), Repeated(b"abc", 1_000_001), Joined([Bytes(b"a"), Repeated(b"bc", 5)])]
)
def test_a_body_is_as_long_as_it_says(body: Bytes | Repeated | Joined) -> None:
    assert sum(len(chunk) for chunk in body.chunks()) == body.length
