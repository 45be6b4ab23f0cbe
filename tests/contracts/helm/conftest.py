"""Helm as the stand-in plays it and as it is; each test runs on both."""

from collections.abc import Iterator

import pytest

import sandbox
from integration.kubernetes.fixtures import real_cluster  # noqa: F401 - a fixture
from tests.contracts.helm.systems import Real, StandIn, System

SCENARIO = {
    "users": {"bot": {}},
    "repositories": {"acme/app": {"roles": {"bot": "write"}}},
    "kubernetes": {"namespaces": {}},
}


@pytest.fixture(params=["stand-in", pytest.param("real", marks=pytest.mark.integration)])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    """A cluster with Helm in front of it, in a namespace of the test's own."""
    if request.param == "stand-in":
        with sandbox.running(SCENARIO) as box:
            yield StandIn(box.kubernetes)
    else:
        cluster = request.getfixturevalue("real_cluster")
        with cluster.namespace("helm") as namespace:
            yield Real(cluster, namespace)
