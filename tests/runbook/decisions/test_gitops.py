"""A rollback that the next sync undoes: who owns a workload is told, and whether it syncs by itself."""

from typing import Any

import pytest

from runbook.decisions.gitops import Owner, Tool, auto_sync, owner_of
from tests.runbook.decisions.workload_facts import workload

HERE = "apps/Deployment:voice-agent/tts"
ARGO = {"tool": Tool.ARGO_CD, "kind": "Application", "namespace": "argocd"}


@pytest.mark.parametrize(
    ("facts", "owner"),
    [
        ({}, None),
        ({"labels": {"app.kubernetes.io/instance": "voice", "app.kubernetes.io/managed-by": "Helm"}}, None),
        ({"labels": {"argocd.argoproj.io/instance": "voice"}}, {**ARGO, "name": "voice"}),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": f"voice:{HERE}"}},
            {**ARGO, "name": "voice"},
        ),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": f"team-a_voice:{HERE}"}},
            {**ARGO, "namespace": "team-a", "name": "voice"},
        ),
        # Copied along with the manifest of another deployment: Argo CD does not count it either.
        ({"annotations": {"argocd.argoproj.io/tracking-id": "voice:apps/Deployment:other/tts"}}, None),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "voice"}}, None),
        ({"annotations": {"argocd.argoproj.io/tracking-id": f"../../x:{HERE}"}}, None),
        ({"labels": {"argocd.argoproj.io/instance": "x?watch=1"}}, None),
        ({"managers": ("kubectl", "argocd-controller")}, {**ARGO, "name": ""}),
        (
            {
                "labels": {
                    "kustomize.toolkit.fluxcd.io/name": "apps",
                    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
                }
            },
            {"tool": Tool.FLUX, "kind": "Kustomization", "namespace": "flux-system", "name": "apps"},
        ),
        (
            {
                "labels": {
                    "helm.toolkit.fluxcd.io/name": "voice",
                    "helm.toolkit.fluxcd.io/namespace": "voice-agent",
                }
            },
            {"tool": Tool.FLUX, "kind": "HelmRelease", "namespace": "voice-agent", "name": "voice"},
        ),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, None),
        (
            {"managers": ("kustomize-controller",)},
            {"tool": Tool.FLUX, "kind": "Kustomization", "namespace": "", "name": ""},
        ),
        ({"managers": ("kubectl-client-side-apply", "helm", "kube-controller-manager")}, None),
    ],
)
def test_an_owner_is_told_only_by_what_proves_one(
    facts: dict[str, Any], owner: dict[str, Any] | None
) -> None:
    assert owner_of(workload(**facts)) == (None if owner is None else Owner(**owner))


APPLICATION = Owner(tool=Tool.ARGO_CD, kind="Application", namespace="argocd", name="voice")
KUSTOMIZATION = Owner(tool=Tool.FLUX, kind="Kustomization", namespace="flux-system", name="apps")


@pytest.mark.parametrize(
    ("owner", "spec", "automatic"),
    [
        (APPLICATION, {}, False),
        (APPLICATION, {"syncPolicy": None}, False),
        (APPLICATION, {"syncPolicy": {"syncOptions": ["CreateNamespace=true"]}}, False),
        (APPLICATION, {"syncPolicy": {"automated": {}}}, True),
        (APPLICATION, {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}}, True),
        (APPLICATION, {"syncPolicy": {"automated": {"enabled": True}}}, True),
        (APPLICATION, {"syncPolicy": {"automated": {"enabled": False, "selfHeal": True}}}, False),
        (APPLICATION, {"syncPolicy": {"automated": "yes"}}, True),
        (APPLICATION, None, True),
        (KUSTOMIZATION, {}, True),
        (KUSTOMIZATION, {"suspend": False}, True),
        (KUSTOMIZATION, {"suspend": True}, False),
        (KUSTOMIZATION, {"suspend": "true"}, True),
        (KUSTOMIZATION, None, True),
    ],
)
def test_whatever_is_not_surely_off_syncs_by_itself(owner: Owner, spec: Any, automatic: bool) -> None:
    sync = auto_sync(owner, {"spec": spec})
    assert sync.automatic is automatic
    assert "voice" in sync.reason or "apps" in sync.reason


def test_an_owner_names_the_resource_that_the_api_serves() -> None:
    assert APPLICATION.resource == ("argoproj.io", "v1alpha1", "applications")
    assert str(KUSTOMIZATION) == "Flux Kustomization apps in flux-system"
    assert not Owner(tool=Tool.FLUX, kind="HelmRelease", namespace="", name="").named
