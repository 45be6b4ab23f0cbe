"""The real cluster as a pytest fixture; a conftest takes it by importing its name.

``from integration.kubernetes.fixtures import real_cluster  # noqa: F401``
"""

from collections.abc import Iterator

import pytest

from integration.kubernetes.cluster import Cluster, shared_cluster


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[Cluster]:
    """The one cluster of this test process, however many suites ask for it."""
    with shared_cluster() as cluster:
        yield cluster
