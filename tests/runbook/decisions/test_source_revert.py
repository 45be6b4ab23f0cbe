"""When a commit can be taken back, and that nothing of anybody else's is lost by it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.source_revert import (
    NoRevert,
    NoSoleCommit,
    RevertTree,
    SoleCommit,
    WhyNoRevert,
    changed_tree,
    decide_revert,
    sole_commit,
)
from runbook.models import Commit
from runbook.source_facts import ChangedFile, CommitDetails, Comparison, TreeChange, TreeEntry

PLAIN, PROGRAM, MODULE = "100644", "100755", "160000"


def entry(blob: str, mode: str = PLAIN) -> TreeEntry:
    return TreeEntry(mode=mode, blob=blob)


def files(**blobs: str) -> dict[str, TreeEntry]:
    """Return a tree; an underscore in a name stands for a slash."""
    return {name.replace("_", "/"): entry(blob) for name, blob in blobs.items()}


def commit_of(
    before: dict[str, TreeEntry],
    after: dict[str, TreeEntry],
    *,
    parents: tuple[str, ...] = ("p",),
    whole: bool = True,
    renamed: dict[str, str] | None = None,
) -> CommitDetails:
    """Return the commit between two trees, as GitHub tells of it."""
    renamed = renamed or {}
    changed = [path for path in {*before, *after} if before.get(path) != after.get(path)]
    named = [
        ChangedFile(path=path, status="any", previous_path=renamed.get(path))
        for path in changed
        if path not in renamed.values()
    ]
    about = Commit(
        sha="c", message="m", author="a", committed_at=datetime(2026, 3, 1, tzinfo=UTC), html_url="u"
    )
    return CommitDetails(commit=about, tree="t", parents=parents, files=tuple(named), whole=whole)


A, B = files(app="1", lib="1"), files(app="2", lib="1")


@pytest.mark.parametrize(
    ("before", "after", "tip", "changes"),
    [
        (A, B, B, {"app": entry("1")}),
        (A, B, files(app="2", lib="9", more="1"), {"app": entry("1")}),
        (files(lib="1"), files(lib="1", new="1"), files(lib="2", new="1"), {"new": None}),
        (files(lib="1", old="1"), files(lib="1"), files(lib="1"), {"old": entry("1")}),
        (
            {"run": entry("1")},
            {"run": entry("1", PROGRAM)},
            {"run": entry("1", PROGRAM)},
            {"run": entry("1")},
        ),
        (
            {"sub": entry("1", MODULE)},
            {"sub": entry("2", MODULE)},
            {"sub": entry("2", MODULE)},
            {"sub": entry("1", MODULE)},
        ),
        (files(a="1", b="1"), files(a="2", b="2"), files(a="1", b="2"), {"b": entry("1")}),
        (files(a="1"), files(a_b="1"), files(a_b="1"), {"a": entry("1"), "a/b": None}),
    ],
    ids=[
        "modified",
        "others went on",
        "added",
        "removed",
        "made a program",
        "submodule",
        "half of it is back",
        "folder",
    ],
)
def test_each_file_goes_back_to_what_it_was(
    before: dict[str, TreeEntry],
    after: dict[str, TreeEntry],
    tip: dict[str, TreeEntry],
    changes: dict[str, TreeEntry | None],
) -> None:
    decision = decide_revert(commit_of(before, after), before=before, after=after, tip=tip)
    assert isinstance(decision, RevertTree)
    assert {change.path: change.entry for change in decision.changes} == changes


def test_a_renamed_file_goes_back_to_its_name() -> None:
    before, after = files(old="1"), files(new="1")
    commit = commit_of(before, after, renamed={"new": "old"})
    decision = decide_revert(commit, before=before, after=after, tip=after)
    assert isinstance(decision, RevertTree)
    assert decision.changes == (TreeChange(path="new", entry=None), TreeChange(path="old", entry=entry("1")))


@pytest.mark.parametrize(
    ("before", "after", "tip", "why", "paths"),
    [
        (A, B, files(app="3", lib="1"), WhyNoRevert.CHANGED_SINCE, ("app",)),
        (A, B, files(lib="1"), WhyNoRevert.CHANGED_SINCE, ("app",)),
        (A, B, {**B, "app": entry("2", PROGRAM)}, WhyNoRevert.CHANGED_SINCE, ("app",)),
        (files(old="1"), {}, files(old="2"), WhyNoRevert.CHANGED_SINCE, ("old",)),
        (files(old="1"), {}, files(old_x="2"), WhyNoRevert.CHANGED_SINCE, ("old",)),
        (files(old_x="1"), {}, files(old="2"), WhyNoRevert.CHANGED_SINCE, ("old/x",)),
        (files(old="1"), files(new="1"), files(new="1", old="2"), WhyNoRevert.CHANGED_SINCE, ("old",)),
        (A, B, A, WhyNoRevert.ALREADY, ()),
        (A, A, A, WhyNoRevert.ALREADY, ()),
    ],
    ids=[
        "modified since",
        "removed since",
        "made a program since",
        "made anew since",
        "a folder by now",
        "below a file by now",
        "old name taken",
        "taken back already",
        "empty",
    ],
)
def test_what_was_changed_since_is_named_and_left_to_a_person(
    before: dict[str, TreeEntry],
    after: dict[str, TreeEntry],
    tip: dict[str, TreeEntry],
    why: WhyNoRevert,
    paths: tuple[str, ...],
) -> None:
    decision = decide_revert(
        commit_of(before, after, renamed={"new": "old"} if "new" in after else None),
        before=before,
        after=after,
        tip=tip,
    )
    assert decision == NoRevert(why=why, paths=paths)


@pytest.mark.parametrize(
    ("parents", "whole", "why"),
    [((), True, WhyNoRevert.FIRST_COMMIT), (("p",), False, WhyNoRevert.TOO_LARGE)],
)
def test_a_commit_that_cannot_be_seen_whole_is_not_taken_back(
    parents: tuple[str, ...], whole: bool, why: WhyNoRevert
) -> None:
    commit = commit_of(A, B, parents=parents, whole=whole)
    assert decide_revert(commit, before=A, after=B, tip=B) == NoRevert(why=why)


def test_a_merge_is_taken_back_to_its_first_parent_and_says_so() -> None:
    decision = decide_revert(commit_of(A, B, parents=("p", "q")), before=A, after=B, tip=B)
    assert isinstance(decision, RevertTree)
    assert decision.of_merge


def test_many_files_in_the_way_are_counted() -> None:
    many = {f"f{number}": entry("1") for number in range(8)}
    after, tip = ({path: entry(blob) for path in many} for blob in ("2", "3"))
    decision = decide_revert(commit_of(many, after), before=many, after=after, tip=tip)
    assert isinstance(decision, NoRevert)
    assert decision.reason.endswith("f0, f1, f2, f3, f4 and 3 more")


_TREES = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d/a", "d/b", "d", "e/f/g"]),
    st.builds(TreeEntry, mode=st.just(PLAIN), blob=st.sampled_from("123")),
    max_size=6,
)


def _is_tree(tree: dict[str, TreeEntry]) -> bool:
    return not any(other.startswith(f"{path}/") for path in tree for other in tree)


@given(before=_TREES.filter(_is_tree), after=_TREES.filter(_is_tree), tip=_TREES.filter(_is_tree))
def test_a_revert_touches_only_what_the_commit_did_and_leaves_a_tree(
    before: dict[str, TreeEntry], after: dict[str, TreeEntry], tip: dict[str, TreeEntry]
) -> None:
    decision = decide_revert(commit_of(before, after), before=before, after=after, tip=tip)
    if isinstance(decision, NoRevert):
        return
    result = changed_tree(tip, decision.changes)
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert _is_tree(result)
    assert all(result.get(path) == before.get(path) for path in changed)
    assert all(result.get(path) == tip.get(path) for path in {*result, *tip} - changed)


@given(before=_TREES.filter(_is_tree), after=_TREES.filter(_is_tree))
def test_a_revert_of_the_newest_commit_gives_the_tree_before_it(
    before: dict[str, TreeEntry], after: dict[str, TreeEntry]
) -> None:
    decision = decide_revert(commit_of(before, after), before=before, after=after, tip=after)
    if before == after:
        assert decision == NoRevert(why=WhyNoRevert.ALREADY)
    else:
        assert isinstance(decision, RevertTree)
        assert changed_tree(after, decision.changes) == before


def compared(*shas: str, ahead: int | None = None, behind: int = 0) -> Comparison:
    commits = tuple(
        Commit(sha=sha, message="m", author="a", committed_at=datetime(2026, 5, 4, tzinfo=UTC), html_url="")
        for sha in shas
    )
    return Comparison(
        status="ahead",
        ahead_by=len(shas) if ahead is None else ahead,
        behind_by=behind,
        merge_base="b",
        commits=commits,
        files=(),
    )


BOTH = {"tts": "acme/app", "agent": "acme/app"}


@pytest.mark.parametrize(
    ("repositories", "between", "said"),
    [
        (BOTH, {"tts": compared("s1"), "agent": None}, "nobody can tell the commits that agent"),
        (BOTH, {"tts": compared("s1"), "agent": compared("s1", "s2")}, "2 commits lie between"),
        (BOTH, {"tts": compared("s1"), "agent": compared()}, "0 commits lie between"),
        (BOTH, {"tts": compared("s1"), "agent": compared("s1", behind=1)}, "which of them is bad"),
        (BOTH, {"tts": compared("s1"), "agent": compared("s2")}, "2 different commits"),
        (
            {"tts": "acme/app", "agent": "acme/other"},
            {"tts": compared("s1"), "agent": compared("s1")},
            "2 different commits",
        ),
    ],
)
def test_one_commit_of_several_is_not_taken_back_as_if_it_were_the_bad_one(
    repositories: dict[str, str], between: dict[str, Comparison | None], said: str
) -> None:
    found = sole_commit(repositories, between)
    assert isinstance(found, NoSoleCommit)
    assert said in found.reason


def test_the_only_commit_between_the_two_images_of_all_services_is_the_one() -> None:
    found = sole_commit(BOTH, {"tts": compared("s1"), "agent": compared("s1")})
    assert found == SoleCommit(repository="acme/app", sha="s1")
