"""R6 under SIGKILL: a restore that is killed at a boundary is gone on with, and sent once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import sandbox
from runbook.decisions.exceptions import ExceptionState
from runbook.engine.engine import Verification
from runbook.engine.plan import Plan
from runbook.engine.states import ExecutionState
from tests.runbook.engine.conftest import VIEW
from tests.runbook.engine.databases import new_ledger_url
from tests.runbook.engine.kill_child import Job, engine_for, run_in_process
from tests.runbook.engine.passing import let_pass
from tests.runbook.engine.test_kill_matrix import KILLED, REPOSITORY, SAMPLES, SCENARIO, UNDO_BOUNDARIES

RESTORED = ("rerun-failed-jobs", "pause-gitops-sync")
"""A run that is cancelled, and a sync that goes on as it did."""


@pytest.fixture(params=RESTORED)
def kind(request: pytest.FixtureRequest) -> str:
    """The effect that is left."""
    return str(request.param)


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    """A stand-in with something for every effect to act on."""
    with sandbox.running(SCENARIO) as running:
        yield running


@pytest.fixture
def job(kind: str, box: sandbox.Box, tmp_path: Path) -> Job:
    """A process that restores what an execution left."""
    job = Job(
        ledger_url=new_ledger_url(tmp_path),
        github_url=box.url,
        token=box.token,
        login="runbook-bot",
        kubeconfig=box.kubernetes.kubeconfig,
        helm=str(box.kubernetes.helm),
    )
    engine = engine_for(job)
    engine.executions.begin("e1", procedure="clear-caches", repository=REPOSITORY, subject="s", request={})
    plan = Plan.of(procedure="clear-caches", repository=REPOSITORY, effects=[SAMPLES[kind].effect(box)])
    stored = let_pass(engine, engine.plans.store("e1", plan, view=VIEW, expires_after_seconds=3600))
    outcome = engine.apply(stored, verify=lambda lease: Verification(passed=True, reason="looked"))
    left = engine.exceptions.add_restore(
        "e1",
        effect_id=outcome.entries[0].id,
        repository=REPOSITORY,
        owner="alice",
        reason="r",
        deadline=engine.world.clock.now() + timedelta(hours=4),
        incident_id=None,
    )
    engine.executions.end("e1", ExecutionState.DONE, reason="done")
    engine.ledger.close()
    assert left is not None
    # Only the restore's own requests are counted from here on.
    box.server.requests.clear()
    box.kubernetes.server.requests.clear()
    return replace(job, restore=left.id)


@pytest.mark.parametrize("boundary", UNDO_BOUNDARIES)
def test_a_restore_killed_at_a_boundary_is_gone_on_with_and_sent_once(
    kind: str, boundary: str, box: sandbox.Box, job: Job
) -> None:
    assert run_in_process(replace(job, kill_at=boundary)) == KILLED
    assert run_in_process(job) == 0
    assert _state(job) is ExceptionState.RESTORED
    assert _sent(box, kind) == 1


def test_a_restore_whose_answer_was_lost_with_its_process_is_sent_once(
    kind: str, box: sandbox.Box, job: Job
) -> None:
    sample = SAMPLES[kind]
    for stand_in in (box, box.kubernetes):
        stand_in.fail("500_after", method=sample.undo_method, path_regex=f".*{sample.undo_path_end}", times=1)
    assert run_in_process(replace(job, kill_at="undo-doubt.before")) == KILLED
    assert run_in_process(job) == 0
    assert _state(job) is ExceptionState.RESTORED
    assert _sent(box, kind) == 1


def _state(job: Job) -> ExceptionState:
    engine = engine_for(job)
    try:
        return engine.exceptions.get(job.restore).state
    finally:
        engine.ledger.close()


def _sent(box: sandbox.Box, kind: str) -> int:
    sample = SAMPLES[kind]
    return sum(
        bool(one["applied"]) and one["method"] == sample.undo_method and sample.undo_path_end in one["path"]
        for one in [*box.requests, *box.kubernetes.requests]
    )
