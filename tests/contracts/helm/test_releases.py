"""What the product relies on of Helm: histories, manifests, and rollbacks by an explicit revision."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook.clients.helm_client import HelmTimeouts
from runbook.errors import Ambiguous, Denied, NotFound, Transient
from runbook.workloads import HelmRevision, WorkloadKind, WorkloadRef
from tests.contracts.helm.systems import System

GOOD, NEXT = "registry.example/app:1", "registry.example/app:2"


def lines(history: tuple[HelmRevision, ...]) -> list[tuple[int, str, str]]:
    return [(one.revision, one.status, one.description) for one in history]


def test_a_history_is_told_oldest_first_with_charts_and_times(system: System) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)

    history = system.client().history("tts", system.namespace)

    assert lines(history) == [(1, "superseded", "Install complete"), (2, "deployed", "Upgrade complete")]
    assert {(one.chart, one.app_version) for one in history} == {("service-0.1.0", "1.0")}
    assert history[0].updated_at <= history[1].updated_at
    assert abs(datetime.now(UTC) - history[1].updated_at) < timedelta(minutes=1)


def test_a_rollback_is_a_new_revision_with_the_old_one_s_manifest(system: System) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    client = system.client()

    client.rollback("tts", system.namespace, 1)

    assert lines(client.history("tts", system.namespace))[1:] == [
        (2, "superseded", "Upgrade complete"),
        (3, "deployed", "Rollback to 1"),
    ]
    first, second, third = (client.manifest("tts", system.namespace, number) for number in (1, 2, 3))
    assert first == third
    assert first.digest != second.digest
    assert system.image("tts") == GOOD


def test_the_explicit_revision_is_taken_not_the_one_before(system: System) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    system.upgrade("tts", "registry.example/app:3")
    client = system.client()

    client.rollback("tts", system.namespace, 1)

    assert system.image("tts") == GOOD
    assert client.history("tts", system.namespace)[-1].description == "Rollback to 1"


def test_a_rollback_removes_no_revision_that_helm_would_prune(system: System) -> None:
    system.install("tts", GOOD)
    client = system.client()
    for _ in range(11):
        client.rollback("tts", system.namespace, 1)
    assert len(client.history("tts", system.namespace)) == 12


def test_a_manifest_tells_images_and_workloads(system: System) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    client = system.client()

    first = client.manifest("tts", system.namespace, 1)
    assert first.images == (GOOD,)
    assert client.manifest("tts", system.namespace, 2).images == (NEXT,)
    workload = WorkloadRef(kind=WorkloadKind.DEPLOYMENT, namespace=system.namespace, name="tts")
    assert first.workloads == (workload,)


def test_an_unknown_release_namespace_or_revision_is_not_found(system: System) -> None:
    system.install("tts", GOOD)
    client = system.client()
    for release, namespace in (("stt", system.namespace), ("tts", "nowhere")):
        with pytest.raises(NotFound):
            client.history(release, namespace)
        with pytest.raises(NotFound):
            client.rollback(release, namespace, 1)
        with pytest.raises(NotFound):
            client.manifest(release, namespace, 1)
    with pytest.raises(NotFound, match="no 99 version"):
        client.rollback("tts", system.namespace, 99)
    with pytest.raises(NotFound):
        client.manifest("tts", system.namespace, 99)
    assert len(client.history("tts", system.namespace)) == 1


def test_an_upgrade_that_failed_is_the_last_line_and_the_one_before_stays_deployed(system: System) -> None:
    system.install("tts", GOOD)
    system.upgrade_in_vain("tts")
    client = system.client()

    last = client.history("tts", system.namespace)[-1]
    assert (last.revision, last.status) == (2, "failed")
    assert last.description.startswith('Upgrade "tts" failed: ')
    assert client.history("tts", system.namespace)[0].status == "deployed"

    client.rollback("tts", system.namespace, 1)
    statuses = [one.status for one in client.history("tts", system.namespace)]
    assert statuses == ["superseded", "failed", "deployed"]
    assert system.image("tts") == GOOD


def test_an_upgrade_that_was_killed_stays_pending_for_good(system: System) -> None:
    system.install("tts", GOOD)
    system.upgrade_killed("tts")
    client = system.client()

    last = client.history("tts", system.namespace)[-1]
    assert (last.revision, last.status, last.pending) == (2, "pending-upgrade", True)

    client.rollback("tts", system.namespace, 1)  # what a person does, and what the history shows ever after
    statuses = [one.status for one in client.history("tts", system.namespace)]
    assert statuses == ["superseded", "pending-upgrade", "deployed"]


def test_a_cluster_that_is_away_is_a_passing_trouble_and_nothing_was_sent(
    system: System, tmp_path: Path
) -> None:
    nowhere = system.other_kubeconfig(tmp_path, token="t", server="https://127.0.0.1:9")
    client = system.client(kubeconfig=nowhere)
    with pytest.raises(Transient, match="unreachable"):
        client.history("tts", system.namespace)
    with pytest.raises(Transient, match="unreachable"):
        client.rollback("tts", system.namespace, 1)


def test_a_login_that_is_refused_says_what_to_renew(system: System, tmp_path: Path) -> None:
    with pytest.raises(Denied) as raised:
        system.client(kubeconfig=system.other_kubeconfig(tmp_path, token="nobody")).history("tts", "voice")
    assert "renew the token or client certificate" in raised.value.next_step


def test_a_rollback_that_takes_too_long_is_ended_and_in_doubt(system: System) -> None:
    system.install("tts", GOOD)
    client = system.client(timeouts=HelmTimeouts(rollback_seconds=0.001))
    with pytest.raises(Ambiguous, match=r"had not ended after 0\.001 s"):
        client.rollback("tts", system.namespace, 1)


RECORDS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "create", "update"]}


def objects(*verbs: str) -> dict[str, list[str]]:
    return {
        "apiGroups": ["", "apps"],
        "resources": ["configmaps", "deployments"],
        "verbs": list(verbs),
    }


def test_these_rights_are_enough(system: System) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    client = system.client(kubeconfig=system.account(RECORDS, objects("get", "patch")))

    client.rollback("tts", system.namespace, 1)

    assert client.history("tts", system.namespace)[-1].status == "deployed"
    assert client.manifest("tts", system.namespace, 3).images == (GOOD,)


@pytest.mark.parametrize("verb", ["list", "get", "create"])
def test_a_right_on_helm_s_records_that_is_missing_is_named_and_nothing_changes(
    system: System, verb: str
) -> None:
    system.install("tts", GOOD)
    records = {**RECORDS, "verbs": [one for one in RECORDS["verbs"] if one != verb]}
    client = system.client(kubeconfig=system.account(records, objects("get", "patch")))
    with pytest.raises(Denied, match=f"may not {verb} secrets in {system.namespace}"):
        client.rollback("tts", system.namespace, 1)


def test_a_right_on_a_workload_that_is_missing_leaves_a_failed_revision_and_doubt(system: System) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    client = system.client(kubeconfig=system.account(RECORDS, objects("get")))

    with pytest.raises(Ambiguous, match=f"may not patch [a-z.]+ in {system.namespace}"):
        client.rollback("tts", system.namespace, 1)

    last = client.history("tts", system.namespace)[-1]
    assert (last.revision, last.status) == (3, "failed")
    assert last.description.startswith('Rollback "tts" failed: ')
    assert system.image("tts") == NEXT


def test_a_right_to_update_helm_s_records_that_is_missing_leaves_a_pending_revision_and_doubt(
    system: System,
) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    records = {**RECORDS, "verbs": ["get", "list", "create"]}
    client = system.client(kubeconfig=system.account(records, objects("get", "patch")))

    with pytest.raises(Ambiguous, match=f"may not update secrets in {system.namespace}"):
        client.rollback("tts", system.namespace, 1)

    assert client.history("tts", system.namespace)[-1].status == "pending-rollback"
    assert system.image("tts") == GOOD
