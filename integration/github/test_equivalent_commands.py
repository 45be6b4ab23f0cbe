"""The lines that plans offer for acting by hand do, by the real gh, what the effects do."""

from collections.abc import Callable

import pytest

import sandbox
from integration.github.test_gh import Gh, box, gh
from runbook.effects.actions_caches import DeleteCacheEntries, DeleteCacheEntry
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.effects import Effect
from sandbox.github.records import Cache

__all__ = ["box", "gh"]  # fixtures
pytestmark = pytest.mark.integration

EFFECTS: dict[str, Callable[[sandbox.Box, str], Effect]] = {
    "delete-cache-entries": lambda box, name: DeleteCacheEntries(
        repository=name, key=_cache(box).key, ref=_cache(box).ref, cache_ids=(_cache(box).id,)
    ),
    "delete-cache-entry": lambda box, name: DeleteCacheEntry(
        repository=name, cache_id=_cache(box).id, key=_cache(box).key, ref=_cache(box).ref
    ),
    "rerun-failed-jobs": lambda box, name: RerunFailedJobs(
        repository=name, run_id=_red_run(box), failed_attempt=1, workflow_file="ci-test.yml"
    ),
}


@pytest.mark.parametrize("kind", EFFECTS)
def test_the_line_sends_what_the_effect_sends(kind: str, gh: Gh, box: sandbox.Box) -> None:
    effect = EFFECTS[kind](box, f"{box.owner}/{box.repo}")
    before = len(box.repository.caches)
    program, *arguments = effect.command_line()
    done = gh(*arguments)
    assert program == "gh"
    assert done.returncode == 0, done.stderr
    applied = [request for request in box.requests if request["applied"]]
    assert len(applied) == 1
    if isinstance(effect, RerunFailedJobs):
        assert box.repository.runs[effect.run_id].latest.number == 2
    else:
        assert len(box.repository.caches) == before - 1


def _cache(box: sandbox.Box) -> Cache:
    return next(iter(box.repository.caches.values()))


def _red_run(box: sandbox.Box) -> int:
    return next(
        run.id for run in box.repository.runs.values() if run.latest.conclusion(box.clock.now()) == "failure"
    )
