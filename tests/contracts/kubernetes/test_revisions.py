"""What the product relies on of workloads, their revisions, and putting one back."""

import pytest

from runbook.errors import Conflict, Gone, NotFound
from runbook.workloads import WorkloadKind
from tests.contracts.kubernetes.systems import System
from tests.deadline import until

IMAGE = "registry.example/app"
EVERY_KIND = list(WorkloadKind)


def three_revisions(system: System, kind: WorkloadKind) -> None:
    system.create("web", f"{IMAGE}:1", kind=kind, cause="one")
    system.deploy("web", f"{IMAGE}:2", kind=kind, cause="two")
    system.deploy("web", f"{IMAGE}:3", kind=kind, cause="three")


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_revisions_are_told_newest_first_with_images_and_change_causes(
    system: System, kind: WorkloadKind
) -> None:
    three_revisions(system, kind)
    workload = system.client.workload(system.ref("web", kind))

    found = system.client.revisions(workload)

    assert [one.number for one in found] == [3, 2, 1]
    assert [one.change_cause for one in found] == ["three", "two", "one"]
    assert [[image.image for image in one.template.images] for one in found] == [
        [f"{IMAGE}:{number}"] for number in (3, 2, 1)
    ]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_newest_revision_s_digest_is_the_workload_s_own(system: System, kind: WorkloadKind) -> None:
    pod = {
        "initContainers": [{"name": "migrate", "image": f"{IMAGE}:1"}],
        "volumes": [
            {"name": "a", "configMap": {"name": "settings"}},
            {"name": "b", "secret": {"secretName": "key"}},
            {"name": "c", "emptyDir": {}},
        ],
        "containers": [
            {
                "name": "app",
                "image": f"{IMAGE}:1",
                "env": [{"name": "A", "value": "b"}, {"name": "EMPTY", "value": ""}],
                "envFrom": [{"secretRef": {"name": "more"}}],
                "ports": [{"containerPort": 8000}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
                "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}},
            }
        ],
    }
    system.create("web", kind=kind, template=pod, settled=False)
    workload = system.observed("web", kind)

    [revision] = system.client.revisions(workload)

    assert revision.template == workload.template
    assert workload.template.config_maps == ("settings",)
    assert workload.template.secrets == ("key", "more")
    assert [one.container for one in workload.template.images] == ["app", "migrate"]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_revision_that_is_put_back_gets_a_new_number_and_keeps_its_name(
    system: System, kind: WorkloadKind
) -> None:
    three_revisions(system, kind)
    workload, before = system.client.workload(system.ref("web", kind)), system.revisions("web", kind)

    changed = system.client.put_template(workload, before[1].name, template_digest=before[1].template.digest)

    assert changed.template == before[1].template
    assert changed.generation == workload.generation + 1
    settled = system.settle("web", kind)
    after = system.revisions("web", kind)
    assert sorted(after) == [2, 3, 4]
    assert (after[4].name, after[4].template) == (before[1].name, before[1].template)
    assert [after[number].change_cause for number in (2, 3, 4)] == ["two", "three", "one"]
    assert (settled.template, settled.uid) == (before[1].template, workload.uid)


def test_a_deployment_s_revision_notes_which_numbers_it_had(system: System) -> None:
    three_revisions(system, WorkloadKind.DEPLOYMENT)
    first = system.revisions("web")[1]
    system.client.put_template(
        system.client.workload(system.ref("web")), first.name, template_digest=first.template.digest
    )
    system.settle("web")
    assert (system.revisions("web")[4].earlier_numbers, system.revisions("web")[4].first_number) == ((1,), 1)
    assert system.client.workload(system.ref("web")).revision == 4


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_variables_that_the_old_template_lacks_are_taken_out(system: System, kind: WorkloadKind) -> None:
    system.create("web", f"{IMAGE}:1", kind=kind)
    first = system.revisions("web", kind)[1]
    container = {"name": "app", "image": f"{IMAGE}:2", "env": [{"name": "A", "value": "b"}]}
    system.patch("web", {"spec": {"template": {"spec": {"containers": [container]}}}}, kind=kind)
    system.observed("web", kind)

    workload = system.client.workload(system.ref("web", kind))
    changed = system.client.put_template(workload, first.name, template_digest=first.template.digest)

    assert changed.template == first.template


def test_a_workload_that_got_another_template_since_it_was_read_is_left_alone(system: System) -> None:
    system.create("web", f"{IMAGE}:1")
    first = system.revisions("web")[1]
    read = system.deploy("web", f"{IMAGE}:2")
    later = system.deploy("web", f"{IMAGE}:3", settled=False)

    with pytest.raises(Conflict, match="the object has been modified"):
        system.client.put_template(read, first.name, template_digest=first.template.digest)

    assert system.client.workload(read.ref).template == later.template


def test_a_workload_that_was_paused_since_it_was_read_is_left_alone(system: System) -> None:
    system.create("web", f"{IMAGE}:1")
    first = system.revisions("web")[1]
    read = system.deploy("web", f"{IMAGE}:2")
    system.patch("web", {"spec": {"paused": True}})
    with pytest.raises(Conflict, match="the object has been modified"):
        system.client.put_template(read, first.name, template_digest=first.template.digest)


def test_a_write_that_leaves_the_template_alone_does_not_stand_in_the_way(system: System) -> None:
    system.create("web", f"{IMAGE}:1")
    first = system.revisions("web")[1]
    read = system.deploy("web", f"{IMAGE}:bad", settled=False)
    system.patch("web", {"metadata": {"labels": {"touched": "yes"}}, "spec": {"replicas": 2}})

    changed = system.client.put_template(read, first.name, template_digest=first.template.digest)

    assert changed.template == first.template
    assert (changed.wanted, changed.labels) == (2, {"touched": "yes"})


def test_another_template_than_was_planned_with_is_refused(system: System) -> None:
    system.create("web", f"{IMAGE}:1")
    first = system.revisions("web")[1]
    read = system.deploy("web", f"{IMAGE}:2")
    with pytest.raises(Conflict, match="it holds another template"):
        system.client.put_template(read, first.name, template_digest="0" * 64)


def test_another_workload_s_revision_is_refused(system: System) -> None:
    system.create("other", f"{IMAGE}:1")
    read = system.create("web", f"{IMAGE}:2")
    theirs = system.revisions("other")[1]
    with pytest.raises(Conflict, match="is not the revision of deployment/web"):
        system.client.put_template(read, theirs.name, template_digest=theirs.template.digest)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_revision_beyond_the_history_limit_is_gone(system: System, kind: WorkloadKind) -> None:
    system.create("web", f"{IMAGE}:1", kind=kind, revisionHistoryLimit=1)
    first = system.revisions("web", kind)[1]
    for number in (2, 3):
        system.deploy("web", f"{IMAGE}:{number}", kind=kind)
    until(lambda: sorted(system.revisions("web", kind)) == [2, 3], seconds=30)
    with pytest.raises(Gone, match=f"{first.name} of .* is no longer kept"):
        system.client.put_template(
            system.client.workload(system.ref("web", kind)),
            first.name,
            template_digest=first.template.digest,
        )


def test_a_paused_deployment_says_so_and_does_not_move(system: System) -> None:
    system.create("web", f"{IMAGE}:1")
    system.patch("web", {"spec": {"paused": True}})
    system.patch(
        "web", {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": f"{IMAGE}:2"}]}}}}
    )

    def seen() -> bool:
        found = system.client.workload(system.ref("web"))
        return found.observed_generation == found.generation

    until(seen, seconds=30)
    workload = system.client.workload(system.ref("web"))
    assert workload.paused
    assert [one.reason for one in workload.conditions if one.type == "Progressing"] == ["DeploymentPaused"]
    assert sorted(system.revisions("web")) == [1]


def test_a_rollout_that_does_not_progress_is_told_by_its_condition(system: System) -> None:
    system.create("web", f"{IMAGE}:1", progressDeadlineSeconds=1)
    system.deploy("web", f"{IMAGE}:bad", settled=False)

    def given_up() -> bool:
        conditions = system.client.workload(system.ref("web")).conditions
        return ("Progressing", "False", "ProgressDeadlineExceeded") in [
            (one.type, one.status, one.reason) for one in conditions
        ]

    until(given_up, seconds=30)
    workload = system.client.workload(system.ref("web"))
    assert (workload.wanted, workload.updated, workload.available) == (1, 1, 1)
    assert workload.replicas == 2


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_what_is_not_there_is_named(system: System, kind: WorkloadKind) -> None:
    with pytest.raises(NotFound, match=f'{system.namespace}.*"nothing" not found'):
        system.client.workload(system.ref("nothing", kind))


def test_a_namespace_that_is_not_there_has_no_workloads_and_none_of_that_name(system: System) -> None:
    ref = system.ref("web").model_copy(update={"namespace": "no-such-namespace"})
    assert system.client.workloads("no-such-namespace", WorkloadKind.DEPLOYMENT) == ()
    with pytest.raises(NotFound, match="in no-such-namespace"):
        system.client.workload(ref)


def test_all_of_a_namespace_are_read_together(system: System) -> None:
    for name in ("a", "b"):
        system.create(name, f"{IMAGE}:1", settled=False)
        system.observed(name)
    system.create("c", f"{IMAGE}:1", kind=WorkloadKind.STATEFUL_SET, settled=False)
    system.observed("c", WorkloadKind.STATEFUL_SET)
    found = system.client.workloads(system.namespace, WorkloadKind.DEPLOYMENT)
    sets = system.client.workloads(system.namespace, WorkloadKind.STATEFUL_SET)

    revisions = system.client.revisions_of([*found, *sets])

    assert [one.ref.name for one in found] == ["a", "b"]
    assert {ref.name: [one.number for one in kept] for ref, kept in revisions.items()} == {
        "a": [1],
        "b": [1],
        "c": [1],
    }
