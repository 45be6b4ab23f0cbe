"""The rollback of a workload, on the stand-in: whoever else changes it meanwhile, nothing of theirs is lost."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from runbook.decisions.rollout import RolloutState, held_up_by, judge_rollout
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.effects import Found
from runbook.engine.engine import Ended, Outcome, Verification
from runbook.engine.states import EffectState
from runbook.errors import Conflict, Gone, RunbookError
from runbook.workloads import WorkloadKind, WorkloadRef
from runbook.world import World
from tests.runbook.effects.workload_samples import AGENT, IMAGES, NAMESPACE, WORKLOADS, workload_rollback
from tests.runbook.engine.desk import SCENARIO, Desk, open_desk

V1, V2, BAD = IMAGES
REVISIONS = WORKLOADS[AGENT.name]["revisions"]
OTHERS = {
    f"agent-{kind.lower()}": {"kind": kind.value, "replicas": 2, "revisions": REVISIONS}
    for kind in WorkloadKind
    if kind is not WorkloadKind.DEPLOYMENT
}
CLUSTER = {"namespaces": {NAMESPACE: {"workloads": {**WORKLOADS, **OTHERS}}}}
REFS = [
    AGENT,
    *(
        WorkloadRef(kind=kind, namespace=NAMESPACE, name=f"agent-{kind.lower()}")
        for kind in list(WorkloadKind)[1:]
    ),
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine on a sandbox with a cluster."""
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": CLUSTER}) as opened:
        yield opened


@pytest.fixture
def world(desk: Desk) -> World:
    """What the effect acts through."""
    return desk.engine.world


@pytest.fixture
def effect(world: World) -> RollBackWorkload:
    """From revision 3, which is bad, to 2."""
    return workload_rollback(world.kubernetes)


def image_of(desk: Desk, ref: WorkloadRef = AGENT) -> str:
    """Return the image that a workload wants."""
    (one,) = desk.engine.world.kubernetes.workload(ref).template.images
    return one.image


def deploy(desk: Desk, image: str, ref: WorkloadRef = AGENT) -> None:
    """Have somebody else deploy, and give the controllers their time."""
    desk.box.kubernetes.state.deploy(ref.namespace, ref.name, image, kind=ref.kind.value)
    desk.clock.sleep(30)


def collect_garbage(desk: Desk, name: str) -> None:
    """Have a kept revision taken away."""
    state = desk.box.kubernetes.state
    (thing,) = [one for one in state.of("replicasets.apps", NAMESPACE) if one.name == name]
    with state.lock:
        for pod in state.owned(thing, "Pod"):
            state.remove(pod)
        state.remove(thing)


def delete_held_up(desk: Desk, ref: WorkloadRef) -> None:
    """Have somebody delete the pods that a StatefulSet waits for in vain."""
    kubernetes, state = desk.engine.world.kubernetes, desk.box.kubernetes.state
    workload = kubernetes.workload(ref)
    held_up = held_up_by(workload, kubernetes.pods(ref.namespace, workload.selector))
    with state.lock:
        for name in held_up:
            pod = state.find("pods", ref.namespace, name)
            assert pod is not None
            state.remove(pod)


def make_anew(desk: Desk) -> None:
    """Have somebody delete the workload and make one of the same name and content."""
    thing = desk.box.kubernetes.state.workload(NAMESPACE, AGENT.name)
    thing.body["metadata"]["uid"] = "another"


def pause(desk: Desk) -> None:
    """Have somebody pause its rollouts."""
    state = desk.box.kubernetes.state
    with state.lock:
        thing = state.workload(NAMESPACE, AGENT.name)
        body = state.shown(thing)
        body["spec"]["paused"] = True
        state.replace(thing, body)


def carried_out(desk: Desk, effect: RollBackWorkload, *, verified: bool) -> Outcome:
    """Apply a plan of this effect alone."""
    plan = desk.show(effect, passed=True)
    verdict = Verification(passed=verified, reason="looked")
    return desk.engine.apply(plan, verify=lambda lease: verdict)


