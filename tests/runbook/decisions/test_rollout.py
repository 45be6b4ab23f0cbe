"""RB-06: a rollout is judged as kubectl judges it, and an old verdict is none."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.rollout import RolloutState, held_up_by, judge_rollout, progressing_since
from runbook.workloads import Condition, ContainerImage, Pod, WorkloadKind
from tests.runbook.decisions.workload_facts import NOW, progressing, template, workload

DEPLOYMENT, STATEFUL_SET, DAEMON_SET = WorkloadKind
EXCEEDED = "ProgressDeadlineExceeded"
SAME_IMAGES = template("v4").images
OTHER_IMAGES = (
    ContainerImage(container="app", image="mirror.example/tts:v4"),
    ContainerImage(container="proxy", image="proxy:1"),
)


@pytest.mark.parametrize(
    ("kind", "facts", "state", "detail"),
    [
        (DEPLOYMENT, {}, "complete", 'deployment "tts" successfully rolled out'),
        (DEPLOYMENT, {"wanted": 0, "replicas": 0, "updated": 0, "available": 0, "ready": 0}, "complete", ""),
        (
            DEPLOYMENT,
            {"updated": 1},
            "progressing",
            'Waiting for deployment "tts" rollout to finish: 1 out of 3 new replicas have been updated...',
        ),
        (
            DEPLOYMENT,
            {"replicas": 5},
            "progressing",
            'Waiting for deployment "tts" rollout to finish: 2 old replicas are pending termination...',
        ),
        (DEPLOYMENT, {"replicas": 4}, "progressing", "1 old replicas are pending termination..."),
        (
            DEPLOYMENT,
            {"available": 2},
            "progressing",
            'Waiting for deployment "tts" rollout to finish: 2 of 3 updated replicas are available...',
        ),
        (
            DEPLOYMENT,
            {"observed_generation": 3},
            "progressing",
            "Waiting for deployment spec update to be observed...",
        ),
        (DEPLOYMENT, {"paused": True}, "paused", 'deployment "tts" is paused'),
        (DEPLOYMENT, {"paused": True, "observed_generation": 3}, "paused", ""),
        (STATEFUL_SET, {}, "complete", "partitioned roll out complete: 3 new pods have been updated..."),
        (STATEFUL_SET, {"ready": 2}, "progressing", "Waiting for 1 pods to be ready..."),
        (
            STATEFUL_SET,
            {"updated": 1},
            "progressing",
            "Waiting for partitioned roll out to finish: 1 out of 3 new pods have been updated...",
        ),
        (
            STATEFUL_SET,
            {"updated": 0, "partition": 2},
            "progressing",
            "Waiting for partitioned roll out to finish: 0 out of 1 new pods have been updated...",
        ),
        (STATEFUL_SET, {"updated": 1, "partition": 2}, "complete", "2 below partition 2 keep the template"),
        (STATEFUL_SET, {"updated": 0, "partition": 9}, "complete", "3 below partition 9 keep the template"),
        (
            STATEFUL_SET,
            {"generation": 1, "observed_generation": 0},
            "progressing",
            "Waiting for statefulset spec update to be observed...",
        ),
        (STATEFUL_SET, {"on_delete": True, "updated": 1}, "on_delete", "1 of 3 run the new template"),
        (STATEFUL_SET, {"on_delete": True, "ready": 1}, "progressing", "Waiting for 2 pods to be ready..."),
        (STATEFUL_SET, {"on_delete": True}, "complete", "all pods of"),
        (DAEMON_SET, {}, "complete", 'daemon set "tts" successfully rolled out'),
        (
            DAEMON_SET,
            {"updated": 2},
            "progressing",
            'Waiting for daemon set "tts" rollout to finish: 2 out of 3 new pods have been updated...',
        ),
        (
            DAEMON_SET,
            {"available": 1},
            "progressing",
            'Waiting for daemon set "tts" rollout to finish: 1 of 3 updated pods are available...',
        ),
        (
            DAEMON_SET,
            {"observed_generation": 3},
            "progressing",
            "Waiting for daemon set spec update to be observed...",
        ),
        (DAEMON_SET, {"on_delete": True, "updated": 0}, "on_delete", "somebody deletes it"),
    ],
)
def test_a_rollout_is_judged_in_kubectls_words(
    kind: WorkloadKind, facts: dict[str, Any], state: str, detail: str
) -> None:
    verdict = judge_rollout(workload(kind, **facts), since=None)
    assert verdict.state == state
    assert detail in verdict.detail


@pytest.mark.parametrize(
    ("seconds_after", "state"),
    [(-60, "progressing"), (0, "progressing"), (1, "failed"), (None, "failed")],
)
def test_a_deadline_exceeded_before_our_patch_is_no_verdict_on_it(
    seconds_after: int | None, state: str
) -> None:
    """kubectl straight after an undo out of a failed rollout reports the old failure."""
    stuck = workload(updated=1, conditions=(progressing(EXCEEDED, at=NOW, status="False"),))
    since = None if seconds_after is None else NOW - timedelta(seconds=seconds_after)
    assert judge_rollout(stuck, since=since).state == state


def test_the_conditions_own_time_from_before_needs_no_clock_of_ours() -> None:
    before = workload(updated=1, conditions=(progressing(EXCEEDED, at=NOW, status="False"),))
    since = progressing_since(before)
    assert since == NOW
    just_after = before.model_copy(update={"generation": 5, "observed_generation": 5})
    assert judge_rollout(just_after, since=since).state is RolloutState.PROGRESSING
    later = progressing(EXCEEDED, at=NOW + timedelta(seconds=600), status="False")
    failed = just_after.model_copy(update={"conditions": (later,)})
    assert judge_rollout(failed, since=since).state is RolloutState.FAILED


def test_a_failure_that_the_controller_has_not_looked_at_is_none() -> None:
    unseen = workload(observed_generation=3, conditions=(progressing(EXCEEDED, at=NOW, status="False"),))
    assert judge_rollout(unseen, since=None).state is RolloutState.PROGRESSING


def test_a_failed_rollout_says_why_no_pod_could_be_made() -> None:
    quota = Condition(
        type="ReplicaFailure", status="True", reason="FailedCreate", message="exceeded quota", updated_at=NOW
    )
    failed = workload(updated=0, conditions=(progressing(EXCEEDED, at=NOW, status="False"), quota))
    assert judge_rollout(failed, since=None).detail.endswith("exceeded its progress deadline: exceeded quota")


def test_a_workload_without_conditions_has_no_time_to_compare_with() -> None:
    assert progressing_since(workload()) is None


counts = st.integers(min_value=0, max_value=5)


@given(
    st.sampled_from(WorkloadKind),
    st.fixed_dictionaries(
        {
            "wanted": counts,
            "replicas": counts,
            "updated": counts,
            "available": counts,
            "ready": counts,
            "partition": counts,
            "generation": counts,
            "observed_generation": counts,
        }
    ),
)
def test_no_rollout_is_complete_before_its_controller_has_seen_it_and_every_new_pod_serves(
    kind: WorkloadKind, facts: dict[str, int]
) -> None:
    one = workload(kind, **facts)
    if judge_rollout(one, since=None).state is RolloutState.COMPLETE:
        assert one.observed_generation >= one.generation
        assert one.updated >= one.wanted - (one.partition if kind is STATEFUL_SET else 0)
        assert (one.ready if kind is STATEFUL_SET else one.available) >= (
            one.updated if kind is DEPLOYMENT else one.wanted
        )


@pytest.mark.parametrize(
    ("kind", "of_set", "of_pod", "held_up"),
    [
        (STATEFUL_SET, {}, {"revision": "tts-bad"}, True),
        (STATEFUL_SET, {}, {"revision": "tts-bad", "ready": True}, False),
        (STATEFUL_SET, {}, {"revision": "tts-bad", "terminating": True}, False),
        # Fresh and not ready yet; whatever else somebody injected, or from which registry it is pulled.
        (STATEFUL_SET, {}, {"revision": "tts-good", "images": OTHER_IMAGES}, False),
        # Only its settings are other ones.
        (STATEFUL_SET, {}, {"revision": "tts-bad", "images": SAME_IMAGES}, True),
        # One that needs no order replaces its broken pods itself.
        (STATEFUL_SET, {"parallel": True}, {"revision": "tts-bad"}, False),
        # Its controller has not looked at what is wanted now: the revision that it noted is the one that was left.
        (STATEFUL_SET, {"observed_generation": 3}, {"revision": "tts-bad"}, False),
        (STATEFUL_SET, {"update_revision": ""}, {"revision": "tts-bad"}, False),
        (STATEFUL_SET, {}, {"revision": ""}, False),
        (DEPLOYMENT, {}, {"revision": "tts-bad"}, False),
        (DAEMON_SET, {}, {"revision": "tts-bad"}, False),
    ],
)
def test_only_a_stateful_set_waits_in_vain_for_a_broken_pod_of_the_template_that_it_left(
    kind: WorkloadKind, of_set: dict[str, Any], of_pod: dict[str, Any], held_up: bool
) -> None:
    stands = workload(kind, **{"update_revision": "tts-good", **of_set})
    facts = {"ready": False, "restarts": 0, **of_pod}
    assert held_up_by(stands, (Pod(name="tts-0", **facts),)) == (("tts-0",) if held_up else ())
