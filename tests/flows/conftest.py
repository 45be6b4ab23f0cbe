"""The one Prefect server that all flow stories share: starting it takes ten seconds."""

from collections.abc import Iterator

import pytest

from tests.flows.theatre import Theatre, open_theatre


@pytest.fixture(scope="session")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """Return the theatre, open for the whole test run."""
    with open_theatre(tmp_path_factory.mktemp("theatre")) as opened:
        yield opened
