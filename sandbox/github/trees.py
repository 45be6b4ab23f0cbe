"""What lies in a commit's tree, made up from what each commit before it changed."""

import json

from sandbox.github.records import Commit, Repository, sha_of

PLAIN_FILE = "100644"
Tree = dict[str, tuple[str, str]]
"""Mode and blob by path."""


def tree_of(repository: Repository, commit: Commit) -> Tree:
    """Return a commit's tree; it is remembered."""
    line: list[Commit] = []
    one: Commit | None = commit
    while one is not None and one.tree is None:
        line.append(one)
        one = repository.commit(one.parent) if one.parent else None
    tree = dict(one.tree) if one is not None and one.tree is not None else _first(repository)
    for each in reversed(line):
        _change(repository, tree, each)
        each.tree = dict(tree)
    return tree


def tree_named(repository: Repository, name: str) -> Tree | None:
    """Return the tree with an id, or that of a commit or branch."""
    if name in repository.trees:
        return repository.trees[name]
    for commit in (*repository.commits, *repository.objects.values()):
        if name in (commit.tree_id, commit.sha):
            return tree_of(repository, commit)
    head = repository.head(name)
    return None if head is None else tree_of(repository, head)


def tree_id(tree: Tree) -> str:
    """Return the id of a tree by its content."""
    return sha_of(json.dumps(sorted(tree.items())))


def blob_of(repository: Repository, commit: Commit, path: str) -> str:
    """Return the id of what a commit wrote to a path; the newest one's is that of the file there is now."""
    on_default = (one for one in repository.commits if one.branch == repository.default_branch)
    newest = next((one for one in on_default if path in one.files), None)
    text = repository.files.get(path)
    return sha_of(text) if newest is commit and text is not None else sha_of(path + commit.sha)


def ancestors(repository: Repository, commit: Commit) -> list[Commit]:
    """Return a commit and all before it by first parents, newest first."""
    found, one = [], commit
    while True:
        found.append(one)
        before = repository.commit(one.parent) if one.parent else None
        if before is None:
            return found
        one = before


def difference(old: Tree, new: Tree) -> dict[str, str]:
    """Return how each path that differs was changed: added, removed, modified."""
    changed = {path for path in {*old, *new} if old.get(path) != new.get(path)}
    return {
        path: "added" if path not in old else "removed" if path not in new else "modified"
        for path in sorted(changed)
    }


def _first(repository: Repository) -> Tree:
    """Return what was there before the oldest commit: all files that no commit is said to have added."""
    added = {path for one in repository.commits for path, how in one.how.items() if how != "removed"}
    touched = {path for one in repository.commits for path in one.files}
    renamed = {
        how for one in repository.commits for how in one.how.values() if how not in ("added", "removed")
    }
    untouched = {path: sha_of(text) for path, text in repository.files.items() if path not in touched}
    before = {path: sha_of(f"start {path}") for path in (touched | renamed) - added}
    return {path: (PLAIN_FILE, blob) for path, blob in {**untouched, **before}.items()}


def _change(repository: Repository, tree: Tree, commit: Commit) -> None:
    for path in commit.files:
        how = commit.how.get(path, "modified")
        if how == "removed":
            tree.pop(path, None)
        elif how in ("added", "modified"):
            tree[path] = (PLAIN_FILE, blob_of(repository, commit, path))
        else:  # renamed, unchanged
            tree[path] = tree.pop(how)
