"""What an account may: the shipped role is enough, and each of its verbs is needed and named where it lacks."""

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import pytest
import yaml

from integration.kubernetes.cluster import Cluster
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.errors import Conflict, Denied, NotFound, Permanent, UsageError
from runbook.workloads import WorkloadKind, WorkloadRef
from tests.contracts.kubernetes.systems import PORT, Json, System, rules_of
from tests.deadline import until

IMAGE = "registry.example/app"
ROLE = "runbook-rollback-image"
PLURALS = {
    "deployments": WorkloadKind.DEPLOYMENT,
    "statefulsets": WorkloadKind.STATEFUL_SET,
    "daemonsets": WorkloadKind.DAEMON_SET,
}

PERMISSIONS = [
    (verb, resource, group)
    for rule in rules_of(ROLE)
    for group in rule["apiGroups"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
]


def without(rules: list[Json], verb: str, resource: str) -> list[Json]:
    """Return rules that lack one verb on one resource."""
    left = []
    for rule in copy.deepcopy(rules):
        others = [one for one in rule["resources"] if one != resource]
        verbs = [one for one in rule["verbs"] if one != verb]
        if others != rule["resources"]:
            left += [{**rule, "resources": [resource], "verbs": verbs}] if verbs else []
        left += [{**rule, "resources": others}] if others else []
    return left


def calls(system: System, client: KubernetesClient) -> Iterator[tuple[tuple[str, str], Callable[[], object]]]:
    """Yield every call that rollback-image makes, with the verb and resource that it needs."""
    administrator, namespace = system.client, system.namespace
    for plural, kind in PLURALS.items():
        ref = system.ref(f"web-{kind.lower()}", kind)
        revisions = "replicasets" if kind is WorkloadKind.DEPLOYMENT else "controllerrevisions"
        workload = administrator.workload(ref)
        newest = administrator.revisions(workload)[0]

        def put(
            ref: WorkloadRef = ref, name: str = newest.name, digest: str = newest.template.digest
        ) -> object:
            return client.put_template(administrator.workload(ref), name, template_digest=digest)

        yield ("get", plural), lambda ref=ref: client.workload(ref)  # type: ignore[misc]
        yield ("list", plural), lambda kind=kind: client.workloads(namespace, kind)  # type: ignore[misc]
        yield ("list", revisions), lambda workload=workload: client.revisions(workload)  # type: ignore[misc]
        yield ("get", revisions), put
        yield ("patch", plural), put
    pod = administrator.pods(namespace, "app=web-deployment")[0].name
    yield ("list", "pods"), lambda: client.pods(namespace, "app=web-deployment")
    yield ("get", "pods/log"), lambda: client.pod_log(namespace, pod, tail_lines=1)
    yield ("list", "horizontalpodautoscalers"), lambda: client.autoscalers(namespace)
    yield ("get", "services/proxy"), lambda: asked(client, namespace)


def asked(client: KubernetesClient, namespace: str) -> object:
    try:
        return client.ask_service(namespace, "web-deployment", PORT, "/health")
    except (Conflict, NotFound) as error:  # nothing needs to be behind it here: it was let through
        return error


def seed(system: System) -> None:
    for kind in PLURALS.values():
        system.create(f"web-{kind.lower()}", f"{IMAGE}:1", kind=kind, settled=False)
    for kind in PLURALS.values():
        system.settle(f"web-{kind.lower()}", kind)


def refused(call: Callable[[], object]) -> str:
    try:
        call()
    except Denied as denied:
        return denied.message
    return ""


def test_with_the_shipped_role_every_call_succeeds(system: System) -> None:
    seed(system)
    client = KubernetesClient(system.account(rules_of(ROLE)))

    def may_all() -> bool:  # a binding takes the API server a moment
        return all(
            client.may(
                verb,
                *resource.split("/")[:1],
                group=group,
                namespace=system.namespace,
                subresource=resource.partition("/")[2],
            )
            for verb, resource, group in PERMISSIONS
        )

    until(may_all, seconds=30)
    made = set()
    for needs, call in calls(system, client):
        call()
        made.add(needs)
    assert made == {(verb, resource) for verb, resource, _ in PERMISSIONS}, "no right is there for nothing"
    assert client.version().startswith("v1.")
    client.close()


@pytest.mark.parametrize(("verb", "resource", "group"), PERMISSIONS)
def test_without_one_of_its_verbs_the_call_that_needs_it_is_refused_by_name(
    system: System, verb: str, resource: str, group: str
) -> None:
    seed(system)
    client = KubernetesClient(system.account(without(rules_of(ROLE), verb, resource)))
    plural, _, subresource = resource.partition("/")
    named = f"{plural}.{group}" if group else plural
    named += f"/{subresource}" if subresource else ""
    others = [one for one in PERMISSIONS if one[:2] != (verb, resource)]
    until(
        lambda: all(
            client.may(
                v, r.partition("/")[0], group=g, namespace=system.namespace, subresource=r.partition("/")[2]
            )
            for v, r, g in others
        ),
        seconds=30,
    )

    told = {message for _, call in calls(system, client) if (message := refused(call))}

    assert told, "every verb is needed"
    for message in told:
        assert message.startswith(f"The product's account may not {verb} {named} in {system.namespace}: ")
        assert f'cannot {verb} resource "{resource}"' in message
    assert not client.may(verb, plural, group=group, namespace=system.namespace, subresource=subresource)
    client.close()


def test_an_unknown_account_is_told_to_renew_its_token(system: System, tmp_path: Path) -> None:
    client = KubernetesClient(system.with_token("not-a-token", tmp_path))
    with pytest.raises(Denied, match="does not know the account") as caught:
        client.workload(system.ref("web"))
    assert caught.value.next_step == "renew the token that KUBECONFIG names"
    client.close()


def test_an_application_of_argo_cd_is_read_and_patched_under_its_guard(system: System) -> None:
    where = ("argoproj.io", "v1alpha1", system.namespace, "applications", "voice")
    system.define_custom_resources()
    made = system.application("voice")
    assert system.client.custom_object(*where)["spec"] == made["spec"]
    guard = {
        "op": "replace",
        "path": "/metadata/resourceVersion",
        "value": made["metadata"]["resourceVersion"],
    }
    change = {"op": "remove", "path": "/spec/syncPolicy/automated"}

    changed = system.client.patch_custom_object(*where, [guard, change])

    assert changed["spec"] == {"syncPolicy": {}}
    with pytest.raises(Conflict, match="the object has been modified"):
        system.client.patch_custom_object(*where, [guard, {"op": "add", "path": "/spec/x", "value": 1}])
    with pytest.raises(Conflict):
        system.client.patch_custom_object(*where, [change])
    with pytest.raises(NotFound, match='"other" not found'):
        system.client.custom_object(*where[:4], "other")


def test_a_kind_that_the_cluster_does_not_know_is_not_there(system: System) -> None:
    with pytest.raises(NotFound, match=r"has no things\.example\.com at all"):
        system.client.custom_object("example.com", "v1", system.namespace, "things", "one")


def test_a_name_never_leads_to_another_path(system: System) -> None:
    for name in ("", ".", "..", "a/b", "%2e%2e"):
        with pytest.raises(UsageError, match="is not the name of a"):
            system.client.workload(system.ref(name))


@pytest.mark.integration
def test_an_expired_client_certificate_is_told_with_its_date(real_cluster: Cluster) -> None:
    client = KubernetesClient(real_cluster.certificate("eve", expires_in_seconds=-60))
    with pytest.raises(Denied) as caught:
        client.version()
    expected = r"renew the client certificate that KUBECONFIG names: it expired \d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert re.fullmatch(expected, caught.value.next_step)
    client.close()


@pytest.mark.integration
def test_a_client_certificate_is_shown_and_no_key_is_left_on_disk(
    real_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client = KubernetesClient(real_cluster.certificate("eve", groups=("operators",)))
    assert client.version().startswith("v1.")
    assert not client.may("get", "pods", namespace="default")
    assert list(tmp_path.iterdir()) == []
    client.close()


@pytest.mark.integration
def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(
    real_cluster: Cluster, tmp_path: Path
) -> None:
    config = yaml.safe_load(real_cluster.kubeconfig.read_text(encoding="utf-8"))
    authority = Path(certifi.where()).read_bytes()
    config["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(authority).decode()
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    client = KubernetesClient(path)
    with pytest.raises(Permanent, match="is not the one expected") as caught:
        client.version()
    assert "certificate-authority" in caught.value.next_step
    client.close()


def test_the_optional_role_for_argo_cd_is_enough_and_its_patch_is_needed(system: System) -> None:
    where = ("argoproj.io", "v1alpha1", system.namespace, "applications", "voice")
    system.define_custom_resources()
    made = system.application("voice")
    guard = {
        "op": "replace",
        "path": "/metadata/resourceVersion",
        "value": made["metadata"]["resourceVersion"],
    }
    change = [guard, {"op": "remove", "path": "/spec/syncPolicy/automated"}]
    rules = rules_of("runbook-pause-argo-cd")

    client = KubernetesClient(system.account(without(rules, "patch", "applications")))
    until(lambda: may_get_applications(client, system), seconds=30)
    assert client.custom_object(*where)["spec"] == made["spec"]
    with pytest.raises(Denied, match=rf"may not patch applications\.argoproj\.io in {system.namespace}: "):
        client.patch_custom_object(*where, change)
    client.close()

    client = KubernetesClient(system.account(rules))
    until(
        lambda: client.may("patch", "applications", group="argoproj.io", namespace=system.namespace),
        seconds=30,
    )
    assert client.patch_custom_object(*where, change)["spec"] == {"syncPolicy": {}}
    client.close()


def may_get_applications(client: KubernetesClient, system: System) -> bool:
    return client.may("get", "applications", group="argoproj.io", namespace=system.namespace)


@pytest.mark.integration
def test_inside_a_pod_its_own_account_is_used(
    real_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with real_cluster.namespace("contract") as namespace:
        account = yaml.safe_load(
            real_cluster.service_account(namespace, "default").read_text(encoding="utf-8")
        )
    server = urlsplit(account["clusters"][0]["cluster"]["server"])
    authority = base64.b64decode(account["clusters"][0]["cluster"]["certificate-authority-data"])
    (tmp_path / "token").write_text(account["users"][0]["user"]["token"], encoding="utf-8")
    (tmp_path / "ca.crt").write_bytes(authority)
    loader = "kubernetes.config.incluster_config"
    monkeypatch.setattr(f"{loader}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{loader}.SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(server.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    client = KubernetesClient(None)
    assert client.version().startswith("v1.")
    assert not client.may("list", "pods", namespace=namespace)
    client.close()
