"""What the tests of several packages below are given."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runbook.engine.desk import Desk, open_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine on the stand-in, with an issue for its plans."""
    with open_desk(tmp_path) as opened:
        yield opened
