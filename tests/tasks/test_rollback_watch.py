"""Watching rolled back services on the stand-in, in virtual time: rollout, soak, and what ends either (RB-06 to 11)."""

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from runbook.decisions.soak import HealthSeen, PodsSeen, Sample
from runbook.engine.engine import Verification
from runbook.errors import NeedsPerson, Transient
from runbook.policy.estate import ImageRollback, MetricThreshold, Service
from runbook.triage.catalogue import builtin_catalogue
from tasks import progress, rollback_watch, service_samples, workloads
from tests.runbook.engine.conftest import TIMINGS
from tests.runbook.engine.desk import SCENARIO, START, Desk, open_desk

NAMESPACE = "voice"
SOAK_SECONDS = 20.0
RULES = ImageRollback(poll_seconds=2, log_poll_seconds=6, rollout_timeout_seconds=300)
FULL_DISK = "OSError: [Errno 28] No space left on device\n"
IMAGES: dict[str, dict[str, Any]] = {
    "well": {"metrics": "errors_total 7\n"},
    "red": {"health": 500},
    "hanging": {"health": 200},
    "restarting": {"restarts_every": "5s"},
    "failing": {"log": f"INFO listening\n{FULL_DISK}"},
    "unmetered": {"metrics": "errors_total 70\n"},
    "broken": {"start": "crash_loop"},
}
WATCHED = Sample(at=START, pods=PodsSeen(wanted=2, ready=2), health=HealthSeen(status=500), figures=(7.0,))
UP = WATCHED.model_copy(update={"health": HealthSeen(status=200)})


def cluster() -> dict[str, Any]:
    """A workload for each behaviour, deployed a minute ago; the broken one and a paused one just now."""
    ago = {"broken": "1s"}
    named = {
        name: {
            "replicas": 2,
            "revisions": [{"image": f"ghcr.io/acme/{name}:v1", "ago": ago.get(name, "60s")}],
            "spec": {"progressDeadlineSeconds": 30},
        }
        for name in IMAGES
    }
    named["paused"] = {
        "revisions": [{"image": "ghcr.io/acme/well:v1", "ago": "60s"}],
        "spec": {"paused": True},
    }
    named["set"] = {
        "kind": "StatefulSet",
        "replicas": 2,
        "revisions": [
            {"image": "ghcr.io/acme/broken:v1", "ago": "9s"},
            {"image": "ghcr.io/acme/well:v1", "ago": "3s"},
        ],
    }
    two = {"app": "ghcr.io/acme/well:v1", "proxy": "ghcr.io/acme/failing:v1"}
    named["two"] = {"replicas": 2, "revisions": [{"images": two, "ago": "60s"}]}
    images = {f"ghcr.io/acme/{name}:v1": behaviour for name, behaviour in IMAGES.items()}
    return {"images": images, "namespaces": {NAMESPACE: {"workloads": named}}}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """An engine on a sandbox with a cluster; progress goes nowhere, the run's log to the test's."""
    monkeypatch.setattr(progress, "create_progress_artifact", lambda **_artifact: uuid4())
    monkeypatch.setattr(progress, "update_progress_artifact", lambda *_args, **_artifact: None)
    monkeypatch.setattr(rollback_watch, "get_run_logger", lambda: logging.getLogger("watch"))
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": cluster()}) as opened:
        here = SimpleNamespace(
            policy=SimpleNamespace(timings=TIMINGS, image_rollback=RULES),
            clock=opened.clock,
            kubernetes=opened.engine.world.kubernetes,
            catalogue=builtin_catalogue(),
            engine=opened.engine,
        )
        for module in (rollback_watch, service_samples, workloads):
            monkeypatch.setattr(module, "installation", lambda: here)
        yield opened


def service(name: str, **more: Any) -> Service:
    """A service of the policy."""
    return Service.model_validate(
        {
            "name": name,
            "repository": "acme/app",
            "namespace": NAMESPACE,
            "image": f"ghcr.io/acme/{name}",
            "dockerfile": "Dockerfile",
            "soak_seconds": SOAK_SECONDS,
            **more,
        }
    )


def watch(
    desk: Desk, *services: Service, before: dict[str, Sample] | None = None, since: datetime | None = None
) -> Verification:
    """Watch services under a lease."""
    plan = desk.show(desk.rerun())
    lease = desk.engine.leases.acquire(plan.plan.targets, execution_id="e1")
    return rollback_watch.watch_rollback.fn(
        services,
        since={one.name: since for one in services},
        before={one.name: WATCHED for one in services} if before is None else before,
        lease=lease,
        what="them",
    )


