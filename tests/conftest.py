"""What all tests share."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark by which a story says which steps of the runbook it ran (runbook/coverage.py)."""
    config.addinivalue_line("markers", "executes(*ids): a story that runs these steps of the runbook")
