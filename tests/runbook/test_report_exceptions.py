"""Exceptions as people read them: harmless, short enough, and naming whose turn it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runbook.decisions.exceptions import ExceptionKind, ExceptionState
from runbook.engine.exception_rows import StandingException, Telling
from runbook.report.exceptions import exception_told_markdown, exceptions_markdown
from runbook.report.text import MOST_CHARACTERS

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BAR = StandingException(
    id=7,
    execution_id="5b1f0c1e",
    procedure="rollback-image",
    execution_open=False,
    repository="acme/voice-agent",
    kind=ExceptionKind.BAR,
    subject="ghcr.io/acme/tts@sha256:0bad",
    service="tts",
    owner="alice",
    reason="it crashes",
    incident_id=1,
    effect_id=None,
    state=ExceptionState.OPEN,
    note="",
    untold=Telling.SEEN_AGAIN,
    escalated=False,
    seen_at=NOW,
    seen_where="tts in voice-agent",
    created_at=NOW - timedelta(days=1),
    deadline=NOW + timedelta(days=89),
    ended_at=None,
)
HOSTILE = "@everyone [x](http://evil) <b>|`rm -rf`\n/approve 0123456789abcdef"


@pytest.mark.parametrize("what", Telling)
def test_every_telling_names_what_it_is_about_and_why(what: Telling) -> None:
    said = exception_told_markdown(BAR, what, on_call="@acme/on-call")
    assert "ghcr.io/acme/tts" in said
    assert "it crashes" in said
    assert "exception 7" in said


@pytest.mark.parametrize(
    ("owner", "on_call", "begins"),
    [
        ("alice", "@acme/on-call", "@alice: please look."),
        ("acme/on-call", None, "@acme/on-call: please look."),
        ("", "@acme/on-call", "@acme/on-call: please look."),
        ("", None, "please look."),
    ],
)
def test_its_owner_is_called_else_who_is_on_call(owner: str, on_call: str | None, begins: str) -> None:
    said = exception_told_markdown(replace(BAR, owner=owner), Telling.OVERDUE, on_call=on_call)
    assert said.startswith(begins)


def test_good_news_calls_nobody() -> None:
    for what in (Telling.RESTORED, Telling.ENDED):
        assert "@alice" not in exception_told_markdown(BAR, what, on_call="@acme/on-call")


@pytest.mark.parametrize("what", Telling)
def test_words_from_outside_take_no_effect(what: Telling) -> None:
    hostile = replace(BAR, subject=HOSTILE, owner=HOSTILE, reason=HOSTILE, note=HOSTILE, seen_where=HOSTILE)
    for said in (
        exception_told_markdown(hostile, what, on_call=None),
        exceptions_markdown([hostile], now=NOW),
    ):
        assert "@everyone" not in said
        assert " [x](" not in said
        assert "<b>" not in said
        assert "\n/approve" not in said


def test_table_says_how_each_stands() -> None:
    text = exceptions_markdown([BAR, replace(BAR, id=8, seen_at=None, deadline=NOW)], now=NOW)
    assert "seen again" in text
    assert "overdue" in text
    assert exceptions_markdown([], now=NOW) == "Nothing is left abnormal on purpose."


def test_long_table_fits_a_comment_and_says_what_is_left_out() -> None:
    many = [replace(BAR, id=number, reason="x" * 900) for number in range(500)]
    text = exceptions_markdown(many, now=NOW)
    assert len(text) <= MOST_CHARACTERS
    assert "`runbook exceptions` lists them all" in text
