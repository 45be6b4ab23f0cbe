"""Scenario files: what they make, and how they are refused."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import sandbox
from sandbox.github.scenario_values import seconds
from tests.sandbox.conftest import SCENARIO

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "value"), [(5, 5.0), ("90s", 90), ("1.5m", 90), ("3h", 10800), ("2d", 172800)]
)
def test_durations_are_seconds_or_carry_a_unit(text: float | str, value: float) -> None:
    assert seconds(text) == value


def changed(**repository: Any) -> dict[str, Any]:
    return {**SCENARIO, "repositories": {"acme/app": {**SCENARIO["repositories"]["acme/app"], **repository}}}


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        ({"surprise": 1}, "scenario: unknown key 'surprise'"),
        (changed(cashes=[]), "repositories.acme/app: unknown key 'cashes'"),
        (changed(roles={"bot": "owner"}), "'owner' is none of none, read"),
        (changed(runs=[{"workflow": "none.yml"}]), "there is no workflow 'none.yml'"),
        (changed(runs=[{"workflow": "ci.yml", "commit": "x"}]), "there is no commit 'x'"),
        (changed(runs=[{"workflow": "ci.yml", "ago": "soon"}]), "'soon' is not a duration"),
        (changed(caches=[{"key": "a", "sise": 1}]), "unknown key 'sise'"),
        ({**SCENARIO, "limits": {"speed": 1}}, "limits:"),
        ({**SCENARIO, "bot": "nobody"}, "there is no user 'nobody'"),
        ({**SCENARIO, "repositories": {"app": {}}}, "the name must be owner/name"),
        ({**SCENARIO, "repositories": {"acme/app": [1]}}, "a mapping is wanted, not list"),
    ],
)
def test_a_scenario_that_cannot_be_used_is_refused_with_its_place(
    scenario: dict[str, Any], text: str
) -> None:
    with pytest.raises(sandbox.ScenarioError, match=re.escape(text)):
        sandbox.Box(scenario)


@pytest.mark.parametrize("content", ["- a list", "a: [", ""])
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(content)
    with pytest.raises(sandbox.ScenarioError, match="Nothing was started"):
        sandbox.Box(path)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sandbox.ScenarioError, match="Nothing was started"):
        sandbox.Box(tmp_path / "none.yaml")


def test_runs_and_caches_repeat_as_often_as_asked() -> None:
    runs = [{"workflow": "ci.yml", "ago": "1h", "every": "2h", "count": 3, "jobs": [{"name": "test"}]}]
    scenario = changed(runs=runs, caches=[{"key": "k{n}", "count": 1000}])
    with sandbox.running(scenario, clock=sandbox.VirtualClock(START)) as box:
        made = list(box.repository.runs.values())
        assert [run.created_at for run in made] == [START - timedelta(hours=hours) for hours in (5, 3, 1)]
        assert [run.number for run in made] == [1, 2, 3]
        assert len({cache.key for cache in box.repository.caches.values()}) == 1000


def test_the_demo_has_one_failed_run_on_main_whose_log_names_the_corrupt_cache() -> None:
    with sandbox.running() as box:
        now = box.clock.now()
        failed = [run for run in box.repository.runs.values() if run.latest.conclusion(now) == "failure"]
        (job,) = [job for job in failed[0].latest.jobs if job.conclusion == "failure"]
        log = b"".join(job.log().chunks()).decode("utf-8-sig")
        assert (len(failed), failed[0].branch, len(failed[0].latest.jobs)) == (1, "main", 4)
        assert job.plan.rerun is not None
        assert job.plan.rerun.fails_while_cache is not None
        assert f"Cache restored from key: {job.plan.rerun.fails_while_cache[0]}" in log
        assert len(box.repository.caches) == 12
