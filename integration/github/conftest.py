"""Where the judges are, and what to do when they are not there."""

import os
from pathlib import Path

import pytest

SETUP = "bash integration/github/setup.sh"


def judge(name: str) -> Path:
    """Return a file of the cache that ``setup.sh`` fills; fail with what to do when it is missing."""
    base = os.environ.get("RUNBOOK_CACHE") or Path.home() / ".cache" / "runbook"
    path = Path(base) / name
    if not path.exists():
        pytest.fail(f"{path} is missing. Nothing was judged. Run: {SETUP}")
    return path


@pytest.fixture(scope="session")
def openapi_file() -> Path:
    return judge("octokit-openapi/api.github.com.json")


@pytest.fixture(scope="session")
def gh_program() -> Path:
    return judge("bin/gh")
