"""Helm's releases in a scenario, and its program on its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sandbox
from sandbox import ScenarioError

REVISION: dict[str, Any] = {"workloads": [{"name": "tts-service", "images": "ghcr.io/acme/tts:v1"}]}


def scenario(*releases: Any) -> dict[str, Any]:
    """A sandbox with one workload and these releases."""
    workloads = {"tts-service": {"revisions": [{"image": "ghcr.io/acme/tts:v1"}]}}
    return {
        "users": {"bot": {}},
        "repositories": {"acme/app": {"roles": {"bot": "write"}}},
        "kubernetes": {
            "namespaces": {"voice": {"workloads": workloads}},
            "helm_releases": list(releases),
        },
    }


def release(**changes: Any) -> dict[str, Any]:
    """A release of the scenario."""
    return {"name": "tts", "namespace": "voice", "revisions": [REVISION], **changes}


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"name": "tts"}, "name, namespace and at least one revision"),
        (release(revisions=[]), "at least one revision"),
        (release(colour="red"), "unknown key 'colour'"),
        (release(next_rollback="explodes"), "fails or hangs"),
        (release(revisions=[{"when": "3d"}]), "unknown key 'when'"),
        (release(revisions=[{"workloads": [{"name": "tts-service"}]}]), "a name and images"),
        (release(revisions=[{"workloads": [{"name": "x", "kind": "Job", "images": "i"}]}]), "not 'Job'"),
        (release(revisions=[{"workloads": [{"name": "x", "images": "i"}]}]), "there is no Deployment x"),
    ],
)
def test_a_release_that_cannot_be_used_is_refused_with_its_place(item: Any, says: str) -> None:
    with pytest.raises(ScenarioError, match=says) as raised, sandbox.running(scenario(item)):
        pass
    assert "helm_releases[0]" in str(raised.value)


def test_statuses_and_sentences_are_filled_in_as_helm_writes_them() -> None:
    revisions = [{**REVISION, "ago": "3h"}, {"ago": "2h"}, {"ago": "1h", "status": "failed"}]
    revisions.append({"status": "pending-upgrade"})
    with sandbox.running(scenario(release(revisions=revisions))) as box:
        kept = box.kubernetes.state.releases.known["voice", "tts"].revisions
        assert [(one.status, one.description) for one in kept] == [
            ("superseded", "Install complete"),
            ("deployed", "Upgrade complete"),
            ("failed", 'Upgrade "tts" failed: context deadline exceeded'),
            ("pending-upgrade", "Preparing upgrade"),
        ]


def test_the_program_runs_as_a_module_and_as_a_file() -> None:
    arguments = ["history", "tts", "--namespace=voice", "--output=json"]
    with sandbox.running(scenario(release())) as box:
        cluster = box.kubernetes
        outputs = [
            subprocess.run(
                [*command, *arguments],
                env={"KUBECONFIG": str(cluster.kubeconfig), "PATH": "/usr/bin:/bin"},
                cwd=Path(__file__).parents[2],
                check=True,
                capture_output=True,
                timeout=30,
            ).stdout
            for command in ([cluster.helm], [sys.executable, "-m", "sandbox.helm"])
        ]
    assert outputs[0] == outputs[1]
    assert b'"description": "Install complete"' in outputs[0]
