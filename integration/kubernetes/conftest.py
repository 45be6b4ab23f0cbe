"""The cluster that this package is about, and the stage of the stories that are played on it."""

from collections.abc import Iterator

import pytest

from integration.kubernetes.cluster import Cluster
from integration.kubernetes.fixtures import real_cluster
from integration.kubernetes.rollback_stage import Stage, open_stage

__all__ = ["real_cluster"]


@pytest.fixture(scope="session")
def stage(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Prefect, a worker and the cluster, for all stories of rollbacks: starting them takes half a minute."""
    if not real_cluster.own:
        pytest.skip("RUNBOOK_TEST_KUBECONFIG names another cluster; the stories need kwok's pods")
    with open_stage(tmp_path_factory.mktemp("stage"), real_cluster) as opened:
        yield opened
