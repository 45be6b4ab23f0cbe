"""R3, R4 and R6 under SIGKILL for a whole rollback: a pause, an optional revert and two moves, killed on any visit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sandbox
from runbook.decisions.exceptions import ExceptionKind
from runbook.engine.engine import Engine
from runbook.engine.plan import Plan
from runbook.engine.states import EffectState, PlanState
from tests.runbook.effects.cluster_samples import release_rollback
from tests.runbook.effects.source_revert_samples import revert_commit
from tests.runbook.effects.workload_samples import kubernetes_of, sync_pause, workload_rollback
from tests.runbook.engine.conftest import VIEW
from tests.runbook.engine.databases import new_ledger_url
from tests.runbook.engine.kill_child import Job, engine_for, run_in_process
from tests.runbook.engine.passing import let_pass
from tests.runbook.engine.test_kill_matrix import (
    APPLY_BOUNDARIES,
    KILLED,
    REPOSITORY,
    SCENARIO,
    UNDO_BOUNDARIES,
)

PAUSE, REVERT, WORKLOAD, RELEASE = 1, 2, 3, 4
ALWAYS = {("confirm.after", PAUSE), ("claim.after", WORKLOAD), ("undo-confirm.before", 2)}
WRITES = ("/applications/", "/git/refs", "/deployments/", "/helm/rollback")


def _visits(boundaries: tuple[str, ...]) -> list[Any]:
    return [
        pytest.param(name, visit, marks=() if (name, visit) in ALWAYS else pytest.mark.integration)
        for name in boundaries
        for visit in (PAUSE, REVERT, WORKLOAD, RELEASE)
    ]


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    """A stand-in with something for every effect to act on."""
    with sandbox.running(SCENARIO) as running:
        yield running


@pytest.fixture
def job(box: sandbox.Box, tmp_path: Path) -> Job:
    """A process that rolls back, past the gate."""
    job = Job(
        ledger_url=new_ledger_url(tmp_path),
        github_url=box.url,
        token=box.token,
        login="runbook-bot",
        kubeconfig=box.kubernetes.kubeconfig,
        helm=str(box.kubernetes.helm),
        notes=True,
    )
    kubernetes = kubernetes_of(box)
    effects = [
        sync_pause(kubernetes),
        revert_commit(box, beside=True),
        workload_rollback(kubernetes),
        release_rollback(box),
    ]
    with _engine(job) as engine:
        engine.executions.begin(
            "e1", procedure="rollback-image", repository=REPOSITORY, subject="s", request={}
        )
        plan = Plan.of(procedure="rollback-image", repository=REPOSITORY, effects=effects)
        stored = let_pass(engine, engine.plans.store("e1", plan, view=VIEW, expires_after_seconds=3600))
        return replace(job, plan_id=stored.id)


@pytest.mark.parametrize(("boundary", "visit"), _visits(APPLY_BOUNDARIES))
def test_a_rollback_killed_anywhere_is_carried_out_once_and_notes_all_it_leaves(
    boundary: str, visit: int, box: sandbox.Box, job: Job
) -> None:
    assert run_in_process(replace(job, kill_at=boundary, kill_on=visit)) == KILLED
    assert run_in_process(job) == 0
    with _engine(job) as engine:
        assert engine.plans.get(job.plan_id).state is PlanState.DONE
        assert {one.state for one in engine.entries.of_plan(job.plan_id)} == {EffectState.CONFIRMED}
        left = [one.kind for one in engine.exceptions.open()]
    assert left == [ExceptionKind.RESTORE, ExceptionKind.BAR, ExceptionKind.BAR]
    assert _applied(box) == [1, 1, 1, 1]


@pytest.mark.parametrize(("boundary", "visit"), _visits(UNDO_BOUNDARIES))
def test_a_rollback_killed_anywhere_in_its_undo_is_undone_once_and_leaves_nothing(
    boundary: str, visit: int, box: sandbox.Box, job: Job
) -> None:
    failing = replace(job, verified=False)
    assert run_in_process(replace(failing, kill_at=boundary, kill_on=visit)) == KILLED
    assert run_in_process(failing) == 0
    with _engine(job) as engine:
        assert engine.plans.get(job.plan_id).state is PlanState.UNDONE
        assert {one.state for one in engine.entries.of_plan(job.plan_id)} == {EffectState.UNDONE}
        assert engine.exceptions.open() == ()
    assert _applied(box) == [2, 2, 2, 2]


@contextmanager
def _engine(job: Job) -> Iterator[Engine]:
    engine = engine_for(job)
    try:
        yield engine
    finally:
        engine.ledger.close()


def _applied(box: sandbox.Box) -> list[int]:
    """Count for each effect the writes that took effect, its undo's among them."""
    requests = [one for one in [*box.requests, *box.kubernetes.requests] if one["method"] != "GET"]
    return [sum(bool(one["applied"]) and part in one["path"] for one in requests) for part in WRITES]
