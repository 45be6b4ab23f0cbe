"""A revert's branch and pull request: made once, found again, taken back only while they are ours."""

import subprocess
from pathlib import Path

import pytest

from runbook.effects.pull_requests import CreateRevertCommit
from runbook.engine.effects import Effect, Found
from runbook.engine.engine import Ended, Verification
from runbook.engine.states import EffectState
from runbook.source_facts import TreeChange
from sandbox.github.trees import tree_of
from tests.runbook.effects.source_revert_samples import BRANCH, pull_request, push, revert_commit
from tests.runbook.engine.desk import Desk

PASSED = Verification(passed=True, reason="green")
FAILED = Verification(passed=False, reason="red")


def both(desk: Desk, *, beside: bool = False) -> tuple[Effect, Effect]:
    return revert_commit(desk.box, beside=beside), pull_request(desk.box, beside=beside)


def test_the_pull_request_holds_what_was_there_before_the_bad_commit(desk: Desk) -> None:
    outcome = desk.engine.apply(desk.show(*both(desk), passed=True), verify=lambda lease: PASSED)
    assert outcome.ended is Ended.DONE
    repository = desk.box.repository
    (pull,) = repository.pulls.values()
    head = repository.head(BRANCH)
    assert head is not None
    assert tree_of(repository, head) == tree_of(repository, repository.commits[1])
    assert (head.message, head.parent) == ('Revert "Bad"', repository.commits[0].sha)
    assert (pull.sha, pull.base, pull.state) == (head.sha, "main", "open")
    assert repository.head("main") is repository.commits[0]


def test_a_failed_verification_closes_the_pull_request_and_deletes_its_branch(desk: Desk) -> None:
    outcome = desk.engine.apply(desk.show(*both(desk), passed=True), verify=lambda lease: FAILED)
    assert [entry.state for entry in outcome.entries] == [EffectState.UNDONE, EffectState.UNDONE]
    (pull,) = desk.box.repository.pulls.values()
    assert (pull.state, desk.box.repository.head(BRANCH)) == ("closed", None)


def test_a_branch_that_somebody_pushed_to_is_left_to_a_person(desk: Desk) -> None:
    pushed: list[str] = []

    def verify(_lease: object) -> Verification:
        pushed.append(push(desk.box))
        return FAILED

    outcome = desk.engine.apply(desk.show(revert_commit(desk.box), passed=True), verify=verify)
    assert (outcome.ended, outcome.entries[0].state) == (Ended.NEEDS_PERSON, EffectState.NEEDS_PERSON)
    assert "not at" in outcome.entries[0].note
    assert desk.box.repository.refs[BRANCH] == pushed[0]


def test_a_merged_pull_request_is_left_to_a_person(desk: Desk) -> None:
    def verify(_lease: object) -> Verification:
        (pull,) = desk.box.repository.pulls.values()
        pull.state, pull.merged_at = "closed", desk.clock.now()
        return FAILED

    outcome = desk.engine.apply(desk.show(*both(desk), passed=True), verify=verify)
    assert [entry.state for entry in outcome.entries] == [EffectState.UNDONE, EffectState.NEEDS_PERSON]
    assert "was merged" in outcome.entries[1].note


def test_what_people_closed_and_deleted_themselves_is_undone_already(desk: Desk) -> None:
    def verify(_lease: object) -> Verification:
        (pull,) = desk.box.repository.pulls.values()
        pull.state, pull.closed_at = "closed", desk.clock.now()
        desk.box.repository.refs[BRANCH] = None
        return FAILED

    outcome = desk.engine.apply(desk.show(*both(desk), passed=True), verify=verify)
    assert {entry.state for entry in outcome.entries} == {EffectState.UNDONE}


def test_refused_beside_a_plan_both_leave_the_rest_to_go_on(desk: Desk) -> None:
    """The token may not write contents: then there is no branch, and no pull request from it either."""
    said = "Resource not accessible by personal access token"
    desk.box.fail("403", method="POST", path_regex="/git/", message=said, times=9)
    plan = desk.show(desk.clear(), *both(desk, beside=True), passed=True)
    outcome = desk.engine.apply(plan, verify=lambda lease: PASSED)
    assert outcome.ended is Ended.DONE
    assert [entry.state for entry in outcome.entries] == [
        EffectState.CONFIRMED,
        EffectState.REFUSED,
        EffectState.REFUSED,
    ]
    assert "its commit was not made" in outcome.entries[2].note
    assert desk.box.repository.pulls == {}


def test_refused_within_a_plan_they_undo_it(desk: Desk) -> None:
    desk.box.repository.roles["runbook-bot"] = "read"
    outcome = desk.engine.apply(desk.show(*both(desk), passed=True), verify=lambda lease: PASSED)
    assert outcome.ended is Ended.UNDONE


def test_a_branch_of_somebody_elses_is_not_taken_for_ours(desk: Desk) -> None:
    effect = revert_commit(desk.box)
    assert effect.probe(desk.engine.world).found is Found.NOT_DONE
    assert effect.precondition(desk.engine.world).holds
    push(desk.box)
    assert effect.probe(desk.engine.world).found is Found.UNKNOWN
    assert not effect.precondition(desk.engine.world).holds
    assert effect.model_copy(update={"beside": True}).precondition(desk.engine.world).holds


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, Found.DONE),
        ({"changes": (TreeChange(path="new.py", entry=None),)}, Found.UNKNOWN),
        ({"base_sha": "good"}, Found.UNKNOWN),
    ],
)
def test_a_commit_is_ours_only_with_its_parent_and_its_whole_tree(
    desk: Desk, change: dict[str, object], found: Found
) -> None:
    effect = revert_commit(desk.box)
    effect.apply(desk.engine.world, repeated=False)
    if change.get("base_sha"):
        change = {"base_sha": desk.box.repository.commits[1].sha}
    assert effect.model_copy(update=change).probe(desk.engine.world).found is found


def test_a_marker_in_somebody_elses_pull_request_is_not_ours(desk: Desk) -> None:
    push(desk.box)
    body = "b\n\n<!-- runbook:k -->"
    desk.person("mallory").create_pull_request(
        desk.box.repository.full_name, head=BRANCH, base="main", title="t", body=body
    )
    assert pull_request(desk.box).probe(desk.engine.world).found is Found.NOT_DONE


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ("git", *identity, *arguments), cwd=folder, check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()


@pytest.mark.parametrize("merge", [False, True])
def test_the_line_for_people_does_the_same_in_a_clone(desk: Desk, tmp_path: Path, merge: bool) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "--bare", ".")
    git(tmp_path, "clone", str(origin), str(clone))
    git(clone, "config", "user.name", "t")
    git(clone, "config", "user.email", "t@example.com")
    for content in ("good", "bad"):
        if merge and content == "bad":
            git(clone, "switch", "--create", "topic")
        (clone / "app.py").write_text(content)
        git(clone, "add", "app.py")
        git(clone, "commit", "-m", content)
    if merge:
        git(clone, "switch", "main")
        git(clone, "merge", "--no-ff", "--no-edit", "topic")
    git(clone, "push", "origin", "main")
    sha = git(clone, "rev-parse", "main")
    effect = CreateRevertCommit(
        **{**revert_commit(desk.box).model_dump(), "base_sha": sha, "reverted_sha": sha, "of_merge": merge}
    )
    subprocess.run(effect.command_line(), cwd=clone, check=True, capture_output=True, timeout=30)
    assert git(origin, "show", f"{BRANCH}:app.py") == "good"
    assert git(origin, "rev-parse", f"{BRANCH}^") == sha