def test_a_set_that_stays_well_for_its_soak_time_is_verified_and_says_how_it_was_and_is(desk: Desk) -> None:
    began = desk.clock.now()
    found = watch(desk, service("well"), service("hanging"))
    assert found.passed
    assert "stayed well for 20 s" in found.reason
    assert "before: 2 of 2 pods ready, 0 restarts, health endpoint answers 500; now: 2 of 2" in found.reason
    assert SOAK_SECONDS <= (desk.clock.now() - began).total_seconds() < 2 * SOAK_SECONDS


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        (
            "red",
            {},
            "its health endpoint answers 500, 3 times in a row, as before the rollback",
        ),  # it was red, too
        ("restarting", {}, "was restarted after its rollout had settled"),
        ("failing", {}, "its log has a failure that was not there before: infrastructure"),
        ("two", {}, "its log has a failure that was not there before: infrastructure"),
        ("unmetered", {"metrics": (MetricThreshold(name="errors_total", at_most=10),)}, "errors_total"),
        ("well", {"metrics": (MetricThreshold(name="absent", at_most=1),)}, "do not tell absent"),
    ],
)
def test_one_that_is_not_well_fails_the_whole_set(
    desk: Desk, name: str, more: dict[str, Any], said: str
) -> None:
    before = {"hanging": UP, name: WATCHED if name == "red" else UP}
    found = watch(desk, service("hanging"), service(name, **more), before=before)
    assert not found.passed
    assert said in found.reason


def test_an_outage_that_the_rollback_ended_is_not_brought_back_for_a_line_in_a_log(desk: Desk) -> None:
    down = Sample(
        at=START, pods=PodsSeen(wanted=2, ready=0, reasons=("app: CrashLoopBackOff",)), health=WATCHED.health
    )
    with pytest.raises(NeedsPerson, match="What was down is up again") as called:
        watch(desk, service("failing"), before={"failing": down})
    assert "No space left" in called.value.message
    assert "outage back" in called.value.next_step


def test_where_another_one_of_the_set_is_worse_than_before_the_outage_is_no_reason_to_keep_it(
    desk: Desk,
) -> None:
    before = {"failing": WATCHED, "red": UP}
    assert not watch(desk, service("failing"), service("red"), before=before).passed


def test_a_failure_that_its_log_had_before_is_no_news(desk: Desk) -> None:
    known = rollback_watch.sample_services.fn([service("failing")], what="it")
    assert known["failing"].log_failures != ()
    assert watch(desk, service("failing"), before=known).passed


def test_a_service_that_never_answers_is_unwell_and_the_cluster_is_not_taken_for_away(desk: Desk) -> None:
    desk.box.kubernetes.fail("timeout", path_regex="hanging:8000/proxy", times=None, seconds=0.1)
    found = watch(desk, service("hanging"))
    assert not found.passed
    assert "its health endpoint does not answer" in found.reason


def test_a_rollout_that_exceeds_its_deadline_fails_with_the_cluster_s_words(desk: Desk) -> None:
    found = watch(desk, service("well"), service("broken"))
    assert not found.passed
    assert "exceeded its progress deadline" in found.reason


def test_a_paused_rollout_calls_a_person(desk: Desk) -> None:
    with pytest.raises(NeedsPerson, match="paused") as called:
        watch(desk, service("paused"))
    assert "kubectl rollout resume" in called.value.next_step


def test_a_stateful_set_held_up_by_a_broken_pod_calls_a_person_to_that_pod(desk: Desk) -> None:
    with pytest.raises(NeedsPerson, match="set-0") as called:
        watch(desk, service("set", workload="StatefulSet"))
    assert "kubectl delete pod set-0 --namespace voice" in called.value.next_step


def test_a_cluster_that_is_away_for_a_while_says_nothing_of_the_services(desk: Desk) -> None:
    desk.box.kubernetes.fail("503", path_regex="/deployments", times=3)
    assert watch(desk, service("well")).passed


def test_one_that_stays_away_is_left_to_a_later_process(desk: Desk) -> None:
    desk.box.kubernetes.fail("503", path_regex="/deployments", times=None)
    began = desk.clock.now()
    with pytest.raises(Transient):
        watch(desk, service("well"))
    assert (desk.clock.now() - began).total_seconds() >= TIMINGS.settle_seconds
