"""What may be applied without a person, and what stops it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.automatic import (
    AutomaticDecision,
    AutomaticFacts,
    NotAutomatic,
    SwitchDecision,
    decide_automatic,
    decide_switch,
    remedied_targets,
)
from runbook.effects.actions_caches import DeleteCacheEntries
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.effects.incident_issues import CloseIssue
from runbook.engine.effects import Effect
from runbook.models import LabelEvent
from runbook.policy import Caps, Remedy, RemedyPolicy

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STOP = "runbook-stop"
RERUN = RerunFailedJobs(repository="acme/app", run_id=7, failed_attempt=1, workflow_file="ci.yml")
CLEAR = DeleteCacheEntries(repository="acme/app", key="k", ref="refs/heads/main", cache_ids=(1,))
WORKFLOW, CACHES = "workflow:acme/app:ci.yml", "cache:acme/app"
CAPS = Caps(automatic_remedies_per_target_per_day=2)
ALLOWED = RemedyPolicy(propose=(Remedy.CLEAR_IMPLICATED_CACHES, Remedy.RERUN_FAILED_JOBS), automatic=True)
WAITS = RemedyPolicy(propose=(Remedy.WAIT_FOR_RATE_LIMIT_RESET, Remedy.RERUN_FAILED_JOBS), automatic=True)
OFF = SwitchDecision(stopped=False, reason="off")


# --- the switch ------------------------------------------------------------------------------------------


def on(login: str = "mallory", label: str = STOP) -> LabelEvent:
    return LabelEvent(label=label, added=True, login=login, via_app=False, at=AT)


def off(login: str, label: str = STOP) -> LabelEvent:
    return LabelEvent(label=label, added=False, login=login, via_app=False, at=AT)


def switch(events: list[LabelEvent], *, labels: tuple[str, ...] = ()) -> SwitchDecision:
    return decide_switch(
        events, label=STOP, labels=labels, may_release=lambda event: event.login in {"alice", "bob"}
    )


@pytest.mark.parametrize(
    ("events", "labels", "stopped"),
    [
        ([], (), False),
        ([], (STOP,), True),  # it was there before anybody looked
        ([], ("Runbook-Stop",), True),
        ([on()], (STOP,), True),
        ([on()], (), True),  # the label itself was deleted: no event tells of that
        ([on(label="RUNBOOK-STOP")], (), True),
        ([on(), off("alice")], (), False),
        ([on(), off("mallory")], (), True),
        ([on(), off("mallory"), on("mallory"), off("mallory")], (), True),
        ([on(), off("mallory"), on("bob"), off("bob")], (), False),
        ([on(), off("alice"), on("carol")], (STOP,), True),
        ([on(label="bug"), off("alice", label="bug")], (), False),
        ([on(), off("alice", label="bug")], (STOP,), True),
        ([off("mallory")], (), False),  # taken off before it was watched: it is not there
    ],
)
def test_anyone_stops_and_only_the_entitled_release(
    events: list[LabelEvent], labels: tuple[str, ...], stopped: bool
) -> None:
    decision = switch(events, labels=labels)
    assert decision.stopped is stopped
    assert decision.reason


def test_the_reason_names_who_took_it_off_without_being_entitled() -> None:
    assert "mallory, who may not release it" in switch([on("carol"), off("mallory")]).reason
    assert "carol put the label" in switch([on("carol")]).reason


@given(
    st.lists(
        st.builds(
            lambda login, added: on(login) if added else off(login),
            st.sampled_from(["alice", "mallory"]),
            st.booleans(),
        )
    )
)
def test_nobody_releases_it_but_the_entitled(events: list[LabelEvent]) -> None:
    if any(event.added for event in events) and not any(
        not event.added and event.login == "alice" for event in events
    ):
        assert switch(events).stopped


# --- the decision ----------------------------------------------------------------------------------------


def decide(
    *effects: Effect,
    remedy: RemedyPolicy = ALLOWED,
    read_switch: Callable[[], SwitchDecision] = lambda: OFF,
    **changes: Any,
) -> AutomaticDecision:
    known: dict[str, Any] = {"by_triage": True, "turned_down": False, "deploys": False}
    known |= {"from_pull_request": False, "reset_known": False, "used_today": {WORKFLOW: 1, CACHES: 0}}
    facts = AutomaticFacts(**{**known, **changes})
    return decide_automatic(
        facts, effects or (CLEAR, RERUN), remedy=remedy, caps=CAPS, read_switch=read_switch
    )


def test_a_class_that_the_policy_lets_be_remedied_without_a_person_needs_none() -> None:
    assert decide().automatic


@pytest.mark.parametrize(("ref", "automatic"), [("refs/heads/main", False), ("refs/pull/3/merge", True)])
def test_what_a_pull_requests_log_says_deletes_no_caches_but_its_own_without_a_person(
    ref: str, automatic: bool
) -> None:
    clear = CLEAR.model_copy(update={"ref": ref})
    decision = decide(clear, RERUN, from_pull_request=True)
    assert decision.automatic is automatic
    assert automatic or "pull request" in decision.reason
    assert decide(RERUN, from_pull_request=True).automatic


def test_any_other_class_needs_one_and_nothing_is_said_or_asked() -> None:
    decision = decide(
        remedy=ALLOWED.model_copy(update={"automatic": False}), read_switch=lambda: pytest.fail("asked")
    )
    assert decision == AutomaticDecision(automatic=False, reason="")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"by_triage": False}, NotAutomatic.OTHER_REQUESTER),
        ({"used_today": {WORKFLOW: 2, CACHES: 0}}, NotAutomatic.CAPPED),
        ({"used_today": {WORKFLOW: 0, CACHES: 3}}, NotAutomatic.CAPPED),
        ({"remedy": WAITS}, NotAutomatic.LIMIT_NOT_KNOWN),
        (
            {"read_switch": lambda: SwitchDecision(stopped=True, reason="carol stopped it")},
            "carol stopped it",
        ),
    ],
)
def test_what_holds_it_back_is_said(changes: dict[str, Any], why: str) -> None:
    decision = decide(**changes)
    assert not decision.automatic
    assert str(why) in decision.reason


def test_a_limit_whose_end_is_known_is_waited_for_without_a_person() -> None:
    assert decide(RERUN, remedy=WAITS, reset_known=True).automatic


def test_an_effect_that_is_no_remedy_needs_a_person() -> None:
    decision = decide(RERUN, CloseIssue(repository="acme/app", issue=1))
    assert decision.reason == NotAutomatic.OTHER_EFFECT


def test_the_cap_counts_workflows_and_not_their_single_runs() -> None:
    again = RERUN.model_copy(update={"run_id": 8})
    assert remedied_targets([RERUN, again, CLEAR]) == {WORKFLOW, CACHES}


@given(st.integers(0, 5), st.booleans(), st.booleans(), st.booleans())
def test_nothing_is_automatic_that_is_stopped_capped_or_asked_for_by_others(
    used: int, stopped: bool, by_triage: bool, allowed: bool
) -> None:
    decision = decide(
        remedy=ALLOWED.model_copy(update={"automatic": allowed}),
        by_triage=by_triage,
        used_today={WORKFLOW: used},
        read_switch=lambda: SwitchDecision(stopped=stopped, reason="r"),
    )
    assert decision.automatic is (allowed and by_triage and not stopped and used < 2)


@pytest.mark.parametrize("fact", ["turned_down", "deploys"])
def test_what_somebody_turned_down_and_what_deploys_needs_a_person(fact: str) -> None:
    assert decide().automatic
    assert not decide(**{fact: True}).automatic
