"""A small scenario, and a sandbox of it."""

from collections.abc import Iterator
from typing import Any

import pytest

import sandbox

SCENARIO: dict[str, Any] = {
    "bot": "bot",
    "users": {"bot": {}},
    "repositories": {
        "acme/app": {
            "roles": {"bot": "write"},
            "workflows": [{"file": "ci.yml"}],
            "caches": [{"key": "one"}, {"key": "two"}],
            "runs": [{"workflow": "ci.yml", "jobs": [{"name": "test", "conclusion": "failure"}]}],
        }
    },
}


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    with sandbox.running(SCENARIO) as one:
        yield one
