"""R6 through ledger, engine and GitHub's stand-in: one pass ends what is due, and says it once on its issue."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

import sandbox
from runbook.clock import VirtualClock
from runbook.decisions.exceptions import ExceptionState
from runbook.engine.effects import Effect
from runbook.engine.exception_rows import StandingException
from runbook.engine.states import IncidentState
from runbook.errors import Transient
from runbook.exception_pass import ExceptionPass, within
from runbook.installation import Installation
from runbook.settings import Settings
from tests.runbook.engine.databases import new_ledger_url
from tests.runbook.leaving import (
    BAD,
    SCENARIO,
    issue_of,
    leave_bar,
    leave_obligation,
    leave_rerun,
)

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CLUSTER = {
    "images": {"ghcr.io/acme/vibevoice-tts:v9": {"digest": BAD.partition("@")[2]}},
    "namespaces": {
        "voice-agent": {
            "workloads": {
                "tts-service": {"revisions": [{"image": "ghcr.io/acme/vibevoice-tts:v1", "ago": "1h"}]}
            }
        }
    },
}


@dataclass
class Stage:
    """An installation on the stand-in, and its time."""

    here: Installation
    box: sandbox.Box
    clock: VirtualClock

    def sweep(self, *, apply: bool = True) -> ExceptionPass:
        """Make one pass."""
        made = ExceptionPass(self.here, write=self._write, keep=lambda: None)
        if apply:
            made.apply()
        else:
            made.plan()
        return made

    @property
    def said(self) -> list[str]:
        """What stands on the issue."""
        return [comment.body for comment in self.box.repository.comments.values()]

    @property
    def cancelled(self) -> int:
        """How often the re-run was cancelled."""
        return sum(bool(one["applied"]) and one["path"].endswith("/cancel") for one in self.box.requests)

    def _write(self, exception: StandingException, name: str, effect: Effect) -> None:
        self.here.engine.record(exception.execution_id, name, effect, within=within(exception))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An installation under the example policy."""
    clock = VirtualClock(START)
    with sandbox.running({**SCENARIO, "kubernetes": CLUSTER}, clock=clock) as box:
        environment = {
            "HOME": str(tmp_path),
            "GITHUB_API_URL": box.url,
            "GITHUB_TOKEN": box.token,
            "RUNBOOK_LEDGER_URL": new_ledger_url(tmp_path),
            "RUNBOOK_POLICY": str(Path(__file__).parents[2] / "runbook.toml"),
            "KUBECONFIG": str(box.kubernetes.kubeconfig),
        }
        here = Installation.open(Settings.from_environment(environment), clock=clock)
        yield Stage(here=here, box=box, clock=clock)
        here.ledger.close()
        here.github.close()
        here.kubernetes.close()


def test_nothing_that_is_left_costs_nothing(stage: Stage) -> None:
    stage.box.requests.clear()
    made = stage.sweep()
    assert (made.done, made.failed) == ([], [])
    assert (stage.box.requests, stage.box.kubernetes.requests) == ([], [])


def test_what_is_due_is_restored_and_said_once(stage: Stage) -> None:
    left = leave_rerun(stage.here, stage.box)
    stage.sweep()
    assert stage.cancelled == 0
    stage.clock.sleep(4 * 3600)
    made = stage.sweep()
    stage.sweep()
    assert made.failed == []
    assert stage.here.engine.exceptions.get(left.id).state is ExceptionState.RESTORED
    assert stage.cancelled == 1
    (said,) = stage.said
    assert "Put back as it was" in said
    assert "its deadline has come" in said


def test_plan_mode_says_what_is_due_and_changes_nothing(stage: Stage) -> None:
    left = leave_rerun(stage.here, stage.box)
    stage.clock.sleep(4 * 3600)
    made = stage.sweep(apply=False)
    assert [line.split(":")[0] for line in made.done] == [
        f"restore exception {left.id} (restore of effect {left.effect_id}"
    ]
    assert stage.here.engine.exceptions.get(left.id).state is ExceptionState.OPEN
    assert stage.said == []


def test_refused_restore_asks_its_owner_once(stage: Stage) -> None:
    left = leave_rerun(stage.here, stage.box)
    stage.clock.sleep(4 * 3600)
    stage.box.fail("403", method="POST", path_regex=".*/cancel", times=9, message="Resource not accessible")
    for _ in range(3):
        stage.sweep()
    stuck = stage.here.engine.exceptions.get(left.id)
    assert stuck.state is ExceptionState.NEEDS_PERSON
    (said,) = stage.said
    assert said.startswith("@alice: please look.")
    assert f"runbook exceptions end {left.id}" in said
    assert sum(one["path"].endswith("/cancel") for one in stage.box.requests) == 1


def test_target_that_is_at_work_is_left_for_the_next_pass(stage: Stage) -> None:
    left = leave_rerun(stage.here, stage.box)
    stage.clock.sleep(4 * 3600)
    assert left.effect_id is not None
    target = stage.here.engine.entries.get(left.effect_id).effect.target
    lease = stage.here.engine.leases.acquire((target,), execution_id="e2")
    made = stage.sweep()
    assert made.failed == []
    assert "left for the next pass" in made.done[0]
    stage.here.engine.leases.release(lease)
    stage.sweep()
    assert stage.here.engine.exceptions.get(left.id).state is ExceptionState.RESTORED


