"""Rollbacks on a real API server whose worker is killed in mid-write, or that somebody else gets in the way of."""

import os
import signal
from collections.abc import Callable

import pytest

from integration.kubernetes.loopback_answers import Held, holding_writes
from integration.kubernetes.rollback_stage import (
    BAD,
    GOOD,
    NEWER,
    RECREATED,
    SECONDS,
    Part,
    Stage,
)
from runbook.engine.states import EffectState
from tests.deployments.processes import await_true
from tests.flows.fleet import approve

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_rollback_killed_in_its_second_write_goes_on_and_undoes_nothing(stage: Stage, at: str) -> None:
    story = stage.open(f"kill-{at}", tts=RECREATED, agent=Part())
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    with holding_writes(stage.cluster, story.namespace, "agent", user=stage.user) as held:
        plan = approve(stage.theatre, run_id)
        kill_worker(stage, held, lambda: at == "before" or story.running("agent").endswith(GOOD))
        assert story.states(plan) == [EffectState.CONFIRMED, EffectState.CLAIMED]
    stage.theatre.start_worker()
    stage.theatre.swept(run_id)
    assert story.end(run_id) == "Verified"
    for service in story.parts:
        assert story.history(service) == {2: story.image(service, BAD), 3: story.image(service, GOOD)}
    sent = {entry.effect.target.rpartition("/")[2]: entry.sends for entry in stage.theatre.journal(plan)}
    # The one that is cut off is the API server's to end: its line in the audit may come late.
    await_true(
        lambda: len(story.answers("agent")) == sent["agent"],
        deadline_seconds=SECONDS,
        what="the audit to have every write that the journal has",
    )
    assert story.answers("tts") == [200]
    # Lost with its sender, a held write is sent once more; if it was carried out all the same, the probe finds it.
    assert sent["agent"] in ((1,) if at == "after" else (1, 2))
    assert all(code != 200 for code in story.answers("agent")[:-1])
    if at == "after" or sent["agent"] == 2:
        assert sorted(story.patches()) == ["agent", "tts"]


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_rollback_killed_in_its_undo_ends_that_and_never_undoes_it(stage: Stage, at: str) -> None:
    story = stage.open(f"undo-{at}", tts=RECREATED, agent=Part())
    story.has_been_good()
    story.is_bad()
    story.health["agent"].status = 500
    run_id = story.start()
    with holding_writes(stage.cluster, story.namespace, "tts", user=stage.user, after=1) as held:
        plan = approve(stage.theatre, run_id)
        kill_worker(stage, held, lambda: at == "before" or story.running("tts").endswith(BAD))
        assert story.states(plan)[1] is EffectState.UNDONE, "the last went first"
    stage.theatre.start_worker()
    stage.theatre.swept(run_id)
    assert story.end(run_id) == "Undone"
    assert story.states(plan) == [EffectState.UNDONE] * 2
    for service in story.parts:
        assert story.history(service) == {3: story.image(service, GOOD), 4: story.image(service, BAD)}
    assert sorted(story.patches()) == ["agent", "agent", "tts", "tts"]


def kill_worker(stage: Stage, held: Held, applied: Callable[[], bool]) -> None:
    """Kill the worker with all it runs once a write of it is where it should be; it never reads the answer.

    Args:
        stage: Whose worker.
        held: Keeps the write.
        applied: Whether the write has got far enough. One that is to take effect is let go while the worker is stopped.
    """
    theatre = stage.theatre
    theatre.until("the write to be on its way", lambda: held.asked.is_set() or None, seconds=SECONDS)
    worker = theatre.workers[-1]
    os.killpg(worker.pid, signal.SIGSTOP)
    try:
        if not applied():
            held.let_go()
            await_true(applied, deadline_seconds=SECONDS, what="the write to take effect")
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def test_whoever_writes_something_else_in_the_same_moment_keeps_no_rollback_from_happening(
    stage: Stage,
) -> None:
    story = stage.open("note", tts=Part())
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    with holding_writes(stage.cluster, story.namespace, "tts", user=stage.user) as held:
        approve(stage.theatre, run_id)
        stage.theatre.until("the write to be on its way", lambda: held.asked.is_set() or None)
        story.kubectl("annotate", "deployment/tts", "example/looked-at=yes")
        held.let_go()
        assert story.end(run_id) == "Verified"
    first, *more = story.answers("tts")
    assert first == 409, "the write was stale"
    assert more.count(200) == 1
    assert more[-1] == 200, "it was tried again, if need be more than once: the controller writes, too"
    assert story.history("tts") == {2: story.image("tts", BAD), 3: story.image("tts", GOOD)}


def test_whoever_deploys_in_the_same_moment_is_not_overwritten(stage: Stage) -> None:
    story = stage.open("race", tts=Part())
    story.has_been_good()
    story.is_bad()
    run_id = story.start()
    with holding_writes(stage.cluster, story.namespace, "tts", user=stage.user) as held:
        plan = approve(stage.theatre, run_id)
        stage.theatre.until("the write to be on its way", lambda: held.asked.is_set() or None)
        story.deploy("tts", NEWER)
        held.let_go()
        assert story.end(run_id) == "Undone"
    assert story.answers("tts") == [409]
    assert story.states(plan) == [EffectState.REFUSED]
    assert story.running("tts") == story.image("tts", NEWER)
