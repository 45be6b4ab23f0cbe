"""``runbook exceptions``: what is left abnormal, and who may end it before its time; and what doctor says of it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

import sandbox
from runbook.decisions.exceptions import ExceptionState
from runbook.engine import audit
from runbook.engine.schema import ExceptionRow
from runbook.installation import Installation
from tests.deployments.cli.conftest import Ended, Runbook
from tests.runbook.engine.test_kill_matrix import REPOSITORY
from tests.runbook.leaving import BAD, SCENARIO, leave_bar, leave_obligation, leave_rerun


@pytest.fixture
def box() -> Iterator[sandbox.Box]:
    """GitHub with a run whose re-run can be cancelled."""
    with sandbox.running(SCENARIO) as running:
        yield running


def cancelled(box: sandbox.Box) -> int:
    """Return how often the re-run was cancelled."""
    return sum(bool(one["applied"]) and one["path"].endswith("/cancel") for one in box.requests)


def overdue(here: Installation, exception_id: int) -> None:
    """Let an exception's deadline have passed."""
    with here.ledger.write() as session:
        session.get_one(ExceptionRow, exception_id).deadline = here.clock.now() - timedelta(minutes=1)


# --- listing ----------------------------------------------------------------------------------------------------


def test_nothing_that_is_left_says_so(here: Installation, runbook: Runbook) -> None:
    assert here.engine.exceptions.open() == ()
    assert "Nothing is left abnormal" in runbook("exceptions").out
    assert runbook("exceptions", "--json").json == []


def test_what_is_left_is_listed_without_network_policy_or_credential(
    here: Installation, runbook: Runbook, box: sandbox.Box, environment: pytest.MonkeyPatch
) -> None:
    bar = leave_bar(here, box)
    for name in ("GITHUB_TOKEN", "RUNBOOK_APPROVER_TOKEN"):
        environment.delenv(name)
    environment.setenv("RUNBOOK_POLICY", "/nonexistent.toml")
    (listed,) = runbook("exceptions", "--json").json
    assert listed["subject"] == BAD
    assert (listed["kind"], listed["state"], listed["standing"]) == ("bar", "open", "as agreed")
    assert (listed["owner"], listed["procedure"], listed["id"]) == ("alice", "rollback-image", bar.id)
    assert BAD in runbook("exceptions").out


def test_ended_ones_are_listed_with_all(here: Installation, runbook: Runbook, box: sandbox.Box) -> None:
    bar = leave_bar(here, box)
    here.engine.exceptions.end(bar.id, ExceptionState.ENDED, "rebuilt")
    assert runbook("exceptions", "--json").json == []
    (listed,) = runbook("exceptions", "--all", "--json").json
    assert (listed["state"], listed["note"]) == ("ended", "rebuilt")
    assert "Only the newest 1" not in runbook("exceptions", "--all", "--limit", "1").err


# --- ending and restoring as a person ---------------------------------------------------------------------------