def test_obligation_is_escalated_once_and_stays(stage: Stage) -> None:
    owed = leave_obligation(stage.here, stage.box)
    stage.clock.sleep(4 * 3600)
    for _ in range(3):
        stage.sweep()
        stage.clock.sleep(24 * 3600)
    (said,) = stage.said
    assert said.startswith("@alice: please look. **Still owed since 2026-03-02 13:00:00:**")
    assert stage.here.engine.exceptions.get(owed.id).state is ExceptionState.OPEN


def test_bar_whose_time_is_over_ends_without_a_word(stage: Stage) -> None:
    bar = leave_bar(stage.here, stage.box)
    stage.clock.sleep(90 * 24 * 3600)
    stage.sweep()
    assert stage.here.engine.exceptions.get(bar.id).state is ExceptionState.ENDED
    assert stage.said == []


def test_sighting_opens_issue_and_incident_again_and_is_said_once_a_day(stage: Stage) -> None:
    bar = leave_bar(stage.here, stage.box)
    exceptions = stage.here.engine.exceptions
    for _ in range(3):
        exceptions.seen(bar.id, "tts-service in voice-agent", stage.clock.now())
        _tell(stage)
    issue = stage.box.repository.issues[issue_of(stage.box)]
    assert issue.state == "open"
    assert bar.incident_id is not None
    assert stage.here.engine.incidents.get(bar.incident_id).state is IncidentState.OPEN
    (said,) = stage.said
    assert f"**It is back:** {BAD.partition('@')[0]}" in said

    stage.clock.sleep(24 * 3600)
    issue.state = "closed"
    stage.here.engine.incidents.close(bar.incident_id, resolution="closed by hand")
    exceptions.seen(bar.id, "tts-service in voice-agent", stage.clock.now())
    _tell(stage)
    assert (len(stage.said), issue.state) == (2, "open")


def test_barred_image_that_runs_again_is_found_in_the_cluster(stage: Stage) -> None:
    bar = leave_bar(stage.here, stage.box)
    stage.sweep()
    assert stage.said == []
    deploy = {"namespace": "voice-agent", "name": "tts-service", "images": "ghcr.io/acme/vibevoice-tts:v9"}
    requests.post(f"{stage.box.kubernetes.url}/_sandbox/deploy", json=deploy, timeout=5).raise_for_status()
    stage.clock.sleep(600)
    made = stage.sweep()
    assert made.failed == []
    (said,) = stage.said
    assert "in tts-service in voice-agent (as ghcr.io/acme/vibevoice-tts:v9; pods: tts-service-" in said
    assert stage.box.repository.issues[issue_of(stage.box)].state == "open"
    assert stage.here.engine.exceptions.get(bar.id).seen_at == stage.clock.now()


def test_cluster_that_is_away_is_said_and_hinders_nothing_else(stage: Stage) -> None:
    leave_bar(stage.here, stage.box)
    owed = leave_obligation(stage.here, stage.box)
    stage.clock.sleep(4 * 3600)
    stage.box.kubernetes.fail("503", times=99)
    made = stage.sweep()
    assert made.failed == []
    assert any("runs a barred image cannot be told" in line for line in made.done)
    assert [body.count("Still owed") for body in stage.said] == [1]
    assert stage.here.engine.exceptions.get(owed.id).escalated


def test_incident_taken_for_closed_by_hand_before_its_issue_was_open_again_is_open_in_the_end(
    stage: Stage,
) -> None:
    bar = leave_bar(stage.here, stage.box)
    stage.here.engine.exceptions.seen(bar.id, "tts-service", stage.clock.now())
    assert bar.incident_id is not None
    stage.here.engine.incidents.closed_by_hand(bar.incident_id, resolution="its issue was closed by hand")
    _tell(stage)
    assert stage.here.engine.incidents.get(bar.incident_id).state is IncidentState.OPEN


def test_what_cannot_be_said_now_is_said_later_and_holds_up_nothing(stage: Stage) -> None:
    left = leave_rerun(stage.here, stage.box)
    stage.clock.sleep(4 * 3600)
    stage.box.fail("500_before", method="POST", path_regex=".*/comments", times=99)
    made = stage.sweep()
    assert stage.here.engine.exceptions.get(left.id).state is ExceptionState.RESTORED
    assert "left for the next pass" in made.done[-1]
    stage.box.server.faults.clear()
    stage.sweep()
    assert len(stage.said) == 1


def test_issue_that_was_deleted_leaves_the_word_to_the_ledger(stage: Stage) -> None:
    leave_rerun(stage.here, stage.box)
    stage.clock.sleep(4 * 3600)
    stage.box.fail("410", method="POST", path_regex=".*/comments", times=99)
    made = stage.sweep()
    assert "its issue could not say so" in made.done[-1]
    assert stage.here.engine.exceptions.untold() == ()


def test_one_that_cannot_be_attended_to_keeps_no_other_waiting(stage: Stage) -> None:
    left = leave_rerun(stage.here, stage.box)
    stage.clock.sleep(4 * 3600)
    kept: list[str] = []
    made = ExceptionPass(stage.here, write=_refuse, keep=lambda: kept.append("kept"))
    made.apply()
    assert stage.here.engine.exceptions.get(left.id).state is ExceptionState.RESTORED
    assert len(kept) == 2  # what was restored, and what could not be said
    assert "left for the next pass" in made.done[-1]


def _refuse(exception: StandingException, name: str, effect: Effect) -> None:
    raise Transient("GitHub does not answer")


def _tell(stage: Stage) -> None:
    """Say what there is to say; the cluster is looked at elsewhere."""
    made = stage.sweep()
    assert made.failed == []
