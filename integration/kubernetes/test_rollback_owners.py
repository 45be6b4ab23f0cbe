"""Rollbacks on a real API server of what Helm or Argo CD owns, beside Helm's own words."""

import json
import signal
import subprocess

import pytest

from integration.kubernetes.cluster import CHART, program
from integration.kubernetes.rollback_stage import (
    GOOD,
    SECONDS,
    UNPULLABLE,
    Part,
    Stage,
    Story,
)
from runbook.decisions.exceptions import ExceptionKind
from tests.flows.fleet import approve
from tests.flows.newsroom import artifact

pytestmark = pytest.mark.integration


def helm(story: Story, *arguments: str) -> list[str]:
    """Return the line that runs helm in a story's namespace as the administrator."""
    config = f"--kubeconfig={story.stage.cluster.kubeconfig}"
    return [str(program("helm")), *arguments, config, f"--namespace={story.namespace}"]


def statuses(story: Story) -> list[str]:
    """Return the statuses that ``helm history`` shows, oldest first."""
    line = helm(story, "history", "tts", "--output=json")
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=SECONDS)
    return [one["status"] for one in json.loads(done.stdout)]


def install(story: Story) -> None:
    """Install the story's release with the good image."""
    image = f"--set=image={story.image('tts', GOOD)}"
    line = helm(story, "install", "tts", str(CHART), image, "--wait", f"--timeout={SECONDS:.0f}s")
    subprocess.run(line, check=True, capture_output=True, timeout=SECONDS)


def upgrade_line(story: Story, *more: str) -> list[str]:
    """Return the line that upgrades the story's release to an image that is never pulled."""
    return helm(story, "upgrade", "tts", str(CHART), f"--set=image={story.image('tts', UNPULLABLE)}", *more)


def test_a_helm_release_goes_back_to_an_explicit_revision(stage: Stage) -> None:
    story = stage.open("chart", tts=Part(release="tts"))
    stage.allow("runbook-rollback-helm", story.namespace)
    install(story)
    subprocess.run(upgrade_line(story), check=True, capture_output=True, timeout=SECONDS)
    story.await_pods("tts", "ImagePullBackOff")
    run_id = story.start()
    plan = approve(stage.theatre, run_id)
    assert [planned.kind for planned in plan.plan.effects] == ["roll-back-release"]
    assert "helm rollback tts 1" in artifact(stage.theatre, run_id, "plan")
    assert story.end(run_id) == "Verified"
    assert statuses(story) == ["superseded", "superseded", "deployed"]
    assert story.running("tts") == story.image("tts", GOOD)
    assert "successfully rolled out" in story.rollout_status("tts")
    assert story.denied() == []


def test_a_release_left_pending_is_reported_and_left_alone(stage: Stage) -> None:
    story = stage.open("stuck", tts=Part(release="tts"))
    stage.allow("runbook-rollback-helm", story.namespace)
    install(story)
    line = upgrade_line(story, "--wait", f"--timeout={SECONDS:.0f}s")
    upgrade = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        story.await_pods("tts", "ImagePullBackOff")
    finally:
        upgrade.send_signal(signal.SIGKILL)
        upgrade.wait()
    assert statuses(story) == ["deployed", "pending-upgrade"]
    run_id = story.start()
    assert story.end(run_id) == "NeedsPerson"
    reason = stage.theatre.execution(run_id).reason
    assert "revision 2 is pending-upgrade" in reason
    assert "helm rollback" in reason, "what a person can do"
    assert statuses(story) == ["deployed", "pending-upgrade"]
    assert story.patches() == []


def test_argo_cds_sync_is_paused_while_a_rollback_must_last_and_goes_on_at_the_deadline(stage: Stage) -> None:
    stage.cluster.define_custom_resources()
    argo = stage.namespace("argo")
    stage.allow("runbook-pause-argo-cd", argo)
    policy = {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["CreateNamespace=true"]}
    stage.cluster.apply(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "voice", "namespace": argo},
            "spec": {"project": "default", "syncPolicy": policy},
        }
    )

    def sync_policy() -> object:
        line = ("-n", argo, "get", "applications.argoproj.io", "voice", "-o", "jsonpath={.spec.syncPolicy}")
        return json.loads(stage.cluster.kubectl(*line))

    story = stage.open("sync", tts=Part())
    tracked = f"{argo}_voice:apps/Deployment:{story.namespace}/tts"
    story.parts = {"tts": Part(annotations={"argocd.argoproj.io/tracking-id": tracked})}
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    plan = approve(stage.theatre, run_id)
    assert [planned.kind for planned in plan.plan.effects] == ["pause-gitops-sync", "roll-back-workload"]
    assert story.end(run_id) == "Verified"
    assert sync_policy() == {"syncOptions": ["CreateNamespace=true"]}
    exceptions = stage.theatre.here.engine.exceptions
    (paused,) = exceptions.open(ExceptionKind.RESTORE, story.repository)
    assert f"pause the sync of Argo CD Application voice in {argo}" in paused.subject

    def restored() -> bool | None:
        stage.theatre.sweep()
        return exceptions.open(ExceptionKind.RESTORE, story.repository) == () or None

    stage.theatre.until("the sweeper to restore it", restored)
    assert sync_policy() == policy
    assert story.running("tts") == story.image("tts", GOOD)
    assert story.denied() == []
