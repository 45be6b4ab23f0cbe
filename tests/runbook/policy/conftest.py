"""The example policy as a document that a test may spoil."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[3] / "runbook.toml"


@pytest.fixture
def document() -> dict[str, Any]:
    """Return the example policy, parsed and free to change."""
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))


@pytest.fixture
def minimal() -> dict[str, Any]:
    """Return the least that is a policy."""
    return {"repositories": [{"name": "acme/app"}], "approvals": {"approvers": ["alice", "bob"]}}
