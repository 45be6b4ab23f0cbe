"""A drill's report: complete however the drill ended, and never written over another."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deployments.demo.teller import Teller
from deployments.drill.record import Approval, EffectSeen, Record
from deployments.drill.rehearsal import Rehearsal
from deployments.drill.rehearse import rehearse
from deployments.drill.report import report_file, report_json, report_markdown, write_report
from runbook.errors import RunbookError, UsageError

NOW = datetime(2026, 11, 24, 18, 0, 5, tzinfo=UTC)


def record(**changed: Any) -> Record:
    """A drill that went well, or as changed."""
    known: dict[str, Any] = {
        "procedure": "clear-caches",
        "repository": "acme/voice-agent",
        "started_at": NOW,
        "product_version": "0.1.0",
        "policy_file": "/etc/runbook.toml",
        "policy_digest": "0123456789abcdef" * 4,
        "broken": "3 caches count as corrupt",
        "wait": "nothing is waited for",
        "requester": "drill-requester",
        "approvers": ("alice", "bob"),
        "needed": 1,
        "approvals": [Approval("alice", 2.62)],
        "stages": [{"name": "plan", "seconds": 2.5}],
        "plan_digest": "fedcba9876543210" * 4,
        "plan_markdown": "### Plan",
        "issue_url": "http://127.0.0.1:1/i",
        "effects": [EffectSeen("delete cache pip-1", "confirmed", "")],
        "state": "Verified",
        "reason": "none is listed any more",
        "checks": {"issue #1 is closed": True},
        "asked_to_planned_seconds": 2.5,
        "verified_seconds": 5.8,
    }
    return Record(**{**known, **changed})


def test_the_report_says_when_under_what_by_whom_and_how_long() -> None:
    told = report_markdown(record())
    for part in (
        "2026-11-24 18:00:05 UTC: verified",
        "runbook 0.1.0",
        "0123456789abcdef",
        "1 of alice, bob",
        "alice (after 2.6 s)",
        "| plan | 2.5 |",
        "| delete cache pip-1 | confirmed | - |",
        "| From failure to verified | 5.8 s |",
        "### Plan",
    ):
        assert part in told
    assert "did not go as it should" not in told


def test_a_drill_that_stopped_early_is_reported_too() -> None:
    stopped = record(
        approvals=[], plan_digest="", plan_markdown="", effects=[], state="", checks={}, verified_seconds=None
    )
    stopped.wrong.append("The run ended before there was a plan <script>")
    told = report_markdown(stopped)
    assert "**not as it should**" in told
    assert "The run ended before there was a plan" in told
    assert "<script>" not in told
    assert "it was not reached" in told
    assert not report_json(stopped, Path("x"))["ok"]


@pytest.mark.parametrize("changed", [{"state": "Undone"}, {"wrong": ["It is not so that all are gone."]}])
def test_only_what_ended_verified_and_as_it_should_counts(changed: dict[str, Any]) -> None:
    assert record().verified
    assert not record(**changed).verified


def test_a_report_never_replaces_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = report_file(None, procedure="clear-caches", now=NOW)
    assert file == tmp_path / "drill-clear-caches-20261124T180005Z.md"
    write_report(record(), file)
    written = file.read_text()
    with pytest.raises(UsageError, match="never replaces"):
        report_file(None, procedure="clear-caches", now=NOW)
    with pytest.raises(UsageError, match="never replaces"):  # made while the drill ran
        write_report(record(state="Undone"), file)
    assert file.read_text() == written


def test_what_goes_wrong_on_the_stage_is_noted_and_ends_the_drill() -> None:
    def broken(*_: object, **__: object) -> None:
        raise RunbookError("The gateway is gone.", next_step="look")

    nothing = SimpleNamespace(latest=lambda run_id: None)
    here = SimpleNamespace(
        policy=SimpleNamespace(repository=lambda name: SimpleNamespace(incidents_repository=name)),
        engine=SimpleNamespace(plans=nothing),
    )
    stage: Any = SimpleNamespace(here=here, tell_gateway=broken)
    rehearsal = cast(
        Rehearsal, SimpleNamespace(repository="acme/x", cast=SimpleNamespace(requester="drill-requester"))
    )
    noted = record(state="", stages=[])
    rehearse(stage, Teller(cast(Any, None)), rehearsal, noted)
    assert noted.wrong == ["The gateway is gone. Next: look"]
    assert not noted.verified
