"""``runbook incidents``, ``journal`` and ``audit``: the ledger alone, without network, policy or credential."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select

from deployments import cli
from deployments.cli import ledger_views
from runbook.engine import audit
from runbook.engine.schema import EffectRow, IncidentRow
from runbook.installation import Installation
from tests.deployments.cli.conftest import Runbook
from tests.deployments.cli.story import Story, product, waiting_plan


@pytest.fixture
def story(here: Installation, environment: pytest.MonkeyPatch) -> Story:
    """Prepare an incident with a waiting plan; then take network, policy and credentials away."""
    prepared = waiting_plan(here, by=product(), incident=True)
    environment.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    environment.delenv("GITHUB_TOKEN")
    environment.delenv("RUNBOOK_APPROVER_TOKEN")
    environment.setenv("RUNBOOK_POLICY", "/nonexistent.toml")
    return prepared


def test_incidents_are_listed_and_shown(story: Story, runbook: Runbook) -> None:
    (listed,) = runbook("incidents", "--json").json
    assert (listed["severity"], listed["state"], listed["failure_class"]) == (
        "P0",
        "open",
        "cache_corruption",
    )
    shown = runbook("incidents", "show", str(listed["id"]), "--json").json
    assert shown["attempts"] == [{"repository": "acme/voice-agent", "run_id": 7, "run_attempt": 1}]
    assert [one["id"] for one in shown["executions"]] == [story.execution_id]
    events = [line["event"] for line in shown["timeline"]]
    assert {"incident.opened", "plan.made", "plan.shown", "execution.begun"} <= set(events)
    for_people = runbook("incidents", "show", str(listed["id"]))
    assert for_people.status == 0
    assert "cache corruption" in for_people.out


def test_closed_incidents_are_shown_with_all(story: Story, runbook: Runbook, here: Installation) -> None:
    (listed,) = runbook("incidents", "--json").json
    here.engine.incidents.resolve(listed["id"], runs={7})
    here.engine.incidents.close(listed["id"], resolution="green again")
    assert runbook("incidents", "--json").json == []
    assert [one["resolution"] for one in runbook("incidents", "--all", "--json").json] == ["green again"]


def test_open_incident_is_listed_however_many_were_closed_since(
    story: Story, runbook: Runbook, here: Installation
) -> None:
    with here.ledger.write() as session:
        first = session.scalars(select(IncidentRow)).one()
        kept = ("repository", "issues_repository", "fingerprint", "failure_class", "severity", "detail")
        for number in range(1, 202):
            session.add(
                IncidentRow(
                    **{name: getattr(first, name) for name in kept},
                    title=f"closed {number}",
                    state="closed",
                    opened_at=first.opened_at + timedelta(minutes=number),
                )
            )
    ended = runbook("incidents", "--json")
    assert [one["title"] for one in ended.json] == ["P0: ci-test.yml on main: cache corruption"]
    assert ended.err == ""
    everything = runbook("incidents", "--all", "--json")
    assert [one["title"] for one in everything.json] == [f"closed {number}" for number in range(201, 1, -1)]
    assert "Only the newest 200 are shown" in everything.err
    assert len(runbook("incidents", "--all", "--limit", "202", "--json").json) == 202


def test_incident_that_does_not_exist_is_a_usage_error(story: Story, runbook: Runbook) -> None:
    assert runbook("incidents", "show", "99").status == 2


def test_journal_lists_executions_and_shows_effects(story: Story, runbook: Runbook) -> None:
    (execution,) = runbook("journal", "--json").json
    assert execution["id"] == story.execution_id
    assert execution["plan"] == story.plan.digest
    by_execution = runbook("journal", story.execution_id[:8], "--json").json
    assert {effect["kind"] for effect in by_execution} == {
        "delete-cache-entries",
        "open-issue",
        "post-comment",
    }
    (effect,) = runbook("journal", "--plan", story.plan.short_digest, "--json").json
    assert (effect["state"], effect["sends"]) == ("planned", 0)
    assert effect["command"].startswith("gh api --method DELETE 'repos/acme/voice-agent/actions/caches?key=")
    assert "gh api --method DELETE" in runbook("journal", story.execution_id).out


def test_a_plan_of_many_effects_is_read_in_as_few_queries_as_one_of_few(
    story: Story, here: Installation
) -> None:
    asked: list[object] = []

    def note(*call: object) -> None:
        asked.append(call[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        (one,) = ledger_views.effects_of_digest(here.ledger, story.plan.digest)
        few = len(asked)
        with here.ledger.write() as session:
            first = session.get_one(EffectRow, one.id)
            kept = ("execution_id", "plan_id", "kind", "effect_class", "params", "state")
            for position in range(1, 51):
                session.add(
                    EffectRow(
                        **{name: getattr(first, name) for name in kept}, position=position, key=str(position)
                    )
                )
        asked.clear()
        effects = ledger_views.effects_of_digest(here.ledger, story.plan.digest)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len(effects) == 51
    assert {effect.plan for effect in effects} == {story.plan.digest}
    assert len(asked) == few


@pytest.mark.parametrize(
    "words",
    [
        ("journal", "abc"),
        ("journal", "0" * 8),
        ("journal", "--plan", "f" * 15),
        ("journal", "--plan", "f" * 16),
    ],
)
def test_names_of_nothing_are_usage_errors(story: Story, runbook: Runbook, words: tuple[str, ...]) -> None:
    ended = runbook(*words)
    assert ended.status == 2
    assert ended.out == ""


def test_effect_of_another_version_is_shown_by_its_name(
    story: Story, runbook: Runbook, tmp_path: Path
) -> None:
    _sql(tmp_path, "UPDATE effects SET kind = 'fold-laundry' WHERE plan_id IS NOT NULL")
    (effect,) = runbook("journal", "--plan", story.plan.digest, "--json").json
    assert effect["what"] == "fold-laundry (of another version of this program)"


def test_audit_verifies_and_holds_a_head_noted_outside(story: Story, runbook: Runbook) -> None:
    verdict = runbook("audit", "verify", "--json").json
    assert verdict["intact"]
    assert verdict["lines"] == verdict["head"]["seq"]
    assert runbook("audit", "verify", "--head", verdict["head"]["hash"]).status == 0


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE audit SET actor = 'mallory' WHERE seq = 2", "line 2 was changed"),
        ("DELETE FROM audit WHERE seq = 3", "line 3 is missing"),
    ],
)
def test_tampered_audit_exits_one_and_names_the_line(
    story: Story, runbook: Runbook, tmp_path: Path, sql: str, reason: str
) -> None:
    _sql(tmp_path, sql)
    ended = runbook("audit", "verify")
    assert ended.status == 1
    assert reason in ended.out
    assert runbook("audit", "verify", "--json").json["intact"] is False


def test_cut_off_audit_is_noticed_by_a_head_noted_outside(
    story: Story, runbook: Runbook, tmp_path: Path
) -> None:
    head = runbook("audit", "verify", "--json").json["head"]
    _sql(tmp_path, "DELETE FROM audit WHERE seq > (SELECT max(seq) - 2 FROM audit)")
    assert runbook("audit", "verify").status == 0
    ended = runbook("audit", "verify", "--head", head["hash"])
    assert ended.status == 1
    assert "cut off" in ended.out


def test_head_that_is_no_hash_is_a_usage_error(story: Story, runbook: Runbook) -> None:
    assert runbook("audit", "verify", "--head", "abc").status == 2


def test_audit_shows_what_was_asked_about(story: Story, runbook: Runbook) -> None:
    lines = runbook("audit", "show", "--about", "plan:", "--json").json
    assert [line["event"] for line in lines] == ["plan.made", "plan.shown"]
    assert [line["seq"] for line in runbook("audit", "show", "--last", "2", "--json").json][-1] >= 2


def test_audit_shows_facts_as_people_write_them(here: Installation, story: Story, runbook: Runbook) -> None:
    body = {"jobs": ["test", "li\x1b[2Jnt"], "required": True, "remedy": None, "cache": {"key": "pip-"}}
    with here.ledger.write() as session:
        audit.append(session, now=here.clock.now(), actor="a", event="e", subject="s:1", body=body)
    shown = runbook("audit", "show", "--about", "s:1").out
    assert "jobs: test, lint; required: yes; remedy: none; cache: (key: pip-)" in shown
    (line,) = runbook("audit", "show", "--about", "s:1", "--json").json
    assert (line["body"]["required"], line["body"]["remedy"]) == (True, None)


def test_missing_ledger_is_said_and_none_is_made(runbook: Runbook, tmp_path: Path) -> None:
    for words in (("incidents",), ("journal",), ("audit", "verify"), ("audit", "show")):
        ended = runbook(*words)
        assert ended.status == 1, words
        assert "There is no ledger" in ended.err
    assert not (tmp_path / "ledger.db").exists()


def test_text_from_outside_cannot_steer_the_terminal(here: Installation, runbook: Runbook) -> None:
    waiting_plan(here, by=product(), key="pip-\x1b[2J\u202egnitset[bold]")
    for words in (("approvals",), ("journal",)):
        printed = runbook(*words).out
        assert "\x1b[2J" not in printed
        assert "\u202e" not in printed
        assert "[bold]" in printed, "rich's markup is text like any other"


def test_ctrl_c_exits_130(runbook: Runbook, environment: pytest.MonkeyPatch, story: Story) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    environment.setattr("deployments.cli.ledger_views.recent_executions", interrupted)
    assert cli.run(("journal",)) == 130


def _sql(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "ledger.db")
    with connection:
        connection.execute(statement)
    connection.close()