def patches_sent(desk: Desk) -> list[bool]:
    """For each patch: whether it took effect."""
    return [one["applied"] for one in desk.box.kubernetes.requests if one["method"] == "PATCH"]


@pytest.mark.parametrize("ref", REFS, ids=lambda ref: str(ref.kind.value))
def test_a_workload_is_rolled_back_to_the_revision_that_was_named(
    desk: Desk, world: World, ref: WorkloadRef
) -> None:
    effect = workload_rollback(world.kubernetes, ref, to=V1)
    assert effect.precondition(world).holds
    outcome = carried_out(desk, effect, verified=True)
    assert outcome.ended is Ended.DONE
    assert image_of(desk, ref) == V1
    desk.clock.sleep(60)
    delete_held_up(desk, ref)
    desk.clock.sleep(60)
    after = world.kubernetes.workload(ref)
    assert judge_rollout(after, since=None).state is RolloutState.COMPLETE
    newest = world.kubernetes.revisions(after)[0]
    # Its number is new, its object is not.
    assert (newest.name, newest.number) == (effect.to_name, 4)
    assert effect.probe(world).found is Found.DONE


@pytest.mark.parametrize("ref", REFS, ids=lambda ref: str(ref.kind.value))
def test_what_is_not_verified_goes_back_to_where_it_was(desk: Desk, world: World, ref: WorkloadRef) -> None:
    before = world.kubernetes.workload(ref).template.digest
    outcome = carried_out(desk, workload_rollback(world.kubernetes, ref), verified=False)
    assert outcome.ended is Ended.UNDONE
    assert world.kubernetes.workload(ref).template.digest == before
    assert patches_sent(desk) == [True, True]


def test_the_journal_keeps_what_the_rollouts_judge_needs(desk: Desk, effect: RollBackWorkload) -> None:
    """The verdict of the failed rollout is still there just after, and is none on ours."""
    desk.clock.sleep(3600)  # the bad one's progress deadline
    kubernetes = desk.engine.world.kubernetes
    assert judge_rollout(kubernetes.workload(AGENT), since=None).state is RolloutState.FAILED
    outcome = carried_out(desk, effect, verified=True)
    result = outcome.entries[0].result
    assert result is not None
    since = datetime.fromisoformat(result["progressing_at"])
    after = kubernetes.workload(AGENT)
    assert after.generation == result["generation"]
    assert judge_rollout(after, since=since).state is RolloutState.PROGRESSING
    desk.clock.sleep(60)
    assert judge_rollout(kubernetes.workload(AGENT), since=since).state is RolloutState.COMPLETE


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (
            lambda desk: deploy(desk, "ghcr.io/acme/agent:v4"),
            "somebody changed it since: it is at revision 4",
        ),
        (lambda desk: deploy(desk, V2), "somebody changed it since"),
        (make_anew, "was deleted and made anew"),
        (pause, "its rollouts are paused"),
        (lambda desk: desk.box.kubernetes.state.remove(_workload(desk)), "not found"),
    ],
    ids=["deployed", "rolled back by somebody", "made anew", "paused", "deleted"],
)
def test_a_rollback_is_not_applied_to_what_it_was_not_planned_on(
    desk: Desk, world: World, effect: RollBackWorkload, change: Callable[[Desk], object], detail: str
) -> None:
    assert effect.precondition(world).holds
    change(desk)
    precondition = effect.precondition(world)
    assert not precondition.holds
    assert detail in precondition.detail
    with pytest.raises(RunbookError):
        effect.apply(world, repeated=False)
    assert patches_sent(desk) == []


def _workload(desk: Desk) -> Any:
    return desk.box.kubernetes.state.workload(NAMESPACE, AGENT.name)


def test_a_revision_that_was_garbage_collected_meanwhile_ends_the_plan_with_nothing_changed(
    desk: Desk, world: World, effect: RollBackWorkload
) -> None:
    collect_garbage(desk, effect.to_name)
    precondition = effect.precondition(world)
    assert not precondition.holds
    assert precondition.detail == f"revision 2 ({effect.to_name}) is no longer kept"
    with pytest.raises(Gone) as raised:
        effect.apply(world, repeated=False)
    assert "choose another revision" in raised.value.next_step
    assert image_of(desk) == BAD


