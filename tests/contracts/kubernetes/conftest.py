"""Kubernetes as the stand-in plays it and as it is; each test runs on both."""

from collections.abc import Iterator

import pytest

from integration.kubernetes.fixtures import real_cluster  # noqa: F401 - a fixture
from sandbox.box import KubernetesBox
from sandbox.clock import SystemClock
from sandbox.kubernetes.state import State
from tests.contracts.kubernetes.systems import Real, StandIn, System


@pytest.fixture(params=["stand-in", pytest.param("real", marks=pytest.mark.integration)])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    """A cluster, and a namespace of the test's own in it."""
    if request.param == "stand-in":
        box = KubernetesBox(State(SystemClock(), observe_seconds=0.05, start_seconds=0.1, nodes=1))
        box.server.start()
        here: System | None = None
        try:
            here = StandIn(box)
            yield here
        finally:
            if here is not None:
                here.close()
            box.stop()
    else:
        cluster = request.getfixturevalue("real_cluster")
        with cluster.namespace("contract") as namespace:
            real = Real(cluster, namespace)
            yield real
            real.close()
