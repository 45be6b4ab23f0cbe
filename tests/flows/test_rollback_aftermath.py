"""What a rollback leaves is written down with each effect, whatever becomes of the rest of its plan."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from flows.rollback_aftermath import note_what_it_leaves
from flows.rollback_proposal import Before
from flows.run import Run
from runbook.decisions.exceptions import ExceptionKind
from runbook.decisions.soak import PodsSeen, Sample
from runbook.effects.releases import RollBackRelease
from runbook.engine.engine import Ended, Verification
from runbook.engine.entries import JournalEntry
from runbook.engine.leases import Lease
from runbook.engine.plans import StoredPlan
from runbook.engine.states import ExecutionState
from runbook.errors import NeedsPerson
from runbook.policy.estate import ImageRollback
from tests.runbook.effects.cluster_samples import CLUSTER, release_rollback
from tests.runbook.effects.workload_samples import IMAGES, kubernetes_of, sync_pause, workload_rollback
from tests.runbook.engine.conftest import REPOSITORY, START, VIEW
from tests.runbook.engine.desk import SCENARIO, Desk, open_desk

BARRED = IMAGES[2] + "@sha256:bad"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine at a cluster."""
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": CLUSTER}) as opened:
        yield opened


def run_of(desk: Desk) -> Run:
    """Return an execution as far as what it leaves is concerned."""
    policy = SimpleNamespace(image_rollback=ImageRollback(), on_call="carol", services=())
    here = SimpleNamespace(policy=policy, engine=desk.engine, clock=desk.clock)
    execution = SimpleNamespace(id="e1")
    repository = SimpleNamespace(name=REPOSITORY)
    return cast(Run, SimpleNamespace(here=here, execution=execution, repository=repository, applying=True))


def on_what_was_seen(plan: StoredPlan) -> StoredPlan:
    """Return a plan with what it was made on."""
    sample = Sample(at=START, pods=PodsSeen(wanted=2, ready=0))
    before = Before(samples={"agent-service": sample}, left={IMAGES[2]: BARRED})
    return replace(plan, view=VIEW.model_copy(update={"before": before.model_dump(mode="json")}))


def test_a_rollback_that_a_person_has_to_end_leaves_its_pause_and_its_bar_noted(desk: Desk) -> None:
    kubernetes = kubernetes_of(desk.box)
    moves = workload_rollback(kubernetes), release_rollback(desk.box)
    plan = on_what_was_seen(desk.show(sync_pause(kubernetes), *moves, passed=True))
    run = run_of(desk)

    def step(entry: JournalEntry, lease: Lease) -> JournalEntry:
        if isinstance(entry.effect, RollBackRelease):
            raise NeedsPerson("nobody can tell what became of it")
        for _ in range(2):  # as a run that is resumed does
            note_what_it_leaves(run, plan, applied := desk.engine.journal.apply(entry.id, lease=lease))
        return applied

    outcome = desk.engine.apply(plan, verify=never, step=step)
    assert outcome.ended is Ended.NEEDS_PERSON, outcome.reason
    desk.engine.executions.end("e1", ExecutionState.NEEDS_PERSON, reason=outcome.reason)
    left = {one.kind: one for one in desk.engine.exceptions.open()}
    assert set(left) == {ExceptionKind.RESTORE, ExceptionKind.BAR}
    assert left[ExceptionKind.BAR].subject == BARRED
    pause = left[ExceptionKind.RESTORE]
    assert pause in desk.engine.exceptions.due(pause.deadline)


def never(_lease: Lease) -> Verification:
    """A verification that is not come to."""
    raise AssertionError("it was verified")
