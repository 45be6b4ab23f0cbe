"""What the product relies on of pods, logs, services and autoscalers while it watches."""

import pytest

from runbook.errors import Conflict, NotFound, Permanent
from runbook.workloads import Autoscaler, Pod, WorkloadKind
from tests.contracts.kubernetes.systems import PORT, Real, System
from tests.deadline import until

IMAGE = "registry.example/app"
SECONDS = 30


def pods(system: System, name: str = "web") -> tuple[Pod, ...]:
    return system.client.pods(system.namespace, f"app={name}")


def test_pods_tell_that_they_are_ready_and_what_they_run(system: System) -> None:
    system.create("web", f"{IMAGE}:1", replicas=2)
    found = pods(system)
    assert len(found) == 2
    assert {(one.ready, one.restarts, one.reasons) for one in found} == {(True, 0, ())}
    assert {image.image for one in found for image in one.images} == {f"{IMAGE}:1"}
    assert not any(one.terminating for one in found)


@pytest.mark.parametrize(
    ("image", "reason"), [("bad", "app: ImagePullBackOff"), ("crash", "app: CrashLoopBackOff")]
)
def test_a_pod_that_does_not_start_says_which_container_and_why(
    system: System, image: str, reason: str
) -> None:
    system.create("web", f"{IMAGE}:{image}", settled=False)
    until(lambda: [one.reasons for one in pods(system)] == [(reason,)], seconds=SECONDS)
    assert [one.ready for one in pods(system)] == [False]


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_a_pod_of_a_stateful_set_names_the_revision_that_it_was_made_of(system: System, policy: str) -> None:
    made = system.create("web", kind=WorkloadKind.STATEFUL_SET, podManagementPolicy=policy)
    assert made.parallel is (policy == "Parallel")
    assert [one.revision for one in pods(system)] == [made.update_revision]
    assert made.update_revision


def test_a_selector_that_selects_nothing_finds_no_pod(system: System) -> None:
    system.create("web", f"{IMAGE}:1")
    assert system.client.pods(system.namespace, "app=another") == ()
    assert len(system.client.pods(system.namespace, "")) == 1


def test_the_last_lines_of_a_log_are_read(system: System) -> None:
    system.write_log(f"{IMAGE}:1", "first\nsecond\nthird\n")
    system.create("web", f"{IMAGE}:1")
    [pod] = pods(system)
    assert system.client.pod_log(system.namespace, pod.name, tail_lines=2) == "second\nthird\n"
    assert system.client.pod_log(system.namespace, pod.name, container="app", tail_lines=9).count("\n") == 3


def test_a_log_that_cannot_be_read_says_why(system: System) -> None:
    both = [{"name": name, "image": f"{IMAGE}:1"} for name in ("app", "side")]
    system.create("web", template={"containers": both})
    [pod] = pods(system)
    with pytest.raises(Permanent, match=r"a container name must be specified .*\[app side\]"):
        system.client.pod_log(system.namespace, pod.name, tail_lines=2)
    with pytest.raises(Permanent, match="container other is not valid for pod"):
        system.client.pod_log(system.namespace, pod.name, container="other", tail_lines=2)
    with pytest.raises(NotFound, match='pods "nothing" not found'):
        system.client.pod_log(system.namespace, "nothing", tail_lines=2)


@pytest.mark.parametrize(("status", "said"), [(200, "ok"), (500, "failing"), (403, "failing")])
def test_a_service_s_answer_is_an_answer_whatever_its_status(system: System, status: int, said: str) -> None:
    with system.answering("web", status):

        def asked() -> bool:
            try:
                return system.client.ask_service(system.namespace, "web", PORT, "/health").status == status
            except (Conflict, NotFound):  # what the proxy knows of services and endpoints trails
                return False

        until(asked, seconds=SECONDS)
        answer = system.client.ask_service(system.namespace, "web", "http", "/health")
        assert (answer.status, said in answer.body, answer.cut) == (status, True, False)
        assert 0 < answer.seconds < SECONDS
        assert system.client.ask_service(system.namespace, "web", PORT, "/other").status == 404
        with pytest.raises(Conflict, match='no service port 81 found for service "web"'):
            system.client.ask_service(system.namespace, "web", 81, "/health")


def refusal(system: System) -> str:
    with pytest.raises((Conflict, NotFound)) as caught:
        system.client.ask_service(system.namespace, "web", PORT, "/health")
    return str(caught.value)


def test_a_service_without_ready_pods_has_no_endpoints(system: System) -> None:
    system.create("web", f"{IMAGE}:bad", settled=False)
    system.service("web")
    until(lambda: "Service web" in refusal(system), seconds=SECONDS)
    assert "gives no answer: no endpoints available" in refusal(system)


def test_a_service_that_is_not_there_is_named(system: System) -> None:
    with pytest.raises(NotFound, match='services "web" not found'):
        system.client.ask_service(system.namespace, "web", PORT, "/health")


@pytest.mark.integration
def test_a_service_that_refuses_connections_gives_no_answer(system: System) -> None:
    if not isinstance(system, Real):
        pytest.skip("the stand-in's pods are no servers: whoever is ready answers")
    system.create("web", f"{IMAGE}:1")
    system.service("web", 9)  # discard: nothing listens there

    until(lambda: "gives no answer: error trying to reach service" in refusal(system), seconds=SECONDS)


def test_autoscalers_are_told_by_what_they_scale(system: System) -> None:
    system.create("web", f"{IMAGE}:1", replicas=2)
    system.autoscaler("web", minimum=2, maximum=5)
    until(lambda: bool(system.client.autoscalers(system.namespace)), seconds=SECONDS)
    [(ref, found)] = system.client.autoscalers(system.namespace).items()
    assert ref == system.ref("web")
    assert (found.name, found.minimum, found.maximum) == ("web", 2, 5)
    assert isinstance(found, Autoscaler)