def test_of_two_rollbacks_of_one_service_at_once_one_is_refused(
    desk: Desk, world: World, effect: RollBackWorkload
) -> None:
    """Somebody's kubectl comes between our read and our write: the API server refuses ours."""
    kubernetes = world.kubernetes
    original = kubernetes.workload

    def read_and_lose_the_race(ref: WorkloadRef) -> Any:
        seen = original(ref)
        deploy(desk, V1)
        return seen

    kubernetes.workload = read_and_lose_the_race  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        effect.apply(world, repeated=False)
    assert patches_sent(desk) == [False]
    assert image_of(desk) == V1


def test_a_rollback_that_somebody_made_before_us_is_found_and_not_ours_to_undo(
    desk: Desk, effect: RollBackWorkload
) -> None:
    plan = desk.show(effect, passed=True)
    deploy(desk, V2)
    outcome = desk.engine.apply(plan, verify=lambda lease: Verification(passed=False, reason="red"))
    assert [entry.state for entry in outcome.entries] == [EffectState.FOUND]
    assert patches_sent(desk) == []


def test_what_somebody_deploys_while_it_is_verified_is_not_undone(
    desk: Desk, effect: RollBackWorkload
) -> None:
    newer = "ghcr.io/acme/agent:v4"

    def deploy_meanwhile(_lease: object) -> Verification:
        deploy(desk, newer)
        return Verification(passed=False, reason="red")

    plan = desk.show(effect, passed=True)
    outcome = desk.engine.apply(plan, verify=deploy_meanwhile)
    assert [entry.state for entry in outcome.entries] == [EffectState.NEEDS_PERSON]
    assert "somebody changed it since" in outcome.entries[0].note
    assert image_of(desk) == newer
    assert patches_sent(desk) == [True]


def test_an_undo_that_was_done_is_not_done_again(desk: Desk, world: World, effect: RollBackWorkload) -> None:
    """kubectl rollout undo, repeated, undoes its own undo; this names what it puts back."""
    result = effect.apply(world, repeated=False)
    effect.undo(world, result)
    assert image_of(desk) == BAD
    assert effect.probe_undo(world, result).found is Found.DONE
    with pytest.raises(Conflict):
        effect.undo(world, result)
    assert image_of(desk) == BAD


def test_a_revision_keeps_its_earlier_numbers_and_so_its_time_in_service(
    desk: Desk, world: World, effect: RollBackWorkload
) -> None:
    effect.apply(world, repeated=False)
    desk.clock.sleep(60)
    workload = world.kubernetes.workload(AGENT)
    numbers = {one.name: (one.number, one.earlier_numbers) for one in world.kubernetes.revisions(workload)}
    assert numbers[effect.to_name] == (4, (2,))


def test_a_probe_cannot_tell_of_what_is_gone_or_another(
    desk: Desk, world: World, effect: RollBackWorkload
) -> None:
    assert effect.probe(world).found is Found.NOT_DONE
    deploy(desk, "ghcr.io/acme/agent:v4")
    assert effect.probe(world).found is Found.UNKNOWN
    make_anew(desk)
    assert effect.probe(world).found is Found.UNKNOWN
    desk.box.kubernetes.state.remove(_workload(desk))
    assert effect.probe(world).found is Found.UNKNOWN


def test_people_read_what_it_does_and_kubectls_line(effect: RollBackWorkload) -> None:
    assert effect.describe() == (
        f"roll deployment/agent-service in voice back from revision 3 to 2: {BAD} becomes {V2}"
    )
    assert effect.command_line() == (
        *("kubectl", "rollout", "undo", "deployment/agent-service"),
        *("--namespace", "voice", "--to-revision=2"),
    )
    assert effect.target == "service:voice/agent-service"
