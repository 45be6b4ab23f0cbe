"""A sync that one rollback paused: the next one under it names that, and holds it for its own time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import flows.rollback_sync
from flows.rollback_sync import Syncs, hold_on, syncs_to_pause
from flows.run import Run
from runbook.decisions.exceptions import ExceptionState
from runbook.engine.engine import Verification
from runbook.engine.states import ExecutionState
from runbook.errors import Conflict
from runbook.policy.estate import GitOps, ImageRollback
from runbook.standing import Standing
from tests.runbook.effects.workload_samples import (
    AGENT,
    NAMESPACE,
    WORKLOADS,
    sync_pause,
    workload_rollback,
)
from tests.runbook.engine.conftest import REPOSITORY
from tests.runbook.engine.desk import SCENARIO, Desk, open_desk

MINUTES = 240.0


@dataclass
class Stage:
    """A desk at a cluster with an Application, and rollbacks of its service."""

    desk: Desk

    def run(self, execution_id: str) -> Run:
        """Return an execution as far as its syncs are concerned."""
        rules = ImageRollback(gitops=GitOps.PAUSE, gitops_pause_minutes=MINUTES)
        here = SimpleNamespace(
            policy=SimpleNamespace(image_rollback=rules), engine=self.desk.engine, clock=self.desk.clock
        )
        return cast(Run, SimpleNamespace(here=here, execution=SimpleNamespace(id=execution_id)))

    def found(self, execution_id: str) -> Syncs:
        """Return what an execution finds of the service's sync."""
        workload = self.desk.engine.world.kubernetes.workload(AGENT)
        standing = Standing(service=AGENT.name, workload=workload, revisions=(), pods=(), autoscaler=None)
        return syncs_to_pause(self.run(execution_id), [standing])

    def pause(self) -> int:
        """Roll back under the Application, and leave it paused until its deadline."""
        kubernetes, engine = self.desk.engine.world.kubernetes, self.desk.engine
        plan = self.desk.show(sync_pause(kubernetes), workload_rollback(kubernetes), passed=True)
        engine.apply(plan, verify=lambda lease: Verification(passed=True, reason="well"))
        left = engine.exceptions.add_restore(
            "e1",
            effect_id=self.desk.entries(plan)[0].id,
            repository=REPOSITORY,
            owner="alice",
            reason="a sync would bring it back",
            deadline=self.desk.clock.now() + timedelta(minutes=MINUTES),
            incident_id=None,
        )
        assert left is not None
        engine.executions.end("e1", ExecutionState.DONE, reason="done")
        return left.id


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    cluster = {"namespaces": {NAMESPACE: {"workloads": WORKLOADS}}}
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": cluster}) as desk:
        kubernetes = desk.engine.world.kubernetes

        def read(group: str, version: str, plural: str, *, namespace: str, name: str) -> dict[str, Any]:
            return kubernetes.custom_object(group, version, namespace, plural, name)

        monkeypatch.setattr(flows.rollback_sync, "read_sync_owner", read)  # the task wants a flow around it
        yield Stage(desk)


def test_a_sync_that_goes_on_by_itself_is_paused_and_nothing_holds_it(stage: Stage) -> None:
    syncs = stage.found("e1")
    assert [effect.kind for effect in syncs.pauses] == ["pause-gitops-sync"]
    assert syncs.held == ()


def test_a_second_rollback_under_a_paused_sync_holds_it_through_the_firsts_deadline(stage: Stage) -> None:
    left = stage.pause()
    stage.desk.clock.sleep(235 * 60)
    syncs = stage.found("e2")
    assert syncs.pauses == ()
    assert [held.exception_id for held in syncs.held] == [left]
    assert "Argo CD Application agent in argocd paused until" in syncs.held[0].said

    hold_on(stage.run("e2"), [left])
    stage.desk.clock.sleep(6 * 60)
    hold_on(stage.run("e2"), [left])  # resumed: what it asked for once stands
    exceptions = stage.desk.engine.exceptions
    assert exceptions.due(stage.desk.clock.now()) == ()
    with pytest.raises(Conflict, match="not due before"):
        stage.desk.engine.restore(left, reason="its first deadline has come")

    stage.desk.clock.sleep(MINUTES * 60 - 6 * 60)
    stage.desk.engine.restore(left, reason="its deadline has come")
    assert [effect.kind for effect in stage.found("e3").pauses] == ["pause-gitops-sync"]


def test_a_sync_that_was_paused_by_somebody_else_is_held_by_nothing_of_ours(stage: Stage) -> None:
    stage.desk.engine.exceptions.end(
        stage.pause(), ExceptionState.ENDED, "a person keeps it paused", by="bob"
    )
    assert stage.found("e2") == Syncs(pauses=(), held=())
