"""What a Helm release's history says: histories as the real program left them, and properties of any."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.releases import (
    NoRollback,
    ReleaseLeft,
    ReleaseStanding,
    release_candidates,
    standing_of,
)
from runbook.workloads import HelmRevision, ReleaseManifest

START = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
NOW = START + timedelta(days=1)
STATUSES = ("deployed", "superseded", "failed", "pending-upgrade", "pending-rollback", "uninstalled")


def line(number: int, status: str, description: str = "Upgrade complete") -> HelmRevision:
    """One line of a history; each revision came an hour after the one before."""
    return HelmRevision(
        revision=number,
        updated_at=START + timedelta(hours=number),
        status=status,
        chart="tts-0.1.0",
        app_version="1.0",
        description=description,
    )


def holding(*contents: str) -> dict[int, ReleaseManifest]:
    """The manifests of revisions 1, 2, …, by what they hold."""
    return {
        number: ReleaseManifest(digest=content, images=(f"app:{content}",), workloads=())
        for number, content in enumerate(contents, start=1)
    }


# As a real Helm 3.19 left it: a failed --wait, a SIGKILL, rollbacks out of it, rollbacks that were denied half-way.
REAL = (
    line(1, "superseded", "Install complete"),
    line(2, "superseded"),
    line(3, "superseded", "Rollback to 1"),
    line(4, "failed", 'Upgrade "tts" failed: context deadline exceeded'),
    line(5, "pending-upgrade", "Preparing upgrade"),
    line(6, "superseded", "Rollback to 1"),
    line(7, "superseded", 'Rollback "tts" failed: cannot patch "tts" with kind Deployment'),
    line(8, "deployed"),
)
REAL_MANIFESTS = holding("a", "b", "a", "c", "d", "a", "b", "e")


def test_the_last_line_is_the_current_one_whatever_older_one_is_pending_for_good() -> None:
    standing = standing_of(REAL)
    assert isinstance(standing, ReleaseStanding)
    assert standing.current.revision == 8


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback"])
def test_a_release_whose_last_line_is_pending_is_left_to_a_person_with_what_was_seen(status: str) -> None:
    left = standing_of((line(1, "deployed"), line(2, status)))
    assert isinstance(left, ReleaseLeft)
    assert left.why is NoRollback.PENDING
    assert f"revision 2 is {status} since 2026-11-24 08:00 UTC" in left.reason
    assert "helm rollback" in left.next_step


@pytest.mark.parametrize("status", ["uninstalled", "uninstalling"])
def test_a_release_that_was_removed_is_left_alone(status: str) -> None:
    left = standing_of((line(1, status),))
    assert isinstance(left, ReleaseLeft)
    assert left.why is NoRollback.UNINSTALLED


def test_a_release_without_history_is_left_alone() -> None:
    left = standing_of(())
    assert isinstance(left, ReleaseLeft)
    assert left.why is NoRollback.NO_HISTORY


def test_a_failed_upgrade_is_where_a_rollback_may_start() -> None:
    standing = standing_of((line(1, "deployed"), line(2, "failed")))
    assert isinstance(standing, ReleaseStanding)
    assert standing.current.revision == 2


def test_only_what_was_in_service_is_a_candidate_newest_first() -> None:
    found = release_candidates(REAL, REAL_MANIFESTS, now=NOW)
    assert [one.revision.number for one in found] == [8, 6, 3, 2, 1]


def test_what_a_rollback_passed_by_was_rolled_back_and_what_it_put_back_was_not() -> None:
    found = release_candidates(REAL, REAL_MANIFESTS, now=NOW)
    rolled_back = {one.revision.number: one.rolled_back_at for one in found}
    assert rolled_back[2] == START + timedelta(hours=6)  # by the last rollback that passed it by
    assert {number for number, at in rolled_back.items() if at} == {2}


def test_what_was_rolled_back_is_known_again_under_a_later_number() -> None:
    history = (line(1, "superseded"), line(2, "superseded"), line(3, "superseded", "Rollback to 1"))
    found = release_candidates((*history, line(4, "deployed")), holding("a", "b", "a", "b"), now=NOW)
    assert {one.revision.number for one in found if one.rolled_back_at} == {2, 4}


def test_a_roll_forward_to_it_clears_a_revision_and_flags_what_it_passed_by_only_if_that_was_deployed() -> (
    None
):
    history = (
        line(1, "superseded"),
        line(2, "superseded"),
        line(3, "superseded", "Rollback to 1"),
        line(4, "deployed", "Rollback to 2"),
    )
    found = release_candidates(history, holding("a", "b", "a", "b"), now=NOW)
    # Revision 3 was somebody's rollback: that it was taken back, as ours is for another's sake, says nothing of 1.
    assert not any(one.rolled_back_at for one in found)


def test_what_the_journal_disproved_was_rolled_back_whatever_the_history_says() -> None:
    history = (line(1, "superseded"), line(2, "deployed"))
    found = release_candidates(history, holding("a", "b"), now=NOW, disproved={"a": NOW})
    assert {one.revision.number: one.rolled_back_at for one in found} == {2: None, 1: NOW}


def test_a_rollback_of_what_a_rollback_put_back_and_of_a_deployment_flags_the_deployment() -> None:
    history = (
        line(1, "superseded"),
        line(2, "superseded"),
        line(3, "superseded", "Rollback to 1"),
        line(4, "superseded"),
        line(5, "deployed", "Rollback to 2"),
    )
    found = release_candidates(history, holding("a", "b", "a", "c", "b"), now=NOW)
    assert {one.revision.number for one in found if one.rolled_back_at} == {4}


@pytest.mark.parametrize(
    "description",
    ["Rollback to the future", "Rollback to 1 because", "rollback to 1", 'Rollback "x" failed: y'],
)
def test_a_persons_words_are_no_rollback(description: str) -> None:
    """`helm upgrade --description` lets anybody write there."""
    history = (line(1, "superseded"), line(2, "superseded"), line(3, "deployed", description))
    found = release_candidates(history, holding("a", "b", "a"), now=NOW)
    assert not any(one.rolled_back_at for one in found)


def test_time_in_service_ends_with_whatever_came_next() -> None:
    history = (line(1, "deployed"), line(2, "failed"))
    (first,) = release_candidates(history, holding("a", "b"), now=NOW)
    assert (first.served.seconds, first.served.detail) == (3600, "until revision 2")
    (first,) = release_candidates(history[:1], holding("a"), now=NOW)
    assert (first.served.seconds, first.served.detail) == (23 * 3600, "until now")


def test_a_revision_whose_manifest_is_not_known_is_left_out() -> None:
    history = (line(1, "superseded"), line(2, "superseded"), line(3, "deployed"))
    found = release_candidates(history, {3: holding("a")[1]}, now=NOW)
    assert [(one.revision.number, one.revision.template.digest) for one in found] == [(3, "a")]


histories = st.lists(
    st.tuples(
        st.sampled_from(STATUSES),
        st.sampled_from(
            ["Upgrade complete", "Rollback to 1", "Rollback to 2", "Rollback to 9", "x failed: y"]
        ),
        st.sampled_from("abc"),
    ),
    max_size=9,
)


@given(histories)
def test_whatever_the_history_a_pending_last_line_is_never_guessed_at(
    rows: list[tuple[str, str, str]],
) -> None:
    history = [line(number, status, words) for number, (status, words, _) in enumerate(rows, start=1)]
    standing = standing_of(history)
    if isinstance(standing, ReleaseStanding):
        assert standing.current == history[-1]
        assert not standing.current.pending
    else:
        assert standing.why is not NoRollback.PENDING or history[-1].pending
        assert standing.reason
        assert standing.next_step


@given(histories)
def test_whatever_the_history_nothing_pending_or_failed_is_a_candidate(
    rows: list[tuple[str, str, str]],
) -> None:
    history = [line(number, status, words) for number, (status, words, _) in enumerate(rows, start=1)]
    manifests = holding(*(content for _, _, content in rows))
    found = release_candidates(history[::-1], manifests, now=NOW)
    assert found == release_candidates(history, manifests, now=NOW)
    for one in found:
        status, words, content = rows[one.revision.number - 1]
        assert status in ("deployed", "superseded")
        assert "failed" not in words
        assert one.revision.template.digest == content
        assert (one.served.seconds or 0) >= 0
