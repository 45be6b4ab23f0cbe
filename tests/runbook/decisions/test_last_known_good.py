"""RB-01 and RB-03: what the last known good revision is, and why no newer one."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.last_known_good import (
    Candidate,
    GoodChoice,
    NoneGood,
    NotGood,
    Sign,
    current_of,
    last_known_good,
    same_images,
)
from runbook.decisions.time_served import TimeServed, duration, served
from runbook.policy.estate import GoodSign, ImageRollback
from runbook.workloads import Revision
from tests.runbook.decisions.workload_facts import NOW, revision, template, workload

RULES = ImageRollback(good_after_minutes=60)
CURRENT = revision(4, "v4", hours_ago=1)
YES = Sign(holds=True, detail="it is there")
LONG = TimeServed(seconds=7200, detail="until revision 4 was made")


def candidate(number: int = 3, tag: str = "v3", **changes: Any) -> Candidate:
    """Return a revision for which everything speaks."""
    facts: dict[str, Any] = {
        "revision": revision(number, tag, hours_ago=10 - number),
        "served": LONG,
        "green_run": YES,
        "deployed": YES,
        "in_registry": YES,
        **changes,
    }
    return Candidate(**facts)


def refused(one: Candidate, rules: ImageRollback = RULES) -> tuple[NotGood, str]:
    """Return why a revision is not good."""
    choice = last_known_good([one], rules, current=CURRENT)
    assert isinstance(choice, NoneGood)
    (rejected,) = choice.rejected
    assert rejected.revision == one.revision
    return rejected.why, rejected.detail


def test_the_newest_good_revision_is_taken_and_says_why() -> None:
    choice = last_known_good([candidate(2, "v2"), candidate(3, "v3")], RULES, current=CURRENT)
    assert isinstance(choice, GoodChoice)
    assert choice.revision.number == 3
    assert "in service for 2 h" in choice.reason
    assert "in_registry: it is there" in choice.reason
    assert choice.rejected == ()


@pytest.mark.parametrize(
    ("changes", "why", "detail"),
    [
        ({"barred": "rolled back in incident 7"}, NotGood.BARRED, "incident 7"),
        ({"rolled_back_at": NOW}, NotGood.ROLLED_BACK_BEFORE, "2026-03-02 09:00 UTC"),
        (
            {"served": TimeServed(seconds=3599, detail="")},
            NotGood.SERVED_TOO_SHORTLY,
            "59 min, the policy asks for 1 h",
        ),
        ({"served": TimeServed(seconds=None, detail="no object")}, NotGood.SERVICE_UNKNOWN, "no object"),
        ({"in_registry": Sign(holds=False, detail="404")}, NotGood.SIGN_MISSING, "in_registry: 404"),
        ({"in_registry": Sign(detail="refused")}, NotGood.SIGN_UNKNOWN, "in_registry: refused"),
        ({"revision": revision(3, "v4", hours_ago=5, name="other")}, NotGood.SAME_IMAGES, "no cure"),
    ],
)
def test_a_revision_that_is_not_good_says_why(changes: dict[str, Any], why: NotGood, detail: str) -> None:
    seen = refused(candidate(**changes))
    assert seen[0] is why
    assert detail in seen[1]


@pytest.mark.parametrize("which", list(GoodSign))
@pytest.mark.parametrize("holds", [False, None])
def test_a_sign_counts_only_where_the_policy_asks_for_it(which: GoodSign, holds: bool | None) -> None:
    sign = Sign(holds=holds, detail="because")
    against = candidate().model_copy(update={which.value: sign})
    asks = ImageRollback(good_signs=(which,))
    assert refused(against, asks)[1] == f"{which}: because"
    other = tuple(one for one in GoodSign if one is not which)
    assert isinstance(
        last_known_good([against], ImageRollback(good_signs=other), current=CURRENT), GoodChoice
    )


def test_the_current_revision_is_no_candidate_and_not_listed() -> None:
    choice = last_known_good([candidate(revision=CURRENT)], RULES, current=CURRENT)
    assert isinstance(choice, NoneGood)
    assert choice.rejected == ()
    assert choice.reason == "no revision but the current one is kept"


signs = st.builds(Sign, holds=st.sampled_from([True, False, None]))


@st.composite
def _candidates(draw: st.DrawFn) -> list[Candidate]:
    numbers = draw(st.lists(st.integers(1, 9), unique=True, max_size=6))
    return [
        candidate(
            number,
            draw(st.sampled_from(["v1", "v2", "v3", "v4"])),
            served=TimeServed(seconds=draw(st.sampled_from([None, 0, 3600, 9999])), detail=""),
            green_run=draw(signs),
            in_registry=draw(signs),
            barred=draw(st.sampled_from(["", "bad"])),
            rolled_back_at=draw(st.sampled_from([None, NOW])),
        )
        for number in numbers
    ]


@given(_candidates(), st.sets(st.sampled_from(GoodSign)))
def test_what_is_taken_is_good_and_everything_newer_has_its_reason(
    candidates: list[Candidate], wanted: set[GoodSign]
) -> None:
    rules = ImageRollback(good_signs=tuple(sorted(wanted)))
    choice = last_known_good(candidates, rules, current=CURRENT)
    others = [one for one in candidates if one.revision.name != CURRENT.name]
    if isinstance(choice, GoodChoice):
        (taken,) = [one for one in candidates if one.revision == choice.revision]
        assert all(taken.sign(sign).holds for sign in wanted)
        assert not taken.barred
        assert taken.rolled_back_at is None
        assert taken.served.seconds is not None
        assert taken.served.seconds >= 3600
        assert not same_images(taken.revision.template, CURRENT.template)
        newer = [one.revision for one in others if one.revision.number > choice.revision.number]
        assert {one.revision.number for one in choice.rejected} == {one.number for one in newer}
    else:
        assert len(choice.rejected) == len(others)


# --- how long a revision was in service ---


def history(*made: tuple[int, float]) -> list[Revision]:
    """Return revisions by their number now and how many hours ago their object was made."""
    return [revision(number, f"o{place}", hours_ago=ago) for place, (number, ago) in enumerate(made)]


@pytest.mark.parametrize(
    ("made", "hours"),
    [
        # One after the other.
        (((1, 9), (2, 5), (3, 1)), [4, 4, 1]),
        # 2 was bad, undone to 1 (now 3) after an unknown time, 4 came days later: 2 did not serve for 90 hours.
        (((3, 100), (2, 99), (4, 9)), [1, None, 9]),
        # Undone to 1 (now 4): when 3 ended is not known, 2 served until 3 was made, 1 at first until 2 was.
        (((4, 9), (2, 5), (3, 2)), [4, 3, None]),
        # Undone to 2 (now 4), then a new 5.
        (((1, 9), (4, 8), (3, 5), (5, 1)), [1, 3, None, 1]),
        # 2 was taken away by hand: 1 may have ended long before 3 was made.
        (((1, 9), (3, 1)), [None, 1]),
        # 1 (now 4) was gone back to from 3, which came back as 6: 3 did not serve until 5 was made.
        (((4, 9), (2, 8), (6, 7), (5, 2), (7, 1)), [1, None, None, None, 1]),
        # Garbage collection takes the oldest.
        (((7, 9), (8, 4)), [5, 4]),
        (((1, 3),), [3]),
        ((), []),
    ],
)
def test_time_in_service_is_told_only_as_far_as_the_objects_tell_it(
    made: tuple[tuple[int, float], ...], hours: list[float | None]
) -> None:
    revisions = history(*made)
    current = max(revisions, key=lambda one: one.number).name if revisions else ""
    found = served(revisions, current=current, now=NOW)
    assert [
        None if (seconds := found[one.name].seconds) is None else seconds / 3600 for one in revisions
    ] == hours
    assert all(one.detail for one in found.values())


@st.composite
def _past(draw: st.DrawFn, *, noted: bool) -> tuple[list[Revision], dict[str, float], set[str]]:
    """Deploy anew or go back, each after some hours.

    Returns:
        What Kubernetes keeps (with earlier numbers, if it notes them), how long each was truly in service, and what
        was gone back to.
    """
    events = draw(st.lists(st.tuples(st.integers(1, 20), st.integers(-1, 5)), min_size=1, max_size=8))
    at, made, truth = 0.0, dict[str, float](), dict[str, float]()
    numbers: dict[str, list[int]] = {}
    running = ""
    for number, (hours, back_to) in enumerate(events, start=1):
        name = f"o{back_to}"
        if name not in made or name == running:
            name = f"o{len(made)}"
        made.setdefault(name, at)
        numbers.setdefault(name, []).append(number)
        truth[name] = truth.get(name, 0.0) + hours
        running = name
        at += hours
    kept = draw(st.integers(0, 3))  # the garbage collector takes those of the lowest numbers
    names = sorted(made, key=lambda name: numbers[name][-1])[-max(1, len(made) - kept) :]
    revisions = [
        Revision(
            number=numbers[name][-1],
            name=name,
            created_at=NOW - timedelta(hours=at - made[name]),
            change_cause="",
            template=template(name),
            earlier_numbers=tuple(numbers[name][:-1]) if noted else (),
        )
        for name in names
    ]
    return revisions, truth, {name for name in names if len(numbers[name]) > 1}


def _longer_than_true(revisions: list[Revision], truth: dict[str, float]) -> set[str]:
    current = max(revisions, key=lambda one: one.number).name
    found = served(revisions, current=current, now=NOW)
    return {
        name
        for name, one in found.items()
        if one.seconds is not None and one.seconds / 3600 > truth[name] + 1e-6
    }


@given(_past(noted=True))
def test_a_deployments_time_in_service_is_never_told_longer_than_it_was(
    past: tuple[list[Revision], dict[str, float], set[str]],
) -> None:
    revisions, truth, _ = past
    assert _longer_than_true(revisions, truth) == set()


@given(_past(noted=False))
def test_without_a_note_of_earlier_numbers_only_what_came_back_can_seem_to_have_served_longer(
    past: tuple[list[Revision], dict[str, float], set[str]],
) -> None:
    revisions, truth, came_back = past
    assert _longer_than_true(revisions, truth) <= came_back


def test_what_was_left_and_came_back_and_was_left_is_told_by_its_earlier_numbers() -> None:
    """Bad 2 was undone to 1 (3) after minutes, deployed again by mistake (4), and mended by 5."""
    first, bad, mended = history((3, 100), (4, 99), (5, 1))
    bad = bad.model_copy(update={"earlier_numbers": (2,)})
    first = first.model_copy(update={"earlier_numbers": (1,)})
    found = served([first, bad, mended], current=mended.name, now=NOW)
    assert found[first.name].seconds == 3600
    assert found[bad.name].seconds is None


# --- what is current ---


def test_what_is_current_is_told_by_the_template_and_not_by_a_number_that_trails() -> None:
    kept = [revision(3, "v3", hours_ago=5), revision(4, "v4", hours_ago=1)]
    back_at_3 = workload(template=template("v3"), revision=4)
    assert current_of(back_at_3, kept) == kept[0]
    assert current_of(workload(template=template("v5")), kept) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (93_780, "1 d 2 h 3 min"), (-5, "0 s")],
)
def test_a_time_span_is_written_as_people_read_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
