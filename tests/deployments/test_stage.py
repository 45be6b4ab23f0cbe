"""The stage of demo and drill: a Prefect server that is silent for a while ends no story; the cluster is its own."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import sandbox
from deployments.demo import stage as stages
from deployments.demo.cluster import Cluster
from deployments.demo.stage import Stage
from runbook.errors import Transient

UP: Any = SimpleNamespace(check=lambda: None)


class Silent:
    """A server that answers from its third question on, or never."""

    def __init__(self, answers_from: int) -> None:
        self.asked = 0
        self._answers_from = answers_from

    def resume(self, run_id: str) -> None:
        """Answer, or not."""
        self.asked += 1
        if self.asked < self._answers_from:
            raise Transient("The server does not answer.")


def stage_with(prefect: Silent) -> Stage:
    """A stage of which only the server plays."""
    return Stage(up=UP, github={}, gateway="", here=cast(Any, None), prefect=cast(Any, prefect))


def test_a_server_that_does_not_answer_at_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "LOOK_SECONDS", 0.0)
    silent = Silent(answers_from=3)
    stage_with(silent).ask(lambda prefect: prefect.resume("a run"))
    assert silent.asked == 3


def test_one_that_never_answers_ends_the_story_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "LOOK_SECONDS", 0.0)
    silent = Silent(answers_from=10**9)
    with pytest.raises(Transient, match="in vain for: the end"):
        stage_with(silent).await_("the end", lambda: silent.resume("a run"), seconds=0.05)


def test_flows_get_the_sandboxs_cluster_and_never_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/the/users/own")
    ready = {"kubernetes": {"kubeconfig": "/box/kubeconfig"}, "helm": {"program": "/box/helm"}}
    assert stages._cluster_settings(ready, tmp_path) == {
        "KUBECONFIG": "/box/kubeconfig",
        "RUNBOOK_HELM": "/box/helm",
    }
    without = stages._cluster_settings({}, tmp_path)
    assert Path(without["KUBECONFIG"]).parent == tmp_path
    assert not Path(without["KUBECONFIG"]).exists()


def test_a_story_sees_the_cluster_past_the_product() -> None:
    with sandbox.running() as box:
        cluster = Cluster.of(box.ready())
        assert cluster is not None
        assert cluster.images("voice-agent", "tts-service") == ("ghcr.io/acme/vibevoice-tts:sha-52e4b01",)
        assert cluster.health("voice-agent", "tts-service", port=8000, path="/health") == 500
        assert cluster.writes() == []
    assert Cluster.of({"github": {}}) is None
