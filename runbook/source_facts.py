"""Facts about how source becomes what runs: commits and their trees, pull requests, deployments, image versions.

Field names are GitHub's own where GitHub has one.
"""

from datetime import datetime

from runbook.models import Commit, Frozen

FAILED_STATES = frozenset({"failure", "error"})
"""States of a deployment that broke."""


class ChangedFile(Frozen):
    """One file that a commit, or a range of them, changed.

    Args:
        path: Where it is afterwards; of a removed one, where it was.
        status: GitHub's word: ``added``, ``removed``, ``modified``, ``renamed``, ``copied``, ``changed``.
        blob: Its content's id afterwards; of a removed one, that of what was removed. None where GitHub gives none.
        previous_path: Where a renamed one was before.
    """

    path: str
    status: str
    blob: str | None = None
    previous_path: str | None = None


class CommitDetails(Frozen):
    """One commit with what it changed.

    Args:
        commit: The commit.
        tree: Id of its tree.
        parents: Its parents; the first is the one that ``files`` compares with.
        files: What it changed.
        whole: Whether that is all; GitHub lists no more than 300 at once.
    """

    commit: Commit
    tree: str
    parents: tuple[str, ...]
    files: tuple[ChangedFile, ...]
    whole: bool = True


class Comparison(Frozen):
    """How one commit stands to another.

    Args:
        status: ``identical``, ``ahead``, ``behind`` or ``diverged``: the head, seen from the base.
        ahead_by: Commits that the head has and the base has not.
        behind_by: The other way round.
        merge_base: The newest commit that both have.
        commits: Those that the head has and the base has not, oldest first, as far as asked for.
        files: What they changed, from the merge base on.
        whole: Whether all files are named; GitHub lists no more than 300.
    """

    status: str
    ahead_by: int
    behind_by: int
    merge_base: str
    commits: tuple[Commit, ...]
    files: tuple[ChangedFile, ...]
    whole: bool = True


class TreeEntry(Frozen):
    """What lies at a path of a tree.

    Args:
        mode: ``100644`` a file, ``100755`` a program, ``120000`` a link, ``160000`` another repository's commit.
        blob: Id of the content.
    """

    mode: str
    blob: str

    @property
    def type(self) -> str:
        """Name it as git does."""
        return "commit" if self.mode == "160000" else "blob"


class TreeChange(Frozen):
    """What a path is to hold: an entry, or nothing any more."""

    path: str
    entry: TreeEntry | None


class OwnPullRequest(Frozen):
    """One pull request, as far as whoever opened it must know; ``merged`` ones are closed, too."""

    number: int
    author: str
    state: str
    merged: bool
    body: str
    head_ref: str
    html_url: str


class Deployment(Frozen):
    """One deployment of a commit to an environment."""

    id: int
    sha: str
    ref: str
    environment: str
    creator: str
    created_at: datetime


class DeploymentStatus(Frozen):
    """One thing that was said about a deployment; the newest holds.

    ``state`` is GitHub's word: ``success``, ``failure``, ``error``, ``inactive``, ``in_progress``, ``queued``,
    ``pending``, and what it adds.
    """

    id: int
    state: str
    description: str
    creator: str
    created_at: datetime

    @property
    def failed(self) -> bool:
        """Whether it says that the deployment broke."""
        return self.state in FAILED_STATES


class ContainerVersion(Frozen):
    """One version of an image in GitHub's registry.

    Args:
        id: GitHub's number of it.
        digest: ``sha256:…``.
        tags: What names it now; a tag moves to a newer version without leaving a trace here.
        created_at: When it was first pushed.
    """

    id: int
    digest: str
    tags: tuple[str, ...]
    created_at: datetime