def test_approver_restores_at_once_in_their_own_name(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    left = leave_rerun(here, box)
    ended = runbook("exceptions", "restore", str(left.id), "--reason", "it is  green", "--json")
    assert (ended.status, ended.err) == (0, "")
    assert (ended.json["state"], ended.json["note"]) == ("restored", "alice: it is green")
    assert cancelled(box) == 1
    with here.ledger.read() as session:
        assert audit.verify(session).intact


def test_approver_ends_what_is_owed_in_their_own_name(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    owed = leave_obligation(here, box)
    ended = runbook("exceptions", "end", str(owed.id), "--reason", "merged")
    assert ended.status == 0
    assert "is ended: alice: merged" in ended.out
    assert here.engine.exceptions.open() == ()
    # Said on the issue by the sweeper: this terminal need not be able to.
    assert [one.id for one in here.engine.exceptions.untold()] == [owed.id]


def test_ending_a_restore_undoes_nothing(here: Installation, runbook: Runbook, box: sandbox.Box) -> None:
    left = leave_rerun(here, box)
    assert runbook("exceptions", "end", str(left.id), "--reason", "let it run").status == 0
    assert cancelled(box) == 0


@pytest.mark.parametrize("words", [("restore",), ("end", "--reason", "r")])
@pytest.mark.parametrize(
    ("login", "why"),
    [
        ("carol", "does not name them as an approver"),
        ("bob", "permission on the repository is too low"),
        ("runbook-bot", "the product's own account"),
    ],
)
def test_who_could_not_approve_it_is_denied_and_nothing_changes(
    here: Installation,
    runbook: Runbook,
    box: sandbox.Box,
    environment: pytest.MonkeyPatch,
    words: tuple[str, ...],
    login: str,
    why: str,
) -> None:
    left = leave_rerun(here, box)
    environment.setenv("RUNBOOK_APPROVER_TOKEN", box.token_of(login))
    ended = runbook("exceptions", words[0], str(left.id), *words[1:])
    assert ended.status == 5
    assert why in ended.err
    assert "Nothing was changed" in ended.err
    assert here.engine.exceptions.get(left.id).state is ExceptionState.OPEN
    assert cancelled(box) == 0


@pytest.mark.parametrize("words", [("restore", "99"), ("end", "99", "--reason", "r")])
def test_exception_that_does_not_exist_is_a_usage_error(
    here: Installation, runbook: Runbook, words: tuple[str, ...]
) -> None:
    assert here.engine.exceptions.open() == ()
    ended = runbook("exceptions", *words)
    assert ended.status == 2
    assert "no exception 99" in ended.err


def test_ending_without_a_reason_is_a_usage_error(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    owed = leave_obligation(here, box)
    assert runbook("exceptions", "end", str(owed.id)).status == 2
    assert runbook("exceptions", "end", str(owed.id), "--reason", " ").status == 2


def test_bar_cannot_be_restored(here: Installation, runbook: Runbook, box: sandbox.Box) -> None:
    bar = leave_bar(here, box)
    ended = runbook("exceptions", "restore", str(bar.id))
    assert ended.status == 2
    assert "runbook exceptions end" in ended.err


def test_restore_that_is_refused_needs_a_person(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    left = leave_rerun(here, box)
    box.fail("403", method="POST", path_regex=".*/cancel", times=9, message="Resource not accessible")
    ended = runbook("exceptions", "restore", str(left.id), "--json")
    assert ended.status == 4
    assert ended.json["state"] == "needs_person"
    assert ended.json["standing"] == "needs a person"


def test_terminal_without_the_products_credential_ends_but_restores_nothing(
    here: Installation, runbook: Runbook, box: sandbox.Box, environment: pytest.MonkeyPatch
) -> None:
    left = leave_rerun(here, box)
    environment.delenv("GITHUB_TOKEN")
    refused = runbook("exceptions", "restore", str(left.id))
    assert refused.status == 2
    assert "GITHUB_TOKEN" in refused.err
    assert here.engine.exceptions.get(left.id).state is ExceptionState.OPEN
    assert runbook("exceptions", "end", str(left.id), "--reason", "by hand").status == 0


# --- doctor -----------------------------------------------------------------------------------------------------


def doctor(runbook: Runbook) -> list[dict[str, str]]:
    """Return what doctor finds about exceptions."""
    ended: Ended = runbook("doctor", "--json")
    return [one for one in ended.json["findings"] if one["check"] == "exceptions"]


def test_doctor_says_nothing_where_nothing_is_left(here: Installation, runbook: Runbook) -> None:
    assert doctor(runbook) == []
    assert here.engine.exceptions.open() == ()
    assert doctor(runbook) == []


def test_doctor_finds_what_is_as_agreed_good(here: Installation, runbook: Runbook, box: sandbox.Box) -> None:
    leave_bar(here, box)
    (finding,) = doctor(runbook)
    assert (finding["health"], finding["detail"][:11]) == ("good", "1 as agreed")


def test_doctor_warns_of_what_is_overdue(here: Installation, runbook: Runbook, box: sandbox.Box) -> None:
    left = leave_rerun(here, box)
    overdue(here, left.id)
    (finding,) = doctor(runbook)
    assert finding["health"] == "warning"
    assert "is overdue since" in finding["detail"]
    assert "sweeper" in finding["fix"]


def test_doctor_warns_of_what_is_owed(here: Installation, runbook: Runbook, box: sandbox.Box) -> None:
    owed = leave_obligation(here, box)
    overdue(here, owed.id)
    (finding,) = doctor(runbook)
    assert f"runbook exceptions end {owed.id}" in finding["fix"]


def test_doctor_warns_of_a_bar_that_was_seen_again(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    bar = leave_bar(here, box)
    here.engine.exceptions.seen(bar.id, "tts-service in voice-agent", here.clock.now())
    (finding,) = doctor(runbook)
    assert finding["health"] == "warning"
    assert BAD in finding["detail"]
    assert "tts-service in voice-agent" in finding["detail"]


def test_doctor_warns_of_what_could_not_be_put_back(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    left = leave_rerun(here, box)
    here.engine.exceptions.end(left.id, ExceptionState.NEEDS_PERSON, "patch was refused")
    (finding,) = doctor(runbook)
    assert "could not be put back" in finding["detail"]
    assert "patch was refused" in finding["detail"]


def test_exceptions_of_another_repository_are_asked_of_its_own_approvers(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    """The policy in force decides; one that no longer names the repository lets nobody end it."""
    owed = leave_obligation(here, box)
    with here.ledger.write() as session:
        session.get_one(ExceptionRow, owed.id).repository = "acme/gone"
    ended = runbook("exceptions", "end", str(owed.id), "--reason", "r")
    assert ended.status == 2
    assert REPOSITORY in ended.err
