"""Every answer that the contract suite and the product's client get must be one that GitHub's OpenAPI allows."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.github.judge import Description
from sandbox.github.app import OPERATIONS
from sandbox.github.routing import routes

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
SUITES = ("tests/contracts/github", "tests/runbook/clients/test_github_client.py")
# The stand-in's own, and the image registry's: GitHub's REST description does not hold them.
FOREIGN = ("/_store/", "/_sandbox/", "/v2/", "/token", "/acme/")


@pytest.fixture(scope="module")
def description(openapi_file: Path) -> Description:
    return Description(openapi_file)


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Run the suites and return every exchange in them."""
    record = tmp_path_factory.mktemp("record") / "exchanges.jsonl"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "integration.github.recorder",
        *SUITES,
    ]
    environment = {**os.environ, "RUNBOOK_RECORD": str(record), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return list(_api_exchanges(record))


def _api_exchanges(record: Path) -> Iterator[dict[str, Any]]:
    with record.open(encoding="utf-8") as lines:
        for line in lines:
            exchange = json.loads(line)
            exchange["path"] = exchange["path"].removeprefix("/api/v3")
            injected = exchange["status"] >= 500
            # The root of the tree is an empty path, which a template cannot show.
            unshown = exchange["path"].startswith(FOREIGN) or exchange["path"].endswith("/contents")
            if not injected and not unshown:
                yield exchange


def test_no_answer_contradicts_the_description(
    exchanges: list[dict[str, Any]], description: Description
) -> None:
    problems: dict[str, str] = {}
    for exchange in exchanges:
        for problem in description.problems(exchange):
            problems.setdefault(problem, exchange["test"])
    assert not problems, "\n".join(f"{text}\n    in {test}" for text, test in problems.items())
    print(f"{len(exchanges)} answers judged")


def test_every_operation_of_the_stand_in_is_githubs_and_was_judged_when_it_succeeds(
    exchanges: list[dict[str, Any]], description: Description
) -> None:
    assert OPERATIONS
    judged = {
        (exchange["method"], description.template(exchange["path"].split("?")[0]))
        for exchange in exchanges
        if exchange["status"] < 400
    }
    missing = []
    for route in routes.routes:
        sample = route.template.replace("...", "")
        for name in ("{number}", "{run_id}", "{workflow}", "{path}"):
            sample = sample.replace(name, "1")
        found = description.operation(route.method, sample)
        if sample.endswith("/contents"):
            continue  # the root of the tree: the same operation with an empty path
        if found is None or (route.method, found[0]) not in judged:
            missing.append(f"{route.method} {route.template}")
    assert missing == []


def _exchange(body: Any, *, status: int = 200, path: str = "/repos/o/r/actions/runs/1") -> dict[str, Any]:
    content_type = "application/json; charset=utf-8"
    return {
        "method": "GET",
        "path": path,
        "status": status,
        "content_type": content_type,
        "body": json.dumps(body),
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"conclusion": "exploded"}, "no such status or conclusion"),
        ({"run_atempt": 2}, "GitHub names no such key"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"repository": None}, "repository"),
        ({"head_sha": 5}, "head_sha"),
    ],
)
def test_the_judge_objects_to_a_run_that_github_would_not_send(
    exchanges: list[dict[str, Any]], description: Description, change: dict[str, Any], complaint: str
) -> None:
    good = next(
        json.loads(one["body"])
        for one in exchanges
        if one["status"] == 200 and '"run_attempt"' in one["body"] and one["body"].startswith('{"id"')
    )
    assert list(description.problems(_exchange(good))) == []
    problems = list(description.problems(_exchange({**good, **change})))
    assert any(complaint in problem for problem in problems), problems


def test_the_judge_objects_to_a_status_that_is_not_documented(description: Description) -> None:
    assert list(description.problems(_exchange({}, status=202)))
