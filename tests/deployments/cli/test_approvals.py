"""``runbook approvals``, ``approve`` and ``reject`` against the stand-in and a ledger made by the engine."""

from pathlib import Path

import pytest

import sandbox
from runbook.engine.states import PlanState
from runbook.installation import Installation
from tests.deployments.cli.conftest import Runbook
from tests.deployments.cli.story import REPOSITORY, Story, comment_as, product, waiting_plan


def comments(here: Installation, story: Story) -> list[tuple[str, str]]:
    """Return author and text of what was said after the plan was shown."""
    listed = here.github.list_comments(REPOSITORY, story.issue, after_id=story.plan.comment_id)
    return [(comment.login, comment.body) for comment in listed]


def test_no_waiting_plan_says_so(here: Installation, runbook: Runbook) -> None:
    assert here.engine.plans.waiting() == ()
    ended = runbook("approvals")
    assert ended.status == 0
    assert "No plan waits" in ended.out
    assert runbook("approvals", "--json").json == []


def test_waiting_plan_is_listed_with_what_counts_and_what_does_not(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    story = waiting_plan(here, requester="carol")
    comment_as(box, "mallory", story, f"/approve {story.plan.digest}")
    (listed,) = runbook("approvals", "--json").json
    assert listed["digest"] == story.plan.digest
    assert (listed["have"], listed["needed"], listed["requester"]) == (0, 1, "carol")
    assert [(one["login"], one["why"]) for one in listed["ignored"]] == [
        ("mallory", "the policy does not name its author as an approver")
    ]
    assert f"issues/{story.issue}#" in listed["link"]
    table = runbook("approvals")
    assert story.plan.short_digest in table.out
    assert "0 of 1" in table.out
    assert "mallory's comment does not count" in table.err


def test_plan_that_nobody_can_name_needs_one_approver_more(here: Installation, runbook: Runbook) -> None:
    waiting_plan(here)
    (listed,) = runbook("approvals", "--json").json
    assert (listed["needed"], listed["requester"]) == (2, "unnamed (one approver more)")


def test_list_stands_when_github_does_not_answer(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    story = waiting_plan(here, by=product())
    box.fail("403", path_regex=".*/comments.*", times=10, message="Resource not accessible")
    ended = runbook("approvals", "--json")
    assert ended.status == 0
    (listed,) = ended.json
    assert listed["digest"] == story.plan.digest
    assert listed["have"] is None
    assert "could not be read" in listed["reason"]


@pytest.mark.parametrize("digits", [16, 20, 64])
def test_approve_posts_the_whole_digest_in_the_approvers_own_name(
    here: Installation, runbook: Runbook, digits: int
) -> None:
    story = waiting_plan(here, by=product())
    ended = runbook("approve", story.plan.digest[:digits], "--reason", "looks  right", "--json")
    assert ended.status == 0
    assert comments(here, story) == [("alice", f"/approve {story.plan.digest} looks right")]
    assert ended.json["verdict"] == "approved"
    assert ended.json["login"] == "alice"
    # No Prefect is named here: that is said, and costs nothing but time.
    assert ended.json["woken"] is None
    assert "The dispatcher will wake it" in ended.err


def test_approving_twice_posts_once(here: Installation, runbook: Runbook) -> None:
    story = waiting_plan(here, by=product())
    assert runbook("approve", story.plan.digest).status == 0
    again = runbook("approve", story.plan.digest)
    assert again.status == 0
    assert "already" in again.out
    assert len(comments(here, story)) == 1


def test_approval_below_the_quorum_leaves_the_run_asleep(here: Installation, runbook: Runbook) -> None:
    story = waiting_plan(here)  # nobody can be named: two are needed
    ended = runbook("approve", story.plan.digest)
    assert ended.status == 0
    assert "waiting: 1 of 2 approvals" in ended.out
    assert "woken" not in ended.err
    assert "dispatcher" not in ended.err


def test_reject_needs_a_reason_and_posts_it(here: Installation, runbook: Runbook) -> None:
    story = waiting_plan(here, by=product())
    assert runbook("reject", story.plan.digest).status == 2
    assert comments(here, story) == []
    ended = runbook("reject", story.plan.digest, "--reason", "not during the release", "--json")
    assert ended.status == 0
    assert comments(here, story) == [("alice", f"/reject {story.plan.digest} not during the release")]
    assert ended.json["verdict"] == "rejected"


REFUSED_APPROVERS = [
    pytest.param("alice", "alice", "whoever asked for the plan", id="self-approval"),
    pytest.param("mallory", "bob", "does not name its author", id="no-approver"),
    pytest.param("runbook-bot", "bob", "the product's own account", id="product"),
]


@pytest.mark.parametrize(("login", "requester", "reason"), REFUSED_APPROVERS)
def test_decision_that_could_not_count_is_refused_before_it_is_posted(
    here: Installation,
    runbook: Runbook,
    box: sandbox.Box,
    environment: pytest.MonkeyPatch,
    login: str,
    requester: str,
    reason: str,
) -> None:
    story = waiting_plan(here, requester=requester)
    environment.setenv("RUNBOOK_APPROVER_TOKEN", box.token_of(login))
    ended = runbook("approve", story.plan.digest)
    assert ended.status == 5
    assert reason in ended.err
    assert "Next: " in ended.err
    assert comments(here, story) == []


def test_requester_may_reject_the_own_plan(here: Installation, runbook: Runbook) -> None:
    story = waiting_plan(here, requester="alice")
    assert runbook("reject", story.plan.digest, "--reason", "changed my mind").status == 0
    assert comments(here, story) == [("alice", f"/reject {story.plan.digest} changed my mind")]


def test_approver_whose_permission_is_too_low_is_told_what_is_missing(
    here: Installation, runbook: Runbook, box: sandbox.Box, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "runbook.toml"
    policy.write_text(policy.read_text().replace('["alice", "bob"]', '["alice", "mallory"]'))
    story = waiting_plan(here, by=product())
    environment.setenv("RUNBOOK_APPROVER_TOKEN", box.token_of("mallory"))
    ended = runbook("approve", story.plan.digest)
    assert ended.status == 5
    assert "mallory has read on acme/voice-agent and needs write" in ended.err


def test_expired_plan_can_no_longer_be_decided(here: Installation, runbook: Runbook) -> None:
    story = waiting_plan(here, by=product(), expires_after_seconds=0.001)
    ended = runbook("approve", story.plan.digest)
    assert ended.status == 1
    assert "can no longer be decided: expired" in ended.err
    assert comments(here, story) == []


@pytest.mark.parametrize("digits", ["", "f00", "zz" * 16, "0" * 16])
def test_digits_that_name_no_waiting_plan_are_a_usage_error(
    here: Installation, runbook: Runbook, digits: str
) -> None:
    waiting_plan(here, by=product())
    assert runbook("approve", digits).status == 2


def test_approver_without_a_token_is_told_which_one_is_missing(
    here: Installation, runbook: Runbook, environment: pytest.MonkeyPatch
) -> None:
    story = waiting_plan(here, by=product())
    environment.delenv("RUNBOOK_APPROVER_TOKEN")
    environment.setenv("PATH", "/nonexistent")
    ended = runbook("approve", story.plan.digest)
    assert ended.status == 2
    assert "RUNBOOK_APPROVER_TOKEN" in ended.err


def test_approver_needs_no_token_of_the_product(
    here: Installation, runbook: Runbook, environment: pytest.MonkeyPatch
) -> None:
    story = waiting_plan(here, by=product())
    environment.delenv("GITHUB_TOKEN")
    assert runbook("approve", story.plan.digest).status == 0
    assert len(comments(here, story)) == 1


def test_secret_in_a_reason_never_reaches_github(here: Installation, runbook: Runbook) -> None:
    story = waiting_plan(here, by=product())
    runbook("approve", story.plan.digest, "--reason", "token ghp_abcdefghijklmnopqrstuvwxyz0123456789")
    ((_, body),) = comments(here, story)
    assert "ghp_" not in body


def test_write_of_unknown_fate_says_where_to_look(
    here: Installation, runbook: Runbook, box: sandbox.Box
) -> None:
    story = waiting_plan(here, by=product())
    box.fail("500_after", method="POST", path_regex=".*/comments", times=1)
    ended = runbook("approve", story.plan.digest)
    assert ended.status == 1
    assert "may or may not" in ended.err
    # It did take effect, and asking again finds it.
    assert "already" in runbook("approve", story.plan.digest).out
    assert len(comments(here, story)) == 1
    assert here.engine.plans.get(story.plan.id).state is PlanState.WAITING


def test_no_token_is_ever_printed(here: Installation, runbook: Runbook, box: sandbox.Box) -> None:
    story = waiting_plan(here, by=product())
    printed = "".join(
        ended.out + ended.err
        for ended in (
            runbook("approvals"),
            runbook("approve", story.plan.digest),
            runbook("journal", story.execution_id),
            runbook("audit", "show", "--json"),
        )
    )
    for login in ("runbook-bot", "alice"):
        assert box.token_of(login) not in printed


def test_gh_is_asked_for_the_approvers_token_once(
    here: Installation, runbook: Runbook, box: sandbox.Box, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    story = waiting_plan(here, by=product())
    asked = tmp_path / "asked"
    program = tmp_path / "gh"
    program.write_text(f'#!/bin/sh\necho "$*" >> {asked}\necho {box.token_of("alice")}\n')
    program.chmod(0o755)
    environment.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    environment.delenv("RUNBOOK_APPROVER_TOKEN")
    environment.delenv("GITHUB_TOKEN")
    assert runbook("approve", story.plan.digest).status == 0
    assert asked.read_text() == "auth token --hostname 127.0.0.1\n"
