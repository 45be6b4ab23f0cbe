"""``runbook doctor`` on what a pause and a Helm rollback need: what would be refused then is said now."""

from collections.abc import Iterator
from typing import Any

import pytest

import sandbox
from deployments.cli.doctor_cluster import HELM_ROLE, check_cluster, needs
from deployments.cli.doctor_findings import Finding, Health
from runbook.policy import Policy, load_policy
from runbook.policy.estate import GitOps, ImageRollback, Service
from runbook.settings import Settings
from tests.deployments.cli.story import POLICY
from tests.runbook.effects.cluster_samples import CLUSTER, NAMESPACE, RELEASE, WORKLOAD
from tests.runbook.effects.workload_samples import AGENT, APPLICATION, ARGO_NAMESPACE
from tests.runbook.engine.desk import SCENARIO

OWNED, HELM = f"service {NAMESPACE}/{AGENT.name}", f"Helm release {NAMESPACE}/{RELEASE}"
RECORDS = [
    {"verb": need.verb, "resource": "secrets"} for need in needs(HELM_ROLE) if need.resource == "secrets"
]
RULES: list[dict[str, Any]] = [
    *(
        {
            "verb": need.verb,
            "group": need.group,
            "resource": f"{need.resource}/{need.subresource}" if need.subresource else need.resource,
        }
        for need in needs()
    ),
    *RECORDS,
    {"verb": "get", "group": "argoproj.io", "resource": "applications"},
]
PATCH = {"verb": "patch", "group": "argoproj.io", "resource": "applications", "namespace": ARGO_NAMESPACE}


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    with sandbox.running({**SCENARIO, "kubernetes": CLUSTER}) as running:
        yield running


def policy(gitops: GitOps) -> Policy:
    """Return a policy with a service that Argo CD owns and one that is a Helm release."""
    example = load_policy(POLICY)
    common = {
        "repository": example.services[0].repository,
        "namespace": NAMESPACE,
        "dockerfile": "Dockerfile",
    }
    services = (
        Service(name=AGENT.name, image="ghcr.io/acme/agent", **common),
        Service(name=WORKLOAD, image="ghcr.io/acme/tts", helm_release=RELEASE, **common),
    )
    return example.model_copy(update={"services": services, "image_rollback": ImageRollback(gitops=gitops)})


def finding(box: sandbox.Box, check: str, *rules: dict[str, Any], gitops: GitOps = GitOps.PAUSE) -> Finding:
    """Return what doctor says of one check to an account with these rights."""
    box.kubernetes.state.rules = list(rules)
    kubeconfig, helm = str(box.kubernetes.kubeconfig), str(box.kubernetes.helm)
    settings = Settings.from_environment({"HOME": "/", "KUBECONFIG": kubeconfig, "RUNBOOK_HELM": helm})
    (found,) = [one for one in check_cluster(settings, policy(gitops)) if one.check == check]
    return found


def test_an_account_that_may_patch_the_owner_can_pause_it(box: sandbox.Box) -> None:
    assert finding(box, OWNED, *RULES, PATCH).health is Health.GOOD


def test_an_account_that_may_not_patch_the_owner_cannot_pause_it(box: sandbox.Box) -> None:
    found = finding(box, OWNED, *RULES)
    assert found.health is Health.FAILED
    assert "may not patch applications.argoproj.io in argocd" in found.detail
    assert "runbook-pause-argo-cd" in found.fix


def test_a_policy_that_pauses_nothing_needs_no_right_to(box: sandbox.Box) -> None:
    found = finding(box, OWNED, *RULES, gitops=GitOps.REFUSE)
    assert (found.health, "no rollback is made here" in found.detail) == (Health.WARNING, True)


def test_an_owner_that_something_else_sets_back_is_not_called_good(box: sandbox.Box) -> None:
    application = box.kubernetes.state.find("applications.argoproj.io", ARGO_NAMESPACE, APPLICATION)
    assert application is not None
    application.body["metadata"]["ownerReferences"] = [{"kind": "ApplicationSet", "name": "fleet"}]
    found = finding(box, OWNED, *RULES, PATCH)
    assert found.health is Health.WARNING
    assert "the ApplicationSet fleet sets it back" in found.detail


@pytest.mark.parametrize("verb", ["create", "update"])
def test_an_account_that_may_not_write_helms_records_is_named(box: sandbox.Box, verb: str) -> None:
    assert finding(box, HELM, *RULES).health is Health.GOOD
    found = finding(box, HELM, *(rule for rule in RULES if rule != {"verb": verb, "resource": "secrets"}))
    assert found.health is Health.FAILED
    assert found.detail == f"the product's account may not {verb} secrets"
    assert HELM_ROLE in found.fix
