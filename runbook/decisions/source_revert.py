"""Whether a commit can be taken back as it stands, and what that changes: never a guess at a merge.

The rule is that of ``git revert`` for the case without conflicts: each file that the commit changed is as the commit
left it, and goes back to what it was before. What anybody changed since is a conflict, and a person's to merge.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from runbook.models import Frozen
from runbook.source_facts import CommitDetails, Comparison, TreeChange, TreeEntry

Tree = Mapping[str, TreeEntry]
_NAMED = 5


class WhyNoRevert(StrEnum):
    """Why no revert is offered."""

    FIRST_COMMIT = "it is the first commit: there is nothing to go back to"
    TOO_LARGE = "it changed more files than GitHub names at once"
    CHANGED_SINCE = "files that it changed were changed since"
    ALREADY = "what it changed is as before already"


class NoRevert(Frozen):
    """No revert is offered.

    Args:
        why: The kind of reason.
        paths: The files that stand in the way.
    """

    why: WhyNoRevert
    paths: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Say it, with the first few files; their names are anybody's words."""
        more = f" and {len(self.paths) - _NAMED} more" if len(self.paths) > _NAMED else ""
        return f"{self.why}: {', '.join(self.paths[:_NAMED])}{more}" if self.paths else str(self.why)


class RevertTree(Frozen):
    """What the revert changes on the branch.

    Args:
        changes: By path, sorted.
        of_merge: The commit merged others: what it brought over its first parent is taken back.
    """

    changes: tuple[TreeChange, ...]
    of_merge: bool = False


def decide_revert(commit: CommitDetails, *, before: Tree, after: Tree, tip: Tree) -> RevertTree | NoRevert:
    """Decide what takes a commit back.

    Args:
        commit: The commit.
        before: The tree of its first parent.
        after: Its own tree.
        tip: The tree of the branch that is to lose it.
    """
    if not commit.parents:
        return NoRevert(why=WhyNoRevert.FIRST_COMMIT)
    if not commit.whole:
        return NoRevert(why=WhyNoRevert.TOO_LARGE)
    touched = {path for file in commit.files for path in (file.path, file.previous_path) if path is not None}
    concerned = sorted(path for path in touched if before.get(path) != after.get(path))
    since = [path for path in concerned if tip.get(path) not in (after.get(path), before.get(path))]
    changes = tuple(
        TreeChange(path=path, entry=before.get(path))
        for path in concerned
        if tip.get(path) != before.get(path)
    )
    blocked = sorted({*since, *_blocked(changed_tree(tip, changes), changes)})
    if blocked:
        return NoRevert(why=WhyNoRevert.CHANGED_SINCE, paths=tuple(blocked))
    if not changes:
        return NoRevert(why=WhyNoRevert.ALREADY)
    return RevertTree(changes=changes, of_merge=len(commit.parents) > 1)


def changed_tree(tree: Tree, changes: Sequence[TreeChange]) -> dict[str, TreeEntry]:
    """Return a tree with changes made to it."""
    changed = dict(tree)
    for change in changes:
        if change.entry is None:
            changed.pop(change.path, None)
        else:
            changed[change.path] = change.entry
    return changed


def _blocked(tree: Tree, changes: Sequence[TreeChange]) -> set[str]:
    """Return what would be put back where a folder is by now, or below what is a file by now."""
    folders = {folder for path in tree for folder in _folders(path)}
    put = [change.path for change in changes if change.entry is not None]
    return {path for path in put if path in folders or any(folder in tree for folder in _folders(path))}


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


class SoleCommit(Frozen):
    """The one commit that a bad version differs by from the good one."""

    repository: str
    sha: str


class NoSoleCommit(Frozen):
    """There is none, or nobody can tell; to take one of several back would promise what it does not do."""

    reason: str


def sole_commit(
    repositories: Mapping[str, str], between: Mapping[str, Comparison | None]
) -> SoleCommit | NoSoleCommit:
    """Return the one commit that is to be taken back for a set of services.

    Args:
        repositories: By service: where its source lives.
        between: By service: how the commit that is left stands to the one that is gone back to; None where nobody
            knows one of them.
    """
    found: set[SoleCommit] = set()
    for service, repository in repositories.items():
        compared = between.get(service)
        if compared is None:
            return NoSoleCommit(reason=f"nobody can tell the commits that {service} was built from")
        if (compared.ahead_by, compared.behind_by) != (1, 0) or not compared.commits:
            lies = f"{compared.ahead_by} commits lie between the two images of {service}"
            return NoSoleCommit(reason=f"{lies}, and nobody can tell which of them is bad")
        found.add(SoleCommit(repository=repository, sha=compared.commits[-1].sha))
    if len(found) != 1:
        return NoSoleCommit(reason=f"the services were built from {len(found)} different commits")
    return found.pop()
