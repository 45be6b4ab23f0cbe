"""RB-03: what was rolled back before is not good; what went back for another's sake says nothing of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.clients.kubernetes_client import KubernetesClient
from runbook.engine.effects import Effect
from runbook.engine.engine import Ended, Verification
from runbook.engine.states import EffectState, ExecutionState
from runbook.errors import Denied
from runbook.rolled_back import disproved_at, rolled_back_at
from runbook.workloads import WorkloadKind, WorkloadRef
from tests.runbook.effects.cluster_samples import CLUSTER as RELEASES
from tests.runbook.effects.cluster_samples import release_rollback
from tests.runbook.effects.workload_samples import AGENT, IMAGES, NAMESPACE, WORKLOADS, workload_rollback
from tests.runbook.engine.desk import SCENARIO, Desk, open_desk

OTHER = WorkloadRef(kind=WorkloadKind.DEPLOYMENT, namespace=NAMESPACE, name="other-service")
OTHERS = {OTHER.name: {"replicas": 2, "revisions": WORKLOADS[AGENT.name]["revisions"]}}
CLUSTER = {"namespaces": {NAMESPACE: {"workloads": {**WORKLOADS, **OTHERS}}}}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine on a sandbox with a cluster."""
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": CLUSTER}) as opened:
        yield opened


@pytest.fixture
def kubernetes(desk: Desk) -> KubernetesClient:
    """The product's client."""
    return desk.engine.world.kubernetes


def carry_out(desk: Desk, *effects: Effect, verified: bool, execution_id: str = "e1") -> Ended:
    """Apply a plan of these effects, and end its execution."""
    plan = desk.show(*effects, execution_id=execution_id, passed=True)
    verdict = Verification(passed=verified, reason="looked")
    ended = desk.engine.apply(plan, verify=lambda lease: verdict).ended
    desk.engine.executions.end(execution_id, ExecutionState(ended), reason="looked")
    return ended


def flagged(desk: Desk, ref: WorkloadRef = AGENT) -> set[str]:
    """The templates that were rolled back before."""
    return set(rolled_back_at(desk.engine.entries, ref))


def test_a_rollback_that_stands_took_its_version_away(desk: Desk, kubernetes: KubernetesClient) -> None:
    effect = workload_rollback(kubernetes)
    assert carry_out(desk, effect, verified=True) is Ended.DONE
    assert flagged(desk) == {effect.from_digest}
    assert flagged(desk, OTHER) == set()


def test_what_did_not_verify_is_no_better(desk: Desk, kubernetes: KubernetesClient) -> None:
    effect = workload_rollback(kubernetes)
    assert carry_out(desk, effect, verified=False) is Ended.UNDONE
    assert flagged(desk) == {effect.to_digest}


@pytest.mark.parametrize("left", [EffectState.REFUSED, EffectState.PLANNED])
def test_what_went_back_because_another_was_refused_was_never_tried_and_stays_good(
    desk: Desk, kubernetes: KubernetesClient, left: EffectState
) -> None:
    effects = workload_rollback(kubernetes), workload_rollback(kubernetes, OTHER)
    if left is EffectState.REFUSED:
        desk.box.kubernetes.fail("403", method="PATCH", path_regex=OTHER.name, times=None)

    def may_go_on(effect: Effect) -> None:
        if left is EffectState.PLANNED and effect == effects[1]:
            raise Denied("it may no longer")

    plan = desk.show(*effects, passed=True)
    verdict = Verification(passed=True, reason="looked")
    assert desk.engine.apply(plan, verify=lambda lease: verdict, may_go_on=may_go_on).ended is Ended.UNDONE
    assert [one.state for one in desk.entries(plan)] == [EffectState.UNDONE, left]
    assert flagged(desk) == set()


def test_what_a_person_had_stopped_says_nothing_of_where_it_went(
    desk: Desk, kubernetes: KubernetesClient
) -> None:
    plan = desk.show(workload_rollback(kubernetes), passed=True)

    def killed(_lease: object) -> Verification:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.engine.apply(plan, verify=killed)
    outcome = desk.engine.settle("e1", state=ExecutionState.CANCELLED, reason="stopped")
    assert outcome is not None
    assert outcome.ended is Ended.UNDONE
    assert flagged(desk) == set()


@pytest.mark.parametrize("verified", [True, False])
def test_of_a_release_the_journal_knows_what_did_not_verify_which_helm_s_history_cannot_tell(
    tmp_path: Path, verified: bool
) -> None:
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": RELEASES}) as desk:
        effect = release_rollback(desk.box)
        carry_out(desk, effect, verified=verified)
        found = disproved_at(desk.engine.entries, effect.namespace, effect.release)
        assert set(found) == (set() if verified else {effect.to_digest})
        assert disproved_at(desk.engine.entries, effect.namespace, "another") == {}


def test_what_was_chosen_anew_is_no_longer_held_against_it(desk: Desk, kubernetes: KubernetesClient) -> None:
    back = workload_rollback(kubernetes)
    assert carry_out(desk, back, verified=True) is Ended.DONE
    desk.clock.sleep(60)
    forward = workload_rollback(kubernetes, to=IMAGES[2])
    assert forward.to_digest == back.from_digest
    assert carry_out(desk, forward, verified=True, execution_id="e2") is Ended.DONE
    assert flagged(desk) == {back.to_digest}
