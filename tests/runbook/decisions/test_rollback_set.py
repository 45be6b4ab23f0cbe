"""RB-05: a set moves together or not at all, in as few writes as there are workloads and releases."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.last_known_good import GoodChoice
from runbook.decisions.rollback_set import (
    ChosenMove,
    Member,
    Move,
    SetRefused,
    asked_for,
    expand,
    moves_of,
    outside_the_set,
    together,
)
from runbook.decisions.rollback_target import NoTarget, TargetRefused
from runbook.policy.estate import Service
from runbook.requests import LAST_KNOWN_GOOD
from tests.runbook.decisions.workload_facts import revision


def service(name: str, *moves_with: str, namespace: str = "voice", release: str | None = None) -> Service:
    """Return a service of the policy."""
    facts: dict[str, Any] = {
        "name": name,
        "repository": "acme/voice-agent",
        "namespace": namespace,
        "image": f"ghcr.io/acme/{name}",
        "dockerfile": "Dockerfile",
        "moves_with": moves_with,
        "helm_release": release,
    }
    return Service(**facts)


CHAIN = [service("a", "b"), service("b", "c"), service("c"), service("d", "a")]


@pytest.mark.parametrize(
    ("services", "asked", "members"),
    [
        (CHAIN, ["a"], {"a": "it was asked for", "b": "it moves with a", "c": "it moves with b"}),
        (CHAIN, ["c"], {"c": "it was asked for"}),
        (CHAIN, ["c", "b"], {"b": "it was asked for", "c": "it was asked for"}),
        ([service("a", "b"), service("b", "a")], ["b"], {"a": "it moves with b", "b": "it was asked for"}),
        (
            [service("a", release="r"), service("b", release="r"), service("c", release="other")],
            ["a"],
            {"a": "it was asked for", "b": "it is in the Helm release of a"},
        ),
        # A release of the same name in another namespace is another release.
        (
            [service("a", release="r"), service("b", namespace="elsewhere", release="r")],
            ["a"],
            {"a": "it was asked for"},
        ),
        (
            [service("a", "b"), service("b", namespace="elsewhere")],
            ["a"],
            {"a": "it was asked for", "b": "it moves with a"},
        ),
    ],
)
def test_what_moves_with_what_was_asked_for_is_added(
    services: list[Service], asked: list[str], members: dict[str, str]
) -> None:
    found = expand(asked, services)
    assert not isinstance(found, SetRefused)
    assert {one.service.name: one.because for one in found} == members
    order = [one.name for one in services]
    assert [one.service.name for one in found] == sorted(members, key=order.index)


def test_of_two_services_of_one_name_the_one_beside_it_moves_along() -> None:
    services = [service("a", "b"), service("b"), service("b", namespace="elsewhere")]
    found = expand(["a"], services)
    assert not isinstance(found, SetRefused)
    assert [(one.service.namespace, one.service.name) for one in found] == [("voice", "a"), ("voice", "b")]


@pytest.mark.parametrize(
    ("asked", "reason", "next_step"),
    [
        (["x"], "names no service 'x'", "it names a, b, c, d"),
        (["a", "tts"], "names no service 'tts'", "it names"),
    ],
)
def test_an_unknown_service_is_refused_with_the_known_ones(
    asked: list[str], reason: str, next_step: str
) -> None:
    found = expand(asked, CHAIN)
    assert isinstance(found, SetRefused)
    assert reason in found.reason
    assert next_step in found.next_step


def test_a_misspelt_service_is_refused_with_a_guess_and_a_doubtful_one_with_its_places() -> None:
    found = expand(["tts-servce"], [service("tts-service")])
    assert isinstance(found, SetRefused)
    assert found.next_step == "did you mean 'tts-service'?"
    twice = expand(["a"], [service("a"), service("a", namespace="elsewhere")])
    assert isinstance(twice, SetRefused)
    assert "voice, elsewhere" in twice.reason


def test_of_two_services_of_one_name_neither_beside_what_moves_with_it_none_is_guessed() -> None:
    services = [service("a", "b"), service("b", namespace="blue"), service("b", namespace="green")]
    found = expand(["a"], services)
    assert isinstance(found, SetRefused)
    assert found.reason == "'b' would move along, and the policy has it in several namespaces: blue, green"
    assert found.next_step == "give the services names of their own in the policy"


def test_of_two_services_of_one_name_that_both_move_along_by_different_ways_none_moves() -> None:
    services = [
        service("a", "b", "c"),
        service("b"),
        service("c", "d", namespace="green", release="r"),
        service("b", namespace="green", release="r"),
        service("d", namespace="green"),
    ]
    found = expand(["a"], services)
    assert isinstance(found, SetRefused)
    assert "voice, green" in found.reason


@st.composite
def _policies(draw: st.DrawFn) -> list[Service]:
    names = [f"s{number}" for number in range(draw(st.integers(1, 6)))]
    return [
        service(
            name,
            *sorted(draw(st.sets(st.sampled_from(names))) - {name}),
            release=draw(st.sampled_from([None, "r1", "r2"])),
        )
        for name in names
    ]


@given(_policies(), st.data())
def test_a_set_is_closed_each_member_once_and_each_in_one_move(
    services: list[Service], data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.sampled_from([one.name for one in services]), min_size=1, unique=True))
    members = expand(asked, services)
    assert not isinstance(members, SetRefused)
    names = [one.service.name for one in members]
    assert len(set(names)) == len(names)
    assert set(asked) <= set(names)
    for member in members:
        assert set(member.service.moves_with) <= set(names)
        release = member.service.helm_release
        assert not release or {one.name for one in services if one.helm_release == release} <= set(names)
    moves = moves_of(members)
    assert sorted(name for move in moves for name in move.services) == sorted(names)
    releases = [move.release for move in moves if move.release]
    assert len(set(releases)) == len(releases)
    assert all(len(move.services) == 1 for move in moves if not move.release)
    again = expand(names, services)
    assert not isinstance(again, SetRefused)
    assert [one.service.name for one in again] == names


# --- where each goes ---

ALONE = Move(namespace="voice", release="", services=("a",))
RELEASE = Move(namespace="voice", release="r", services=("b", "c"))
GOOD = GoodChoice(revision=revision(3, "v3", hours_ago=9), reason="good", rejected=())
NONE = TargetRefused(why=NoTarget.NONE_GOOD, reason="none is good", next_step="name one")


@pytest.mark.parametrize(
    ("move", "to", "asked"),
    [
        (ALONE, {}, LAST_KNOWN_GOOD),
        (ALONE, {"a": " 41 "}, "41"),
        (ALONE, {"b": "41"}, LAST_KNOWN_GOOD),
        (RELEASE, {"b": "7"}, "7"),
        (RELEASE, {"b": "7", "c": "7"}, "7"),
    ],
)
def test_a_move_goes_where_it_was_asked_to_else_to_the_last_known_good(
    move: Move, to: dict[str, str], asked: str
) -> None:
    assert asked_for(move, to) == asked


def test_one_release_cannot_go_to_two_revisions() -> None:
    found = asked_for(RELEASE, {"b": "7", "c": "8"})
    assert isinstance(found, SetRefused)
    assert "b to 7, c to 8" in found.reason


def test_a_wish_for_what_does_not_move_is_refused() -> None:
    members = [Member(service=service("a"), because="")]
    assert outside_the_set({"a": "1"}, members) is None
    found = outside_the_set({"z": "1"}, members)
    assert isinstance(found, SetRefused)
    assert "these move: a" in found.next_step


def test_a_set_whose_every_move_has_a_target_moves() -> None:
    assert together([ALONE, RELEASE], {ALONE: GOOD, RELEASE: GOOD}) == (
        ChosenMove(move=ALONE, choice=GOOD),
        ChosenMove(move=RELEASE, choice=GOOD),
    )


def test_a_set_of_which_one_cannot_move_stays_as_a_whole_and_says_so() -> None:
    found = together([ALONE, RELEASE], {ALONE: GOOD, RELEASE: NONE})
    assert isinstance(found, SetRefused)
    assert "together or not at all" in found.reason
    assert "release r (b, c): none is good; so a stays too" in found.reason
    assert found.next_step == "for release r (b, c): name one"


def test_a_service_by_itself_that_cannot_move_needs_no_word_about_a_set() -> None:
    found = together([ALONE], {ALONE: NONE})
    assert isinstance(found, SetRefused)
    assert found.reason == "for a: none is good"
