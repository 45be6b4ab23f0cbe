"""Commits as git has them: what they changed, how they compare, and new ones made without a checkout."""

from collections.abc import Sequence
from itertools import islice

from runbook.clients.github_calls import PAGE_SIZE, Calls, quoted, repository_path
from runbook.clients.github_facts import commit, parse
from runbook.clients.github_source_facts import commit_details, comparison, whole_tree
from runbook.errors import NotFound, Permanent
from runbook.source_facts import CommitDetails, Comparison, TreeChange, TreeEntry


class CommitCalls(Calls):
    """Reads of commits, and the four writes that put a new one on a new branch."""

    def get_commit(self, repository: str, ref: str) -> CommitDetails:
        """Return a commit with what it changed.

        Args:
            repository: ``owner/name``.
            ref: A commit, branch or tag.

        Raises:
            Conflict: There is none of that name.
        """
        data = self._get(
            f"{repository_path(repository)}/commits/{quoted(ref)}",
            purpose=f"read commit {ref} of {repository}",
        )
        return parse("commit", commit_details, data)

    def compare(self, repository: str, base: str, head: str, *, limit: int = 250) -> Comparison:
        """Return how ``head`` stands to ``base``.

        Args:
            repository: ``owner/name``.
            base: A commit, branch or tag.
            head: Another.
            limit: The most commits to return; the counts are true all the same.

        Raises:
            NotFound: One of them is not there, or they have nothing in common.
        """
        path = f"{repository_path(repository)}/compare/{quoted(base)}...{quoted(head)}"
        purpose = f"compare {base} with {head} of {repository}"
        size = max(1, min(limit, PAGE_SIZE))
        found = parse("comparison", comparison, self._get(path, purpose=purpose, query={"per_page": size}))
        commits = found.commits[:limit]
        if len(commits) < min(limit, found.ahead_by):
            entries = self._pages(path, purpose=purpose, field="commits", page_size=size)
            commits = tuple(parse("commit", commit, entry) for entry in islice(entries, limit))
        return found.model_copy(update={"commits": commits})

    def tree(self, repository: str, tree_id: str) -> dict[str, TreeEntry]:
        """Return what lies at each path of a tree.

        Args:
            repository: ``owner/name``.
            tree_id: As a commit names it.

        Raises:
            Permanent: It is larger than GitHub tells at once (100,000 entries or 7 MB).
        """
        purpose = f"read the tree {tree_id} of {repository}"
        data = self._get(
            f"{repository_path(repository)}/git/trees/{quoted(tree_id)}",
            purpose=purpose,
            query={"recursive": "1"},
        )
        found = parse("tree", whole_tree, data)
        if found.truncated:
            raise Permanent(
                f"Could not {purpose}: it is larger than GitHub tells at once.",
                next_step="use git, in a clone.",
            )
        return found.entries

    def branch_head(self, repository: str, branch: str) -> str | None:
        """Return the commit that a branch points at; None where there is no such branch."""
        try:
            data = self._get(
                f"{repository_path(repository)}/git/ref/{quoted(f'heads/{branch}')}",
                purpose=f"read the branch {branch} of {repository}",
            )
        except NotFound:
            return None
        return parse("ref", lambda found: str(found["object"]["sha"]), data)

    def create_tree(self, repository: str, *, base_tree: str, changes: Sequence[TreeChange]) -> str:
        """Make a tree out of another one; nobody sees it before a branch leads to it.

        Args:
            repository: ``owner/name``.
            base_tree: The other one's id.
            changes: What is different.

        Returns:
            Its id.
        """
        entries = [
            {
                "path": change.path,
                "mode": change.entry.mode if change.entry else "100644",
                "type": change.entry.type if change.entry else "blob",
                "sha": change.entry.blob if change.entry else None,
            }
            for change in changes
        ]
        return self._write(
            "POST",
            f"{repository_path(repository)}/git/trees",
            purpose=f"make a tree in {repository}",
            kind="tree",
            build=lambda found: str(found["sha"]),
            body={"base_tree": base_tree, "tree": entries},
            expect=(201,),
        )

    def create_commit(self, repository: str, *, message: str, tree: str, parent: str) -> str:
        """Make a commit; nobody sees it before a branch leads to it.

        Args:
            repository: ``owner/name``.
            message: Its message, ready to be shown.
            tree: Its tree's id.
            parent: The commit that it follows.

        Returns:
            Its id.
        """
        return self._write(
            "POST",
            f"{repository_path(repository)}/git/commits",
            purpose=f"make a commit in {repository}",
            kind="commit",
            build=lambda found: str(found["sha"]),
            body={"message": message, "tree": tree, "parents": [parent]},
            expect=(201,),
        )

    def create_branch(self, repository: str, branch: str, *, sha: str) -> None:
        """Make a branch.

        Args:
            repository: ``owner/name``.
            branch: Its name.
            sha: The commit that it points at.

        Raises:
            Conflict: There is one of that name.
        """
        self._write(
            "POST",
            f"{repository_path(repository)}/git/refs",
            purpose=f"make the branch {branch} in {repository}",
            kind="ref",
            build=lambda found: str(found["ref"]),
            body={"ref": f"refs/heads/{branch}", "sha": sha},
            expect=(201,),
        )

    def delete_branch(self, repository: str, branch: str) -> None:
        """Delete a branch, wherever it points.

        Raises:
            Conflict: There is none of that name.
        """
        self._order(
            "DELETE",
            f"{repository_path(repository)}/git/refs/{quoted(f'heads/{branch}')}",
            purpose=f"delete the branch {branch} of {repository}",
            expect=(204,),
        )
