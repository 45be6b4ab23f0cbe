"""The benchmark of rolling a set back, at a small size, on the real cluster."""

import json
import sys

import pytest

from benchmarks import rollback_set as benchmark
from integration.kubernetes.cluster import Cluster
from integration.kubernetes.fixtures import real_cluster  # noqa: F401 - a fixture

pytestmark = pytest.mark.integration


def test_both_ways_bring_every_service_back_and_calls_are_counted(
    real_cluster: Cluster,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not real_cluster.own:
        pytest.skip("counts calls in the audit log of a cluster of our own")
    monkeypatch.setattr(sys, "argv", ["benchmark", "--services", "3", "--ready-seconds", "0.5", "--json"])
    benchmark.main()
    found = json.loads(capsys.readouterr().out)
    for way in ("runbook", "kubectl, one by one"):
        assert found[way]["left"] == 0
        assert found[way]["writes"] == 3, "one patch for each"
        assert found[way]["calls"] > 6
    assert found["ratios"]["seconds_by_hand_to_ours"] > 0
